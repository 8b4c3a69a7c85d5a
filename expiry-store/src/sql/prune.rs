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

/// Old payments, oldest first, with the number of the tenant.
pub(crate) const OLD_PAYMENTS: &str =
    "SELECT tenant_id, reference FROM payment WHERE at < $1 ORDER BY at LIMIT $2";

/// So many rows are deleted at once.
const CHUNK: usize = 1000;

pub(super) async fn prune(backend: &Backend, keep: Duration, limit: u32) -> Result<Pruned> {
    let mut tx = backend.begin(Mode::Read).await?;
    let found = Old::read(&mut tx, keep, 1).await?;
    tx.commit().await?;
    if found.is_empty() {
        return Ok(Pruned::default());
    }
    let mut tx = backend.begin(Mode::Plan).await?;
    let old = Old::read(&mut tx, keep, limit).await?;
    let pruned = Pruned {
        events: delete(&mut tx, "DELETE FROM event WHERE id IN ", &old.events).await?,
        undo: delete(&mut tx, "DELETE FROM undo WHERE id IN ", &old.undo).await?,
        payments: delete_payments(&mut tx, &old.payments).await?,
    };
    tx.commit().await?;
    Ok(pruned)
}

/// The keys of rows that may go.
struct Old {
    events: Vec<i64>,
    undo: Vec<i64>,
    payments: Vec<(i64, String)>,
}

impl Old {
    async fn read(tx: &mut Tx, keep: Duration, limit: u32) -> Result<Self> {
        let (before, limit) = (tx.now.saturating_sub(span(keep)), i64::from(limit));
        let events = sqlx::query_scalar(OLD_EVENTS).bind(before).bind(limit);
        let events = events.fetch_all(tx.conn()).await?;
        let undo = sqlx::query_scalar(OLD_UNDO).bind(before).bind(limit);
        let undo = undo.fetch_all(tx.conn()).await?;
        let payments = sqlx::query_as(OLD_PAYMENTS).bind(before).bind(limit);
        let payments = payments.fetch_all(tx.conn()).await?;
        Ok(Self {
            events,
            undo,
            payments,
        })
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.undo.is_empty() && self.payments.is_empty()
    }
}

async fn delete_payments(tx: &mut Tx, keys: &[(i64, String)]) -> Result<u64> {
    let mut deleted = 0;
    for keys in keys.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Db>::new("DELETE FROM payment WHERE (tenant_id, reference) IN (");
        query.push_values(keys, |mut row, (tenant, reference)| {
            row.push_bind(*tenant).push_bind(reference.clone());
        });
        query.push(")");
        deleted += query.build().execute(tx.conn()).await?.rows_affected();
    }
    Ok(deleted)
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
