use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;
use crate::{
    Clocks, Epoch, Histogram, Intent, Known, MacAddr, Machine, Ownership, Reconciled,
    Reconciliation, RouterFacts, RouterId, Settled, Settlement, Task, TaskRef, UndoKey, Username,
    WatcherId, WatcherKind,
};

/// What the engine needs: planning, ownership, work, and the record of results.
///
/// Every decision in the store is taken at the database's clock. Each call is one transaction.
/// A call that carries a [`Fence`], but [`let_go`](Self::let_go), fails with [`StoreError::NotOwner`], recording nothing, once
/// the router has another owner or epoch or is disabled.
///
/// # Errors
/// Every method as for [`Directory`](super::Directory). After a [`StoreError::OutcomeUnknown`], too, each
/// call may be repeated.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EnforcementStore: Send + Sync {
    /// Reads the database's clock.
    async fn now(&self) -> Result<DateTime<Utc>, StoreError>;

    /// Beats the watcher's heart, claims every enabled router without a living owner, and returns
    /// all routers the watcher owns; claiming bumps the epoch. A heartbeat that the store's clock
    /// will only reach later than its time-to-live keeps nobody alive.
    async fn own(&self, beat: &Heartbeat) -> Result<Vec<Ownership>, StoreError>;

    /// Beats the heart of a watcher that is braked, and takes its routers away. It may be in the
    /// middle of a write, so that whoever owns them next counts as having taken them over.
    async fn stand_by(&self, beat: &Heartbeat) -> Result<(), StoreError>;

    /// Lets go of one router, so that another watcher takes it at once. Nothing happens if the fence
    /// holds no longer. The watcher stays known.
    async fn let_go(&self, fence: &Fence) -> Result<(), StoreError>;

    /// Lets go of all routers of the watcher, and forgets the watcher.
    async fn release(&self, watcher: WatcherId) -> Result<(), StoreError>;

    /// Finds subscribers whose access has ended and is not planned yet, at most `limit`, and owes
    /// a cut on every enabled router in their scope. Also finishes what removed subscribers left
    /// behind, owes restores that a live access explains and nobody owes yet, and takes back what
    /// was planned before its time, by a clock that was ahead.
    async fn plan_due(&self, limit: u32) -> Result<Planned, StoreError>;

    /// Returns the tasks of a router that are to be tried or looked at now, at most `limit`, with
    /// at most `backlog` of them backlog. Cuts of those who are live now are never among them.
    ///
    /// There are none while too many were ended by a change; that this is so is recorded, if it
    /// was not known yet.
    async fn work(&self, fence: &Fence, limit: u32, backlog: u32) -> Result<Work, StoreError>;

    /// Asks which names and MACs a live access in the router's scope owns now.
    async fn live(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live, StoreError>;

    /// Asks who has these names and MACs now.
    async fn known(&self, router: RouterId, keys: &BTreeSet<UndoKey>) -> Result<Known, StoreError>;

    /// Returns the next deadline in the router's scope, if it is not planned yet and less than
    /// `within` ahead.
    async fn next_deadline(
        &self,
        router: RouterId,
        within: Duration,
    ) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Records the reading of a whole router. Owes a cut again for each of its keys that is still
    /// as it was asked for: an ended access, or something removed whose row is there, and no live
    /// access. What is owed already is left as it is. Replaces the router's strays; one that was
    /// known keeps when it was first seen.
    async fn reconciled(
        &self,
        fence: &Fence,
        reconciliation: &Reconciliation,
    ) -> Result<Reconciled, StoreError>;

    /// Commits what is about to be written: merges the undo items into the router's undo rows
    /// (opening closed ones) and marks the tasks owed. Returns the tasks that still stand at their
    /// revision and direction; for the others nothing was committed and nothing may be written.
    async fn intend(
        &self,
        fence: &Fence,
        intents: &[Intent],
    ) -> Result<BTreeSet<TaskRef>, StoreError>;

    /// Returns those of the tasks that still stand at their revision and direction.
    async fn standing(
        &self,
        fence: &Fence,
        tasks: &[TaskRef],
    ) -> Result<BTreeSet<TaskRef>, StoreError>;

    /// Records outcomes, each by compare-and-set on the task's revision and direction, with an
    /// audit event. A confirmed restore closes its undo rows. After a cut, restores that a live
    /// access now explains become owed. Answers in the order of `settlements`.
    async fn settle(
        &self,
        fence: &Fence,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError>;

    /// Owes a look in both directions at what a watcher wrote after it had lost the router: opens
    /// the undo rows of `keys`, and owes a restore where a live access owns the key, else the cut
    /// again. Needs no fence.
    async fn recheck(&self, router: RouterId, keys: &[UndoKey]) -> Result<(), StoreError>;

    /// Records how a router is. The first time it answers, what it is becomes what is expected.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if its serial number is another router's.
    async fn router_state(&self, fence: &Fence, state: &RouterState) -> Result<(), StoreError>;

    /// Adds to how long routers took to answer. Needs no fence: it decides nothing.
    async fn note_requests(
        &self,
        requests: &BTreeMap<RouterId, Histogram>,
    ) -> Result<(), StoreError>;

    /// Asks the owners of all routers to try everything owed now.
    async fn nudge(&self) -> Result<(), StoreError>;

    /// Drops what is older than `keep` and of no more use, at most `limit` of each kind: events,
    /// unless something is owed of their subscriber, and undo rows that were undone. What is
    /// owed, to be undone or to be looked at stays, and so do all counters. Any number of watchers
    /// may do this at once.
    async fn prune(&self, keep: Duration, limit: u32) -> Result<Pruned, StoreError>;

    /// Opens a feed of changes. The first `changed` may return at once.
    async fn changes(&self) -> Result<Box<dyn ChangeFeed>, StoreError>;
}

/// A sign of life, and what others may know of a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whose it is.
    pub watcher: WatcherId,
    /// Whether it goes on, or ends after one check.
    pub kind: WatcherKind,
    /// How long others respect its ownerships from now on.
    pub ttl: Duration,
    /// Where it runs, and what the clocks there showed when they were last judged.
    pub place: Option<(Machine, Clocks)>,
    /// No watcher cuts anybody while more than this share of the subscribers, in percent from 1 to
    /// 100, was ended by a change and this watcher is alive.
    pub share_limit: Option<u8>,
    /// The longest time between two looks of this watcher at the store; of a check, how often one
    /// comes; `None` if it does not say.
    pub interval: Option<Duration>,
}

impl Heartbeat {
    /// A heartbeat of a watcher that tells nothing else.
    pub fn new(watcher: WatcherId, ttl: Duration) -> Self {
        Self {
            watcher,
            kind: WatcherKind::Watcher,
            ttl,
            place: None,
            share_limit: None,
            interval: None,
        }
    }
}

/// Proof of ownership that every recording call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The router.
    pub router: RouterId,
    /// Who owns it.
    pub watcher: WatcherId,
    /// Since which epoch.
    pub epoch: Epoch,
}

/// What planning came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// How many subscribers were planned, or taken back. At `limit`, there may be more.
    pub subscribers: u32,
    /// The next deadline not yet planned.
    pub next_deadline: Option<DateTime<Utc>>,
}

/// What a router's owner has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// The tasks: owed restores first, then fresh cuts, then looks, then backlog, each oldest first.
    pub tasks: Vec<Task>,
    /// When the next task of this router that is not yet to be tried or looked at will be.
    pub next_at: Option<DateTime<Utc>>,
    /// When the router was last read whole; `None` if it was not since it was made, enabled, moved
    /// or accepted, or came back from an outage.
    pub reconciled_at: Option<DateTime<Utc>>,
}

/// Of the names and MACs asked for, those that a live access in the router's scope owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Names.
    pub names: BTreeSet<Username>,
    /// Devices.
    pub macs: BTreeSet<MacAddr>,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events.
    pub events: u64,
    /// Undo rows.
    pub undo: u64,
    /// Payments.
    pub payments: u64,
}

/// What the owner found out about a router's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterState {
    /// It answers, and is this.
    Reached(RouterFacts),
    /// It answers, is this, and has restarted since it last did: what was confirmed there may be
    /// undone, as by a backup that was restored.
    Restarted(RouterFacts),
    /// It is being tried, and this is in the way: it is slow, or answers with an error. Whether it
    /// is lost is open.
    Hindered(String),
    /// It was tried and failed.
    Failed(String),
}

/// At so many confirmed cuts, the latest, is looked again after a router has restarted. All others
/// show when the router is read whole.
pub const LOOKS_AFTER_RESTART: u32 = 2_000;

/// A router that seems to have started so much later than when it last told has restarted. Time
/// passes not quite equally fast for it and for the store.
pub const RESTART_TOLERANCE: Duration = Duration::from_mins(1);

/// Tells that something changed. A hint: it may come late, twice, or for nothing.
#[async_trait]
pub trait ChangeFeed: Send {
    /// Waits for a change. Cancel safe. A feed that lost its connection says so once; the next
    /// call connects again, and counts as a change.
    async fn changed(&mut self) -> Result<(), StoreError>;
}
