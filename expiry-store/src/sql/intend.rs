use std::collections::BTreeSet;

use expiry_core::{Fence, Intent, TaskRef};
use sqlx::QueryBuilder;

use super::{Db, Tx, keys::push_numbers, ownership, undo, work};
use crate::error::Result;

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
    let found = intents
        .iter()
        .filter(standing)
        .flat_map(|intent| &intent.undo);
    undo::merge(tx, fence.router, found).await?;
    let now = tx.now;
    let mut query = QueryBuilder::<Db>::new("UPDATE enforcement SET attempted_at = ");
    query
        .push_bind(now)
        .push(
            ", attempts = CASE WHEN state = 'owed' THEN attempts ELSE 0 END,
               next_at = CASE WHEN state = 'owed' THEN next_at ELSE ",
        )
        .push_bind(now)
        .push(" END, state = 'owed' WHERE id IN ");
    push_numbers(&mut query, tasks.iter().map(|task| task.id.0));
    query.build().execute(tx.conn()).await?;
    Ok(tasks)
}
