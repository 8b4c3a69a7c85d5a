//! What we switched off on a router and have to switch on again for whoever pays.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BindingKind, BindingRow, MacAddr, UserRow, Username};

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
    /// Tells whether both speak of the same row, which may have been edited in between.
    pub fn is_same_row(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User { name, .. }, Self::User { name: other, .. }) => name == other,
            (
                Self::IpBinding { mac, address, .. },
                Self::IpBinding {
                    mac: other_mac,
                    address: other_address,
                    ..
                },
            ) => mac == other_mac && address == other_address,
            (Self::User { .. } | Self::IpBinding { .. }, _) => false,
        }
    }
}

/// All that is to be undone for one name or MAC on one router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// What it belongs to.
    pub key: UndoKey,
    /// What we disabled. Equal rows stand as often as they were found.
    pub items: Vec<UndoItem>,
}

impl Undo {
    /// Adds what a later attempt found enabled. What stands already stays: an item is added only
    /// as often as `found` has it more than `self`.
    pub fn add(&mut self, found: &[UndoItem]) {
        let mut known = self.items.clone();
        for item in found {
            match known.iter().position(|k| k == item) {
                Some(at) => {
                    known.swap_remove(at);
                }
                None => self.items.push(item.clone()),
            }
        }
    }
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
        let mut undo = Undo {
            key,
            items: vec![user("a")],
        };
        undo.add(&[]);
        assert_eq!(undo.items, [user("a")]);
        undo.add(&[user("+1"), user("a")]);
        assert_eq!(undo.items, [user("a"), user("+1")]);
        undo.add(&[user("a"), user("a")]);
        assert_eq!(undo.items, [user("a"), user("+1"), user("a")]);
    }
}
