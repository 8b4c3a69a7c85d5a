//! Who and what a router lets through, and what becomes of it when the whole router is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{MacAddr, TaskId, UndoKey, Username, WayIn};

/// The row by which somebody is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresenceKind {
    /// A session.
    Session,
    /// A host that passes although neither a session nor a binding of its MAC is there: maybe by a
    /// binding of its address.
    Host,
    /// A bypass binding.
    Binding,
}

impl PresenceKind {
    /// Returns the word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Host => "host",
            Self::Binding => "binding",
        }
    }

    /// Reads the word kept in the store.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Session, Self::Host, Self::Binding]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// Somebody or something that a router lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// By which row.
    pub kind: PresenceKind,
    /// The user of the session.
    pub login: Option<String>,
    /// The device.
    pub mac: Option<MacAddr>,
    /// The address it uses; of a binding whose device is not there, the address or range it fits.
    pub address: Option<String>,
    /// How it was let in.
    pub way_in: WayIn,
    /// Whether it is there now; the device of a binding may be away.
    pub online: bool,
    /// The operator's comment on the binding.
    pub comment: Option<String>,
}

impl Presence {
    /// Tells presences apart from one reading to the next: a device may change its address.
    pub fn identity(&self) -> (PresenceKind, Option<&str>, Option<MacAddr>, Option<&str>) {
        let place = self.address.as_deref().filter(|_| self.mac.is_none());
        (self.kind, self.login.as_deref(), self.mac, place)
    }
}

/// A presence of nobody we know: reported, never cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// What was seen, as it was last.
    #[serde(flatten)]
    pub presence: Presence,
    /// When it was first seen.
    pub first_seen: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen: DateTime<Utc>,
}

/// The strays of a router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Strays {
    /// When the router was last read whole; `None` if it was not since it was made, enabled, moved
    /// or accepted.
    pub reconciled_at: Option<DateTime<Utc>>,
    /// Everything that was seen then and belongs to nobody we know, longest known first.
    pub strays: Vec<Stray>,
}

impl Strays {
    /// Puts the strays of a router in order.
    pub fn new(reconciled_at: Option<DateTime<Utc>>, mut strays: Vec<Stray>) -> Self {
        strays.sort_by(|a, b| {
            let by_age = a.first_seen.cmp(&b.first_seen);
            by_age.then_with(|| a.presence.identity().cmp(&b.presence.identity()))
        });
        Self {
            reconciled_at,
            strays,
        }
    }
}

/// Of the keys asked for, those that somebody has in the router's scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Keys that a live access owns.
    pub live: BTreeSet<UndoKey>,
    /// Keys that no live access owns, but one that has ended, or a subscriber or device that was
    /// removed and whose row is still there.
    pub ended: BTreeSet<UndoKey>,
}

/// What the reading of a whole router came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Keys of ended accesses that are let through, each with the suspected way in if it is online
    /// by it.
    pub on: BTreeMap<UndoKey, Option<WayIn>>,
    /// All strays.
    pub strays: Vec<Presence>,
    /// How long what cannot hold waits for its next attempt.
    pub pace: Duration,
    /// Whether an answer broke off. What was seen counts, but the router was not read whole: the
    /// strays stay as they were.
    pub is_partial: bool,
}

/// What was recorded of a reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Cuts that are owed by it and were not before.
    pub found: Vec<Found>,
    /// Strays that the reading before did not show.
    pub new_strays: Vec<Presence>,
}

/// Somebody who is let through although access has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The row that is owed.
    pub task: TaskId,
    /// Who it is; a removed device has no name.
    pub username: Option<Username>,
    /// The suspected way in, if it is online by it.
    pub way_in: Option<WayIn>,
    /// Whether it has come back so often that it cannot hold.
    pub cannot_hold: bool,
}
