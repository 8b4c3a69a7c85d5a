//! Payments: time that is bought under a reference, and added exactly once for it.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Access, AccessChange, AuditKind, Conflict, MacAddr, NewSubscriber, Revision, Service,
    Subscriber, SubscriberId, TenantId, Username,
};

/// What a payment provider, or whoever takes the money, orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The business that was paid.
    pub tenant: Option<TenantId>,
    /// What tells it from every other payment to the same business.
    pub reference: Reference,
    /// For whom.
    pub username: Username,
    /// What was bought.
    pub buys: Buys,
    /// Whether a subscriber whom nobody knows is made.
    pub create: bool,
    /// Devices that the subscriber has from now on, besides those that it has.
    pub devices: BTreeSet<MacAddr>,
    /// Anything worth keeping, for the audit.
    pub note: Option<Note>,
}

/// What a payment buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buys {
    /// So much more than there is, or from now on.
    Time(Duration),
    /// Access until then.
    Until(DateTime<Utc>),
}

/// What came of a payment when it was taken. It does not change when the same comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When it was taken, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who got it.
    pub subscriber: SubscriberId,
    /// Whether the subscriber was made for it.
    pub made: bool,
    /// The access before.
    pub from: Access,
    /// The access after.
    pub to: Access,
    /// The revision after.
    pub revision: Revision,
}

/// The answer to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// What was written, now or when the payment came first.
    pub receipt: Receipt,
    /// Whether it was taken before: nothing was added now.
    pub repeated: bool,
    /// The routers on which the subscriber may not be online yet, by name: those that owe it its
    /// return, and those that are down.
    pub pending: Vec<Pending>,
}

/// A router that a payment has not reached, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Its name.
    pub router: String,
    /// Whether something that was disabled there for the subscriber is still to be given back.
    pub restore_owed: bool,
    /// Since when it does not answer.
    pub down_since: Option<DateTime<Utc>>,
}

impl Payment {
    /// Returns how access changes at `now`.
    ///
    /// # Errors
    /// [`Conflict::EndPassed`] if what was bought is over, [`Conflict::GoesBeyond`] if there is more
    /// than that already.
    pub fn change(&self, before: Access, now: DateTime<Utc>) -> Result<AccessChange, Conflict> {
        match self.buys {
            Buys::Time(time) => Ok(AccessChange::Extend(time)),
            Buys::Until(end) if end <= now => Err(Conflict::EndPassed { end }),
            Buys::Until(end) if before.goes_beyond(end) => Err(Conflict::GoesBeyond {
                end,
                until: before.end(),
            }),
            Buys::Until(end) => Ok(AccessChange::ExtendTo(end)),
        }
    }

    /// Returns whom to make at `now`, if nobody has the name.
    ///
    /// # Errors
    /// [`Conflict::EndPassed`] if what was bought is over.
    pub fn subscriber(&self, now: DateTime<Utc>) -> Result<NewSubscriber, Conflict> {
        let change = self.change(Access::None, now)?;
        Ok(NewSubscriber {
            tenant: self.tenant,
            username: self.username.clone(),
            service: Service::Hotspot,
            access: Access::None.changed(change, now),
            router: None,
            devices: self.devices.clone(),
        })
    }

    /// Makes sure that the payment which has the reference already is this one.
    ///
    /// # Errors
    /// [`Conflict::Reference`] if it is another.
    pub fn is_again(&self, taken: &Self) -> Result<(), Conflict> {
        if self == taken {
            Ok(())
        } else {
            Err(Conflict::Reference(self.reference.clone()))
        }
    }

    /// Returns what came of it at `now`: who got it, and the access before unless it was made for it.
    pub fn receipt(&self, known: Option<Access>, paid: &Subscriber, now: DateTime<Utc>) -> Receipt {
        Receipt {
            at: now,
            subscriber: paid.id,
            made: known.is_none(),
            from: known.unwrap_or(Access::None),
            to: paid.access,
            revision: paid.revision,
        }
    }

    /// Returns what the audit tells of it, besides what it changed.
    pub fn event(&self, revision: Revision) -> AuditKind {
        AuditKind::PaymentTaken {
            reference: self.reference.clone(),
            note: self.note.clone(),
            revision,
        }
    }
}

/// The most characters of a reference.
const LONGEST_REFERENCE: usize = 200;

/// The most characters of a note.
const LONGEST_NOTE: usize = 500;

/// The reference of a payment: the number of a receipt, of an order. 1 to 200 characters, none of them a
/// control character, no white space at the ends; compared character by character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Reference(String);

/// A note to a payment: 1 to 500 characters, none of them a control character, no white space at the
/// ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Note(String);

/// Why a text is no reference or note.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it has {found} characters; at most {most} are kept")]
    Long {
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// It holds what cannot be shown.
    #[error("it holds the control character {0:?}")]
    Control(char),
}

impl Reference {
    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Note {
    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        label(text, LONGEST_REFERENCE).map(Self)
    }
}

impl FromStr for Note {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        label(text, LONGEST_NOTE).map(Self)
    }
}

impl TryFrom<String> for Reference {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl TryFrom<String> for Note {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn label(text: &str, most: usize) -> Result<String, LabelError> {
    let text = text.trim();
    let found = text.chars().count();
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        Err(LabelError::Control(control))
    } else if found > most {
        Err(LabelError::Long { found, most })
    } else if text.is_empty() {
        Err(LabelError::Empty)
    } else {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn payment(buys: Buys) -> Payment {
        Payment {
            tenant: None,
            reference: "QK7".parse().expect("a reference"),
            username: "joe".parse().expect("a name"),
            buys,
            create: false,
            devices: BTreeSet::new(),
            note: Some("cash".parse().expect("a note")),
        }
    }

    fn accesses() -> impl Strategy<Value = Access> {
        prop_oneof![
            Just(Access::None),
            Just(Access::Forever),
            (0..10_000i64).prop_map(|end| Access::Until(at(end))),
        ]
    }

    proptest! {
        #[test]
        fn a_payment_never_takes_time_away(
            before in accesses(),
            now in 0..10_000i64,
            amount in 1..10_000i64,
            until: bool,
        ) {
            let buys = if until {
                Buys::Until(at(amount))
            } else {
                Buys::Time(Duration::from_secs(amount.unsigned_abs()))
            };
            let Ok(change) = payment(buys).change(before, at(now)) else {
                prop_assert!(until && (amount <= now || before.goes_beyond(at(amount))));
                return Ok(());
            };
            let after = before.changed(change, at(now));
            prop_assert!(after.is_live(at(now)));
            let loses_nothing = match (before.end(), after.end()) {
                (_, None) => before == Access::Forever,
                (Some(before), Some(after)) => before <= after,
                (None, Some(_)) => before == Access::None,
            };
            prop_assert!(loses_nothing);
        }
    }

    #[test]
    fn a_payment_is_kept_as_text_and_reads_back() {
        for buys in [Buys::Time(Duration::from_mins(90)), Buys::Until(at(5))] {
            let payment = payment(buys);
            let text = serde_json::to_string(&payment).expect("JSON");
            assert_eq!(serde_json::from_str::<Payment>(&text).ok(), Some(payment));
        }
    }

    #[test]
    fn a_reference_says_what_is_wrong_with_it() {
        let parse = |text: &str| text.parse::<Reference>();
        assert_eq!(parse(" QK7 1 ").map(|it| it.0), Ok("QK7 1".into()));
        assert_eq!(parse(" "), Err(LabelError::Empty));
        assert_eq!(parse("a\0b"), Err(LabelError::Control('\0')));
        assert!(parse(&"é".repeat(200)).is_ok());
        let (found, most) = (201, 200);
        assert_eq!(
            parse(&"é".repeat(201)),
            Err(LabelError::Long { found, most })
        );
    }
}
