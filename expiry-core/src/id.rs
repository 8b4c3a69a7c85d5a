//! Identifiers. Numbers come from the store; a watcher names itself.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The business that a subscriber and a router belong to.
    TenantId
}
number! {
    /// One router.
    RouterId
}
number! {
    /// One subscriber.
    SubscriberId
}
number! {
    /// One enforcement row: a target on a router.
    TaskId
}
number! {
    /// Counts the changes of a subscriber's access and devices; only ever grows.
    Revision
}
number! {
    /// Tells the owners of a router apart; a result carrying an older epoch is not recorded. It comes
    /// from the store's clock: a database that is put back to an earlier state does not give out one
    /// of the epochs that it has forgotten.
    Epoch
}

impl Epoch {
    /// Returns the epoch that follows, at `now` by the store's clock.
    #[must_use]
    pub fn next(self, now: DateTime<Utc>) -> Self {
        Self(now.timestamp_micros().max(self.0 + 1))
    }
}

/// One process running the watcher engine. Two starts of one program have two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WatcherId(pub Uuid);

impl WatcherId {
    /// Makes a fresh id, ordered by time.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

/// What a process that beats is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatcherKind {
    /// It goes on until it is stopped.
    #[default]
    Watcher,
    /// It ends once all that is owed was tried: it is no watcher, although it owns routers meanwhile.
    Check,
}

impl WatcherKind {
    /// Returns the word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watcher => "watcher",
            Self::Check => "check",
        }
    }

    /// Reads the word kept in the store.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Watcher, Self::Check]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for WatcherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
