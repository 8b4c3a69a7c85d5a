//! How many connections to a server are open.

use std::{sync::Arc, time::Duration};

use expiry_core::{
    NewRouter, RouterAddress, Store, SystemClock,
    testing::Recorder,
    watcher::{Watcher, WatcherConfig},
};
use expiry_mikrotik::{GatewayConfig, MikrotikGateway, sim::SimRouter};
use expiry_tests::{
    pg,
    world::{PASSWORD, sim_router},
};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::setup::Home;

/// Counts the connections to the database of `conn`, that one apart.
async fn count(conn: &mut PgConnection) -> i64 {
    let others = "SELECT COUNT(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let counted = sqlx::query_scalar(others).fetch_one(conn).await;
    counted.expect("counted")
}

async fn until_at_most(conn: &mut PgConnection, most: i64, patience: Duration) {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    while count(conn).await > most {
        assert!(begun.elapsed() < patience, "{} are open", count(conn).await);
        ticks.tick().await;
    }
}

async fn register(store: &dyn Store, number: usize) -> SimRouter {
    let name = format!("r{number}");
    let sim = sim_router(&name).await;
    let new = NewRouter {
        name,
        tenant: None,
        address: RouterAddress {
            host: "127.0.0.1".into(),
            port: sim.addr().port(),
            username: "expiry".into(),
        },
        password: PASSWORD.into(),
    };
    store.add_router(&new).await.expect("added");
    sim
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_20_watchers_at_rest_with_40_routers_hold_at_most_60_connections() {
    let url = pg::database().await;
    let home = Home::new(|_| url.clone());
    let store = home.open().await;
    let mut routers = Vec::new();
    for number in 0..40 {
        routers.push(register(&*store, number).await);
    }
    drop(store);
    let mut conn = PgConnection::connect(&url).await.expect("connected");
    until_at_most(&mut conn, 0, Duration::from_secs(10)).await;

    let stop = CancellationToken::new();
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let watcher = Watcher::new(
            home.open().await as _,
            Arc::new(MikrotikGateway::new(GatewayConfig::default())),
            Arc::new(SystemClock),
            Arc::new(Recorder::default()),
            WatcherConfig::default(),
        );
        watchers.push(tokio::spawn(watcher.run(stop.clone())));
    }
    until_at_most(&mut conn, 60, Duration::from_secs(30)).await;
    // Longer than any rest, and than three signs of life of each.
    let mut ticks = interval(Duration::from_millis(100));
    let mut seen: Vec<i64> = Vec::new();
    for _ in 0..120 {
        ticks.tick().await;
        seen.push(count(&mut conn).await);
    }
    seen.sort_unstable();
    println!(
        "{} to {}, half of the time {}",
        seen[0], seen[119], seen[60]
    );
    assert!(seen[0] >= 40, "each watcher listens and beats");
    assert!(seen[119] <= 60, "{seen:?}");

    stop.cancel();
    for watcher in watchers {
        watcher.await.expect("no panic").expect("stopped");
    }
    until_at_most(&mut conn, 0, Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crowd_all_connections_but_one_are_closed() {
    let url = pg::database().await;
    let home = Home::new(|_| url.clone());
    let store = home.open().await;
    let mut conn = PgConnection::connect(&url).await.expect("connected");
    let one = count(&mut conn).await;
    assert_eq!(one, 1, "what opens a store, and a command, needs one");
    let calls = (0..40).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.status(1).await.map(drop) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("answered");
    }
    let many = count(&mut conn).await;
    assert!(many <= i64::from(home.config.max_connections), "{many}");
    until_at_most(&mut conn, 1, Duration::from_secs(10)).await;
    store.status(1).await.expect("still served");
    drop(store);
    until_at_most(&mut conn, 0, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_throws_everybody_out_again_and_again_ends_with_no_more_connections() {
    let url = pg::database().await;
    let home = Home::new(|_| url.clone());
    let store = home.open().await;
    let mut feed = store.changes().await.expect("a feed");
    let mut conn = PgConnection::connect(&url).await.expect("connected");
    for _ in 0..10 {
        let thrown_out = sqlx::query(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        thrown_out.execute(&mut conn).await.expect("thrown out");
        feed.changed().await.expect_err("the feed says so");
        store.nudge().await.expect("a new connection is made");
        feed.changed().await.expect("it listens again");
    }
    let left = count(&mut conn).await;
    assert!(left <= 2, "{left} are open");
}
