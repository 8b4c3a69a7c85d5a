//! What the reading of a whole router shows: who has what was seen, and whose cut is owed by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use expiry_core::{
    AuditEntry, AuditKind, CutResult, Fence, Found, Known, Reconciled, Reconciliation, RouterId,
    State, TaskId, UndoKey, Want, WayIn,
};
use sqlx::QueryBuilder;

use super::{
    Db, Tx, audit, counts, cut,
    keys::{push_numbers, split},
    ownership, settle, stray, work,
};
use crate::{
    error::Result,
    row::{EnforcementRow, instant, span},
};

/// So many rows are asked for or written at once.
const CHUNK: usize = 500;

/// The next deadline in the scope of a router. The plus signs keep the planner from going through
/// all subscribers of the tenant instead of the few whose deadline is near.
pub(crate) const NEXT_DEADLINE: &str = "SELECT s.ends_at
         FROM subscriber s JOIN router r ON r.tenant_id = +s.tenant_id
         WHERE r.id = $1 AND r.enabled AND s.planned_revision < s.revision AND s.ends_at < $2
           AND (s.router_id IS NULL OR +s.router_id = r.id)
         ORDER BY s.ends_at LIMIT 1";

pub(super) async fn next_deadline(
    tx: &mut Tx,
    router: RouterId,
    within: Duration,
) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar(NEXT_DEADLINE)
        .bind(router.0)
        .bind(tx.now.saturating_add(span(within)))
        .fetch_optional(tx.conn())
        .await?)
}

pub(super) async fn known(
    tx: &mut Tx,
    router: RouterId,
    keys: &BTreeSet<UndoKey>,
) -> Result<Known> {
    let now = instant(tx.now)?;
    let mut known = Known::default();
    let (names, macs) = split(keys);
    for owner in work::owners(tx, router, &names, &macs).await? {
        if owner.is_live(now) {
            known.live.insert(owner.key);
        } else if owner.has_ended(now) {
            known.ended.insert(owner.key);
        }
    }
    for row in cut::removed(tx, router).await? {
        let of_row = row.keys()?.into_iter();
        known.ended.extend(of_row.filter(|key| keys.contains(key)));
    }
    known.ended.retain(|key| !known.live.contains(key));
    Ok(known)
}

pub(super) async fn reconciled(
    tx: &mut Tx,
    fence: &Fence,
    reconciliation: &Reconciliation,
) -> Result<Reconciled> {
    ownership::hold(tx, fence).await?;
    let router = fence.router;
    let found = owe(tx, router, &reconciliation.on, reconciliation.pace).await?;
    if reconciliation.is_partial {
        let new_strays = Vec::new();
        return Ok(Reconciled { found, new_strays });
    }
    let new_strays = stray::replace(tx, router, &reconciliation.strays).await?;
    if !new_strays.is_empty() {
        let strays = new_strays.len() as u64;
        let found = AuditEntry::general(AuditKind::StraysFound { strays });
        audit::record_on(tx, router, vec![found]).await?;
    }
    sqlx::query("UPDATE router SET reconciled_at = $2, taken_over = FALSE WHERE id = $1")
        .bind(router.0)
        .bind(tx.now)
        .execute(tx.conn())
        .await?;
    Ok(Reconciled { found, new_strays })
}

/// Owes again what is confirmed and stands for a key that nobody live has. An ended owner without
/// a row gets one.
async fn owe(
    tx: &mut Tx,
    router: RouterId,
    on: &BTreeMap<UndoKey, Option<WayIn>>,
    pace: Duration,
) -> Result<Vec<Found>> {
    if on.is_empty() {
        return Ok(Vec::new());
    }
    let at = instant(tx.now)?;
    let (names, macs) = split(on.keys());
    let mut left = on.clone();
    let mut ended = BTreeMap::new();
    for owner in work::owners(tx, router, &names, &macs).await? {
        if owner.is_live(at) {
            left.remove(&owner.key);
        } else if owner.has_ended(at)
            && let Some(way_in) = on.get(&owner.key)
        {
            let known: &mut Option<WayIn> = ended.entry(owner.subscriber.id.0).or_default();
            *known = known.or(*way_in);
        }
    }
    let mut rows = Vec::new();
    for row in rows_of_owners(tx, router, ended.keys().copied()).await? {
        if let Some(way_in) = ended.remove(&row.subscriber_id) {
            rows.push((row, way_in));
        }
    }
    for row in cut::removed(tx, router).await? {
        let keys = row.keys()?;
        let ways = keys.iter().filter_map(|key| left.get(key).copied());
        if let Some(way_in) = ways.reduce(Option::or) {
            rows.push((row, way_in));
        }
    }
    let mut found = Vec::new();
    let mut again = Vec::new();
    let mut returns = Vec::new();
    for (mut row, way_in) in rows {
        let before = row.progress()?;
        if before.state != State::Confirmed || row.task_ref()?.want != Want::Cut {
            continue;
        }
        let after = before.found_again(way_in, pace, at);
        if let Some(kind) = AuditKind::of_return(&before, &after, way_in) {
            returns.push(row.audited(kind)?);
        }
        row.set_progress(&after);
        again.push((row, way_in));
    }
    write_again(tx, &again).await?;
    let returned = again.iter().map(|_| CutResult::Returned);
    counts::count_cuts(tx, router, returned).await?;
    let mut made = Vec::new();
    cut::plan_missing(tx, ended.keys().copied(), router).await?;
    for mut row in rows_of_owners(tx, router, ended.keys().copied()).await? {
        let mut progress = row.progress()?;
        let way_in = ended.get(&row.subscriber_id).copied().flatten();
        progress.online = way_in.is_some();
        progress.way_in = way_in;
        row.set_progress(&progress);
        returns.push(row.audited(AuditKind::CameBack { way_in })?);
        made.push((row, way_in));
    }
    audit::record_on(tx, router, returns).await?;
    for rows in made.chunks(CHUNK) {
        let rows: Vec<_> = rows.iter().map(|(row, _)| row).collect();
        settle::write_rows(tx, &rows, None).await?;
    }
    for (row, way_in) in again.iter().chain(&made) {
        found.push(Found {
            task: TaskId(row.id),
            username: row.username()?,
            cannot_hold: row.progress()?.cannot_hold(),
            way_in: *way_in,
        });
    }
    Ok(found)
}

/// Writes rows that are owed again. What ended long ago comes after what ends now.
async fn write_again(tx: &mut Tx, rows: &[(EnforcementRow, Option<WayIn>)]) -> Result<()> {
    let overdue = tx.now - cut::BACKLOG_AFTER;
    for rows in rows.chunks(CHUNK) {
        let all: Vec<_> = rows.iter().map(|(row, _)| row).collect();
        settle::write_rows(tx, &all, None).await?;
        let mut query =
            QueryBuilder::<Db>::new("UPDATE enforcement SET backlog = TRUE WHERE due_at < ");
        query.push_bind(overdue).push(" AND id IN ");
        push_numbers(&mut query, all.iter().map(|row| row.id));
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Reads what stands for some subscribers on a router.
async fn rows_of_owners(
    tx: &mut Tx,
    router: RouterId,
    subscribers: impl Iterator<Item = i64>,
) -> Result<Vec<EnforcementRow>> {
    let subscribers: Vec<_> = subscribers.collect();
    let mut rows = Vec::new();
    for chunk in subscribers.chunks(CHUNK) {
        let mut query = work::rows_query(router);
        query.push(" AND device = '' AND subscriber_id IN ");
        push_numbers(&mut query, chunk.iter().copied());
        let found: Vec<EnforcementRow> = query.build_query_as().fetch_all(tx.conn()).await?;
        rows.extend(found);
    }
    Ok(rows)
}
