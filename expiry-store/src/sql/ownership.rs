//! Which watcher serves which router.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{
    AuditEntry, AuditKind, Fence, Heartbeat, Ownership, RouterId, StoreError, WatcherId,
};
use sqlx::QueryBuilder;

use super::{
    Db, Tx, audit, brake,
    keys::{push_numbers, push_texts},
    secrets, share, signal, watch,
};
use crate::{
    error::Result,
    row::{RouterRow, span, tenant_id, watcher_id},
    seal::Sealer,
};

/// A watcher silent for so long is forgotten, in microseconds.
const FORGOTTEN_AFTER: i64 = 24 * 3_600_000_000;

pub(super) async fn own(tx: &mut Tx, sealer: &Sealer, beat: &Heartbeat) -> Result<Vec<Ownership>> {
    let gap = watch::gap(tx, beat.kind).await?;
    let keys = sealer.look();
    let ids = keys.ids();
    let key = ids.last().map(|id| (*id, keys.are_kept()));
    note_beat(tx, beat, false, key).await?;
    share::forget_ended(tx).await?;
    if let (_, Some(exceeded)) = share::check(tx).await? {
        share::record(tx, exceeded).await?;
    }
    claim(tx, beat.watcher, &ids).await?;
    watch::mark_unseen(tx, gap).await?;
    let mut rows: Vec<RouterRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, host, port, username, sealed, key_id, enabled, identity,
             serial, epoch, taken_over, nudged_at
         FROM router WHERE owner = $1 ORDER BY id",
    )
    .bind(beat.watcher.to_string())
    .fetch_all(tx.conn())
    .await?;
    if rows.iter().any(|row| !opens(&ids, &row.key_id)) {
        let yielded = yield_shut(tx, beat.watcher, &ids).await?;
        rows.retain(|row| !yielded.contains(&row.id));
    }
    // One router that cannot be read must not cost the others their watcher.
    let owned = rows.iter().filter_map(|row| {
        let readable = row.router().and_then(|router| {
            Ok(Ownership {
                router,
                password: secrets::password(row, &keys),
                epoch: row.epoch(),
                taken_over: row.taken_over,
                nudged_at: row.nudged_at()?,
            })
        });
        match readable {
            Ok(ownership) => Some(ownership),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, router = row.name, "a router cannot be served");
                None
            }
        }
    });
    Ok(owned.collect())
}

pub(super) async fn stand_by(tx: &mut Tx, beat: &Heartbeat) -> Result<()> {
    let gap = watch::gap(tx, beat.kind).await?;
    note_beat(tx, beat, true, None).await?;
    if let_go(tx, beat.watcher, true).await? {
        signal(tx.conn()).await?;
    }
    watch::mark_unseen(tx, gap).await
}

/// Takes a router away from its owner, who is done with it, if the fence holds.
pub(super) async fn let_go_of(tx: &mut Tx, fence: &Fence) -> Result<()> {
    let released = sqlx::query_as(
        "UPDATE router SET owner = NULL
         WHERE id = $1 AND owner = $2 AND epoch = $3
         RETURNING id, tenant_id, name",
    )
    .bind(fence.router.0)
    .bind(fence.watcher.to_string())
    .bind(fence.epoch.0)
    .fetch_all(tx.conn())
    .await?;
    if note_released(tx, fence.watcher, released).await? {
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Notes the heartbeat, with a key that the watcher has and whether a file holds it.
async fn note_beat(
    tx: &mut Tx,
    beat: &Heartbeat,
    braked: bool,
    key: Option<(&str, bool)>,
) -> Result<()> {
    let now = tx.now;
    let machine = beat.place.as_ref().map(|(machine, _)| machine.name.clone());
    sqlx::query(
        "INSERT INTO watcher (id, heartbeat_at, ttl_us, machine, braked, share_limit, interval_us,
             kind, key_id, key_kept)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at,
             ttl_us = excluded.ttl_us, machine = excluded.machine, braked = excluded.braked,
             share_limit = excluded.share_limit, interval_us = excluded.interval_us,
             kind = excluded.kind, key_id = COALESCE(excluded.key_id, watcher.key_id),
             key_kept = COALESCE(excluded.key_kept, watcher.key_kept)",
    )
    .bind(beat.watcher.to_string())
    .bind(now)
    .bind(span(beat.ttl))
    .bind(machine)
    .bind(braked)
    .bind(beat.share_limit.map(i64::from))
    .bind(beat.interval.map(span))
    .bind(beat.kind.as_str())
    .bind(key.map(|(id, _)| id))
    .bind(key.map(|(_, kept)| kept))
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

/// Takes the routers of nobody, and those whose owner fell silent, but for those whose password does
/// not open here and does elsewhere. The caller keeps other claims out.
async fn claim(tx: &mut Tx, watcher: WatcherId, keys: &[&str]) -> Result<()> {
    let (id, now) = (watcher.to_string(), tx.now);
    let mut query =
        QueryBuilder::<Db>::new("SELECT id, owner FROM router WHERE enabled AND (owner");
    query.push(" IS NULL OR owner <> ").push_bind(id.clone());
    query.push(" AND NOT EXISTS (SELECT 1 FROM watcher w WHERE w.id = router.owner AND ");
    push_alive(&mut query, now);
    query.push(")) AND (NOT ");
    push_shut(&mut query, keys);
    query.push(" OR NOT ");
    push_held_elsewhere(&mut query, &id, now);
    query.push(")");
    let free: Vec<(i64, Option<String>)> = query.build_query_as().fetch_all(tx.conn()).await?;
    if free.is_empty() {
        return Ok(());
    }
    let owners: BTreeMap<_, _> = free.into_iter().collect();
    let mut query = QueryBuilder::<Db>::new(
        "UPDATE router SET taken_over = taken_over OR owner IS NOT NULL, epoch = CASE WHEN epoch < ",
    );
    query
        .push_bind(now)
        .push(" THEN ")
        .push_bind(now)
        .push(" ELSE epoch + 1 END, owner = ")
        .push_bind(id)
        .push(", claimed_at = ")
        .push_bind(now)
        .push(" WHERE enabled AND id IN ");
    push_numbers(&mut query, owners.keys().copied());
    query.push(" RETURNING id, tenant_id, name");
    let claimed: Vec<(i64, i64, String)> = query.build_query_as().fetch_all(tx.conn()).await?;
    let mut entries = Vec::with_capacity(claimed.len());
    for (router, tenant, name) in claimed {
        let before = owners.get(&router).and_then(Option::as_ref);
        let taken_over_from = before.map(|owner| watcher_id("router", owner));
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

/// Lets go of the routers whose password does not open here and does elsewhere. A lane may still write
/// to them: to whoever has them next they are taken over.
async fn yield_shut(tx: &mut Tx, watcher: WatcherId, keys: &[&str]) -> Result<BTreeSet<i64>> {
    let (id, now) = (watcher.to_string(), tx.now);
    let mut query = QueryBuilder::<Db>::new("UPDATE router SET owner = NULL, taken_over = TRUE");
    query
        .push(" WHERE owner = ")
        .push_bind(id.clone())
        .push(" AND ");
    push_shut(&mut query, keys);
    query.push(" AND ");
    push_held_elsewhere(&mut query, &id, now);
    query.push(" RETURNING id, tenant_id, name");
    let yielded: Vec<(i64, i64, String)> = query.build_query_as().fetch_all(tx.conn()).await?;
    let ids = yielded.iter().map(|(id, ..)| *id).collect();
    if note_released(tx, watcher, yielded).await? {
        signal(tx.conn()).await?;
    }
    Ok(ids)
}

/// Tells whether one of these keys opens what the key of this id sealed. What was forgotten opens with
/// none and is anybody's.
fn opens(keys: &[&str], key_id: &str) -> bool {
    key_id.is_empty() || keys.contains(&key_id)
}

/// Adds the condition that none of these keys opens the password of a router: not [`opens`].
fn push_shut(query: &mut QueryBuilder<Db>, keys: &[&str]) {
    query.push("router.key_id NOT IN ");
    push_texts(query, keys.iter().copied().chain([""]).map(str::to_owned));
}

/// Adds the condition that another watcher, who may cut, has the key to the password of a router.
fn push_held_elsewhere(query: &mut QueryBuilder<Db>, watcher: &str, now: i64) {
    query.push("EXISTS (SELECT 1 FROM watcher w WHERE w.key_id = router.key_id AND w.id <> ");
    query.push_bind(watcher.to_owned());
    query.push(" AND NOT w.braked AND ");
    push_alive(query, now);
    query.push(")");
}

/// Adds the condition that others respect what the watcher `w` owns.
fn push_alive(query: &mut QueryBuilder<Db>, now: i64) {
    query.push("w.heartbeat_at > ").push_bind(now);
    query
        .push(" - w.ttl_us AND w.heartbeat_at < ")
        .push_bind(now);
    query.push(" + w.ttl_us");
}

pub(super) async fn release(tx: &mut Tx, watcher: WatcherId) -> Result<()> {
    let released = let_go(tx, watcher, false).await?;
    watch::note_leaving(tx, watcher).await?;
    if !keep_check(tx, watcher).await? {
        sqlx::query("DELETE FROM watcher WHERE id = $1")
            .bind(watcher.to_string())
            .execute(tx.conn())
            .await?;
    }
    if released {
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Keeps the last check of a machine where it said how often one comes: that tells whether it still
/// does. It is respected no longer.
async fn keep_check(tx: &mut Tx, watcher: WatcherId) -> Result<bool> {
    let id = watcher.to_string();
    let kept = sqlx::query(
        "UPDATE watcher SET ttl_us = 0
         WHERE id = $1 AND kind = 'check' AND interval_us IS NOT NULL",
    )
    .bind(&id)
    .execute(tx.conn())
    .await?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "DELETE FROM watcher WHERE id <> $1 AND kind = 'check' AND ttl_us = 0
             AND COALESCE(machine, '')
                 = COALESCE((SELECT of.machine FROM watcher of WHERE of.id = $1), '')",
    )
    .bind(&id)
    .execute(tx.conn())
    .await?;
    Ok(true)
}

/// Takes its routers away from a watcher, who may still write to them, and tells whether it had any.
async fn let_go(tx: &mut Tx, watcher: WatcherId, may_write: bool) -> Result<bool> {
    let released = sqlx::query_as(
        "UPDATE router SET owner = NULL, taken_over = taken_over OR $2 WHERE owner = $1
         RETURNING id, tenant_id, name",
    )
    .bind(watcher.to_string())
    .bind(may_write)
    .fetch_all(tx.conn())
    .await?;
    note_released(tx, watcher, released).await
}

/// Notes who was let go of, by id, tenant and name; tells whether anybody was.
async fn note_released(
    tx: &mut Tx,
    watcher: WatcherId,
    released: Vec<(i64, i64, String)>,
) -> Result<bool> {
    let entries = released.into_iter().map(|(router, tenant, name)| {
        let kind = AuditKind::RouterReleased { watcher };
        AuditEntry::on(tenant_id(tenant), RouterId(router), name, kind)
    });
    let entries: Vec<_> = entries.collect();
    audit::record(tx, &entries).await?;
    Ok(!entries.is_empty())
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
