use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    planning::FRESH,
    tables::{SubscriberRow, Tables},
};
use crate::{
    AuditKind, CutResult, Found, Known, Missing, Presence, Reconciled, Reconciliation, Router,
    RouterId, State, StoreError, Stray, Strays, TaskId, UndoKey, Want, WayIn,
};

impl Tables {
    pub(super) fn who_has(
        &self,
        router: RouterId,
        keys: &BTreeSet<UndoKey>,
        now: DateTime<Utc>,
    ) -> Known {
        let Some(place) = self.routers.get(&router).map(|row| &row.router) else {
            return Known::default();
        };
        let mut known = Known::default();
        for key in keys {
            if self.live_owner(place, key, now).is_some() {
                known.live.insert(key.clone());
            } else if self.ended_owner(place, key, now).is_some()
                || self.removed_with(router, key).next().is_some()
            {
                known.ended.insert(key.clone());
            }
        }
        known
    }

    pub(super) fn next_deadline(
        &self,
        router: RouterId,
        within: Duration,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let place = &self.routers.get(&router)?.router;
        let within = TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX);
        self.subscribers
            .values()
            .filter(|row| row.planned < row.subscriber.revision && row.has_in_scope(place))
            .filter_map(|row| row.subscriber.access.end())
            .filter(|end| *end - now < within)
            .min()
    }

    pub(super) fn reconciled(
        &mut self,
        router: RouterId,
        reconciliation: &Reconciliation,
        now: DateTime<Utc>,
    ) -> Reconciled {
        let Some(place) = self.routers.get(&router).map(|row| row.router.clone()) else {
            return Reconciled::default();
        };
        let mut rows: BTreeMap<TaskId, Option<WayIn>> = BTreeMap::new();
        let mut made = BTreeSet::new();
        for (key, way_in) in &reconciliation.on {
            if self.live_owner(&place, key, now).is_some() {
                continue;
            }
            let mut of_key: Vec<_> = self.removed_with(router, key).collect();
            if let Some(owner) = self.ended_owner(&place, key, now).cloned() {
                let is_new = self.plan_missing(&owner, router, now);
                let row = self.row_of(owner.target(), router).map(|row| row.id);
                made.extend(row.filter(|_| is_new));
                of_key.extend(row);
            }
            for row in of_key {
                let known = rows.entry(row).or_default();
                *known = known.or(*way_in);
            }
        }
        let mut found = Vec::new();
        for (row, way_in) in rows {
            found.extend(if made.contains(&row) {
                self.note_found(row, way_in, now)
            } else {
                self.owe_found(row, way_in, reconciliation.pace, now)
            });
        }
        if reconciliation.is_partial {
            let new_strays = Vec::new();
            return Reconciled { found, new_strays };
        }
        let new_strays = self.replace_strays(router, &reconciliation.strays, now);
        if let Some(row) = self.routers.get_mut(&router) {
            row.reconciled_at = Some(now);
            row.taken_over = false;
        }
        Reconciled { found, new_strays }
    }

    /// Notes in a row that was just made what is known of its target.
    fn note_found(
        &mut self,
        id: TaskId,
        way_in: Option<WayIn>,
        now: DateTime<Utc>,
    ) -> Option<Found> {
        let row = self.row_mut(id)?;
        row.progress.online = way_in.is_some();
        row.progress.way_in = way_in;
        let row = row.clone();
        self.note_row(&row, AuditKind::CameBack { way_in }, None, now);
        Some(Found {
            task: id,
            username: row.username,
            way_in,
            cannot_hold: false,
        })
    }

    /// Owes a confirmed cut again.
    fn owe_found(
        &mut self,
        id: TaskId,
        way_in: Option<WayIn>,
        pace: Duration,
        now: DateTime<Utc>,
    ) -> Option<Found> {
        let before = self.row(id)?.clone();
        if before.want != Want::Cut || before.progress.state != State::Confirmed {
            return None;
        }
        let progress = before.progress.found_again(way_in, pace, now);
        let row = self.row_mut(id)?;
        row.progress = progress.clone();
        row.backlog |= now - row.due_at > FRESH;
        self.count_cut(before.router, Some(CutResult::Returned));
        if let Some(kind) = AuditKind::of_return(&before.progress, &progress, way_in) {
            self.note_row(&before, kind, None, now);
        }
        Some(Found {
            task: id,
            username: before.username,
            way_in,
            cannot_hold: progress.cannot_hold(),
        })
    }

    fn replace_strays(
        &mut self,
        router: RouterId,
        strays: &[Presence],
        now: DateTime<Utc>,
    ) -> Vec<Presence> {
        let known = self.strays.remove(&router).unwrap_or_default();
        let known: BTreeMap<_, _> = known
            .iter()
            .map(|stray| (stray.presence.identity(), stray.first_seen))
            .collect();
        let all = strays.iter().map(|presence| Stray {
            presence: presence.clone(),
            first_seen: known.get(&presence.identity()).copied().unwrap_or(now),
            last_seen: now,
        });
        self.strays.insert(router, all.collect());
        let new = strays
            .iter()
            .filter(|presence| !known.contains_key(&presence.identity()));
        let new: Vec<_> = new.cloned().collect();
        let found = AuditKind::StraysFound {
            strays: new.len() as u64,
        };
        if !new.is_empty() {
            self.note_on(router, found, now);
        }
        new
    }

    pub(super) fn list_strays(&self, router: RouterId) -> Result<Strays, StoreError> {
        let row = self.routers.get(&router);
        let row = row.ok_or(StoreError::Missing(Missing::Router))?;
        let strays = self.strays.get(&router).cloned().unwrap_or_default();
        Ok(Strays::new(row.reconciled_at, strays))
    }

    /// Forgets what a reading showed: another box may answer there, or much time has passed.
    pub(super) fn forget_reading(&mut self, router: RouterId) {
        self.strays.remove(&router);
        if let Some(row) = self.routers.get_mut(&router) {
            row.reconciled_at = None;
        }
    }

    /// Returns whose access has ended in the router's scope and who owns `key`.
    fn ended_owner(
        &self,
        router: &Router,
        key: &UndoKey,
        now: DateTime<Utc>,
    ) -> Option<&SubscriberRow> {
        self.owner(router, key).filter(|owner| owner.has_ended(now))
    }

    /// Returns the cuts on a router that stand for removed subscribers and devices, and for
    /// subscribers bound elsewhere, with `key`.
    fn removed_with(&self, router: RouterId, key: &UndoKey) -> impl Iterator<Item = TaskId> {
        let rows = self.rows().filter(move |row| {
            let owner = self.subscribers.get(&row.target.subscriber);
            row.router == router
                && row.want == Want::Cut
                && (row.target.device.is_some()
                    || owner.is_some_and(SubscriberRow::is_removed)
                    || self.has_left(row))
                && row.keys().contains(key)
        });
        rows.map(|row| row.id)
    }
}
