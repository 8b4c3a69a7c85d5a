//! What we switched off on a router and have to switch on again for whoever pays.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{BindingKind, BindingRow, MacAddr, Reach, UserRow, Username};

/// What an undo row belongs to. Whoever's live access owns the name or the MAC owes the restore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoKey {
    /// A subscriber's name.
    Name(Username),
    /// A device.
    Mac(MacAddr),
}

impl fmt::Display for UndoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// One row that we found enabled and disabled, described by what survives a reboot: row ids do
/// not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "kebab-case")]
pub enum UndoItem {
    /// A row of `/ip/hotspot/user`.
    User {
        /// Account name as the router spells it.
        name: String,
        /// The hotspot server it is limited to.
        server: Option<String>,
    },
    /// A row of `/ip/hotspot/ip-binding`.
    IpBinding {
        /// The device it fits.
        mac: Option<MacAddr>,
        /// The address or range it fits, as printed.
        address: Option<String>,
        /// The address it translates to, as printed.
        to_address: Option<String>,
        /// The hotspot server it is limited to.
        server: Option<String>,
        /// What it does.
        kind: BindingKind,
        /// The operator's comment.
        comment: Option<String>,
    },
}

impl From<&UserRow> for UndoItem {
    fn from(row: &UserRow) -> Self {
        Self::User {
            name: row.name.clone(),
            server: row.server.clone(),
        }
    }
}

impl From<&BindingRow> for UndoItem {
    fn from(row: &BindingRow) -> Self {
        Self::IpBinding {
            mac: row.mac,
            address: row.address.clone(),
            to_address: row.to_address.clone(),
            server: row.server.clone(),
            kind: row.kind,
            comment: row.comment.clone(),
        }
    }
}

impl UndoItem {
    /// Tells whether both may speak of the same row, which was edited in between: an account by
    /// its name, with or without `+`; a binding of the same kind by its MAC, else by the addresses
    /// that it fits.
    pub fn may_be_same_row(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User { name, .. }, Self::User { name: other, .. }) => {
                name == other
                    || name
                        .parse::<Username>()
                        .is_ok_and(|name| name.matches(other))
            }
            (
                Self::IpBinding {
                    mac,
                    address,
                    to_address,
                    kind,
                    ..
                },
                Self::IpBinding {
                    mac: other_mac,
                    address: other_address,
                    to_address: other_to_address,
                    kind: other_kind,
                    ..
                },
            ) => {
                let place = address.as_ref().or(to_address.as_ref());
                let other_place = other_address.as_ref().or(other_to_address.as_ref());
                kind == other_kind && mac == other_mac && (mac.is_some() || place == other_place)
            }
            (Self::User { .. } | Self::IpBinding { .. }, _) => false,
        }
    }

    /// Returns the address by which the row lets a device in, if it is not by its MAC.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::User { .. } | Self::IpBinding { mac: Some(_), .. } => None,
            Self::IpBinding {
                address,
                to_address,
                ..
            } => Reach::parse(address.as_ref().or(to_address.as_ref())?)?.only(),
        }
    }

    /// Returns the device that the row lets in by its MAC.
    pub fn device(&self) -> Option<MacAddr> {
        match self {
            Self::User { name, .. } => name.parse().ok(),
            Self::IpBinding { mac, .. } => *mac,
        }
    }
}

/// What was found for one name or MAC on one router: what is to be undone, and what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// What it belongs to.
    pub key: UndoKey,
    /// What we disabled. Equal rows stand as often as they were found.
    pub items: Vec<UndoItem>,
    /// What had been disabled before us, and stays so.
    pub stay: Vec<UndoItem>,
}

impl Undo {
    /// Something to be undone, with nothing beside it.
    pub fn new(key: UndoKey, items: Vec<UndoItem>) -> Self {
        Self {
            key,
            items,
            stay: Vec::new(),
        }
    }

    /// Adds what a later attempt found. What stands already stays: an item is added only as often
    /// as `found` has it more than `self`. What is found disabled is ours if we disabled it. Returns
    /// what is newly to be undone.
    pub fn add(&mut self, found: &Self) -> Vec<UndoItem> {
        let mut ours = self.items.clone();
        ours.retain(|item| !found.items.contains(item));
        let mut disabled = ours;
        disabled.extend(self.stay.iter().cloned());
        self.stay.extend(excess(&found.stay, disabled));
        let new: Vec<_> = excess(&found.items, self.items.clone()).collect();
        self.items.extend(new.iter().cloned());
        new
    }
}

/// Returns the items that `found` has more often than `known`.
fn excess(found: &[UndoItem], mut known: Vec<UndoItem>) -> impl Iterator<Item = UndoItem> {
    found.iter().filter_map(move |item| {
        if let Some(at) = known.iter().position(|k| k == item) {
            known.swap_remove(at);
            return None;
        }
        Some(item.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UndoItem {
        UndoItem::User {
            name: name.into(),
            server: None,
        }
    }

    #[test]
    fn r3_the_first_finding_stands_and_later_attempts_only_add() {
        let key = UndoKey::Name("a".parse().expect("name"));
        let found = |items: &[UndoItem]| Undo::new(key.clone(), items.to_vec());
        let mut undo = found(&[user("a")]);
        undo.add(&found(&[]));
        assert_eq!(undo.items, [user("a")]);
        let new = undo.add(&found(&[user("+1"), user("a")]));
        assert_eq!(new, [user("+1")]);
        assert_eq!(undo.items, [user("a"), user("+1")]);
        undo.add(&found(&[user("a"), user("a")]));
        assert_eq!(undo.items, [user("a"), user("+1"), user("a")]);
    }

    #[test]
    fn r3_what_we_disabled_is_not_taken_for_the_operators_when_it_is_found_again() {
        let key = UndoKey::Name("a".parse().expect("name"));
        let disabled = |items: &[UndoItem]| Undo {
            stay: items.to_vec(),
            ..Undo::new(key.clone(), Vec::new())
        };
        let mut undo = Undo {
            stay: vec![user("old")],
            ..Undo::new(key.clone(), vec![user("a")])
        };
        undo.add(&disabled(&[user("a"), user("old")]));
        assert_eq!(undo.stay, [user("old")]);
        undo.add(&disabled(&[user("a"), user("old"), user("a")]));
        assert_eq!(undo.stay, [user("old"), user("a")], "one of them is new");
    }
}
