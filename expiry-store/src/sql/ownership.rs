//! Which watcher serves which router.

use expiry_core::{Fence, Heartbeat, Ownership, StoreError, WatcherId};

use super::{Tx, brake, routers, share, signal};
use crate::{
    error::Result,
    row::{RouterRow, span},
    seal::Sealer,
};

/// A watcher silent for so long is forgotten, in microseconds.
const FORGOTTEN_AFTER: i64 = 24 * 3_600_000_000;

pub(super) async fn own(tx: &mut Tx, keys: &Sealer, beat: &Heartbeat) -> Result<Vec<Ownership>> {
    note_beat(tx, beat, false).await?;
    share::forget_ended(tx).await?;
    if let (_, Some(exceeded)) = share::check(tx).await? {
        share::record(tx, exceeded).await?;
    }
    let now = tx.now;
    let watcher = beat.watcher.to_string();
    sqlx::query(
        "UPDATE router SET taken_over = taken_over OR owner IS NOT NULL, owner = $1, epoch = epoch + 1,
             claimed_at = $2
         WHERE enabled
           AND (owner IS NULL
                OR owner <> $1
                   AND NOT EXISTS (SELECT 1 FROM watcher w
                                   WHERE w.id = router.owner
                                     AND w.heartbeat_at > $2 - w.ttl_us
                                     AND w.heartbeat_at < $2 + w.ttl_us))",
    )
    .bind(&watcher)
    .bind(now)
    .execute(tx.conn())
    .await?;
    let rows: Vec<RouterRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, host, port, username, sealed, key_id, enabled, identity,
             serial, epoch, taken_over, nudged_at
         FROM router WHERE owner = $1 ORDER BY id",
    )
    .bind(&watcher)
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

pub(super) async fn stand_by(tx: &mut Tx, beat: &Heartbeat) -> Result<()> {
    note_beat(tx, beat, true).await?;
    let released =
        sqlx::query("UPDATE router SET owner = NULL, taken_over = TRUE WHERE owner = $1")
            .bind(beat.watcher.to_string())
            .execute(tx.conn())
            .await?;
    if released.rows_affected() > 0 {
        signal(tx.conn()).await?;
    }
    Ok(())
}

async fn note_beat(tx: &mut Tx, beat: &Heartbeat, braked: bool) -> Result<()> {
    let now = tx.now;
    let machine = beat.place.as_ref().map(|(machine, _)| machine.name.clone());
    sqlx::query(
        "INSERT INTO watcher (id, heartbeat_at, ttl_us, machine, braked, share_limit)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at,
             ttl_us = excluded.ttl_us, machine = excluded.machine, braked = excluded.braked,
             share_limit = excluded.share_limit",
    )
    .bind(beat.watcher.to_string())
    .bind(now)
    .bind(span(beat.ttl))
    .bind(machine)
    .bind(braked)
    .bind(beat.share_limit.map(i64::from))
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM watcher WHERE heartbeat_at < $1")
        .bind(now - FORGOTTEN_AFTER)
        .execute(tx.conn())
        .await?;
    if let Some((machine, clocks)) = &beat.place {
        brake::note_clocks(tx, machine, clocks).await?;
    }
    Ok(())
}

pub(super) async fn release(tx: &mut Tx, watcher: WatcherId) -> Result<()> {
    let watcher = watcher.to_string();
    let released =
        sqlx::query("UPDATE router SET owner = NULL, taken_over = FALSE WHERE owner = $1")
            .bind(&watcher)
            .execute(tx.conn())
            .await?;
    sqlx::query("DELETE FROM watcher WHERE id = $1")
        .bind(&watcher)
        .execute(tx.conn())
        .await?;
    if released.rows_affected() > 0 {
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Returns when the owner claimed the router, or fails unless the fence holds.
pub(super) async fn claimed_at(tx: &mut Tx, fence: &Fence) -> Result<i64> {
    let claimed_at: Option<i64> = sqlx::query_scalar(
        "SELECT claimed_at FROM router WHERE id = $1 AND owner = $2 AND epoch = $3 AND enabled",
    )
    .bind(fence.router.0)
    .bind(fence.watcher.to_string())
    .bind(fence.epoch.0)
    .fetch_optional(tx.conn())
    .await?;
    Ok(claimed_at.ok_or(StoreError::NotOwner(fence.router))?)
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
