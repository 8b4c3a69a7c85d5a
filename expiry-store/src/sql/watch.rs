//! Since when somebody watches, and what came due while nobody did. A check that runs once is nobody.

use expiry_core::{UNSEEN_AFTER, WatcherId, WatcherKind};

use super::Tx;
use crate::error::Result;

/// A cut that was due longer than this before it was planned, or before anybody watched, was seen in
/// time by nobody, in microseconds.
pub(super) const UNSEEN: i64 = UNSEEN_AFTER.num_seconds() * 1_000_000;

/// The time in which nobody watched, up to now; it begins at `since`, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    since: i64,
}

/// Tells whether nobody watched until now, and notes that somebody does from now on if a watcher
/// asks. To be asked before its heartbeat is noted.
pub(super) async fn gap(tx: &mut Tx, kind: WatcherKind) -> Result<Option<Gap>> {
    let now = tx.now;
    let (beat, left, since): (Option<i64>, Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT MAX(heartbeat_at) FROM watcher WHERE kind = 'watcher'), left_at, since
         FROM watch WHERE id = 0",
    )
    .fetch_one(tx.conn())
    .await?;
    let last = beat.max(left);
    if last.is_some_and(|last| now - last <= UNSEEN) {
        return Ok(None);
    }
    if kind == WatcherKind::Watcher {
        sqlx::query("UPDATE watch SET since = $1 WHERE id = 0")
            .bind(now)
            .execute(tx.conn())
            .await?;
    }
    let since = last.or(since).unwrap_or(i64::MIN);
    Ok(Some(Gap { since }))
}

/// Marks what is owed and came due while nobody watched as known late. What was due before the gap
/// had been seen.
pub(super) async fn mark_unseen(tx: &mut Tx, gap: Option<Gap>) -> Result<()> {
    let Some(Gap { since }) = gap else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE enforcement SET known_late_at = $1
         WHERE state = 'owed' AND want = 'cut' AND confirmed_at IS NULL AND known_late_at IS NULL
           AND due_at >= $2 AND due_at < $3",
    )
    .bind(tx.now)
    .bind(since)
    .bind(tx.now - UNSEEN)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a watcher, if it is one, sees nothing from now on.
pub(super) async fn note_leaving(tx: &mut Tx, watcher: WatcherId) -> Result<()> {
    sqlx::query(
        "UPDATE watch SET left_at = $2
         WHERE EXISTS (SELECT 1 FROM watcher WHERE id = $1 AND kind = 'watcher')",
    )
    .bind(watcher.to_string())
    .bind(tx.now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An end before this, in microseconds, that nobody has planned yet could be seen in time by nobody.
pub(super) async fn unseen_before(tx: &mut Tx) -> Result<i64> {
    let (since, is_watched): (Option<i64>, bool) = sqlx::query_as(
        "SELECT since, EXISTS (SELECT 1 FROM watcher w
                               WHERE w.kind = 'watcher' AND w.heartbeat_at > $1 - w.ttl_us
                                 AND w.heartbeat_at < $1 + w.ttl_us)
         FROM watch WHERE id = 0",
    )
    .bind(tx.now)
    .fetch_one(tx.conn())
    .await?;
    let since = match (is_watched, since) {
        (false, _) => tx.now,
        (true, Some(since)) => since,
        // The database is older than this note, and somebody has watched it since.
        (true, None) => i64::MIN / 2,
    };
    Ok(since - UNSEEN)
}
