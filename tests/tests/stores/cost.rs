use std::{collections::BTreeMap, time::Duration};

use expiry_core::{Fence, Heartbeat, WatcherId};
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

#[tokio::test(flavor = "multi_thread")]
async fn r7_nothing_due_among_many_costs_no_scan() {
    let home = postgres().await;
    let store = home.open().await;
    add_router(&*store, "a").await;
    drop(store);
    let mut conn = PgConnection::connect(&home.url).await.expect("connected");
    for statement in [
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
        "ANALYZE",
    ] {
        conn.execute(statement).await.expect("done");
    }
    conn.close().await.expect("closed");
    let before = rows_scanned(&home.url).await;

    let store = home.open().await;
    let watcher = WatcherId::fresh();
    let owned = store
        .own(&Heartbeat::new(watcher, Duration::from_mins(1)))
        .await;
    let owned = owned.expect("owned");
    let fence = Fence {
        router: owned[0].router.id,
        watcher,
        epoch: owned[0].epoch,
    };
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
