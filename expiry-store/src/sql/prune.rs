//! Dropping what is old and of no more use. What is owed, to be undone or to be looked at stays.

use std::time::Duration;

use expiry_core::Pruned;
use sqlx::QueryBuilder;

use super::{Backend, Db, Tx, keys::push_numbers};
use crate::{error::Result, mode::Mode, row::span};

/// Old events, oldest first. What happened to a subscriber of whom something is owed is still
/// asked for.
pub(crate) const OLD_EVENTS: &str = "SELECT id FROM event
     WHERE at < $1
       AND (subscriber_id IS NULL
            OR NOT EXISTS (SELECT 1 FROM enforcement e
                           WHERE e.subscriber_id = event.subscriber_id AND e.state = 'owed'))
     ORDER BY at, id LIMIT $2";

/// Undo rows that were undone long ago. As long as a look at their restore is ahead, they say what
/// it has to find.
pub(crate) const OLD_UNDO: &str = "SELECT id FROM undo
     WHERE undone_at < $1
       AND NOT EXISTS (SELECT 1 FROM enforcement e
                       WHERE e.router_id = undo.router_id AND e.want = 'restore'
                         AND e.state = 'confirmed' AND e.next_at IS NOT NULL
                         AND e.confirmed_at <= undo.undone_at)
     ORDER BY undone_at, id LIMIT $2";

/// So many rows are deleted at once.
const CHUNK: usize = 1000;

pub(super) async fn prune(backend: &Backend, keep: Duration, limit: u32) -> Result<Pruned> {
    let mut tx = backend.begin(Mode::Read).await?;
    let (events, undo) = old(&mut tx, keep, 1).await?;
    tx.commit().await?;
    if events.is_empty() && undo.is_empty() {
        return Ok(Pruned::default());
    }
    let mut tx = backend.begin(Mode::Plan).await?;
    let (events, undo) = old(&mut tx, keep, limit).await?;
    let pruned = Pruned {
        events: delete(&mut tx, "DELETE FROM event WHERE id IN ", &events).await?,
        undo: delete(&mut tx, "DELETE FROM undo WHERE id IN ", &undo).await?,
    };
    tx.commit().await?;
    Ok(pruned)
}

async fn old(tx: &mut Tx, keep: Duration, limit: u32) -> Result<(Vec<i64>, Vec<i64>)> {
    let before = tx.now.saturating_sub(span(keep));
    let mut found = [Vec::new(), Vec::new()];
    for (ids, statement) in found.iter_mut().zip([OLD_EVENTS, OLD_UNDO]) {
        *ids = sqlx::query_scalar(statement)
            .bind(before)
            .bind(i64::from(limit))
            .fetch_all(tx.conn())
            .await?;
    }
    Ok(found.into())
}

async fn delete(tx: &mut Tx, statement: &str, ids: &[i64]) -> Result<u64> {
    let mut deleted = 0;
    for ids in ids.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(statement);
        push_numbers(&mut query, ids.iter().copied());
        deleted += query.build().execute(tx.conn()).await?.rows_affected();
    }
    Ok(deleted)
}
