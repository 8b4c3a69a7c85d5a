use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use expiry_core::{
    Fence, Heartbeat, Intent, Outcome, RouterId, Settled, Settlement, Store, TaskId, TaskRef,
    Trace, Undo, UndoItem, UndoKey, WatcherId,
};
use sqlx::{Connection, PgConnection};
use tokio::{sync::Barrier, task::JoinSet};

use crate::setup::{Home, add_router, add_subscriber, postgres, sqlite};

/// The lock that a planning holds.
const PLANNING: i64 = 0x0065_7870_6972_7931;

const TTL: Duration = Duration::from_mins(1);

/// Two processes claim at once, round after round; nobody shares a router, and no epoch is given
/// out twice.
async fn claims_never_overlap(home: Home, rounds: usize) {
    let stores = [home.open().await, home.open().await];
    for name in ["a", "b", "c"] {
        add_router(&*stores[0], name).await;
    }
    let mut epochs = BTreeMap::new();
    for _ in 0..rounds {
        let start = Arc::new(Barrier::new(stores.len()));
        let mut claims = JoinSet::new();
        for store in &stores {
            let (store, start) = (Arc::clone(store), Arc::clone(&start));
            claims.spawn(async move {
                let watcher = WatcherId::fresh();
                start.wait().await;
                (
                    watcher,
                    store
                        .own(&Heartbeat::new(watcher, TTL))
                        .await
                        .expect("claimed"),
                )
            });
        }
        let claims = claims.join_all().await;
        for (watcher, _) in &claims {
            stores[0].release(*watcher).await.expect("released");
        }
        let routers = claims.iter().flat_map(|(_, routers)| routers);
        let owned: Vec<_> = routers.map(|own| (own.router.id, own.epoch)).collect();
        assert_eq!(owned.len(), 3, "each router has one owner: {owned:?}");
        for (router, epoch) in owned {
            let before = epochs.insert(router, epoch);
            assert!(before < Some(epoch), "{router} was given {epoch} before");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_two_postgres_stores_never_both_own() {
    claims_never_overlap(postgres().await, 150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_two_sqlite_stores_never_both_own() {
    claims_never_overlap(sqlite(), 60).await;
}

const SUBSCRIBERS: usize = 120;
const ROUTERS: usize = 4;

/// Serves one router until all its cuts are confirmed; returns how often each was recorded.
async fn serve(store: Arc<dyn Store>, fence: Fence, done: usize) -> BTreeMap<TaskId, u32> {
    let mut recorded = BTreeMap::new();
    while recorded.len() < done {
        store.plan_due(7).await.expect("planned");
        let work = store.work(&fence, 16, 16).await.expect("work");
        let intents: Vec<_> = work
            .tasks
            .iter()
            .map(|task| {
                let name = task.username.clone().expect("a name");
                let item = UndoItem::User {
                    name: name.to_string(),
                    server: None,
                };
                Intent {
                    task: TaskRef::from(task),
                    undo: vec![Undo::new(UndoKey::Name(name), vec![item])],
                    trace: Trace::default(),
                }
            })
            .collect();
        let standing = store.intend(&fence, &intents).await.expect("intended");
        let settlements: Vec<_> = standing
            .into_iter()
            .map(|task| Settlement {
                task,
                outcome: Outcome::Confirmed { next_look: None },
                undone: Vec::new(),
            })
            .collect();
        let settled = store.settle(&fence, &settlements).await.expect("settled");
        for (settlement, settled) in settlements.iter().zip(settled) {
            if let Settled::Recorded(done) = settled
                && done.waited.is_some()
            {
                *recorded.entry(settlement.task.id).or_default() += 1;
            }
        }
    }
    recorded
}

/// Planners, owners and frontends at once: every cut is recorded, and none twice.
async fn everything_at_once(home: Home) {
    let store = home.open().await;
    let mut routers: Vec<RouterId> = Vec::new();
    for at in 0..ROUTERS {
        routers.push(add_router(&*store, &format!("r{at}")).await.id);
    }
    let watcher = WatcherId::fresh();
    let owned = store
        .own(&Heartbeat::new(watcher, TTL))
        .await
        .expect("owned");
    let now = store.now().await.expect("time");

    let mut tasks = JoinSet::new();
    for own in owned {
        let fence = Fence {
            router: own.router.id,
            watcher,
            epoch: own.epoch,
        };
        tasks.spawn(serve(home.open().await, fence, SUBSCRIBERS));
    }
    for frontend in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for at in 0..SUBSCRIBERS / 8 {
                let end = now + TimeDelta::milliseconds(i64::try_from(at).unwrap_or(0) * 20);
                add_subscriber(&*store, &format!("s{frontend}-{at}"), end).await;
            }
            BTreeMap::new()
        });
    }
    for _ in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..20 {
                store
                    .own(&Heartbeat::new(watcher, TTL))
                    .await
                    .expect("owned");
                store.nudge().await.expect("nudged");
                store.status(10).await.expect("status");
            }
            BTreeMap::new()
        });
    }
    let mut recorded = BTreeMap::new();
    while let Some(served) = tasks.join_next().await {
        recorded.extend(served.expect("no panic"));
    }
    assert_eq!(recorded.len(), SUBSCRIBERS * ROUTERS);
    assert!(recorded.values().all(|&times| times == 1), "{recorded:?}");
    let status = store.status(10).await.expect("status");
    assert_eq!((status.owed_cuts, status.owed_restores), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_postgres_records_every_cut_once_under_load() {
    everything_at_once(postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_sqlite_records_every_cut_once_under_load() {
    everything_at_once(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_the_heart_beats_while_everything_else_waits_for_a_planning() {
    let mut home = postgres().await;
    home.config.max_connections = 2;
    let store = home.open().await;
    let router = add_router(&*store, "a").await;
    let mut planning = PgConnection::connect(&home.url).await.expect("connected");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(PLANNING)
        .execute(&mut planning)
        .await
        .expect("locked");
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.recheck(router.id, &[]).await });
    }
    loop {
        let all: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_locks
             WHERE NOT granted AND database = (SELECT oid FROM pg_database
                                               WHERE datname = current_database())",
        )
        .fetch_one(&mut planning)
        .await
        .expect("counted");
        if all == 2 {
            break;
        }
        assert!(waiting.try_join_next().is_none(), "both wait");
    }

    let machine = store.machine("here").await;
    let owned = store.own(&Heartbeat::new(WatcherId::fresh(), TTL)).await;

    assert_eq!(machine.expect("read").version, 0);
    assert_eq!(owned.expect("owned").len(), 1);
    planning.close().await.expect("closed");
    for waited in waiting.join_all().await {
        waited.expect("rechecked");
    }
}
