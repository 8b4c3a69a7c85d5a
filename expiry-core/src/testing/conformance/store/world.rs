use std::{collections::BTreeSet, ops::Deref, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;

use crate::{
    Access, AccessChange, AuditEvent, AuditId, AuditKind, Explained, Fence, Hardware, Heartbeat,
    Intent, Live, MacAddr, NewRouter, NewSubscriber, Outcome, Ownership, Planned, Recorded, Router,
    RouterAddress, RouterFacts, RouterId, Service, Settled, Settlement, Store, StoreError,
    Subscriber, SubscriberId, Task, TaskRef, TenantId, Undo, UndoItem, UndoKey, Username,
    WatcherId,
};

/// Long enough that no ownership lapses during a case.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// How the slugs of tenants begin that mark an end of the audit.
const MARKER: &str = "marker-";

/// A store, one watcher of it, and the short forms of what the cases do.
pub(super) struct World {
    store: Arc<dyn Store>,
    pub(super) watcher: WatcherId,
    /// The limit of every watcher of this world.
    pub(super) share_limit: Option<u8>,
}

impl Deref for World {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl World {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            watcher: WatcherId::fresh(),
            share_limit: None,
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    pub(super) async fn time(&self) -> DateTime<Utc> {
        ok(self.now().await)
    }

    /// Waits until the store's clock has passed `instant`.
    pub(super) async fn pass(&self, instant: DateTime<Utc>) {
        while self.time().await <= instant {
            tokio::task::yield_now().await;
        }
    }

    /// Has a watcher beat its heart and claim.
    pub(super) async fn own(
        &self,
        watcher: WatcherId,
        ttl: Duration,
    ) -> Result<Vec<Ownership>, StoreError> {
        let beat = Heartbeat {
            share_limit: self.share_limit,
            ..Heartbeat::new(watcher, ttl)
        };
        self.store.own(&beat).await
    }

    pub(super) async fn tenant(&self, slug: &str) -> TenantId {
        ok(self.add_tenant(slug, slug).await).id
    }

    pub(super) async fn router(&self, name: &str) -> RouterId {
        self.router_of(None, name).await
    }

    pub(super) async fn router_of(&self, tenant: Option<TenantId>, name: &str) -> RouterId {
        let mut new = new_router(name);
        new.tenant = tenant;
        ok(self.add_router(&new).await).id
    }

    pub(super) async fn router_row(&self, id: RouterId) -> Router {
        let mut routers = ok(self.routers().await).into_iter();
        routers
            .find(|router| router.id == id)
            .expect("it is listed")
    }

    pub(super) async fn switch(&self, router: RouterId, enabled: bool) {
        let change = crate::RouterChange {
            enabled: Some(enabled),
            ..Default::default()
        };
        ok(self.change_router(router, &change).await);
    }

    pub(super) async fn add(&self, new: &NewSubscriber) -> Subscriber {
        ok(self.add_subscriber(new).await)
    }

    /// Access goes on for an hour.
    pub(super) async fn live(&self, name: &str, devices: &[MacAddr]) -> Subscriber {
        let end = self.time().await + HOUR;
        self.add(&new_subscriber(name, Access::Until(end), devices))
            .await
    }

    /// Access ended a second ago, and is planned.
    pub(super) async fn ended(&self, name: &str, devices: &[MacAddr]) -> Subscriber {
        let end = self.time().await - TimeDelta::seconds(1);
        let made = self
            .add(&new_subscriber(name, Access::Until(end), devices))
            .await;
        self.plan().await;
        made
    }

    pub(super) async fn set(&self, id: SubscriberId, access: Access) -> Subscriber {
        ok(self.change_access(id, AccessChange::Set(access)).await)
    }

    pub(super) async fn pay(&self, id: SubscriberId) -> Subscriber {
        ok(self.change_access(id, AccessChange::Extend(HOUR)).await)
    }

    pub(super) async fn revoke(&self, id: SubscriberId) -> Subscriber {
        ok(self.change_access(id, AccessChange::Revoke).await)
    }

    pub(super) async fn plan(&self) -> Planned {
        ok(self.plan_due(1000).await)
    }

    /// Takes the router, or proves that the world's watcher still has it.
    pub(super) async fn fence(&self, router: RouterId) -> Fence {
        let owned = ok(self.own(self.watcher, HOUR).await);
        let ownership = owned.iter().find(|row| row.router.id == router);
        Fence {
            router,
            watcher: self.watcher,
            epoch: ownership.expect("the world's watcher owns it").epoch,
        }
    }

    /// Everything that is to be done on a router now.
    pub(super) async fn tasks(&self, router: RouterId) -> Vec<Task> {
        let fence = self.fence(router).await;
        ok(self.work(&fence, 1000, 1000).await).tasks
    }

    /// The only thing that is to be done on a router now.
    pub(super) async fn task(&self, router: RouterId) -> Task {
        let mut tasks = self.tasks(router).await;
        assert_eq!(tasks.len(), 1, "one task is to be done: {tasks:?}");
        tasks.remove(0)
    }

    /// Commits an intent; tells whether the task stood.
    pub(super) async fn intend_on(&self, router: RouterId, task: &Task, undo: &[Undo]) -> bool {
        let fence = self.fence(router).await;
        let task = TaskRef::from(task);
        let intents = [Intent {
            task,
            undo: undo.to_vec(),
            trace: crate::Trace::default(),
        }];
        ok(self.intend(&fence, &intents).await).contains(&task)
    }

    pub(super) async fn settle_on(
        &self,
        router: RouterId,
        task: &Task,
        outcome: Outcome,
        undone: &[Undo],
    ) -> Settled {
        let fence = self.fence(router).await;
        let settlement = Settlement {
            task: task.into(),
            outcome,
            undone: undone.to_vec(),
        };
        let mut settled = ok(self.settle(&fence, &[settlement]).await);
        assert_eq!(settled.len(), 1, "one answer for one settlement");
        settled.remove(0)
    }

    /// Confirms a task for good, undoing all it was handed.
    pub(super) async fn confirm(&self, router: RouterId, task: &Task) -> Recorded {
        let outcome = Outcome::Confirmed { next_look: None };
        recorded(self.settle_on(router, task, outcome, &task.undo).await)
    }

    /// Does the whole of the only cut on a router.
    pub(super) async fn cut(&self, router: RouterId, undo: &[Undo]) {
        let task = self.task(router).await;
        assert!(self.intend_on(router, &task, undo).await, "the cut stands");
        self.confirm(router, &task).await;
    }

    /// Asks the store what is live; `live` makes a subscriber.
    pub(super) async fn live_at(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live, StoreError> {
        self.store.live(router, names, macs).await
    }

    /// Returns all events so far but those of markers. Makes one to see that none is missing: a
    /// store may hold events back while transactions of others are open.
    pub(super) async fn audit(&self) -> Vec<AuditEvent> {
        let marker = format!("{MARKER}{}", WatcherId::fresh());
        self.tenant(&marker).await;
        let slug = |event: &AuditEvent| {
            if let AuditKind::TenantAdded { slug } = &event.entry.kind {
                slug.clone()
            } else {
                String::new()
            }
        };
        let complete = async {
            loop {
                let mut events = ok(self.events(AuditId::START, u32::MAX).await);
                if events.iter().any(|event| slug(event) == marker) {
                    events.retain(|event| !slug(event).starts_with(MARKER));
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        let events = timeout(Duration::from_secs(20), complete).await;
        events.expect("events are not held back for ever")
    }

    /// Tells what has happened so far, oldest first.
    pub(super) async fn kinds(&self) -> Vec<AuditKind> {
        let events = self.audit().await.into_iter();
        events.map(|event| event.entry.kind).collect()
    }

    /// The only one of a name that is explained.
    pub(super) async fn explained(&self, name: &str) -> Explained {
        let mut found = ok(self.explain(None, &username(name), 100).await);
        assert_eq!(found.subscribers.len(), 1, "{found:?}");
        found.subscribers.remove(0)
    }

    /// Cuts and restores owed on all enabled routers.
    pub(super) async fn owed(&self) -> (u64, u64) {
        let status = ok(self.status(0).await);
        (status.owed_cuts, status.owed_restores)
    }
}

#[track_caller]
pub(super) fn ok<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("the store refused: {error:?}"))
}

#[track_caller]
pub(super) fn recorded(settled: Settled) -> Recorded {
    match settled {
        Settled::Recorded(recorded) => recorded,
        Settled::Superseded => panic!("the settlement was superseded"),
    }
}

/// Asserts that a call was refused in one way.
macro_rules! assert_refused {
    ($result:expr, $error:pat $(if $guard:expr)?) => {
        match $result {
            Err($error) $(if $guard)? => {}
            other => panic!("{:?} instead of {}", other.map(drop), stringify!($error)),
        }
    };
}
pub(super) use assert_refused;

pub(super) fn new_router(name: &str) -> NewRouter {
    NewRouter {
        name: name.into(),
        tenant: None,
        address: RouterAddress {
            host: format!("{name}.example"),
            port: 8728,
            username: "api".into(),
        },
        password: "not a secret".to_owned().into(),
    }
}

pub(super) fn new_subscriber(name: &str, access: Access, devices: &[MacAddr]) -> NewSubscriber {
    NewSubscriber {
        tenant: None,
        username: username(name),
        service: Service::Hotspot,
        access,
        router: None,
        devices: macs(devices),
    }
}

pub(super) fn username(name: &str) -> Username {
    name.parse().expect("the names of the cases are good")
}

pub(super) fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

pub(super) fn macs(devices: &[MacAddr]) -> BTreeSet<MacAddr> {
    devices.iter().copied().collect()
}

pub(super) fn account(name: &str) -> UndoItem {
    UndoItem::User {
        name: name.into(),
        server: None,
    }
}

/// The finding that the account `name` was enabled.
pub(super) fn name_undo(name: &str) -> Undo {
    Undo::new(UndoKey::Name(username(name)), vec![account(name)])
}

/// The finding that the account named like a device was enabled.
pub(super) fn mac_undo(mac: MacAddr) -> Undo {
    Undo::new(UndoKey::Mac(mac), vec![account(&mac.to_string())])
}

pub(super) fn facts(identity: &str, serial: Option<&str>) -> RouterFacts {
    RouterFacts {
        hardware: Hardware {
            identity: identity.into(),
            serial: serial.map(Into::into),
        },
        version: Some("7.18.2 (stable)".into()),
        board: None,
        uptime: None,
        clock: None,
    }
}

pub(super) fn names_of(tasks: &[Task]) -> Vec<&str> {
    let names = tasks.iter().map(|task| task.username.as_ref());
    names
        .map(|name| name.map_or("", Username::as_str))
        .collect()
}
