//! All that is known of a name, and what comes next: reads for people.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{
    Explained, ExplainedRouter, ExplainedTarget, ExplainedUndo, Explanation, RouterId, Subscriber,
    TaskId, TenantId, UndoKey, Upcoming, Username, WatcherId, WatcherStatus, undo_keys,
};
use sqlx::{FromRow, QueryBuilder};

use super::{
    Db, Tx, audit, brake,
    keys::{push_keys, push_numbers},
    status, subscribers,
};
use crate::{
    error::Result,
    row::{Cell, EnforcementRow, SubscriberRow, UndoRow, instant, tenant_number, watcher_id},
};

/// So many keys are asked for at once.
const CHUNK: usize = 1000;

/// Reads the next deadlines ahead, up to `until`.
pub(super) async fn upcoming(tx: &mut Tx, until: i64, limit: u32) -> Result<Vec<Upcoming>> {
    let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "SELECT s.id, s.username, t.slug, s.ends_at
         FROM subscriber s JOIN tenant t ON t.id = s.tenant_id
         WHERE s.planned_revision < s.revision AND s.ends_at > $1 AND s.ends_at <= $2
         ORDER BY s.ends_at, s.id LIMIT $3",
    )
    .bind(tx.now)
    .bind(until)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await?;
    let upcoming = rows.into_iter().map(|(id, username, tenant, ends_at)| {
        let cell = |column| Cell {
            table: "subscriber",
            column,
            key: id,
        };
        Ok(Upcoming {
            subscriber: expiry_core::SubscriberId(id),
            username: cell("username").parse(&username)?,
            tenant: status::slug(tenant),
            ends_at: cell("ends_at").time(ends_at)?,
        })
    });
    upcoming.collect()
}

pub(super) async fn explain(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    username: &Username,
    events: u32,
) -> Result<Explanation> {
    let watchers = status::watchers(tx).await?;
    let mut explained = Vec::new();
    for (subscriber, removed_at) in named(tx, tenant, username).await? {
        let routers = routers(tx, &subscriber, &watchers).await?;
        explained.push(Explained {
            events: audit::latest_of(tx, subscriber.id, events).await?,
            removed_at: removed_at.map(instant).transpose()?,
            routers,
            subscriber,
        });
    }
    Ok(Explanation {
        now: instant(tx.now)?,
        brakes: brake::brakes(tx).await?,
        watchers,
        subscribers: explained,
        former: audit::latest_of_former(tx, tenant, username, events).await?,
    })
}

#[derive(FromRow)]
struct Removed {
    #[sqlx(flatten)]
    subscriber: SubscriberRow,
    removed_at: i64,
}

/// Finds who has a name, and removed subscribers who had it, the latest first.
async fn named(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    username: &Username,
) -> Result<Vec<(Subscriber, Option<i64>)>> {
    let mut found = Vec::new();
    if let Some(subscriber) = subscribers::find(tx, tenant, username).await? {
        found.push((subscriber, None));
    }
    let removed: Vec<Removed> = sqlx::query_as(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs,
             removed_at
         FROM subscriber WHERE removed_at IS NOT NULL AND tenant_id = $1 AND username = $2
         ORDER BY removed_at DESC, id DESC",
    )
    .bind(tenant_number(tenant))
    .bind(username.as_str())
    .fetch_all(tx.conn())
    .await?;
    for row in removed {
        found.push((row.subscriber.try_into()?, Some(row.removed_at)));
    }
    Ok(found)
}

#[derive(FromRow)]
struct RouterRow {
    id: i64,
    name: String,
    enabled: bool,
    owner: Option<String>,
    down_since: Option<i64>,
    attempted_at: Option<i64>,
    last_error: Option<String>,
}

impl RouterRow {
    fn explained(self, in_scope: bool, alive: &BTreeSet<WatcherId>) -> Result<ExplainedRouter> {
        let cell = |column| Cell {
            table: "router",
            column,
            key: self.id,
        };
        let owner = self.owner.as_deref().map(|id| watcher_id("router", id));
        Ok(ExplainedRouter {
            id: RouterId(self.id),
            in_scope,
            enabled: self.enabled,
            owner: owner.transpose()?.filter(|owner| alive.contains(owner)),
            down_since: cell("down_since").maybe_time(self.down_since)?,
            attempted_at: cell("attempted_at").maybe_time(self.attempted_at)?,
            last_error: self.last_error,
            name: self.name,
            targets: Vec::new(),
            undo: Vec::new(),
        })
    }
}

async fn routers(
    tx: &mut Tx,
    of: &Subscriber,
    watchers: &[WatcherStatus],
) -> Result<Vec<ExplainedRouter>> {
    let alive = watchers.iter().filter(|watcher| watcher.alive);
    let alive: BTreeSet<_> = alive.map(|watcher| watcher.id).collect();
    let rows: Vec<RouterRow> = sqlx::query_as(
        "SELECT id, name, enabled, owner, down_since, attempted_at, last_error
         FROM router WHERE tenant_id = $1 ORDER BY name",
    )
    .bind(tenant_number(of.tenant))
    .fetch_all(tx.conn())
    .await?;
    let (mut targets, keys) = targets(tx, of).await?;
    let mut undo = undo(tx, rows.iter().map(|row| row.id), &keys).await?;
    let mut routers = Vec::new();
    for row in rows {
        let id = row.id;
        let covered = of.router.is_none_or(|router| router.0 == id);
        let targets = targets.remove(&id).unwrap_or_default();
        let undo = undo.remove(&id).unwrap_or_default();
        if covered || !targets.is_empty() || !undo.is_empty() {
            let in_scope = covered && row.enabled;
            routers.push(ExplainedRouter {
                targets,
                undo,
                ..row.explained(in_scope, &alive)?
            });
        }
    }
    Ok(routers)
}

#[derive(FromRow)]
struct TargetRow {
    #[sqlx(flatten)]
    row: EnforcementRow,
    router_id: i64,
    attempted_at: Option<i64>,
}

/// Reads what stands for a subscriber, by router, and all keys that it may have disabled rows
/// under.
async fn targets(
    tx: &mut Tx,
    of: &Subscriber,
) -> Result<(BTreeMap<i64, Vec<ExplainedTarget>>, BTreeSet<UndoKey>)> {
    let rows: Vec<TargetRow> = sqlx::query_as(
        "SELECT id, subscriber_id, device, want, revision, username, macs, due_at, known_late_at, backlog, state,
             attempts, next_at, looks, returns, way_in, confirmed_at, online, last_error, trace,
             router_id, attempted_at
         FROM enforcement WHERE subscriber_id = $1 ORDER BY device, id",
    )
    .bind(of.id.0)
    .fetch_all(tx.conn())
    .await?;
    let mut keys: BTreeSet<_> = undo_keys(Some(&of.username), &of.devices)
        .into_iter()
        .collect();
    let mut targets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for target in rows {
        keys.extend(target.row.keys()?);
        let explained = explained_target(&target)?;
        targets.entry(target.router_id).or_default().push(explained);
    }
    Ok((targets, keys))
}

fn explained_target(target: &TargetRow) -> Result<ExplainedTarget> {
    let cell = |column| Cell {
        table: "enforcement",
        column,
        key: target.row.id,
    };
    let task = target.row.task_ref()?;
    let progress = target.row.progress()?;
    Ok(ExplainedTarget {
        task: TaskId(target.row.id),
        device: target.row.removed_device()?,
        want: task.want,
        revision: task.revision,
        due_at: cell("due_at").time(target.row.due_at)?,
        known_late_at: cell("known_late_at").maybe_time(target.row.known_late_at)?,
        cannot_hold: progress.cannot_hold(),
        progress,
        attempted_at: cell("attempted_at").maybe_time(target.attempted_at)?,
    })
}

#[derive(FromRow)]
struct OpenedRow {
    #[sqlx(flatten)]
    row: UndoRow,
    router_id: i64,
    opened_at: i64,
}

/// Reads the undo rows of some keys, by router, oldest finding first.
async fn undo(
    tx: &mut Tx,
    routers: impl Iterator<Item = i64>,
    keys: &BTreeSet<UndoKey>,
) -> Result<BTreeMap<i64, Vec<ExplainedUndo>>> {
    let routers: Vec<_> = routers.collect();
    let mut undo: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for routers in routers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT id, kind, key, items, stay, undone_at, router_id, opened_at FROM undo
             WHERE router_id IN ",
        );
        push_numbers(&mut query, routers.iter().copied());
        query.push(" AND ");
        push_keys(&mut query, "(kind, key)", keys);
        query.push(" ORDER BY opened_at, id");
        let rows: Vec<OpenedRow> = query.build_query_as().fetch_all(tx.conn()).await?;
        for OpenedRow {
            row,
            router_id,
            opened_at,
        } in rows
        {
            let undone_at = row.undone_at.map(instant).transpose()?;
            undo.entry(router_id).or_default().push(ExplainedUndo {
                undo: row.undo()?,
                opened_at: instant(opened_at)?,
                undone_at,
            });
        }
    }
    Ok(undo)
}
