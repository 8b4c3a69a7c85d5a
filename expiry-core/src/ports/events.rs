use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Brake, Cause, Presence, RouterId, TaskId, Username, Waited, WayIn};

/// Something that a running watcher did or saw, for logs, metrics and live views. The durable
/// record is the store's.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing is cut from now on.
    Braked {
        /// Why.
        brake: Brake,
    },
    /// A brake ended, by itself or because somebody released it.
    BrakeEnded {
        /// What it was.
        brake: Brake,
    },
    /// This watcher became the owner of a router.
    Owned {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
    },
    /// This watcher is no longer the owner of a router.
    Disowned {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
    },
    /// A router does not answer any more.
    RouterLost {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
        /// What was seen.
        error: String,
        /// What that means.
        cause: Cause,
    },
    /// A router answers, for the first time or again.
    RouterReached {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
    },
    /// A router has restarted since it last answered.
    RouterRestarted {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
    },
    /// A cut was confirmed and recorded.
    Cut {
        /// The row.
        task: TaskId,
        /// The router it was on.
        router: RouterId,
        /// Who was cut; a removed device has no name.
        username: Option<Username>,
        /// When access ended.
        due_at: DateTime<Utc>,
        /// How long that took, and what it counts as.
        waited: Waited,
    },
    /// A restore was confirmed and recorded.
    Restored {
        /// The row.
        task: TaskId,
        /// The router it was on.
        router: RouterId,
        /// Who can be online again.
        username: Option<Username>,
        /// From the payment until the confirmation.
        lag: Duration,
    },
    /// A later look, or the reading of the whole router, found a result undone. Of a task that
    /// cannot hold, later returns are not told.
    Returned {
        /// The row.
        task: TaskId,
        /// The router it was on.
        router: RouterId,
        /// Who came back.
        username: Option<Username>,
        /// The suspected way in.
        way_in: WayIn,
        /// Whether it has come back so often that it cannot hold.
        cannot_hold: bool,
    },
    /// A router was read whole, and shows strays that it did not show the last time.
    Strays {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
        /// The new ones.
        new: Vec<Presence>,
        /// How many there are now.
        all: usize,
    },
    /// A router cannot be read whole, for the first time since it could. Cuts go on.
    Unread {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
        /// What failed.
        error: String,
        /// What that means.
        cause: Cause,
    },
    /// A router answers, and refuses to be looked at, for the first time since it could be: nobody
    /// can be cut there. What is owed stays owed and is tried again.
    Refused {
        /// The router.
        router: RouterId,
        /// Its name.
        name: String,
        /// What it said.
        error: String,
        /// What that means.
        cause: Cause,
    },
    /// An attempt ended without confirmation, for another reason than the last one of this task.
    Unconfirmed {
        /// The row.
        task: TaskId,
        /// The router it was on.
        router: RouterId,
        /// Whose task it was.
        username: Option<Username>,
        /// What is left or failed.
        error: String,
    },
}

/// Hears of events as they happen.
pub trait EventSink: Send + Sync {
    /// Takes one event. Must neither block nor fail.
    fn record(&self, event: &Event);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn record(&self, _event: &Event) {}
}
