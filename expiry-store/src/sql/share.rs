//! How many were ended by changes, and whether that is too many.

use expiry_core::{
    AuditEntry, AuditKind, Brake,
    brake::{enough_subscribers, exceeds_share},
};
use sqlx::QueryBuilder;

use super::{CHUNK, Db, Tx, audit, keys::push_numbers, signal};
use crate::{error::Result, row::Cell};

/// So long an access that a change ended counts, even if it is cut, in microseconds.
const COUNTS_FOR: i64 = 3_600_000_000;

/// So many old ones are gone through at once.
const OLD_AT_ONCE: i64 = 500;

/// What the limit was when it was found to be exceeded.
#[derive(Clone, Copy)]
pub(super) struct Exceeded {
    ended: i64,
    subscribers: i64,
    limit_percent: i64,
}

pub(super) async fn brake(tx: &mut Tx) -> Result<Option<Brake>> {
    let row: Option<(i64, i64, i64, i64)> =
        sqlx::query_as("SELECT braked_at, ended, subscribers, limit_percent FROM share_brake")
            .fetch_optional(tx.conn())
            .await?;
    let Some((braked_at, ended, subscribers, limit_percent)) = row else {
        return Ok(None);
    };
    let cell = |column| Cell {
        table: "share_brake",
        column,
        key: 0,
    };
    Ok(Some(Brake::Share {
        since: cell("braked_at").time(braked_at)?,
        ended: cell("ended").number(ended)?,
        subscribers: cell("subscribers").number(subscribers)?,
        limit_percent: cell("limit_percent").number(limit_percent)?,
    }))
}

/// Notes that a change ended the access of subscribers, where that owes a cut.
pub(super) async fn note_ended(tx: &mut Tx, subscribers: &[i64]) -> Result<()> {
    let now = tx.now;
    for ids in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO ended_by_change (subscriber_id, at) SELECT s.id, ",
        );
        query.push_bind(now).push(
            " FROM subscriber s
              WHERE EXISTS (SELECT 1 FROM enforcement e WHERE e.subscriber_id = s.id
                            AND e.want = 'cut' AND e.state = 'owed')
                AND s.id IN ",
        );
        push_numbers(&mut query, ids.iter().copied());
        query.push(" ON CONFLICT (subscriber_id) DO UPDATE SET at = excluded.at");
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Takes back that a change ended the access of subscribers.
pub(super) async fn note_live(tx: &mut Tx, subscribers: &[i64]) -> Result<()> {
    for ids in subscribers.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Db>::new("DELETE FROM ended_by_change WHERE subscriber_id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Tells whether nothing may be handed out because of a limit, and, if that is not recorded yet,
/// what is to be recorded.
pub(super) async fn check(tx: &mut Tx) -> Result<(bool, Option<Exceeded>)> {
    let (braked, limit): (bool, Option<i64>) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM share_brake),
             (SELECT MIN(share_limit) FROM watcher
              WHERE share_limit IS NOT NULL AND heartbeat_at > $1 - ttl_us
                AND heartbeat_at < $1 + ttl_us)",
    )
    .bind(tx.now)
    .fetch_one(tx.conn())
    .await?;
    let Some(limit_percent) = limit.filter(|_| !braked) else {
        return Ok((braked, None));
    };
    let found = count(tx, limit_percent).await?;
    Ok((found.is_some(), found))
}

/// Counts no more subscribers than are needed to tell.
async fn count(tx: &mut Tx, limit_percent: i64) -> Result<Option<Exceeded>> {
    let ended: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM ended_by_change")
        .fetch_one(tx.conn())
        .await?;
    if ended == 0 {
        return Ok(None);
    }
    let cell = Cell {
        table: "watcher",
        column: "share_limit",
        key: "any",
    };
    let limit = cell.number(limit_percent)?;
    let many = |count: i64| u64::try_from(count).unwrap_or_default();
    let enough = enough_subscribers(many(ended), limit);
    let subscribers: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM (SELECT 1 FROM subscriber WHERE removed_at IS NULL LIMIT $1) AS few",
    )
    .bind(i64::try_from(enough).unwrap_or(i64::MAX))
    .fetch_one(tx.conn())
    .await?;
    let exceeded = exceeds_share(many(ended), many(subscribers), limit);
    Ok(exceeded.then_some(Exceeded {
        ended,
        subscribers,
        limit_percent,
    }))
}

/// Records that the limit was exceeded, for good.
pub(super) async fn record(tx: &mut Tx, found: Exceeded) -> Result<()> {
    let now = tx.now;
    let recorded = sqlx::query(
        "INSERT INTO share_brake (id, braked_at, ended, subscribers, limit_percent)
         VALUES (0, $1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
    )
    .bind(now)
    .bind(found.ended)
    .bind(found.subscribers)
    .bind(found.limit_percent)
    .execute(tx.conn())
    .await?;
    if recorded.rows_affected() > 0 {
        if let Some(brake) = brake(tx).await? {
            audit::record(tx, &[AuditEntry::general(AuditKind::BrakeSet { brake })]).await?;
        }
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Accepts what changes have ended until now.
pub(super) async fn accept(tx: &mut Tx) -> Result<()> {
    for statement in ["DELETE FROM share_brake", "DELETE FROM ended_by_change"] {
        sqlx::query(statement).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Forgets accesses that changes ended some time ago and that are cut. Those that still owe a cut
/// are asked again when they are old again.
pub(super) async fn forget_ended(tx: &mut Tx) -> Result<()> {
    let now = tx.now;
    let old: Vec<i64> = sqlx::query_scalar(
        "SELECT subscriber_id FROM ended_by_change WHERE at <= $1 ORDER BY at LIMIT $2",
    )
    .bind(now - COUNTS_FOR)
    .bind(OLD_AT_ONCE)
    .fetch_all(tx.conn())
    .await?;
    if old.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("UPDATE ended_by_change SET at = ");
    query.push_bind(now).push(
        " WHERE EXISTS (SELECT 1 FROM enforcement e
                        WHERE e.subscriber_id = ended_by_change.subscriber_id
                          AND e.want = 'cut' AND e.state = 'owed')
            AND subscriber_id IN ",
    );
    push_numbers(&mut query, old.iter().copied());
    query.build().execute(tx.conn()).await?;
    let mut query = QueryBuilder::<Db>::new("DELETE FROM ended_by_change WHERE at <= ");
    query
        .push_bind(now - COUNTS_FOR)
        .push(" AND subscriber_id IN ");
    push_numbers(&mut query, old);
    query.build().execute(tx.conn()).await?;
    Ok(())
}
