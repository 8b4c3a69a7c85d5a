//! The audit: what happened, one event for each change of state, kept with the change itself.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::{
    Access, Brake, LagKind, MacAddr, Note, Outcome, Progress, Reference, Revision, RouterId, State,
    Subscriber, SubscriberId, TenantId, UndoItem, Username, Waited, Want, WatcherId, WayIn, millis,
};

/// One event, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// Its place among all events.
    pub id: AuditId,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// What there is to record of a change. Names stand beside numbers: both may be long gone when it
/// is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// What happened.
    #[serde(flatten)]
    pub kind: AuditKind,
    /// The business it concerns.
    pub tenant: Option<TenantId>,
    /// The subscriber it is about.
    pub subscriber: Option<SubscriberId>,
    /// Its name then.
    pub username: Option<Username>,
    /// The one device of the subscriber that it is about.
    pub device: Option<MacAddr>,
    /// The router it is about.
    pub router: Option<RouterId>,
    /// Its name then.
    pub router_name: Option<String>,
    /// The deadline it is about: when access ended, or was given back.
    pub due_at: Option<DateTime<Utc>>,
    /// From the deadline until its first confirmation. An end that was known late has no lag.
    #[serde(rename = "lag_ms", serialize_with = "millis::option::serialize")]
    pub lag: Option<Duration>,
    /// Whether the lag comes from a router that was down.
    pub outage: bool,
}

impl AuditEntry {
    /// Something about a subscriber.
    pub fn of(subscriber: &Subscriber, kind: AuditKind) -> Self {
        Self {
            subscriber: Some(subscriber.id),
            username: Some(subscriber.username.clone()),
            ..Self::in_tenant(subscriber.tenant, kind)
        }
    }

    /// A subscriber was made.
    pub fn added(subscriber: &Subscriber) -> Self {
        let kind = AuditKind::SubscriberAdded {
            access: subscriber.access,
            devices: subscriber.devices.clone(),
            revision: subscriber.revision,
        };
        Self::of(subscriber, kind)
    }

    /// The access of a subscriber has ended, and its cut is planned.
    pub fn ended(subscriber: &Subscriber) -> Self {
        Self {
            due_at: subscriber.access.end(),
            ..Self::of(subscriber, AuditKind::AccessEnded)
        }
    }

    /// Something about a router.
    pub fn on(
        tenant: Option<TenantId>,
        router: RouterId,
        name: impl Into<String>,
        kind: AuditKind,
    ) -> Self {
        Self {
            router: Some(router),
            router_name: Some(name.into()),
            ..Self::in_tenant(tenant, kind)
        }
    }

    /// How long a first confirmation took, if it is one.
    #[must_use]
    pub fn after(self, waited: Option<Waited>) -> Self {
        Self {
            lag: waited.and_then(Waited::lag),
            outage: waited.is_some_and(|waited| waited.kind == LagKind::Outage),
            ..self
        }
    }

    /// Something about no subscriber and no router.
    pub fn general(kind: AuditKind) -> Self {
        Self::in_tenant(None, kind)
    }

    /// Something about a business.
    pub fn in_tenant(tenant: Option<TenantId>, kind: AuditKind) -> Self {
        Self {
            kind,
            tenant,
            subscriber: None,
            username: None,
            device: None,
            router: None,
            router_name: None,
            due_at: None,
            lag: None,
            outage: false,
        }
    }
}

/// What happened.
///
/// Stores keep the word under `kind` and, as JSON, what is under `detail`: a new kind needs no
/// change of any schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum AuditKind {
    /// A subscriber was made.
    SubscriberAdded {
        /// Its access.
        access: Access,
        /// Its devices.
        devices: BTreeSet<MacAddr>,
        /// Its revision.
        revision: Revision,
    },
    /// Access was bought, extended, set or revoked.
    AccessChanged {
        /// The access before.
        from: Access,
        /// The access after.
        to: Access,
        /// The revision after.
        revision: Revision,
    },
    /// A payment was taken; what it changed is told by itself.
    PaymentTaken {
        /// Its reference.
        reference: Reference,
        /// What whoever took it has noted.
        note: Option<Note>,
        /// The revision after.
        revision: Revision,
    },
    /// A subscriber was bound to a router, or may use all of its tenant's from now on.
    Bound {
        /// The router before.
        from: Option<RouterId>,
        /// The router after.
        to: Option<RouterId>,
        /// The revision after.
        revision: Revision,
    },
    /// A device was added.
    DeviceAdded {
        /// The revision after.
        revision: Revision,
    },
    /// A device was removed.
    DeviceRemoved {
        /// The revision after.
        revision: Revision,
    },
    /// A subscriber was removed.
    SubscriberRemoved {
        /// The access before; it ended with the removal.
        access: Access,
    },
    /// Access has ended and its cut is planned, wherever the subscriber may be online.
    AccessEnded,
    /// That access had ended was too early, by a clock that was ahead: it goes on as before.
    EndTakenBack {
        /// The revision after.
        revision: Revision,
    },
    /// What a cut found enabled on a router is about to be disabled, and to be undone for whoever
    /// pays.
    Intended {
        /// How many accounts.
        accounts: u64,
        /// How many bindings.
        bindings: u64,
    },
    /// A cut was confirmed: with a lag the first time after its deadline, without one after a
    /// return.
    CutConfirmed,
    /// A confirmed cut was found undone.
    CameBack {
        /// The suspected way in, if it is online.
        way_in: Option<WayIn>,
    },
    /// It came back so often that the cut cannot hold. What follows is not recorded until it does.
    CannotHold {
        /// The suspected way in, if it is online.
        way_in: Option<WayIn>,
    },
    /// A cut that could not hold does now.
    HoldsAgain,
    /// A restore was confirmed.
    RestoreConfirmed,
    /// A look found a confirmed restore undone.
    RestoreUndone,
    /// A router was made.
    RouterAdded {
        /// Host and port.
        address: String,
    },
    /// The way to a router was changed.
    RouterChanged {
        /// The new host and port.
        address: Option<String>,
        /// The new account.
        account: Option<String>,
        /// Whether there is a new password.
        password: bool,
    },
    /// The password of a router was forgotten: it did not open, and its key was given up as lost.
    PasswordForgotten {
        /// The id of that key.
        sealed_with: String,
    },
    /// A router was taken into service.
    RouterEnabled,
    /// A router was taken out of service.
    RouterDisabled,
    /// Whichever box answers next was accepted as the router.
    RouterAccepted,
    /// A router was removed.
    RouterRemoved {
        /// Whether work that was open there was given up.
        forced: bool,
    },
    /// A router stopped answering.
    RouterDown {
        /// What failed.
        error: String,
    },
    /// A router answers again.
    RouterUp {
        /// How long it did not.
        #[serde(rename = "down_ms", with = "millis")]
        down_for: Duration,
    },
    /// A watcher serves a router from now on.
    RouterOwned {
        /// The watcher.
        watcher: WatcherId,
        /// The watcher that had the router and fell silent.
        taken_over_from: Option<WatcherId>,
    },
    /// A watcher let go of a router.
    RouterReleased {
        /// The watcher.
        watcher: WatcherId,
    },
    /// A reading of a router showed that it lets through somebody we do not know.
    StraysFound {
        /// How many that were not there at the reading before.
        strays: u64,
    },
    /// Something forbids cuts from now on.
    BrakeSet {
        /// What.
        brake: Brake,
    },
    /// A brake ended by itself: what it stood for is mended.
    BrakeEnded {
        /// What it was.
        brake: Brake,
    },
    /// Somebody released a brake.
    BrakeReleased {
        /// What it was.
        brake: Brake,
    },
    /// A tenant was made.
    TenantAdded {
        /// Its slug.
        slug: String,
    },
    /// A tenant was removed.
    TenantRemoved {
        /// Its slug.
        slug: String,
    },
}

impl AuditKind {
    /// Tells what a recorded outcome is to the audit, if it changes a state at all.
    ///
    /// A target that keeps coming back would fill the audit with confirmations and returns: once a
    /// cut cannot hold, only its end is news, or a first confirmation.
    pub fn of_outcome(
        want: Want,
        before: &Progress,
        after: &Progress,
        outcome: &Outcome,
    ) -> Option<Self> {
        match (outcome, want) {
            (Outcome::Unconfirmed { .. }, _) => None,
            (Outcome::Returned { .. }, Want::Restore) => Some(Self::RestoreUndone),
            (Outcome::Returned { way_in, .. }, Want::Cut) => {
                Self::of_return(before, after, *way_in)
            }
            (Outcome::Confirmed { .. }, _) if after.state == State::Owed => None,
            (Outcome::Confirmed { .. }, Want::Restore) => {
                (before.state == State::Owed).then_some(Self::RestoreConfirmed)
            }
            (Outcome::Confirmed { .. }, Want::Cut) => {
                let is_first = before.confirmed_at.is_none();
                if before.cannot_hold() && !is_first {
                    (!after.cannot_hold()).then_some(Self::HoldsAgain)
                } else {
                    (before.state == State::Owed).then_some(Self::CutConfirmed)
                }
            }
        }
    }

    /// Tells what it is to the audit that so much is newly to be undone.
    pub fn of_intent(new: &[UndoItem]) -> Option<Self> {
        let is_account = |item: &&UndoItem| matches!(item, UndoItem::User { .. });
        let accounts = new.iter().filter(is_account).count();
        (!new.is_empty()).then(|| Self::Intended {
            accounts: accounts as u64,
            bindings: (new.len() - accounts) as u64,
        })
    }

    /// Tells what it is to the audit that a confirmed cut was found undone, by a look or by a
    /// reading of the whole router.
    pub fn of_return(before: &Progress, after: &Progress, way_in: Option<WayIn>) -> Option<Self> {
        if before.cannot_hold() {
            None
        } else if after.cannot_hold() {
            Some(Self::CannotHold { way_in })
        } else {
            Some(Self::CameBack { way_in })
        }
    }
}

/// The place of an event. Events are read in this order, and none appears later before one that
/// was read already; where several transactions are open at once, that is not the order of their
/// numbers alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId {
    /// The transaction that recorded it; 0 where a store has one writer at a time.
    pub transaction: i64,
    /// Its number, which no other event has.
    pub number: i64,
}

impl AuditId {
    /// Before all events.
    pub const START: Self = Self {
        transaction: 0,
        number: 0,
    };
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.transaction, self.number)
    }
}

impl Serialize for AuditId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Why a text is not the place of an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not the id of an event, such as 731-17")]
pub struct AuditIdError(String);

impl FromStr for AuditId {
    type Err = AuditIdError;

    fn from_str(text: &str) -> Result<Self, AuditIdError> {
        let number = |digits: &str| digits.parse().ok().filter(|number: &i64| *number >= 0);
        let parts = text.split_once('-');
        parts
            .and_then(|(transaction, id)| {
                Some(Self {
                    transaction: number(transaction)?,
                    number: number(id)?,
                })
            })
            .ok_or_else(|| AuditIdError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn told(want: Want, outcomes: &[Outcome]) -> Vec<Option<AuditKind>> {
        let mut progress = Progress::owed(at(0));
        let mut told = Vec::new();
        for outcome in outcomes {
            let after = progress.after(outcome, at(1));
            told.push(AuditKind::of_outcome(want, &progress, &after, outcome));
            progress = after;
        }
        told
    }

    const BACK: Outcome = Outcome::Returned {
        way_in: Some(WayIn::Trial),
        retry_in: Duration::ZERO,
    };
    const LOOK: Outcome = Outcome::Confirmed {
        next_look: Some(Duration::ZERO),
    };
    const DONE: Outcome = Outcome::Confirmed { next_look: None };

    #[test]
    fn confirmations_and_returns_are_told_and_looks_that_find_nothing_are_not() {
        let failed = Outcome::Unconfirmed {
            error: "left".into(),
            online: None,
            retry_in: Duration::ZERO,
        };
        let way_in = Some(WayIn::Trial);
        assert_eq!(
            told(Want::Cut, &[failed, LOOK, LOOK, BACK, DONE]),
            [
                None,
                Some(AuditKind::CutConfirmed),
                None,
                Some(AuditKind::CameBack { way_in }),
                Some(AuditKind::CutConfirmed),
            ]
        );
        assert_eq!(
            told(Want::Restore, &[LOOK, BACK, DONE]),
            [
                Some(AuditKind::RestoreConfirmed),
                Some(AuditKind::RestoreUndone),
                Some(AuditKind::RestoreConfirmed),
            ]
        );
    }

    #[test]
    fn what_cannot_hold_is_told_once_until_it_holds() {
        let outcomes = [
            LOOK, BACK, LOOK, BACK, LOOK, BACK, LOOK, BACK, LOOK, BACK, LOOK, DONE,
        ];
        let way_in = Some(WayIn::Trial);
        let told = told(Want::Cut, &outcomes);
        assert_eq!(told[5], Some(AuditKind::CannotHold { way_in }));
        assert_eq!(told[6..11], [const { None }; 5]);
        assert_eq!(told[11], Some(AuditKind::HoldsAgain));
    }

    #[test]
    fn a_first_confirmation_is_told_even_of_what_could_not_hold() {
        let told = told(Want::Cut, &[BACK, BACK, BACK, BACK, LOOK]);
        assert_eq!(told[3], None);
        assert_eq!(told[4], Some(AuditKind::CutConfirmed));
    }

    #[test]
    fn the_place_of_an_event_reads_back() {
        let id = AuditId {
            transaction: 731,
            number: 17,
        };
        assert_eq!(id.to_string(), "731-17");
        assert_eq!("731-17".parse(), Ok(id));
        for wrong in ["", "17", "731-", "-1-2", "a-b", "1--2"] {
            assert!(wrong.parse::<AuditId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_is_flat_json_with_its_detail_apart() {
        let entry = AuditEntry {
            lag: Some(Duration::from_micros(41_900)),
            ..AuditEntry::on(None, RouterId(3), "tower", AuditKind::CutConfirmed)
        };
        let id = AuditId::START;
        let event = AuditEvent {
            id,
            at: at(0),
            entry,
        };
        let json = serde_json::to_value(event).expect("JSON");
        assert_eq!(json["kind"], "cut_confirmed");
        assert_eq!((&json["lag_ms"], &json["id"]), (&41.into(), &"0-0".into()));
        assert_eq!(json["router_name"], "tower");
        let up = AuditKind::RouterUp {
            down_for: Duration::from_secs(2),
        };
        let json = serde_json::to_value(up).expect("JSON");
        let expected = serde_json::json!({"kind": "router_up", "detail": {"down_ms": 2000}});
        assert_eq!(json, expected);
    }
}
