use std::time::Duration;

use expiry_core::{Heartbeat, StoreError, WatcherId};
use expiry_tests::pg::Cluster;
use tokio::time::{Instant, timeout};

use crate::setup::{Home, add_router, add_subscriber};

const TTL: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_restart_of_the_server_is_survived() {
    let mut cluster = Cluster::start();
    let url = cluster.database().await;
    let home = Home::new(|_| url);
    let store = home.open().await;
    add_router(&*store, "a").await;
    let watcher = WatcherId::fresh();
    let before = store
        .own(&Heartbeat::new(watcher, TTL))
        .await
        .expect("owned");
    let now = store.now().await.expect("time");
    add_subscriber(&*store, "s", now).await;
    let mut feed = store.changes().await.expect("feed");

    cluster.stop();
    let begun = Instant::now();
    let error = store.plan_due(10).await.expect_err("nobody answers");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.is_transient());
    assert!(begun.elapsed() < Duration::from_secs(11));
    let lost = feed.changed().await.expect_err("the feed says so once");
    assert!(lost.is_transient());
    let error = expiry_store::open(&home.config).await.map(drop);
    assert!(error.expect_err("nobody answers").is_transient());

    cluster.restart();
    let reconnected = timeout(Duration::from_secs(10), feed.changed()).await;
    reconnected.expect("in time").expect("counts as a change");
    let after = store
        .own(&Heartbeat::new(watcher, TTL))
        .await
        .expect("owned");
    assert_eq!(after[0].epoch, before[0].epoch);
    let status = store.status(10).await.expect("status");
    assert_eq!((status.owed_cuts, status.owed.len()), (1, 1));
    store.nudge().await.expect("nudged");
    let woken = timeout(Duration::from_secs(5), feed.changed()).await;
    woken.expect("in time").expect("woken");
}
