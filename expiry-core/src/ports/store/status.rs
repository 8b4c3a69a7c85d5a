use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{StoreError, Upcoming};
#[cfg(doc)]
use crate::Lateness;
use crate::{
    Brake, Cause, Hardware, MacAddr, RouterId, SubscriberId, Task, TaskId, Username, Want,
    WatcherId, WatcherKind, WayIn, millis,
};

/// What is true now, for people and monitoring.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StatusStore: Send + Sync {
    /// Returns the state of everything, with at most `limit` owed items: backlog last, else the
    /// oldest first.
    async fn status(&self, limit: u32) -> Result<Status, StoreError>;

    /// Returns counts of everything, of each tenant, and the next `limit` of those whose access ends
    /// within `soon`, and the `limit` who are owed a cut for longest.
    async fn summary(&self, soon: Duration, limit: u32) -> Result<Summary, StoreError>;

    /// Returns what of everything owed on enabled routers passes the filter and stands after a place,
    /// in the order of [`OwedPlace`], at most `limit`; and how much passes the filter in all. What
    /// goes on being owed is not missed by asking again and again after the place of the last one.
    async fn owed(
        &self,
        filter: OwedFilter,
        after: Option<OwedPlace>,
        limit: u32,
    ) -> Result<(u64, Vec<OwedItem>), StoreError>;

    /// Returns of everything that is planned and owed on enabled routers only what tells whether
    /// it was tried: however much that is, it fits into memory.
    async fn tries(&self) -> Result<Tries, StoreError>;

    /// Returns everybody whose access has ended and of whom a cut is owed on an enabled router. However
    /// many they are, that fits into memory.
    async fn overdue(&self) -> Result<Overdue, StoreError>;

    /// Returns who of these has live access.
    async fn live_among(
        &self,
        subscribers: &BTreeSet<SubscriberId>,
    ) -> Result<BTreeSet<SubscriberId>, StoreError>;

    /// Returns everything that is due now, whoever owns the routers: what is owed on enabled
    /// routers, waiting for another try or not, and the cuts that nobody has planned yet. Records
    /// nothing.
    async fn outlook(&self) -> Result<Outlook, StoreError>;
}

/// Whose access has ended and of whom a cut is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// They, and how many devices each has; of removed ones, none.
    pub subscribers: BTreeMap<SubscriberId, u64>,
}

/// What is owed, and when it was last tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tries {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// One for each owed task, in no order.
    pub tasks: Vec<Try>,
}

/// The last try of an owed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// The task.
    pub task: TaskId,
    /// When it was last tried. A router that is down was tried for all that is owed there.
    pub at: Option<DateTime<Utc>>,
    /// Whether it comes back so often that it has a pace of its own.
    pub cannot_hold: bool,
}

/// Everything that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// The tasks with their routers: of each router owed restores first, then fresh cuts, then
    /// backlog, each oldest first. Those that nobody has planned have the number 0.
    pub tasks: Vec<(RouterId, Task)>,
    /// The next deadline ahead.
    pub next_deadline: Option<DateTime<Utc>>,
}

/// The state of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Why nothing is cut, oldest first; empty if nothing is in the way.
    pub brakes: Vec<Brake>,
    /// Subscribers with live access.
    pub live_subscribers: u64,
    /// Cuts that are owed on enabled routers.
    pub owed_cuts: u64,
    /// Restores that are owed on enabled routers.
    pub owed_restores: u64,
    /// Subscribers of whom a cut is owed on an enabled router: whose access ended, or who lost a
    /// device, and who is not confirmed off. Each counts once, on however many routers.
    pub owed_subscribers: u64,
    /// Of those, who is late now: [`Lateness::Late`] on some router.
    pub late_subscribers: u64,
    /// Of those, whose end was known late: [`Lateness::Backlog`] on some router.
    pub backlog: Backlog,
    /// The next deadline ahead.
    pub next_deadline: Option<DateTime<Utc>>,
    /// Watchers, freshest heartbeat first.
    pub watchers: Vec<WatcherStatus>,
    /// Routers by name.
    pub routers: Vec<RouterStatus>,
    /// What is owed on enabled routers: backlog last, else the oldest first.
    pub owed: Vec<OwedItem>,
}

/// Subscribers whose end was known late, and how far they are taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Of whom the cut is still owed on an enabled router.
    pub left: u64,
    /// Those, and who was taken off since the oldest of them came to be known.
    pub of: u64,
}

/// How long a check may take.
const CHECK: Duration = Duration::from_secs(20);

/// One watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatcherStatus {
    /// Its id.
    pub id: WatcherId,
    /// Whether it goes on, or ends after one check: then it watches nothing.
    pub kind: WatcherKind,
    /// Its last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether others still respect what it owns: for as long after that as it said, by default
    /// 15 s.
    pub alive: bool,
    /// The name of its machine.
    pub machine: Option<String>,
    /// Whether it is braked: it serves no router.
    pub braked: bool,
    /// The longest time between two of its looks at the store; of a check, how often one comes; `None`
    /// if it did not say.
    #[serde(rename = "interval_ms", serialize_with = "millis::option::serialize")]
    pub interval: Option<Duration>,
}

impl WatcherStatus {
    /// Tells whether it is there to see the next end of access: alive, and no single check.
    pub fn watches(&self) -> bool {
        self.alive && self.kind == WatcherKind::Watcher
    }

    /// Tells how often a check comes that said so, as from cron, if at `now` it is not overdue: not
    /// after twice that, and the time that one may take.
    pub fn comes_again(&self, now: DateTime<Utc>) -> Option<Duration> {
        let every = self.interval.filter(|_| self.kind == WatcherKind::Check)?;
        let longest = TimeDelta::from_std(every * 2 + CHECK).ok()?;
        ((now - self.heartbeat_at).abs() < longest).then_some(every)
    }
}

/// One router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterStatus {
    /// Its number.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Its tenant's slug.
    pub tenant: Option<String>,
    /// Host and port.
    pub address: String,
    /// Whether it is in anybody's scope.
    pub enabled: bool,
    /// The living watcher that serves it.
    pub owner: Option<WatcherId>,
    /// What answered there.
    pub seen: Option<Hardware>,
    /// Since when it does not answer; `None` if it does, or was never tried.
    pub down_since: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
    /// Why it does not answer, or cannot be read or cut on.
    pub last_error: Option<String>,
    /// Cuts owed there.
    pub owed_cuts: u64,
    /// Restores owed there.
    pub owed_restores: u64,
    /// When it was last read whole; `None` if it was not since it was made, enabled, moved or
    /// accepted.
    pub reconciled_at: Option<DateTime<Utc>>,
    /// How much was seen there then that belongs to nobody we know.
    pub strays: u64,
    /// Since when the oldest cut is owed there, but for those whose end was known late.
    pub oldest_cut: Option<DateTime<Utc>>,
    /// How many accesses end there within [`SOON`]; counted only while no cut can be made there.
    pub ends_soon: Option<u64>,
    /// What it said about itself when it was last asked.
    pub said: Option<RouterSaid>,
}

/// Ends that a router which does not answer will miss soon.
pub const SOON: Duration = Duration::from_hours(1);

impl RouterStatus {
    /// Tells whether it is in service and does not answer, or has never been reached.
    pub fn is_unreached(&self) -> bool {
        self.enabled && (self.down_since.is_some() || self.attempted_at.is_none())
    }

    /// Tells whether it is in service and answers, and cannot be read or cut on: a cause is named.
    /// That it is silent at the moment is none.
    pub fn is_hindered(&self) -> bool {
        let error = self.last_error.as_deref();
        self.enabled && !self.is_unreached() && error.and_then(Cause::in_line).is_some()
    }

    /// Tells whether it is in service, and no cut can be made there.
    pub fn is_out_of_reach(&self) -> bool {
        self.is_unreached() || self.is_hindered()
    }
}

/// What a router said about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterSaid {
    /// When.
    pub at: DateTime<Utc>,
    /// Its RouterOS version.
    pub version: Option<String>,
    /// The name of its board.
    pub board: Option<String>,
    /// How far its clock was ahead of the store's, in milliseconds; it shows whole seconds.
    pub clock_skew_ms: Option<i64>,
}

/// Counts and lists for a page that shows all at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The state of everything, without a list of what is owed.
    pub status: Status,
    /// Subscribers whose live access ends soon.
    pub expiring: u64,
    /// The tenants by slug; first, without a slug, those subscribers who belong to none.
    pub tenants: Vec<TenantSummary>,
    /// Whose access ends soon, the next first.
    pub soon: Vec<Upcoming>,
    /// Whose access has ended and of whom a cut is owed on an enabled router, the earliest end first.
    /// Live subscribers who are owed the cut of a removed device are not among them.
    pub unconfirmed: Vec<Unconfirmed>,
}

/// The counts of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantSummary {
    /// Its slug; `None` for those who belong to none.
    pub slug: Option<String>,
    /// Its name; empty for those who belong to none.
    pub name: String,
    /// Subscribers with live access.
    pub live: u64,
    /// Of those, whose access ends soon.
    pub expiring: u64,
    /// Subscribers whose access has ended and of whom a cut is owed on an enabled router.
    pub owed: u64,
    /// Of those, who is late now.
    pub late: u64,
}

/// A subscriber whose access has ended and of whom a cut is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Whose.
    pub subscriber: SubscriberId,
    /// The name.
    pub username: Username,
    /// The tenant's slug.
    pub tenant: Option<String>,
    /// When access ended.
    pub ended_at: DateTime<Utc>,
    /// Where, by name.
    pub routers: Vec<UnconfirmedOn>,
}

/// A router where a subscriber is not confirmed off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnconfirmedOn {
    /// The router's name.
    pub router: String,
    /// Since when the cut is owed.
    pub since: DateTime<Utc>,
    /// Whether the last reading showed the subscriber online.
    pub online: bool,
}

/// Which of what is owed is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwedFilter {
    /// On this router only.
    pub router: Option<RouterId>,
    /// In this direction only.
    pub want: Option<Want>,
}

/// Where something owed stands in the list of all: the longest owed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwedPlace {
    /// Since when it is owed.
    pub since: DateTime<Utc>,
    /// The row; `None`, which is first, until a watcher has planned the cut.
    pub task: Option<TaskId>,
    /// Whose it is.
    pub subscriber: SubscriberId,
    /// Where it is owed.
    pub router: RouterId,
}

/// One thing owed. A cut is owed from the instant its deadline passes, planned or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwedItem {
    /// The row; `None` until a watcher has planned the cut.
    pub task: Option<TaskId>,
    /// Whose it is.
    pub subscriber: SubscriberId,
    /// The subscriber's name.
    pub username: Username,
    /// The MAC, if the target is a device that was removed.
    pub device: Option<MacAddr>,
    /// The tenant's slug.
    pub tenant: Option<String>,
    /// The router's name.
    pub router: String,
    /// Where it is owed.
    pub router_id: RouterId,
    /// The direction.
    pub want: Want,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether the last reading showed the target online; else it is unconfirmed.
    pub online: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// When the last attempt ended, or its router was last tried in vain.
    pub attempted_at: Option<DateTime<Utc>>,
    /// Why the last attempt did not confirm it.
    pub last_error: Option<String>,
    /// Whether it kept coming back.
    pub cannot_hold: bool,
    /// The suspected way in.
    pub way_in: Option<WayIn>,
    /// Whether it is a cut whose end was known late and that was not made yet:
    /// [`Lateness::Backlog`].
    pub backlog: bool,
}

impl OwedItem {
    /// Makes one of a cut that nobody has planned yet.
    pub fn unplanned(
        (subscriber, username): (SubscriberId, Username),
        tenant: Option<String>,
        (router_id, router): (RouterId, String),
        since: DateTime<Utc>,
    ) -> Self {
        Self {
            task: None,
            subscriber,
            username,
            device: None,
            tenant,
            router,
            router_id,
            want: Want::Cut,
            since,
            online: false,
            attempts: 0,
            attempted_at: None,
            last_error: None,
            cannot_hold: false,
            way_in: None,
            backlog: false,
        }
    }

    /// Returns where it stands in the list of all.
    pub fn place(&self) -> OwedPlace {
        OwedPlace {
            since: self.since,
            task: self.task,
            subscriber: self.subscriber,
            router: self.router_id,
        }
    }
}
