//! Recording outcomes, and what follows from them. All that happens when a cut is confirmed
//! happens in `Desk::record`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use expiry_core::{
    AuditEntry, AuditKind, CutResult, Fence, Outcome, Progress, Recorded, RouterId, Settled,
    Settlement, State, TaskId, UndoKey, Waited, Want,
};
use sqlx::QueryBuilder;

use super::{CHUNK, Db, Tx, audit, counts, ownership, restore, undo, work};
use crate::{
    error::Result,
    row::{EnforcementRow, instant, micros},
};

pub(super) async fn settle(
    tx: &mut Tx,
    fence: &Fence,
    settlements: &[Settlement],
) -> Result<Vec<Settled>> {
    ownership::hold(tx, fence).await?;
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let mut desk = Desk::open(tx, fence.router, settlements).await?;
    let mut answers = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        answers.push(desk.record(settlement, tx.now)?);
    }
    desk.write(tx).await?;
    restore::owe_explained(tx, Some(fence.router.0)).await?;
    Ok(answers)
}

/// The rows that a call is about, changed in memory first and written at the end.
struct Desk {
    router: RouterId,
    back_at: Option<i64>,
    rows: BTreeMap<TaskId, EnforcementRow>,
    touched: BTreeSet<TaskId>,
    undo: BTreeMap<UndoKey, undo::Standing>,
    closed: BTreeSet<UndoKey>,
    reopened: BTreeSet<UndoKey>,
    events: Vec<AuditEntry>,
    lags: Vec<(Want, Waited)>,
    cuts: Vec<CutResult>,
}

impl Desk {
    async fn open(tx: &mut Tx, router: RouterId, settlements: &[Settlement]) -> Result<Self> {
        let tasks = settlements.iter().map(|settlement| settlement.task);
        let rows = work::rows_of(tx, router, tasks).await?;
        let mut keys = BTreeSet::new();
        let restores: BTreeSet<_> = settlements
            .iter()
            .filter(|settlement| settlement.task.want == Want::Restore)
            .map(|settlement| settlement.task.id)
            .collect();
        let mut by_id = BTreeMap::new();
        for row in rows {
            let id = TaskId(row.id);
            if restores.contains(&id) {
                keys.extend(row.keys()?);
            }
            by_id.insert(id, row);
        }
        let undo = undo::read(tx, router, &keys).await?;
        let back_at = sqlx::query_scalar("SELECT back_at FROM router WHERE id = $1")
            .bind(router.0)
            .fetch_one(tx.conn())
            .await?;
        Ok(Self {
            router,
            back_at,
            rows: by_id,
            touched: BTreeSet::new(),
            undo: undo
                .into_iter()
                .map(|row| (row.undo.key.clone(), row))
                .collect(),
            closed: BTreeSet::new(),
            reopened: BTreeSet::new(),
            events: Vec::new(),
            lags: Vec::new(),
            cuts: Vec::new(),
        })
    }

    /// Records one outcome, if its task still stands.
    fn record(&mut self, settlement: &Settlement, now: i64) -> Result<Settled> {
        let task = settlement.task;
        let Some(row) = self.rows.get_mut(&task.id) else {
            return Ok(Settled::Superseded);
        };
        if row.task_ref()? != task {
            return Ok(Settled::Superseded);
        }
        let before = row.progress()?;
        let at = instant(now)?;
        let mut after = before.after(&settlement.outcome, at);
        if task.want == Want::Restore {
            let keys = row.keys()?;
            match &settlement.outcome {
                Outcome::Confirmed { .. } => {
                    let mut is_left = false;
                    for standing in keys.iter().filter_map(|key| self.undo.get(key)) {
                        let open = standing.is_open && !self.closed.contains(&standing.undo.key);
                        let done = settlement
                            .undone
                            .iter()
                            .find(|done| done.key == standing.undo.key);
                        match done {
                            Some(done) if standing.undo.is_covered_by(&done.items) => {
                                self.closed.insert(standing.undo.key.clone());
                            }
                            _ => is_left |= open,
                        }
                    }
                    if is_left {
                        after = unfinished(&before, at);
                    }
                }
                Outcome::Returned { .. } => {
                    let confirmed_at = before.confirmed_at.map(micros);
                    let is_ours = |key: &UndoKey| {
                        let standing = self.undo.get(key);
                        standing.is_some_and(|row| row.undone_at >= confirmed_at)
                    };
                    self.reopened.extend(keys.into_iter().filter(is_ours));
                }
                Outcome::Unconfirmed { .. } => {}
            }
        }
        row.set_progress(&after);
        let first = after.state == State::Confirmed && before.confirmed_at.is_none();
        let waited = first.then(|| row.waited(now, self.back_at)).transpose()?;
        self.touched.insert(task.id);
        self.cuts
            .extend(CutResult::of(task.want, &before, &settlement.outcome));
        self.lags.extend(waited.map(|waited| (task.want, waited)));
        if let Some(kind) = AuditKind::of_outcome(task.want, &before, &after, &settlement.outcome) {
            self.events.push(row.audited(kind)?.after(waited));
        }
        Ok(Settled::Recorded(Recorded {
            waited,
            progress: row.progress()?,
        }))
    }

    async fn write(self, tx: &mut Tx) -> Result<()> {
        let touched: Vec<_> = self
            .touched
            .iter()
            .filter_map(|id| self.rows.get(id))
            .collect();
        let now = Some(tx.now);
        for rows in touched.chunks(CHUNK) {
            write_rows(tx, rows, now).await?;
        }
        let closed = self.closed.iter().filter_map(|key| self.undo.get(key));
        let closed: Vec<_> = closed.map(|standing| standing.id).collect();
        undo::close(tx, &closed).await?;
        undo::reopen(tx, self.router, &self.reopened).await?;
        audit::record_on(tx, self.router, self.events).await?;
        counts::count_cuts(tx, self.router, self.cuts).await?;
        audit::count_lags(tx, self.router, self.lags).await
    }
}

/// A restore whose read-back agreed, but of which more has come to be undone meanwhile.
fn unfinished(before: &Progress, now: DateTime<Utc>) -> Progress {
    Progress {
        state: State::Owed,
        attempts: 0,
        next_attempt_at: Some(now),
        verify_at: None,
        ..before.clone()
    }
}

/// Writes how far rows have come, and when they were tried, if they were.
pub(super) async fn write_rows(
    tx: &mut Tx,
    rows: &[&EnforcementRow],
    attempted_at: Option<i64>,
) -> Result<()> {
    let mut query = QueryBuilder::<Db>::new("UPDATE enforcement SET attempted_at = COALESCE(");
    query.push_bind(attempted_at).push(
        ", attempted_at), state = v.column2, attempts = v.column3, next_at = v.column4, looks = v.column5,
           returns = v.column6, way_in = v.column7, confirmed_at = v.column8, online = v.column9,
           last_error = v.column10,
           trace = CASE WHEN v.column2 = 'confirmed' THEN NULL ELSE trace END FROM (",
    );
    query.push_values(rows, |mut values, row| {
        let columns = row.columns();
        values
            .push_bind(row.id)
            .push_bind(columns.state.to_owned())
            .push_bind(columns.attempts)
            .push_bind(columns.next_at)
            .push_bind(columns.looks)
            .push_bind(columns.returns)
            .push_bind(columns.way_in.map(ToOwned::to_owned))
            .push_bind(columns.confirmed_at)
            .push_bind(columns.online)
            .push_bind(columns.last_error.map(ToOwned::to_owned));
    });
    query.push(") AS v WHERE enforcement.id = v.column1");
    query.build().execute(tx.conn()).await?;
    Ok(())
}
