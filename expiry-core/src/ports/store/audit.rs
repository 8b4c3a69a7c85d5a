use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{StoreError, WatcherStatus};
use crate::{
    AuditEvent, AuditId, Brake, LagReport, MacAddr, Progress, Revision, RouterCounts, RouterId,
    Subscriber, SubscriberId, TaskId, TenantId, Undo, Username, Want, WatcherId,
};

/// What happened, how long it took, what comes next, and why somebody is or is not online: for
/// people and monitoring.
///
/// # Errors
/// Every method as for [`Directory`](super::Directory).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Returns the events after `after`, in their order, at most `limit`.
    ///
    /// Events that are not final in their order are held back: whoever goes on after the last one
    /// it got reads each event once, and skips none. An event may so come a little late, as long as
    /// older transactions of the database are open.
    async fn events(&self, after: AuditId, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Returns the latest events that are final in their order, at most `limit`, oldest first: whoever
    /// goes on after the last of them skips none.
    async fn latest_events(&self, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Returns when an event was recorded; `None` if there is none with this id, or none any more.
    async fn event_at(&self, id: AuditId) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Returns the latest first confirmations, at most `limit`, oldest first.
    async fn latest_lags(&self, limit: u32) -> Result<Vec<LagPoint>, StoreError>;

    /// Returns how long first confirmations took, of all times.
    async fn lag(&self) -> Result<LagReport, StoreError>;

    /// Returns what attempts at cuts came to and how long routers took to answer, of each router that
    /// is known, by name.
    async fn counts(&self) -> Result<Vec<RouterCounts>, StoreError>;

    /// Returns the next deadlines ahead, at most `limit`.
    async fn upcoming(&self, limit: u32) -> Result<Vec<Upcoming>, StoreError>;

    /// Returns all that is known of a name, in one state of the database: of the subscriber who has
    /// it, and of removed ones who had it and of whom something is still owed or to be looked at;
    /// of each at most the `events` latest, and so many of who had it earlier.
    async fn explain(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
        events: u32,
    ) -> Result<Explanation, StoreError>;
}

/// One first confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagPoint {
    /// When it was confirmed.
    pub at: DateTime<Utc>,
    /// From the deadline until then.
    pub lag: Duration,
    /// Whether the router was down meanwhile.
    pub outage: bool,
    /// The direction.
    pub want: Want,
    /// The router's name then.
    pub router: Option<String>,
}

/// A deadline ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    /// Whose.
    pub subscriber: SubscriberId,
    /// The name.
    pub username: Username,
    /// The tenant's slug.
    pub tenant: Option<String>,
    /// When access ends.
    pub ends_at: DateTime<Utc>,
}

/// All that is known of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Why nothing is cut, oldest first; empty if nothing is in the way.
    pub brakes: Vec<Brake>,
    /// Watchers, freshest heartbeat first.
    pub watchers: Vec<WatcherStatus>,
    /// Who has the name, then removed subscribers who had it, the latest first. Empty if nobody is
    /// known.
    pub subscribers: Vec<Explained>,
    /// The latest events of removed subscribers who had the name and of whom nothing is owed any
    /// more, oldest first. Pruning forgets them.
    pub former: Vec<AuditEvent>,
}

/// All that is known of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The subscriber as it stands, or stood when it was removed.
    pub subscriber: Subscriber,
    /// When it was removed.
    pub removed_at: Option<DateTime<Utc>>,
    /// The routers where it may be online, or where something stands for it, by name.
    pub routers: Vec<ExplainedRouter>,
    /// Its latest events, oldest first.
    pub events: Vec<AuditEvent>,
}

/// How a subscriber stands on one router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedRouter {
    /// Its number.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Whether the subscriber may be online there while its access is live.
    pub in_scope: bool,
    /// Whether the router is in anybody's scope.
    pub enabled: bool,
    /// The living watcher that serves it.
    pub owner: Option<WatcherId>,
    /// Since when it does not answer; `None` if it does, or was never tried.
    pub down_since: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
    /// Why it does not answer.
    pub last_error: Option<String>,
    /// What stands for the subscriber, and for devices that were removed from it.
    pub targets: Vec<ExplainedTarget>,
    /// What was disabled there for the subscriber's name or a MAC, oldest finding first.
    pub undo: Vec<ExplainedUndo>,
}

/// One enforcement row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedTarget {
    /// The row.
    pub task: TaskId,
    /// The MAC, if the target is a device that was removed.
    pub device: Option<MacAddr>,
    /// The direction.
    pub want: Want,
    /// The revision that made it so.
    pub revision: Revision,
    /// When access ended, or was given back.
    pub due_at: DateTime<Utc>,
    /// When that came to be known, if it was known late: it has no lag then.
    pub known_late_at: Option<DateTime<Utc>>,
    /// How far it has come.
    #[serde(flatten)]
    pub progress: Progress,
    /// Whether it comes back so often that the cut cannot hold.
    pub cannot_hold: bool,
    /// When the last attempt or look ended.
    pub attempted_at: Option<DateTime<Utc>>,
}

/// What was disabled on a router under one name or MAC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedUndo {
    /// The key, and the rows.
    #[serde(flatten)]
    pub undo: Undo,
    /// When that was found.
    pub opened_at: DateTime<Utc>,
    /// When it was enabled again; `None` while it is disabled.
    pub undone_at: Option<DateTime<Utc>>,
}
