use chrono::{DateTime, Utc};

use super::tables::{Row, Tables, UndoRow};
use crate::{
    AuditEntry, AuditKind, CutResult, Intent, Outcome, Progress, Recorded, RouterId, Settled,
    Settlement, State, TaskRef, Trace, Undo, UndoItem, UndoKey, Waited, Want,
};

impl Tables {
    pub(super) fn stands(&self, router: RouterId, task: &TaskRef) -> bool {
        self.row(task.id)
            .is_some_and(|row| row.router == router && row.reference() == *task)
    }

    pub(super) fn commit_intent(&mut self, router: RouterId, intent: &Intent, now: DateTime<Utc>) {
        let mut new = Vec::new();
        for found in intent.undo.iter().filter(|undo| !undo.items.is_empty()) {
            new.extend(self.merge_undo(router, found, now));
        }
        let row = self.row(intent.task.id).cloned();
        if let Some((row, kind)) = row.zip(AuditKind::of_intent(&new)) {
            self.note_row(&row, kind, None, now);
        }
        if let Some(row) = self.row_mut(intent.task.id) {
            row.trace.add(&intent.trace);
            if row.progress.state == State::Confirmed {
                row.owe_again(now);
            }
        }
    }

    /// Returns what is newly to be undone.
    fn merge_undo(&mut self, router: RouterId, found: &Undo, now: DateTime<Utc>) -> Vec<UndoItem> {
        let opened = self.next_opening();
        let place = (router, found.key.clone());
        match self.undo.get_mut(&place) {
            Some(row) if row.open => row.undo.add(found),
            Some(_) | None => {
                let row = UndoRow {
                    router,
                    undo: found.clone(),
                    open: true,
                    opened_at: now,
                    undone_at: None,
                    opened,
                };
                self.undo.insert(place, row);
                found.items.clone()
            }
        }
    }

    pub(super) fn record(
        &mut self,
        router: RouterId,
        settlement: &Settlement,
        now: DateTime<Utc>,
    ) -> Settled {
        let standing = self.stands(router, &settlement.task);
        let Some(before) = self.row(settlement.task.id).filter(|_| standing).cloned() else {
            return Settled::Superseded;
        };
        let mut after = before.clone();
        after.attempted_at = Some(now);
        after.progress = before.progress.after(&settlement.outcome, now);
        match (&settlement.outcome, before.want) {
            (Outcome::Confirmed { .. }, Want::Restore) => {
                self.close_undo(&before, &settlement.undone, now);
                if self.is_undo_open(router, &before.keys()) {
                    after.progress = unfinished(&before, now);
                }
            }
            (Outcome::Returned { .. }, Want::Restore) => self.reopen_undo(&before, now),
            (_, _) => {}
        }
        let confirmed = after.progress.state == State::Confirmed;
        if confirmed {
            after.trace = Trace::default();
        }
        let first = confirmed && before.progress.confirmed_at.is_none();
        let back_at = self.routers.get(&router).and_then(|row| row.back_at);
        let (due_at, known_late_at) = (before.due_at, before.known_late_at);
        let recorded = Recorded {
            waited: first.then(|| Waited::until(now, due_at, known_late_at, back_at)),
            progress: after.progress.clone(),
        };
        self.audit(&before, &settlement.outcome, &recorded, now);
        if let Some(row) = self.row_mut(before.id) {
            *row = after;
        }
        Settled::Recorded(recorded)
    }

    fn audit(&mut self, before: &Row, outcome: &Outcome, recorded: &Recorded, now: DateTime<Utc>) {
        if let Some(waited) = recorded.waited {
            let lags = self.lags.entry(before.router).or_default();
            lags.of(before.want, waited.kind).record(waited.span);
        }
        let (old, new) = (&before.progress, &recorded.progress);
        self.count_cut(before.router, CutResult::of(before.want, old, outcome));
        let Some(kind) = AuditKind::of_outcome(before.want, old, new, outcome) else {
            return;
        };
        self.note_row(before, kind, recorded.waited, now);
    }

    pub(super) fn count_cut(&mut self, router: RouterId, result: Option<CutResult>) {
        if let Some(result) = result {
            *self
                .cuts
                .entry(router)
                .or_default()
                .entry(result)
                .or_default() += 1;
        }
    }

    /// Adds an event about what stands for a target on a router.
    pub(super) fn note_row(
        &mut self,
        row: &Row,
        kind: AuditKind,
        waited: Option<Waited>,
        now: DateTime<Utc>,
    ) {
        let owner = self.subscribers.get(&row.target.subscriber);
        let router = self.routers.get(&row.router);
        if let (Some(owner), Some(router)) = (owner, router) {
            let entry = AuditEntry {
                device: row.target.device,
                router: Some(row.router),
                router_name: Some(router.router.name.clone()),
                due_at: Some(row.due_at),
                ..AuditEntry::of(&owner.subscriber, kind)
            };
            self.note(entry.after(waited), now);
        }
    }

    fn close_undo(&mut self, row: &Row, undone: &[Undo], now: DateTime<Utc>) {
        let keys = row.keys();
        for done in undone.iter().filter(|done| keys.contains(&done.key)) {
            let place = (row.router, done.key.clone());
            if let Some(open) = self.undo.get_mut(&place)
                && open.undo.is_covered_by(&done.items)
            {
                open.open = false;
                open.undone_at = Some(now);
            }
        }
    }

    fn open_undo(&mut self, router: RouterId, keys: &[UndoKey], now: DateTime<Utc>) {
        for key in keys {
            if let Some(row) = self.undo.get_mut(&(router, key.clone())) {
                row.reopen(now);
            }
        }
    }

    /// Opens again what was undone when this restore was confirmed, or since; not what older cuts
    /// left behind.
    fn reopen_undo(&mut self, restore: &Row, now: DateTime<Utc>) {
        for key in restore.keys() {
            let place = (restore.router, key);
            if let Some(row) = self.undo.get_mut(&place).filter(|row| row.is_of(restore)) {
                row.reopen(now);
            }
        }
    }

    pub(super) fn recheck(&mut self, router: RouterId, keys: &[UndoKey], now: DateTime<Utc>) {
        self.open_undo(router, keys, now);
        self.owe_restores(router, now);
        let Some(place) = self.routers.get(&router).map(|row| row.router.clone()) else {
            return;
        };
        for key in keys {
            if self.live_owner(&place, key, now).is_some() {
                continue;
            }
            for row in self.rows_mut().filter(|row| row.router == router) {
                if row.want == Want::Cut && row.keys().contains(key) {
                    row.owe_again(now);
                }
            }
            let owner = self.owners.get(&(place.tenant, key.clone()));
            let owner = owner.and_then(|id| self.subscribers.get(id)).cloned();
            if let Some(owner) = owner
                && owner.has_ended(now)
                && owner.has_in_scope(&place)
            {
                self.plan_missing(&owner, router, now);
            }
        }
        self.wake();
    }

    /// What a restore answers for: what is open, and once it is confirmed what it has undone.
    pub(super) fn undo_for(&self, row: &Row) -> Vec<Undo> {
        if row.want == Want::Cut {
            return Vec::new();
        }
        let keys = row.keys();
        let mut found: Vec<_> = self
            .undo_of(row.router, &keys)
            .filter(|undo| undo.open || !row.is_owed() && undo.is_of(row))
            .collect();
        found.sort_by_key(|undo| undo.opened);
        found.into_iter().map(|undo| undo.undo.clone()).collect()
    }
}

/// A restore whose read-back agreed, but of which more has come to be undone meanwhile.
fn unfinished(row: &Row, now: DateTime<Utc>) -> Progress {
    let mut row = row.clone();
    row.owe_again(now);
    row.progress
}
