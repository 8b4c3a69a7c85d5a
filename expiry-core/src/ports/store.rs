use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use thiserror::Error;

use crate::{
    AccessChange, Epoch, Hardware, Intent, MacAddr, NewSubscriber, Ownership, Router,
    RouterAddress, RouterFacts, RouterId, Settled, Settlement, Subscriber, SubscriberId, Task,
    TaskRef, Tenant, TenantId, UndoKey, Username, Want, WatcherId, WayIn,
};

/// A router to be made.
#[derive(Clone, Debug)]
pub struct NewRouter {
    /// Its name.
    pub name: String,
    /// The business it serves.
    pub tenant: Option<TenantId>,
    /// Where it is reached.
    pub address: RouterAddress,
}

/// Changes to a router; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct RouterChange {
    /// Name or IP address.
    pub host: Option<String>,
    /// The API port.
    pub port: Option<u16>,
    /// The account on the router.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Whether it is in anybody's scope.
    pub enabled: Option<bool>,
}

/// Tenants, routers and subscribers, for frontends.
///
/// Each call is one transaction: it happened whole, or an error says why nothing did. Each change
/// of access or devices bumps the subscriber's revision, wakes the watchers, owes the restores
/// that the access now explains, and voids the cuts that it ends. Dropping a future leaves the
/// transaction either done or not begun.
///
/// # Errors
/// Every method: [`StoreError::Unavailable`] when the database cannot be reached,
/// [`StoreError::Corrupt`] when it holds what it must not. Others as each method says.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Directory: Send + Sync {
    /// Makes a tenant. `slug` is unique.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the slug is taken.
    async fn add_tenant(&self, slug: &str, name: &str) -> Result<Tenant, StoreError>;

    /// Lists all tenants by slug.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// Removes a tenant that has neither routers nor subscribers, removed ones whose cut is still
    /// owed included.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if it is in use.
    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), StoreError>;

    /// Makes a router, enabled. All ended subscribers in its scope are owed a cut there, as
    /// backlog.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name, or host and port, are taken.
    async fn add_router(&self, new: &NewRouter) -> Result<Router, StoreError>;

    /// Changes a router. Enabling owes cuts like adding. Disabling takes it out of every scope and
    /// away from its owner. A new host or port forgets which box was seen.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if host and port are taken.
    async fn change_router(
        &self,
        router: RouterId,
        change: &RouterChange,
    ) -> Result<Router, StoreError>;

    /// Forgets which box was seen, so that the next that answers is taken, and owes cuts there
    /// like adding.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn accept_router(&self, router: RouterId) -> Result<(), StoreError>;

    /// Lists all routers by name.
    async fn routers(&self) -> Result<Vec<Router>, StoreError>;

    /// Returns what is open on a router: cuts, restores, and undo rows nobody owes yet.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn open_work(&self, router: RouterId) -> Result<OpenWork, StoreError>;

    /// Removes a router with all that is open there. Subscribers bound to it stay, and are bound
    /// to no router's absence: they are out of every scope until rebound or removed.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if work is open there and not `force`.
    async fn remove_router(&self, router: RouterId, force: bool) -> Result<(), StoreError>;

    /// Makes a subscriber.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the username or a device is taken within the tenant, or the
    /// router is another tenant's; [`StoreError::Missing`] if the tenant or router is unknown.
    async fn add_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber, StoreError>;

    /// Finds a subscriber by name.
    async fn subscriber(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<Option<Subscriber>, StoreError>;

    /// Lists subscribers in order of id, after `after`, at most `limit`.
    async fn subscribers(
        &self,
        tenant: Option<TenantId>,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>, StoreError>;

    /// Changes access.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn change_access(
        &self,
        subscriber: SubscriberId,
        change: AccessChange,
    ) -> Result<Subscriber, StoreError>;

    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if the MAC is taken within the tenant.
    async fn add_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError>;

    /// Removes a device. A cut of the MAC is owed on every router in scope.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the subscriber or its device is unknown.
    async fn remove_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError>;

    /// Revokes and removes a subscriber. Its name and devices are free at once; the cuts stay
    /// owed until confirmed.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn remove_subscriber(&self, subscriber: SubscriberId) -> Result<(), StoreError>;
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
    /// How many subscribers were planned. At `limit`, more may be due.
    pub subscribers: u32,
    /// The next deadline not yet planned.
    pub next_deadline: Option<DateTime<Utc>>,
}

/// What a router's owner has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// The tasks: restores first, then fresh cuts, then backlog, each oldest first.
    pub tasks: Vec<Task>,
    /// When the next task of this router that is not yet to be tried or looked at will be.
    pub next_at: Option<DateTime<Utc>>,
}

/// Of the names and MACs asked for, those that a live access in the router's scope owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Names.
    pub names: BTreeSet<Username>,
    /// Devices.
    pub macs: BTreeSet<MacAddr>,
}

/// What the owner found out about a router's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterState {
    /// It answers, and is this.
    Reached(RouterFacts),
    /// It was tried and failed.
    Failed(String),
}

/// What the engine needs: planning, ownership, work, and the record of results.
///
/// Every decision in the store is taken at the database's clock. Each call is one transaction.
/// A call that carries a [`Fence`] fails with [`StoreError::NotOwner`], recording nothing, once
/// the router has another owner or epoch or is disabled.
///
/// # Errors
/// Every method as for [`Directory`]. An [`StoreError::Unavailable`] leaves open whether the
/// transaction happened; each call may be repeated.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EnforcementStore: Send + Sync {
    /// Reads the database's clock.
    async fn now(&self) -> Result<DateTime<Utc>, StoreError>;

    /// Beats the watcher's heart, claims every enabled router without a living owner, and returns
    /// all routers the watcher owns. A heartbeat is good for `ttl`; claiming bumps the epoch.
    async fn own(&self, watcher: WatcherId, ttl: Duration) -> Result<Vec<Ownership>, StoreError>;

    /// Lets go of all routers of the watcher, and forgets the watcher.
    async fn release(&self, watcher: WatcherId) -> Result<(), StoreError>;

    /// Finds subscribers whose access has ended and is not planned yet, at most `limit`, and owes
    /// a cut on every enabled router in their scope. Also finishes what removed subscribers left
    /// behind, and owes restores that a live access explains and nobody owes yet.
    async fn plan_due(&self, limit: u32) -> Result<Planned, StoreError>;

    /// Returns the tasks of a router that are to be tried or looked at now, at most `limit`, with
    /// at most `backlog` of them backlog.
    async fn work(&self, fence: &Fence, limit: u32, backlog: u32) -> Result<Work, StoreError>;

    /// Asks which names and MACs a live access in the router's scope owns now.
    async fn live(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live, StoreError>;

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

    /// Asks the owners of all routers to try everything owed now.
    async fn nudge(&self) -> Result<(), StoreError>;

    /// Opens a feed of changes. The first `changed` may return at once.
    async fn changes(&self) -> Result<Box<dyn ChangeFeed>, StoreError>;
}

/// Tells that something changed. A hint: it may come late, twice, or for nothing.
#[async_trait]
pub trait ChangeFeed: Send {
    /// Waits for a change. Cancel safe. A feed that lost its connection says so once; the next
    /// call connects again, and counts as a change.
    async fn changed(&mut self) -> Result<(), StoreError>;
}

/// What is true now, for people and monitoring.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StatusStore: Send + Sync {
    /// Returns the state of everything, with at most `limit` owed items, oldest first.
    async fn status(&self, limit: u32) -> Result<Status, StoreError>;
}

/// The roles that a watcher needs.
pub trait WatcherStore: EnforcementStore + StatusStore {}

impl<T: EnforcementStore + StatusStore> WatcherStore for T {}

/// All roles of a store.
pub trait Store: Directory + WatcherStore {}

impl<T: Directory + WatcherStore> Store for T {}

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Subscribers with live access.
    pub live_subscribers: u64,
    /// Cuts that are owed on enabled routers.
    pub owed_cuts: u64,
    /// Restores that are owed on enabled routers.
    pub owed_restores: u64,
    /// The next deadline ahead.
    pub next_deadline: Option<DateTime<Utc>>,
    /// Watchers, freshest heartbeat first.
    pub watchers: Vec<WatcherStatus>,
    /// Routers by name.
    pub routers: Vec<RouterStatus>,
    /// What is owed on enabled routers, oldest first.
    pub owed: Vec<OwedItem>,
}

/// One watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatcherStatus {
    /// Its id.
    pub id: WatcherId,
    /// Its last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether that is less than 15 s ago.
    pub alive: bool,
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
    /// Why it does not answer.
    pub last_error: Option<String>,
    /// Cuts owed there.
    pub owed_cuts: u64,
    /// Restores owed there.
    pub owed_restores: u64,
}

/// One thing owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwedItem {
    /// The row.
    pub task: crate::TaskId,
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
    /// The direction.
    pub want: Want,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether the last reading showed the target online; else it is unconfirmed.
    pub online: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was last tried, or its router was.
    pub attempted_at: Option<DateTime<Utc>>,
    /// Why the last attempt did not confirm it.
    pub last_error: Option<String>,
    /// Whether it kept coming back.
    pub cannot_hold: bool,
    /// The suspected way in.
    pub way_in: Option<WayIn>,
}

/// What is open on a router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenWork {
    /// Who is owed a cut, by name, or MAC for a removed device.
    pub cuts: Vec<String>,
    /// Who is owed a restore.
    pub restores: Vec<String>,
    /// Names and MACs that are disabled there by us, with nobody live who owns them.
    pub undo: Vec<String>,
}

impl OpenWork {
    /// Tells whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.restores.is_empty() && self.undo.is_empty()
    }
}

/// What a store could not do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached or gave up in the middle; it may come back.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database holds something that this program never writes.
    #[error("the database holds a wrong value in {table}.{column}, row {key}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database was written by a newer program.
    #[error("the database has schema version {found}, this program knows up to {supported}")]
    SchemaTooNew {
        /// Version found.
        found: i64,
        /// Newest version known.
        supported: i64,
    },
    /// The database has an older schema, and was not asked to be brought up.
    #[error(
        "the database has schema version {found}, this program needs {needed}: run `expiry migrate`"
    )]
    SchemaTooOld {
        /// Version found.
        found: i64,
        /// Version needed.
        needed: i64,
    },
    /// The database URL or file cannot be used.
    #[error("cannot open database {url}: {reason}")]
    Open {
        /// The URL without its password.
        url: String,
        /// Why.
        reason: String,
    },
    /// Router passwords cannot be sealed or opened.
    #[error("{0}")]
    Key(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(Missing),
    /// It would contradict what is there.
    #[error("{0}")]
    Conflict(Conflict),
    /// The caller does not own the router any more.
    #[error("router {0} has another owner")]
    NotOwner(RouterId),
}

impl StoreError {
    /// Tells whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Missing {
    /// No such tenant.
    #[error("no such tenant")]
    Tenant,
    /// No such router.
    #[error("no such router")]
    Router,
    /// No such subscriber.
    #[error("no such subscriber")]
    Subscriber,
    /// The subscriber has no such device.
    #[error("the subscriber has no device {0}")]
    Device(MacAddr),
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The slug is taken.
    #[error("there is a tenant `{0}` already")]
    Tenant(String),
    /// The tenant still has routers or subscribers.
    #[error("the tenant still has routers or subscribers")]
    TenantInUse,
    /// The name is taken.
    #[error("there is a router `{0}` already")]
    RouterName(String),
    /// Another router is reached there.
    #[error("router `{router}` is already reached at {address}")]
    RouterAddress {
        /// Host and port.
        address: String,
        /// The other router.
        router: String,
    },
    /// The same box is known under another name.
    #[error("serial number {serial} is router `{router}` already")]
    RouterSerial {
        /// The serial number.
        serial: String,
        /// The other router.
        router: String,
    },
    /// Work is open on the router.
    #[error("work is still open on the router")]
    RouterBusy,
    /// The router serves another tenant.
    #[error("router `{0}` belongs to another tenant")]
    RouterTenant(String),
    /// The username is taken.
    #[error("there is a subscriber `{0}` already")]
    Username(Username),
    /// The MAC is taken.
    #[error("device {mac} belongs to subscriber `{owner}` already")]
    Device {
        /// The device.
        mac: MacAddr,
        /// Who has it.
        owner: Username,
    },
}
