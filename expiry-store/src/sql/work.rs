//! What a router's owner has to do, and what it must not touch.

use std::collections::BTreeSet;

use expiry_core::{
    Access, Fence, Live, MacAddr, RouterId, State, StoreError, Subscriber, Task, TaskRef, Undo,
    UndoKey, Username, Want, Work, undo_keys,
};
use sqlx::QueryBuilder;

use super::{
    Db, Tx,
    cut::BACKLOG_AFTER,
    keys::{push_numbers, push_texts},
    ownership,
    share::{self, Exceeded},
    undo,
};
use crate::{
    error::Result,
    row::{EnforcementRow, SubscriberRow, instant, micros},
};

pub(crate) const READY: &str =
    "SELECT id, subscriber_id, device, want, revision, username, macs, due_at, known_late_at, backlog, state,
             attempts, next_at, looks, returns, way_in, confirmed_at, online, last_error,
             trace
         FROM enforcement
         WHERE id IN (SELECT id FROM (
                 SELECT id FROM enforcement
                 WHERE router_id = $1 AND want = 'restore' AND next_at <= $2 AND state = 'owed'
                 ORDER BY backlog, due_at, id LIMIT $3) AS restores
             UNION ALL SELECT id FROM (
                 SELECT id FROM enforcement
                 WHERE router_id = $1 AND want = 'cut' AND NOT backlog AND due_at >= $5
                   AND next_at <= $2 AND state = 'owed'
                   AND (detached
                        OR EXISTS (SELECT 1 FROM subscriber s
                                   WHERE s.id = enforcement.subscriber_id AND s.ends_at <= $2))
                 ORDER BY due_at, id LIMIT $3) AS fresh
             UNION ALL SELECT id FROM (
                 SELECT id FROM enforcement
                 WHERE router_id = $1 AND next_at <= $2 AND state = 'confirmed'
                 ORDER BY next_at, id LIMIT $3) AS looks
             UNION ALL SELECT id FROM (
                 SELECT id FROM enforcement
                 WHERE router_id = $1 AND want = 'cut' AND backlog AND next_at <= $2
                   AND state = 'owed'
                   AND (detached
                        OR EXISTS (SELECT 1 FROM subscriber s
                                   WHERE s.id = enforcement.subscriber_id AND s.ends_at <= $2))
                 ORDER BY due_at, id LIMIT $4) AS late
             UNION ALL SELECT id FROM (
                 SELECT id FROM enforcement
                 WHERE router_id = $1 AND want = 'cut' AND NOT backlog AND due_at < $5
                   AND next_at <= $2 AND state = 'owed'
                   AND (detached
                        OR EXISTS (SELECT 1 FROM subscriber s
                                   WHERE s.id = enforcement.subscriber_id AND s.ends_at <= $2))
                 ORDER BY due_at, id LIMIT $4) AS unseen)
         ORDER BY CASE WHEN state = 'confirmed' THEN 2 WHEN want = 'restore' THEN 0
                       WHEN backlog OR due_at < $5 THEN 3 ELSE 1 END, due_at, id
         LIMIT $3";

pub(crate) const NEXT_AT: &str =
    "SELECT next_at FROM enforcement WHERE router_id = $1 AND next_at > $2
         ORDER BY next_at LIMIT 1";

/// Returns the work, and what is to be recorded if the limit of changes was found exceeded.
pub(super) async fn work(
    tx: &mut Tx,
    fence: &Fence,
    limit: u32,
    backlog: u32,
) -> Result<(Work, Option<Exceeded>)> {
    // What was due long before its owner claimed the router was not seen in time by anybody.
    let seen_since = ownership::claimed_at(tx, fence).await? - BACKLOG_AFTER;
    let (braked, exceeded) = share::check(tx).await?;
    let limit = if braked { 0 } else { limit };
    let rows: Vec<EnforcementRow> = sqlx::query_as(READY)
        .bind(fence.router.0)
        .bind(tx.now)
        .bind(i64::from(limit))
        .bind(i64::from(backlog.min(limit)))
        .bind(seen_since)
        .fetch_all(tx.conn())
        .await?;
    let mut tasks = Vec::with_capacity(rows.len());
    let mut backlog_left = backlog;
    for row in &rows {
        let mut task = row.task()?;
        let is_owed_cut = task.want == Want::Cut && task.progress.state == State::Owed;
        task.backlog |= is_owed_cut && row.due_at < seen_since;
        if is_owed_cut && task.backlog {
            let Some(left) = backlog_left.checked_sub(1) else {
                break;
            };
            backlog_left = left;
        }
        tasks.push(task);
    }
    attach_undo(tx, fence.router, &mut tasks).await?;
    let next_at: Option<i64> = sqlx::query_scalar(NEXT_AT)
        .bind(fence.router.0)
        .bind(tx.now)
        .fetch_optional(tx.conn())
        .await?;
    // What was read before an outage is old.
    let reconciled_at: Option<Option<i64>> = sqlx::query_scalar(
        "SELECT reconciled_at FROM router
         WHERE id = $1 AND (back_at IS NULL OR back_at <= reconciled_at)",
    )
    .bind(fence.router.0)
    .fetch_optional(tx.conn())
    .await?;
    let work = Work {
        now: instant(tx.now)?,
        tasks,
        next_at: next_at.map(instant).transpose()?,
        reconciled_at: reconciled_at.flatten().map(instant).transpose()?,
    };
    Ok((work, exceeded))
}

pub(super) async fn attach_undo(tx: &mut Tx, router: RouterId, tasks: &mut [Task]) -> Result<()> {
    let restores = tasks.iter().filter(|task| task.want == Want::Restore);
    let keys = restores.flat_map(keys_of_task).collect();
    let rows = undo::read(tx, router, &keys).await?;
    for task in tasks.iter_mut().filter(|task| task.want == Want::Restore) {
        let keys = keys_of_task(task);
        let closed_too = task.progress.state == State::Confirmed;
        let confirmed_at = task.progress.confirmed_at.map(micros);
        task.undo = rows
            .iter()
            .filter(|row| row.is_open || closed_too && row.undone_at >= confirmed_at)
            .filter(|row| keys.contains(&row.undo.key))
            .map(|row| row.undo.clone())
            .collect::<Vec<Undo>>();
    }
    Ok(())
}

fn keys_of_task(task: &Task) -> Vec<UndoKey> {
    undo_keys(task.username.as_ref(), &task.macs)
}

pub(super) async fn standing(
    tx: &mut Tx,
    fence: &Fence,
    tasks: &[TaskRef],
) -> Result<BTreeSet<TaskRef>> {
    ownership::check(tx, fence).await?;
    if tasks.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = rows_of(tx, fence.router, tasks.iter().copied()).await?;
    let refs = rows.iter().map(EnforcementRow::task_ref);
    let current = refs.collect::<std::result::Result<BTreeSet<_>, StoreError>>()?;
    let standing = tasks.iter().filter(|task| current.contains(task)).copied();
    Ok(standing.collect())
}

/// Reads the rows of tasks that are on the router, in whatever revision they are.
pub(super) async fn rows_of(
    tx: &mut Tx,
    router: RouterId,
    tasks: impl IntoIterator<Item = TaskRef>,
) -> Result<Vec<EnforcementRow>> {
    let mut query = rows_query(router);
    query.push(" AND id IN ");
    push_numbers(&mut query, tasks.into_iter().map(|task| task.id.0));
    Ok(query.build_query_as().fetch_all(tx.conn()).await?)
}

/// Begins to select rows on a router.
pub(super) fn rows_query(router: RouterId) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(
        "SELECT id, subscriber_id, device, want, revision, username, macs, due_at, known_late_at, backlog, state,
             attempts, next_at, looks, returns, way_in, confirmed_at, online, last_error,
             trace
         FROM enforcement WHERE router_id = ",
    );
    query.push_bind(router.0);
    query
}

/// Who has a key, within the scope of a router.
pub(super) struct Owner {
    pub(super) key: UndoKey,
    pub(super) subscriber: Subscriber,
}

impl Owner {
    pub(super) fn is_live(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.subscriber.access.is_live(now)
    }

    pub(super) fn has_ended(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.subscriber.access != Access::None && !self.is_live(now)
    }
}

/// So many keys are asked for at once.
const CHUNK: usize = 1000;

pub(super) async fn owners(
    tx: &mut Tx,
    router: RouterId,
    names: &BTreeSet<Username>,
    macs: &BTreeSet<MacAddr>,
) -> Result<Vec<Owner>> {
    let mut owners = Vec::new();
    let names: Vec<_> = names.iter().collect();
    for chunk in names.chunks(CHUNK) {
        let mut query = owner_query(
            router,
            " JOIN subscriber s ON s.tenant_id = r.tenant_id AND s.removed_at IS NULL
                  AND s.username IN ",
        );
        push_texts(&mut query, chunk.iter().map(ToString::to_string));
        for subscriber in fetch_owners(tx, query).await? {
            let key = UndoKey::Name(subscriber.username.clone());
            owners.push(Owner { key, subscriber });
        }
    }
    let macs: Vec<_> = macs.iter().collect();
    for chunk in macs.chunks(CHUNK) {
        let mut query = owner_query(
            router,
            " JOIN device d ON d.tenant_id = r.tenant_id
              JOIN subscriber s ON s.id = d.subscriber_id AND d.mac IN ",
        );
        push_texts(&mut query, chunk.iter().map(ToString::to_string));
        for subscriber in fetch_owners(tx, query).await? {
            let devices = subscriber.devices.iter();
            for mac in devices.filter(|mac| chunk.binary_search(mac).is_ok()) {
                owners.push(Owner {
                    key: UndoKey::Mac(*mac),
                    subscriber: subscriber.clone(),
                });
            }
        }
    }
    Ok(owners)
}

fn owner_query(router: RouterId, join: &str) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(
        "SELECT DISTINCT s.id, s.tenant_id, s.username, s.service, s.access, s.ends_at, s.revision,
             s.router_id, s.macs
         FROM (SELECT id, tenant_id FROM router WHERE id = ",
    );
    query.push_bind(router.0).push(") AS r").push(join);
    query
}

async fn fetch_owners(tx: &mut Tx, mut query: QueryBuilder<Db>) -> Result<Vec<Subscriber>> {
    query.push(" WHERE s.router_id IS NULL OR s.router_id = r.id");
    let rows: Vec<SubscriberRow> = query.build_query_as().fetch_all(tx.conn()).await?;
    let subscribers = rows.into_iter().map(Subscriber::try_from);
    Ok(subscribers.collect::<std::result::Result<_, _>>()?)
}

pub(super) async fn live(
    tx: &mut Tx,
    router: RouterId,
    names: &BTreeSet<Username>,
    macs: &BTreeSet<MacAddr>,
) -> Result<Live> {
    let now = instant(tx.now)?;
    let mut live = Live::default();
    for owner in owners(tx, router, names, macs).await? {
        if owner.is_live(now) {
            match owner.key {
                UndoKey::Name(name) => live.names.insert(name),
                UndoKey::Mac(mac) => live.macs.insert(mac),
            };
        }
    }
    Ok(live)
}
