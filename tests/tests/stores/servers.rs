//! Several servers of which one takes writes, servers that do not answer, and poolers.

use std::{net::TcpListener, sync::Arc, time::Duration};

use expiry_core::{Heartbeat, Store, StoreError, WatcherId};
use expiry_tests::pg::{self, Cluster};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::{Instant, interval, timeout};

use crate::setup::{Home, add_router, add_subscriber};

const TTL: Duration = Duration::from_secs(15);

async fn until_it_beats(store: &dyn Store, beat: &Heartbeat, patience: Duration) -> Duration {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        match store.own(beat).await {
            Ok(_) => return begun.elapsed(),
            Err(error) => assert!(begun.elapsed() < patience, "{error:?}"),
        }
    }
}

/// Returns how long after its promotion the standby was used, and how long until changes were heard.
async fn promotion(standby_first: bool) -> (Duration, Duration) {
    let mut primary = Cluster::start();
    let url = primary.database().await;
    let standby = primary.standby();
    let order = if standby_first {
        [&standby, &primary]
    } else {
        [&primary, &standby]
    };
    let home = Home::new(|_| Cluster::url_of_all(&order, &url));
    let store = home.open().await;
    add_router(&*store, "a").await;
    let beat = Heartbeat::new(WatcherId::fresh(), TTL);
    let before = store.own(&beat).await.expect("owned");
    let mut feed = store.changes().await.expect("a feed");

    primary.stop();
    let error = store.own(&beat).await.expect_err("nobody takes writes");
    assert!(error.is_transient(), "{error:?}");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("it is a standby"), "{cause}");
    feed.changed().await.expect_err("the feed says so once");
    standby.promote().await;
    let promoted = Instant::now();
    let used = until_it_beats(&*store, &beat, Duration::from_secs(10)).await;
    let heard = timeout(Duration::from_secs(10), feed.changed()).await;
    heard.expect("in time").expect("counts as a change");
    let heard = promoted.elapsed();

    let after = store.own(&beat).await.expect("owned");
    assert_eq!(after[0].epoch, before[0].epoch);
    store.nudge().await.expect("nudged");
    let woken = timeout(Duration::from_secs(5), feed.changed()).await;
    woken.expect("in time").expect("woken");
    (used, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_standby_is_used_within_2_s_of_its_promotion() {
    for standby_first in [false, true] {
        let (used, heard) = promotion(standby_first).await;
        assert!(used <= Duration::from_secs(2), "{used:?}");
        assert!(heard <= Duration::from_secs(3), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn r2_a_standby_is_used_within_2_s_of_its_promotion_20_times() {
    let mut all = Vec::new();
    for run in 0..20 {
        let (used, heard) = promotion(run % 2 == 0).await;
        assert!(used <= Duration::from_secs(2), "{used:?}");
        all.push((used, heard));
    }
    all.sort();
    println!("used {:?} to {:?}", all[0].0, all[19].0);
    println!("heard, at most {:?}", all.iter().map(|one| one.1).max());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn r2_a_server_that_is_back_is_used_within_2_s_20_times() {
    let mut cluster = Cluster::start();
    let url = cluster.database().await;
    let home = Home::new(|_| url);
    let store = home.open().await;
    let beat = Heartbeat::new(WatcherId::fresh(), TTL);
    let mut all = Vec::new();
    for _ in 0..20 {
        store.own(&beat).await.expect("owned");
        cluster.stop();
        store.own(&beat).await.expect_err("nobody answers");
        cluster.restart();
        all.push(until_it_beats(&*store, &beat, Duration::from_secs(10)).await);
    }
    all.sort();
    println!("back {:?} to {:?}", all[0], all[19]);
    assert!(all[19] <= Duration::from_secs(2), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_alone_is_named_and_may_be_waited_for() {
    let primary = Cluster::start();
    let url = primary.database().await;
    drop(Home::new(|_| url.clone()).open().await);
    let standby = primary.standby();
    let home = Home::new(|_| Cluster::url_of_all(&[&standby], &url));
    let error = expiry_store::open(&home.config).await.map(drop);
    let error = error.expect_err("it takes no writes");
    assert!(error.is_transient(), "{error:?}");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(
        cause.contains("takes no writes: it is a standby"),
        "{cause}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_costs_the_next_no_more_than_a_head_start() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = pg::database().await;
    let (database, socket) = url.split_once("?host=").expect("a socket");
    let url = format!("{database}?host=127.0.0.1,{socket}&port={port},5432");
    let home = Home::new(|_| url);
    let begun = Instant::now();
    let store = home.open().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let mut feed = store.changes().await.expect("a feed");
    store.nudge().await.expect("nudged");
    feed.changed().await.expect("woken");

    let url = format!("{database}?host=127.0.0.1,/nowhere&port={port},5432");
    let home = Home::new(|_| url);
    let begun = Instant::now();
    let error = expiry_store::open(&home.config).await.map(drop);
    let error = error.expect_err("nobody lets us in");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(cause.contains("none of its 2 hosts"), "{cause}");
    assert!(
        cause.contains(&format!("127.0.0.1:{port}: no answer within 3 s")),
        "{cause}"
    );
    assert!(cause.contains("/nowhere/.s.PGSQL.5432: "), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_writes_is_left_and_said() {
    let url = pg::database().await;
    let home = Home::new(|_| url);
    let store = home.open().await;
    let database = home
        .url
        .split('?')
        .next()
        .and_then(|url| url.rsplit('/').next());
    let database = database.expect("a name");
    let mut conn = PgConnection::connect(&home.url).await.expect("connected");
    let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    conn.execute(AssertSqlSafe(set)).await.expect("set");
    // Connections from before do not know yet.
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await
    .expect("ended");
    let error = store.nudge().await.expect_err("no writes");
    assert!(error.is_transient());
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(
        cause.contains("default_transaction_read_only is on"),
        "{cause}"
    );
    let reset = format!("ALTER DATABASE {database} RESET default_transaction_read_only");
    conn.execute("SET default_transaction_read_only = off")
        .await
        .expect("set");
    conn.execute(AssertSqlSafe(reset)).await.expect("reset");
    store.nudge().await.expect("writes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_is_said_and_waited_for() {
    let url = pg::database().await;
    let home = Home::new(|_| url.clone());
    drop(home.open().await);
    let database = url.split('?').next().and_then(|url| url.rsplit('/').next());
    let role = format!("{}_few", database.expect("a name"));
    let mut conn = PgConnection::connect(&url).await.expect("connected");
    let make = format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; GRANT USAGE ON SCHEMA expiry TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA expiry TO {role}"
    );
    conn.execute(AssertSqlSafe(make)).await.expect("made");
    let few = Home::new(|_| url.replace("//expiry@", &format!("//{role}@")));
    let store = few.open().await;

    let calls: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.status(1).await.map(drop) })
        })
        .collect();
    for call in calls {
        call.await
            .expect("no panic")
            .expect("they share the one connection");
    }
    let error = expiry_store::open(&few.config).await.map(drop);
    let error = error.expect_err("no connection is left");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("too many connections for role"), "{cause}");
    assert!(cause.contains("raise its max_connections"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_serves_many_at_once() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let pooler = cluster.pooler();
    let mut home = Home::new(|_| pooler.url(&url));
    let store = home.open().await;
    add_router(&*store, "a").await;
    let now = store.now().await.expect("a clock");
    let mut others = Vec::new();
    for number in 0..8 {
        let store = home.open().await;
        others.push(tokio::spawn(async move {
            for turn in 0..20 {
                let name = format!("s{number}x{turn}");
                add_subscriber(&*store, &name, now).await;
                store.status(3).await.expect("status");
                store.plan_due(10).await.expect("planned");
            }
        }));
    }
    for other in others {
        other.await.expect("served");
    }
    let status = store.status(10).await.expect("status");
    assert_eq!(status.owed_cuts, 160);
    let deaf = store.changes().await.expect("it polls");
    drop(deaf);

    home.config.listen_at(&url).expect("a server");
    let store = home.open().await;
    let mut feed = store.changes().await.expect("a feed");
    let begun = Instant::now();
    store.nudge().await.expect("nudged");
    feed.changed().await.expect("woken");
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for figures"]
async fn what_a_pooler_costs() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let pooler = cluster.pooler();
    for (name, url) in [("server", url.clone()), ("pooler", pooler.url(&url))] {
        let home = Home::new(|_| url);
        let store = home.open().await;
        let beat = Heartbeat::new(WatcherId::fresh(), TTL);
        let mut all = Vec::new();
        for _ in 0..300 {
            let begun = Instant::now();
            store.own(&beat).await.expect("owned");
            all.push(begun.elapsed());
        }
        all.sort();
        println!(
            "{name}: a sign of life takes {:?}, p99 {:?}",
            all[150], all[297]
        );
    }
}
