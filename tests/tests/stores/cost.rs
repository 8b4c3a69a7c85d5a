use std::{collections::BTreeMap, time::Duration};

use expiry_core::{Fence, Heartbeat, MacAddr, Store, UndoKey, WatcherId};
use sqlx::{Connection, Executor, PgConnection};

use crate::setup::{add_router, postgres};

/// Rows that were read by going through a whole table, by table.
async fn rows_scanned(url: &str) -> BTreeMap<String, i64> {
    let mut conn = PgConnection::connect(url).await.expect("connected");
    loop {
        // A session reports what it read when it ends.
        let others: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND backend_type = 'client backend'",
        )
        .fetch_one(&mut conn)
        .await
        .expect("counted");
        if others == 0 {
            break;
        }
    }
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT relname::TEXT, seq_tup_read FROM pg_stat_user_tables
         WHERE relname IN ('subscriber', 'device', 'enforcement', 'undo', 'event')",
    )
    .fetch_all(&mut conn)
    .await
    .expect("read");
    rows.into_iter().collect()
}

/// Pages that were read of the indexes by which work is found.
async fn pages_read(url: &str) -> i64 {
    rows_scanned(url).await;
    let mut conn = PgConnection::connect(url).await.expect("connected");
    sqlx::query_scalar(
        "SELECT SUM(idx_blks_read + idx_blks_hit)::BIGINT FROM pg_statio_user_indexes
         WHERE indexrelname IN ('enforcement_work', 'enforcement_next', 'enforcement_look')",
    )
    .fetch_one(&mut conn)
    .await
    .expect("read")
}

/// Fills a database that has one router with many who are live, and many who were cut.
async fn fill(url: &str, more: &[&'static str]) {
    let mut conn = PgConnection::connect(url).await.expect("connected");
    let all = [
        "SET search_path = expiry",
        "INSERT INTO subscriber (tenant_id, username, service, access, ends_at, revision,
             planned_revision, macs)
         SELECT 0, 'live' || n, 'hotspot', 'until', 4000000000000000 + n, 1, 0, '[]'
         FROM generate_series(1, 20000) AS n",
        "INSERT INTO subscriber (tenant_id, username, service, access, ends_at, revision,
             planned_revision, macs)
         SELECT 0, 'ended' || n, 'hotspot', 'until', 1000000000000000 + n, 1, 1, '[]'
         FROM generate_series(1, 20000) AS n",
        "INSERT INTO enforcement (tenant_id, router_id, subscriber_id, device, detached, want,
             revision, username, macs, due_at, backlog, state)
         SELECT 0, r.id, s.id, '', FALSE, 'cut', 1, s.username, '[]', s.ends_at, FALSE, 'confirmed'
         FROM subscriber s, router r WHERE s.planned_revision = 1",
        "INSERT INTO undo (router_id, kind, key, items, stay, opened_at, fresh)
         SELECT r.id, 'name', s.username, '[]', '[]', 0, FALSE
         FROM subscriber s, router r WHERE s.planned_revision = 1",
        "INSERT INTO event (at, kind, tenant_id, subscriber_id, username)
         SELECT n, 'access_ended', 0, n, 'ended' || n FROM generate_series(1, 20000) AS n",
    ];
    for statement in all.iter().chain(more).chain(&["ANALYZE"]) {
        conn.execute(*statement).await.expect("done");
    }
    conn.close().await.expect("closed");
}

async fn own(store: &dyn Store) -> Fence {
    let watcher = WatcherId::fresh();
    let owned = store
        .own(&Heartbeat::new(watcher, Duration::from_mins(1)))
        .await;
    let owned = owned.expect("owned");
    Fence {
        router: owned[0].router.id,
        watcher,
        epoch: owned[0].epoch,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_nothing_due_among_many_costs_no_scan() {
    let home = postgres().await;
    add_router(&*home.open().await, "a").await;
    fill(&home.url, &[]).await;
    let before = rows_scanned(&home.url).await;

    let store = home.open().await;
    let fence = own(&*store).await;
    for _ in 0..10 {
        let planned = store.plan_due(100).await.expect("planned");
        assert_eq!(planned.subscribers, 0);
        assert!(planned.next_deadline.is_some());
        let work = store.work(&fence, 128, 64).await.expect("work");
        assert!(work.tasks.is_empty() && work.next_at.is_none());
        let soon = store.next_deadline(fence.router, Duration::from_secs(1));
        assert_eq!(soon.await.expect("deadline"), None);
    }
    drop(store);

    assert_eq!(rows_scanned(&home.url).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_a_batch_of_many_costs_what_is_in_the_batch() {
    let home = postgres().await;
    add_router(&*home.open().await, "a").await;
    let owed = "UPDATE enforcement SET state = 'owed', backlog = TRUE, next_at = due_at";
    fill(&home.url, &[owed]).await;
    // The first watcher marks once what ended while nobody watched.
    let fence = own(&*home.open().await).await;
    let before = pages_read(&home.url).await;

    let store = home.open().await;
    for _ in 0..10 {
        let work = store.work(&fence, 128, 64).await.expect("work");
        assert_eq!(work.tasks.len(), 64);
    }
    drop(store);

    let read = pages_read(&home.url).await - before;
    assert!(read < 500, "{read} pages for 10 batches of 20 000 owed");
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_recheck_among_many_costs_no_scan() {
    let home = postgres().await;
    add_router(&*home.open().await, "a").await;
    let devices = "INSERT INTO device (tenant_id, mac, subscriber_id)
         SELECT 0, upper('02:00:00:00:' || lpad(to_hex(n / 256), 2, '0') || ':' || lpad(to_hex(n % 256), 2, '0')),
             (SELECT MAX(id) FROM subscriber WHERE planned_revision = 1) - n
         FROM generate_series(0, 9999) AS n";
    let listed = "UPDATE subscriber SET macs = '[\"' || d.mac || '\"]' FROM device d
         WHERE d.subscriber_id = subscriber.id";
    fill(&home.url, &[devices, listed]).await;
    let before = rows_scanned(&home.url).await;

    let store = home.open().await;
    let router = own(&*store).await.router;
    let names = (1..=50).map(|n| format!("ended{n}").parse().expect("a name"));
    let macs = (0..50).map(|n| UndoKey::Mac(MacAddr::new([2, 0, 0, 0, 0, n])));
    let keys: Vec<_> = names.map(UndoKey::Name).chain(macs).collect();
    store.recheck(router, &keys).await.expect("rechecked");
    drop(store);

    let after = rows_scanned(&home.url).await;
    for table in ["subscriber", "enforcement"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    let store = home.open().await;
    let owed = store.status(0).await.expect("status").owed_cuts;
    assert_eq!(owed, 100);
}
