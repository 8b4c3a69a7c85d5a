use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{Fault, MemoryStore};
use crate::{
    Access, AccessChange, Cause, Clock, Directory, EnforcementStore, Fence, NewRouter,
    NewSubscriber, NoPasswordCause, Outcome, PasswordStore, RouterAddress, Service, Settlement,
    StatusStore, Store, StoreError, Subscriber, SystemClock, Task, WatcherId, testing::TestClock,
};

async fn open() -> (Arc<dyn Store>, MemoryStore) {
    let store = MemoryStore::new(Arc::new(SystemClock));
    (Arc::new(store.clone()), store)
}

async fn ahead(store: &MemoryStore, by: TimeDelta) -> Arc<dyn Store> {
    let clock = TestClock::starting_at(SystemClock.wall() + by);
    Arc::new(store.with_clock(Arc::new(clock)))
}

crate::store_conformance!(open, ahead);

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_store_decides_what_is_due() {
    let (store, clock) = store_with_router().await;
    let end = clock.wall() + TimeDelta::seconds(30);
    subscribe(&store, Access::Until(end)).await;

    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(store.plan_due(9).await.expect("planned").subscribers, 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(store.plan_due(9).await.expect("planned").subscribers, 1);
}

#[tokio::test]
async fn a_call_that_fails_before_did_not_happen_and_one_that_fails_after_did() {
    let (store, _) = store_with_router().await;
    for (fault, exists) in [(Fault::Before, false), (Fault::After, true)] {
        let mut faults = [fault].into_iter();
        store.fail_when(move |call| match call {
            "add_subscriber" => faults.next().unwrap_or_default(),
            _ => Fault::None,
        });

        let made = store.add_subscriber(&new_subscriber(Access::None)).await;

        let error = made.expect_err("it was made to fail");
        assert!(error.is_transient());
        assert_eq!(matches!(error, StoreError::OutcomeUnknown(_)), exists);
        let name = "s".parse().expect("a name");
        let found = store.subscriber(None, &name).await.expect("found");
        assert_eq!(found.is_some(), exists);
    }
    store.fail_when(|_| Fault::Before);
    assert!(matches!(store.now().await, Err(StoreError::Unavailable(_))));
    store.heal();
    store.now().await.expect("it is healed");
}

#[tokio::test]
async fn r3_what_is_finished_is_purged_and_open_undo_rows_never() {
    let (store, _) = store_with_router().await;
    let made = subscribe(&store, Access::Forever).await;
    let mac = *made.devices.first().expect("it has one");
    store.remove_device(made.id, mac).await.expect("removed");
    store.remove_subscriber(made.id).await.expect("removed");
    let mut targets = BTreeSet::new();
    for _ in 0..2 {
        store.plan_due(9).await.expect("planned");
        let (fence, task) = next_task(&store).await;
        targets.extend(store.row(task.id).map(|row| row.target));
        let undo = crate::undo_keys(task.username.as_ref(), &task.macs);
        let account = crate::UndoItem::User {
            name: "s".into(),
            server: None,
        };
        let undo = undo.into_iter();
        let undo = undo.map(|key| crate::Undo::new(key, vec![account.clone()]));
        let intent = crate::Intent {
            task: (&task).into(),
            undo: undo.collect(),
            trace: crate::Trace::default(),
        };
        store.intend(&fence, &[intent]).await.expect("it stands");
        settle(&store, fence, &task, Outcome::Confirmed { next_look: None }).await;
    }
    assert_eq!(targets.len(), 2);

    store.plan_due(9).await.expect("planned");

    assert_eq!(store.rows(), []);
    assert_eq!(store.undo_rows().len(), 2);
    assert!(store.undo_rows().iter().all(|row| row.open));
}

#[tokio::test]
async fn rows_of_subscribers_who_are_not_removed_are_kept() {
    let (store, clock) = store_with_router().await;
    let made = subscribe(&store, Access::Until(clock.wall())).await;
    let (fence, task) = next_task(&store).await;
    settle(&store, fence, &task, Outcome::Confirmed { next_look: None }).await;

    store.plan_due(9).await.expect("planned");

    assert_eq!(store.rows().len(), 1);
    let paid = AccessChange::Extend(Duration::from_secs(9));
    store.change_access(made.id, paid).await.expect("paid");
    assert_eq!(store.rows(), []);
}

#[tokio::test]
async fn r11_a_password_that_does_not_open_is_forgotten_once() {
    let (store, _) = store_with_router().await;
    let router = store.routers().await.expect("listed")[0].id;
    store.lose_password(router, NoPasswordCause::Damaged);
    let seen = store.secrets().await.expect("told");
    assert_eq!(seen.shut().count(), 1);

    let after = store.reset_secrets(&seen).await.expect("forgotten");

    assert_eq!((after.shut().count(), after.wanting().count()), (0, 1));
    let status = store.status(0).await.expect("status");
    let error = status.routers[0].last_error.as_deref().unwrap_or_default();
    assert_eq!(Cause::in_line(error), Some(Cause::NoPassword), "{error}");
    let events = store.audit_events().len();
    let again = store.reset_secrets(&after).await.expect("nothing to do");
    assert_eq!((again, store.audit_events().len()), (after, events));
}

async fn store_with_router() -> (MemoryStore, TestClock) {
    let clock = TestClock::default();
    let store = MemoryStore::new(Arc::new(clock.clone()));
    let new = NewRouter {
        name: "r".into(),
        tenant: None,
        address: RouterAddress {
            host: "r.example".into(),
            port: 8728,
            username: "api".into(),
        },
        password: String::new().into(),
    };
    store.add_router(&new).await.expect("made");
    (store, clock)
}

fn new_subscriber(access: Access) -> NewSubscriber {
    NewSubscriber {
        tenant: None,
        username: "s".parse().expect("a name"),
        service: Service::Hotspot,
        access,
        router: None,
        devices: BTreeSet::from([crate::MacAddr::new([2, 0, 0, 0, 0, 1])]),
    }
}

async fn subscribe(store: &MemoryStore, access: Access) -> Subscriber {
    let made = store.add_subscriber(&new_subscriber(access)).await;
    made.expect("made")
}

async fn next_task(store: &MemoryStore) -> (Fence, Task) {
    let watcher = WatcherId(uuid::Uuid::nil());
    let owned = store
        .own(&crate::Heartbeat::new(watcher, Duration::MAX))
        .await
        .expect("owned");
    let fence = Fence {
        router: owned[0].router.id,
        watcher,
        epoch: owned[0].epoch,
    };
    let mut work = store.work(&fence, 1, 1).await.expect("work");
    (fence, work.tasks.remove(0))
}

async fn settle(store: &MemoryStore, fence: Fence, task: &Task, outcome: Outcome) {
    let settlement = Settlement {
        task: task.into(),
        outcome,
        undone: Vec::new(),
    };
    let settled = store.settle(&fence, &[settlement]).await;
    settled.expect("recorded");
}
