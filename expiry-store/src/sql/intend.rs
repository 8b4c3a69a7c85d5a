use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{AuditKind, Fence, Intent, RouterId, TaskRef, Trace, UndoItem, UndoKey};
use sqlx::QueryBuilder;

use super::{Db, Tx, audit, keys::push_numbers, ownership, undo, work};
use crate::{
    error::Result,
    row::{EnforcementRow, trace_json},
};

/// Commits what is about to be written. The router's row is held, and changes of access are kept
/// out, so a task that stands here stands until the commit.
pub(super) async fn intend(
    tx: &mut Tx,
    fence: &Fence,
    intents: &[Intent],
) -> Result<BTreeSet<TaskRef>> {
    ownership::hold(tx, fence).await?;
    if intents.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = work::rows_of(tx, fence.router, intents.iter().map(|intent| intent.task)).await?;
    let mut current = BTreeSet::new();
    for row in &rows {
        current.insert(row.task_ref()?);
    }
    let standing = |intent: &&Intent| current.contains(&intent.task);
    let tasks: BTreeSet<_> = intents
        .iter()
        .filter(standing)
        .map(|intent| intent.task)
        .collect();
    if tasks.is_empty() {
        return Ok(tasks);
    }
    let intents: Vec<_> = intents.iter().filter(standing).collect();
    let found = intents.iter().flat_map(|intent| &intent.undo);
    let new = undo::merge(tx, fence.router, found).await?;
    tell(tx, fence.router, &rows, &intents, new).await?;
    write_traces(tx, &rows, &intents).await?;
    let mut query =
        QueryBuilder::<Db>::new("UPDATE enforcement SET attempts = 0, state = 'owed', next_at = ");
    query
        .push_bind(tx.now)
        .push(" WHERE state = 'confirmed' AND id IN ");
    push_numbers(&mut query, tasks.iter().map(|task| task.id.0));
    query.build().execute(tx.conn()).await?;
    Ok(tasks)
}

/// Tells the audit what is newly to be undone, with the first task that found it.
async fn tell(
    tx: &mut Tx,
    router: RouterId,
    rows: &[EnforcementRow],
    intents: &[&Intent],
    mut new: BTreeMap<UndoKey, Vec<UndoItem>>,
) -> Result<()> {
    let mut entries = Vec::new();
    for intent in intents {
        let found = intent.undo.iter().filter_map(|undo| new.remove(&undo.key));
        let found: Vec<_> = found.flatten().collect();
        let row = rows.iter().find(|row| row.id == intent.task.id.0);
        if let Some((row, kind)) = row.zip(AuditKind::of_intent(&found)) {
            entries.push(row.audited(kind)?);
        }
    }
    audit::record_on(tx, router, entries).await
}

/// Adds where the targets were seen to what the rows have.
async fn write_traces(tx: &mut Tx, rows: &[EnforcementRow], intents: &[&Intent]) -> Result<()> {
    let mut grown = Vec::new();
    for Intent { task, trace, .. } in intents {
        let before = rows.iter().find(|row| row.id == task.id.0);
        let before = before.map_or_else(|| Ok(Trace::default()), EnforcementRow::trace)?;
        let mut merged = before.clone();
        merged.add(trace);
        if merged != before {
            grown.push((task.id.0, trace_json(&merged)?));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("UPDATE enforcement SET trace = v.column2 FROM (");
    query.push_values(grown, |mut values, (id, trace)| {
        values.push_bind(id).push_bind(trace);
    });
    query.push(") AS v WHERE enforcement.id = v.column1");
    query.build().execute(tx.conn()).await?;
    Ok(())
}
