//! Which watcher serves which router.

use std::time::Duration;

use expiry_core::{AuditEntry, AuditKind, Fence, Ownership, RouterId, StoreError, WatcherId};

use super::{Tx, audit, routers, signal};
use crate::{
    error::Result,
    row::{RouterRow, span, tenant_id, watcher_id},
    seal::Sealer,
};

/// A watcher silent for so long is forgotten, in microseconds.
const FORGOTTEN_AFTER: i64 = 24 * 3_600_000_000;

pub(super) async fn own(
    tx: &mut Tx,
    keys: &Sealer,
    watcher: WatcherId,
    ttl: Duration,
) -> Result<Vec<Ownership>> {
    let now = tx.now;
    let id = watcher.to_string();
    sqlx::query(
        "INSERT INTO watcher (id, heartbeat_at) VALUES ($1, $2)
         ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at",
    )
    .bind(&id)
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM watcher WHERE heartbeat_at < $1")
        .bind(now - FORGOTTEN_AFTER)
        .execute(tx.conn())
        .await?;
    claim(tx, watcher, now.saturating_sub(span(ttl))).await?;
    let rows: Vec<RouterRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, host, port, username, sealed, key_id, enabled, identity,
             serial, epoch, taken_over, nudged_at
         FROM router WHERE owner = $1 ORDER BY id",
    )
    .bind(&id)
    .fetch_all(tx.conn())
    .await?;
    // One router that cannot be read must not cost the others their watcher.
    let owned = rows.iter().filter_map(|row| {
        let readable = routers::opened(row, keys).and_then(|router| {
            Ok(Ownership {
                router,
                epoch: row.epoch(),
                taken_over: row.taken_over,
                nudged_at: row.nudged_at()?,
            })
        });
        match readable {
            Ok(ownership) => Some(ownership),
            Err(fault) => {
                let error = StoreError::from(fault);
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, router = row.name, "a router cannot be served");
                None
            }
        }
    });
    Ok(owned.collect())
}

/// Takes the routers of nobody, and those whose owner had no heartbeat since `silent_since`.
async fn claim(tx: &mut Tx, watcher: WatcherId, silent_since: i64) -> Result<()> {
    let id = watcher.to_string();
    let silent: Vec<(i64, String)> = sqlx::query_as(
        "SELECT id, owner FROM router
         WHERE enabled AND owner <> $1
           AND NOT EXISTS (SELECT 1 FROM watcher w
                           WHERE w.id = router.owner AND w.heartbeat_at > $2)",
    )
    .bind(&id)
    .bind(silent_since)
    .fetch_all(tx.conn())
    .await?;
    let claimed: Vec<(i64, i64, String)> = sqlx::query_as(
        "UPDATE router SET taken_over = taken_over OR owner IS NOT NULL, owner = $1, epoch = epoch + 1
         WHERE enabled
           AND (owner IS NULL
                OR owner <> $1
                   AND NOT EXISTS (SELECT 1 FROM watcher w
                                   WHERE w.id = router.owner AND w.heartbeat_at > $2))
         RETURNING id, tenant_id, name",
    )
    .bind(&id)
    .bind(silent_since)
    .fetch_all(tx.conn())
    .await?;
    let mut entries = Vec::with_capacity(claimed.len());
    for (router, tenant, name) in claimed {
        let before = silent.iter().find(|(id, _)| *id == router);
        let taken_over_from = before.map(|(_, owner)| watcher_id("router", owner));
        let kind = AuditKind::RouterOwned {
            watcher,
            taken_over_from: taken_over_from.transpose()?,
        };
        entries.push(AuditEntry::on(
            tenant_id(tenant),
            RouterId(router),
            name,
            kind,
        ));
    }
    audit::record(tx, &entries).await
}

pub(super) async fn release(tx: &mut Tx, watcher: WatcherId) -> Result<()> {
    let id = watcher.to_string();
    let released: Vec<(i64, i64, String)> = sqlx::query_as(
        "UPDATE router SET owner = NULL, taken_over = FALSE WHERE owner = $1
         RETURNING id, tenant_id, name",
    )
    .bind(&id)
    .fetch_all(tx.conn())
    .await?;
    sqlx::query("DELETE FROM watcher WHERE id = $1")
        .bind(&id)
        .execute(tx.conn())
        .await?;
    let entries = released.into_iter().map(|(router, tenant, name)| {
        let kind = AuditKind::RouterReleased { watcher };
        AuditEntry::on(tenant_id(tenant), RouterId(router), name, kind)
    });
    let entries: Vec<_> = entries.collect();
    audit::record(tx, &entries).await?;
    if !entries.is_empty() {
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Fails unless the fence holds.
pub(super) async fn check(tx: &mut Tx, fence: &Fence) -> Result<()> {
    let holds: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM router
                        WHERE id = $1 AND owner = $2 AND epoch = $3 AND enabled)",
    )
    .bind(fence.router.0)
    .bind(fence.watcher.to_string())
    .bind(fence.epoch.0)
    .fetch_one(tx.conn())
    .await?;
    answer(holds, fence)
}

/// Fails unless the fence holds, and keeps it so until the transaction ends.
pub(super) async fn hold(tx: &mut Tx, fence: &Fence) -> Result<()> {
    let held = sqlx::query(
        "UPDATE router SET epoch = epoch
         WHERE id = $1 AND owner = $2 AND epoch = $3 AND enabled",
    )
    .bind(fence.router.0)
    .bind(fence.watcher.to_string())
    .bind(fence.epoch.0)
    .execute(tx.conn())
    .await?;
    answer(held.rows_affected() == 1, fence)
}

fn answer(holds: bool, fence: &Fence) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(StoreError::NotOwner(fence.router).into())
    }
}
