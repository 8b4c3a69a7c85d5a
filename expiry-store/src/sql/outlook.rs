//! Everything that is due, whoever owns the routers.

use std::collections::BTreeMap;

use expiry_core::{Outlook, Progress, RouterId, State, Subscriber, Task, TaskId, Trace, Want};
use sqlx::FromRow;

use super::{Tx, cut::BACKLOG_AFTER, status, work};
use crate::{
    error::Result,
    row::{EnforcementRow, SubscriberRow, instant, micros},
};

#[derive(FromRow)]
struct OwedRow {
    router_id: i64,
    #[sqlx(flatten)]
    row: EnforcementRow,
}

#[derive(FromRow)]
struct UnplannedRow {
    at: i64,
    #[sqlx(flatten)]
    subscriber: SubscriberRow,
}

pub(super) async fn outlook(tx: &mut Tx) -> Result<Outlook> {
    let mut by_router: BTreeMap<RouterId, Vec<Task>> = BTreeMap::new();
    for OwedRow { router_id, row } in owed(tx).await? {
        let tasks = by_router.entry(RouterId(router_id)).or_default();
        tasks.push(row.task()?);
    }
    for UnplannedRow { at, subscriber } in unplanned(tx).await? {
        let task = task_of(tx, Subscriber::try_from(subscriber)?)?;
        by_router.entry(RouterId(at)).or_default().push(task);
    }
    let mut all = Vec::new();
    for (router, mut tasks) in by_router {
        tasks.sort_by_key(|task| (turn_of(task), task.due_at, task.id));
        work::attach_undo(tx, router, &mut tasks).await?;
        all.extend(tasks.into_iter().map(|task| (router, task)));
    }
    let next_deadline = status::next_deadline(tx).await?;
    Ok(Outlook {
        now: instant(tx.now)?,
        tasks: all,
        next_deadline: next_deadline.map(instant).transpose()?,
    })
}

async fn owed(tx: &mut Tx) -> Result<Vec<OwedRow>> {
    let rows = sqlx::query_as(
        "SELECT e.router_id, e.id, e.subscriber_id, e.device, e.want, e.revision, e.username,
             e.macs, e.due_at, e.known_late_at, e.backlog, e.state, e.attempts, e.next_at, e.looks, e.returns,
             e.way_in, e.confirmed_at, e.online, e.last_error, e.trace
         FROM enforcement e JOIN router r ON r.id = e.router_id AND r.enabled
         WHERE e.state = 'owed' AND e.due_at <= $1
           AND (e.want = 'restore' OR e.detached
                OR EXISTS (SELECT 1 FROM subscriber s
                           WHERE s.id = e.subscriber_id AND s.ends_at <= $1))",
    )
    .bind(tx.now)
    .fetch_all(tx.conn());
    Ok(rows.await?)
}

async fn unplanned(tx: &mut Tx) -> Result<Vec<UnplannedRow>> {
    let rows = sqlx::query_as(
        "SELECT r.id AS at, s.id, s.tenant_id, s.username, s.service, s.access, s.ends_at,
             s.revision, s.router_id, s.macs
         FROM subscriber s
         JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
              AND (s.router_id IS NULL OR s.router_id = r.id)
         WHERE s.planned_revision < s.revision AND s.ends_at <= $1",
    )
    .bind(tx.now)
    .fetch_all(tx.conn());
    Ok(rows.await?)
}

/// The cut that planning would make.
fn task_of(tx: &Tx, subscriber: Subscriber) -> Result<Task> {
    let now = instant(tx.now)?;
    let due_at = subscriber.access.end().unwrap_or(now);
    Ok(Task {
        id: TaskId(0),
        want: Want::Cut,
        revision: subscriber.revision,
        username: Some(subscriber.username),
        macs: subscriber.devices,
        due_at,
        backlog: micros(due_at) < tx.now - BACKLOG_AFTER,
        progress: Progress::owed(now),
        trace: Trace::default(),
        undo: Vec::new(),
    })
}

/// Restores first, then fresh cuts, then backlog.
fn turn_of(task: &Task) -> u8 {
    match (task.want, task.progress.state) {
        (Want::Restore, _) => 0,
        (Want::Cut, State::Owed) if task.backlog => 2,
        (Want::Cut, State::Owed | State::Confirmed) => 1,
    }
}
