use chrono::{DateTime, Utc};

use super::tables::Tables;
use crate::{UNSEEN_AFTER, Want, WatcherKind};

/// Since when watchers follow each other without a gap, and when the last one left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    since: Option<DateTime<Utc>>,
    pub(super) left_at: Option<DateTime<Utc>>,
}

impl Tables {
    /// Returns since when nobody watches, if that is long ago, and notes that somebody does from now
    /// on if a watcher asks. To be asked before its heartbeat is noted.
    pub(super) fn gap(&mut self, kind: WatcherKind, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let watchers = self.watchers.values();
        let watchers = watchers.filter(|row| row.kind == WatcherKind::Watcher);
        let beat = watchers.map(|row| row.heartbeat_at).max();
        let last = beat.max(self.watch.left_at);
        if last.is_some_and(|last| now - last <= UNSEEN_AFTER) {
            return None;
        }
        let since = self.watch.since;
        if kind == WatcherKind::Watcher {
            self.watch.since = Some(now);
        }
        Some(last.or(since).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// Marks what is owed and came due in a gap as known late.
    pub(super) fn mark_unseen(&mut self, gap: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let Some(since) = gap else {
            return;
        };
        let is_unseen = |due_at| due_at >= since && now - due_at > UNSEEN_AFTER;
        let owed = self.rows_mut().filter(|row| row.is_owed());
        let cuts = owed.filter(|row| row.want == Want::Cut && is_unseen(row.due_at));
        for row in cuts.filter(|row| row.progress.confirmed_at.is_none()) {
            row.known_late_at = row.known_late_at.or(Some(now));
        }
    }

    /// Returns since when somebody watches, if anybody does.
    pub(super) fn watched_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut watchers = self.watchers.values();
        let is_watched = watchers.any(|row| row.kind == WatcherKind::Watcher && row.is_alive(now));
        let since = self.watch.since.unwrap_or(DateTime::<Utc>::MIN_UTC);
        is_watched.then_some(since)
    }
}
