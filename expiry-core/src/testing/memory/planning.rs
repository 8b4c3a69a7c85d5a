use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::{Row, SubscriberRow, Tables, Target};
use crate::{
    Access, AuditEntry, AuditKind, MacAddr, Owing, Progress, RouterId, State, SubscriberId, TaskId,
    Trace, UNSEEN_AFTER, UndoKey, Username, Want, known_late,
};

/// A deadline that was passed by more than this when it was planned is backlog.
pub(super) const FRESH: TimeDelta = UNSEEN_AFTER;

impl Tables {
    /// Plans anew after a change of the subscriber. `due_at` is when an ended access is due.
    pub(super) fn replan(
        &mut self,
        id: SubscriberId,
        due_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let Some(owner) = self.subscribers.get(&id).cloned() else {
            return;
        };
        match owner.subscriber.access {
            Access::None => {
                self.ended_by_change.remove(&id);
                let target = owner.target();
                self.retain_rows(|row| row.target != target);
            }
            Access::Until(_) | Access::Forever if owner.is_live(now) => self.plan_live(&owner, now),
            Access::Forever => {}
            Access::Until(end) => {
                if due_at.is_none() {
                    self.note_end(&owner, now);
                }
                let known_late_at = known_late(end, now);
                self.plan_cut(&owner, due_at.unwrap_or(end), known_late_at, now);
            }
        }
        self.wake();
    }

    /// Notes that a deadline has passed and its cut is planned.
    pub(super) fn note_end(&mut self, owner: &SubscriberRow, now: DateTime<Utc>) {
        self.note(AuditEntry::ended(&owner.subscriber), now);
    }

    /// Owes a cut wherever the subscriber may be online. It is to be tried from its deadline on, not
    /// from now: the clock may be ahead.
    pub(super) fn plan_cut(
        &mut self,
        owner: &SubscriberRow,
        due_at: DateTime<Utc>,
        known_late_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let target = owner.target();
        let routers: Vec<_> = self
            .routers
            .values()
            .map(|row| &row.router)
            .filter(|router| owner.covers(router))
            .filter(|router| {
                router.enabled || owner.is_removed() || self.row_of(target, router.id).is_some()
            })
            .map(|router| router.id)
            .collect();
        for router in routers {
            let owing = Owing {
                due_at,
                known_late_at,
                backlog: now - due_at > FRESH,
                confirmed_at: None,
            };
            self.put_cut(owner, router, owing, now);
        }
        let id = owner.subscriber.id;
        if let Some(row) = self.subscribers.get_mut(&id) {
            row.planned = row.subscriber.revision;
        }
    }

    pub(super) fn put_cut(
        &mut self,
        owner: &SubscriberRow,
        router: RouterId,
        owing: Owing,
        now: DateTime<Utc>,
    ) {
        let Owing {
            due_at,
            known_late_at,
            backlog,
            ..
        } = owing;
        let row = Row {
            id: TaskId(0),
            target: owner.target(),
            router,
            want: Want::Cut,
            revision: owner.subscriber.revision,
            username: Some(owner.subscriber.username.clone()),
            macs: owner.subscriber.devices.clone(),
            due_at,
            known_late_at,
            backlog,
            progress: Progress::owed(due_at),
            trace: Trace::default(),
            attempted_at: None,
        };
        self.put_row(row, now);
    }

    /// Owes the cut of who has ended on a router in scope, unless a row stands there; tells whether
    /// it did. Whose end nobody has planned yet is left to the planning: only what is planned is
    /// taken back by a clock that was ahead.
    pub(super) fn plan_missing(
        &mut self,
        owner: &SubscriberRow,
        router: RouterId,
        now: DateTime<Utc>,
    ) -> bool {
        let is_planned = owner.planned >= owner.subscriber.revision;
        let is_missing = is_planned && self.row_of(owner.target(), router).is_none();
        if is_missing {
            self.put_cut(owner, router, owner.owes_now(false, now), now);
        }
        is_missing
    }

    fn put_restore(&mut self, owner: &SubscriberRow, router: RouterId, now: DateTime<Utc>) {
        let row = Row {
            id: TaskId(0),
            target: owner.target(),
            router,
            want: Want::Restore,
            revision: owner.subscriber.revision,
            username: Some(owner.subscriber.username.clone()),
            macs: owner.subscriber.devices.clone(),
            due_at: now,
            known_late_at: None,
            backlog: false,
            progress: Progress::owed(now),
            trace: Trace::default(),
            attempted_at: None,
        };
        self.put_row(row, now);
    }

    fn plan_live(&mut self, owner: &SubscriberRow, now: DateTime<Utc>) {
        self.ended_by_change.remove(&owner.subscriber.id);
        let target = owner.target();
        let keys = owner.keys();
        let routers: Vec<_> = self
            .routers
            .values()
            .map(|row| row.router.clone())
            .filter(|router| owner.covers(router))
            .collect();
        for router in &routers {
            let open = self.is_undo_open(router.id, &keys);
            let want = self.row_of(target, router.id).map(|row| row.want);
            match want {
                Some(_) if open => self.put_restore(owner, router.id, now),
                None if open && router.enabled => self.put_restore(owner, router.id, now),
                Some(Want::Restore) => self.refresh(owner, router.id),
                Some(Want::Cut) => {
                    self.retain_rows(|row| row.target != target || row.router != router.id);
                }
                None => {}
            }
            self.take_claims(target, router.id, &keys);
        }
    }

    /// Brings a restore with nothing to undo up to date.
    fn refresh(&mut self, owner: &SubscriberRow, router: RouterId) {
        let id = self.row_of(owner.target(), router).map(|row| row.id);
        if let Some(row) = id.and_then(|id| self.row_mut(id)) {
            row.revision = owner.subscriber.revision;
            row.username = Some(owner.subscriber.username.clone());
            row.macs.clone_from(&owner.subscriber.devices);
        }
    }

    /// Takes a live subscriber's name and MACs away from everybody else's rows on a router.
    fn take_claims(&mut self, target: Target, router: RouterId, keys: &[UndoKey]) {
        let others = self
            .rows_mut()
            .filter(|row| row.target != target && row.router == router && row.want == Want::Cut);
        for row in others {
            if row.keys().iter().any(|key| keys.contains(key)) {
                row.revision.0 += 1;
                let taken = |name: &Username| keys.contains(&UndoKey::Name(name.clone()));
                row.username = row.username.take().filter(|name| !taken(name));
                row.macs.retain(|mac| !keys.contains(&UndoKey::Mac(*mac)));
            }
        }
        self.retain_rows(|row| row.username.is_some() || !row.macs.is_empty());
    }

    /// Ends the cuts of removed devices that `owner` answers for as its own from now on.
    pub(super) fn adopt_devices(&mut self, id: SubscriberId, macs: &BTreeSet<MacAddr>) {
        let Some(owner) = self.subscribers.get(&id) else {
            return;
        };
        if owner.subscriber.access == Access::None {
            return;
        }
        let covered: BTreeSet<_> = self
            .routers
            .values()
            .filter(|row| owner.covers(&row.router))
            .map(|row| row.router.id)
            .collect();
        self.retain_rows(|row| {
            let adopted = row.target.device.is_some_and(|mac| macs.contains(&mac));
            !(adopted && covered.contains(&row.router))
        });
    }

    /// Owes the cut of a device that its subscriber has no longer.
    pub(super) fn plan_device_cut(
        &mut self,
        owner: &SubscriberRow,
        mac: MacAddr,
        now: DateTime<Utc>,
    ) {
        let routers: Vec<_> = self
            .routers
            .values()
            .filter(|row| owner.covers(&row.router))
            .map(|row| row.router.id)
            .collect();
        for router in routers {
            self.put_device_cut(owner, mac, router, now);
        }
    }

    /// Owes it on one router, but where somebody has the device now who answers for it.
    pub(super) fn put_device_cut(
        &mut self,
        owner: &SubscriberRow,
        mac: MacAddr,
        router: RouterId,
        now: DateTime<Utc>,
    ) {
        let tenant = owner.subscriber.tenant;
        let holder = self.owners.get(&(tenant, UndoKey::Mac(mac)));
        let holder = holder.and_then(|id| self.subscribers.get(id));
        let answers = |holder: &SubscriberRow| {
            let at = self.routers.get(&router);
            holder.subscriber.access != Access::None
                && at.is_some_and(|at| holder.covers(&at.router))
        };
        if holder.is_some_and(answers) {
            return;
        }
        // What is owed of its owner was owed of the device.
        let standing = self.row_of(owner.target(), router);
        let standing = standing.filter(|row| {
            let first = row.progress.confirmed_at.is_none() && row.due_at <= now;
            row.want == Want::Cut && row.is_owed() && first
        });
        let owing = standing.map_or_else(|| owner.owes_now(false, now), Row::owing);
        let row = Row {
            id: TaskId(0),
            target: Target {
                subscriber: owner.subscriber.id,
                device: Some(mac),
            },
            router,
            want: Want::Cut,
            revision: owner.subscriber.revision,
            username: None,
            macs: BTreeSet::from([mac]),
            due_at: owing.due_at,
            known_late_at: owing.known_late_at,
            backlog: owing.backlog,
            progress: Progress::owed(now),
            trace: Trace::default(),
            attempted_at: None,
        };
        self.put_row(row, now);
    }

    /// Marks what was owed on a router before it came into service as known late.
    pub(super) fn mark_known_late(&mut self, router: RouterId, now: DateTime<Utc>) {
        let here = self.rows_mut().filter(|row| row.router == router);
        let cuts = here.filter(|row| row.want == Want::Cut && row.is_owed());
        for row in cuts.filter(|row| row.progress.confirmed_at.is_none()) {
            row.known_late_at = row.known_late_at.or_else(|| known_late(row.due_at, now));
        }
    }

    /// Has everything that is owed tried now on a router of which nothing is known any more. What is
    /// confirmed there stays so: the reading that follows owes what it finds.
    pub(super) fn enter_scope(&mut self, router: RouterId, now: DateTime<Utc>) {
        let Some(enabled) = self.routers.get(&router).map(|row| row.router.enabled) else {
            return;
        };
        self.wake();
        self.forget_reading(router);
        if !enabled {
            return;
        }
        let owed = self.rows_mut().filter(|row| row.router == router);
        for row in owed.filter(|row| row.is_owed()) {
            row.progress.next_attempt_at = Some(now);
            if row.want == Want::Cut {
                row.progress.attempts = 0;
            }
        }
        self.owe_restores(router, now);
    }

    /// Owes the restores that a live access explains and nobody owes; tells whether there were any.
    pub(super) fn owe_restores(&mut self, router: RouterId, now: DateTime<Utc>) -> bool {
        let Some(place) = self.routers.get(&router).map(|row| &row.router) else {
            return false;
        };
        let owners: BTreeSet<_> = self
            .undo
            .values()
            .filter(|row| row.router == router && row.open)
            .filter_map(|row| self.live_owner(place, &row.undo.key, now))
            .map(|owner| owner.subscriber.id)
            .collect();
        let mut any = false;
        for id in owners {
            let Some(owner) = self.subscribers.get(&id).cloned() else {
                continue;
            };
            let row = self.row_of(owner.target(), router);
            let owes = row.is_some_and(|row| row.want == Want::Restore && row.is_owed());
            if !owes {
                self.put_restore(&owner, router, now);
                self.plan_again_at_the_end(id);
                any = true;
            }
        }
        any
    }

    /// Has somebody who is live, and whose cut is planned already, planned again: then the clock was
    /// ahead, or is behind now.
    fn plan_again_at_the_end(&mut self, id: SubscriberId) {
        if let Some(row) = self.subscribers.get_mut(&id)
            && row.planned >= row.subscriber.revision
        {
            row.subscriber.revision.0 += 1;
        }
    }

    /// Takes back the cuts of at most `limit` subscribers that were planned before their time.
    pub(super) fn take_back_early(&mut self, limit: u32, now: DateTime<Utc>) -> u32 {
        let early = |row: &&SubscriberRow| {
            let is_planned = row.planned >= row.subscriber.revision;
            is_planned
                && !row.is_removed()
                && row.subscriber.access.end().is_some_and(|end| end > now)
        };
        let early: Vec<_> = self
            .subscribers
            .values()
            .filter(early)
            .map(|row| row.subscriber.id)
            .take(limit as usize)
            .collect();
        for id in &early {
            if let Some(row) = self.subscribers.get_mut(id) {
                row.subscriber.revision.0 += 1;
                let revision = row.subscriber.revision;
                self.note_of(*id, AuditKind::EndTakenBack { revision }, now);
            }
            self.replan(*id, None, now);
        }
        u32::try_from(early.len()).unwrap_or(u32::MAX)
    }

    /// Returns whose access has ended and is not planned, oldest deadline first.
    pub(super) fn unplanned(&self, now: DateTime<Utc>) -> Vec<SubscriberRow> {
        let mut due: Vec<_> = self
            .subscribers
            .values()
            .filter(|row| row.planned < row.subscriber.revision && row.has_ended(now))
            .cloned()
            .collect();
        due.sort_by_key(|row| row.subscriber.access.end());
        due
    }

    /// Returns the first deadline that is not planned.
    pub(super) fn next_unplanned(&self) -> Option<DateTime<Utc>> {
        self.subscribers
            .values()
            .filter(|row| row.planned < row.subscriber.revision)
            .filter_map(|row| row.subscriber.access.end())
            .min()
    }

    /// Deletes what removed subscribers and devices, and subscribers in routers they left, have
    /// left behind, once nothing is owed of it.
    pub(super) fn purge(&mut self) {
        let open: BTreeSet<_> = self
            .rows()
            .filter(|row| row.wanted_at().is_some())
            .map(|row| row.target)
            .collect();
        let busy: BTreeSet<_> = open.iter().map(|target| target.subscriber).collect();
        self.subscribers
            .retain(|id, row| !row.is_removed() || busy.contains(id));
        let finished: BTreeSet<_> = self
            .rows()
            .filter(|row| row.progress.state == State::Confirmed && row.wanted_at().is_none())
            .filter(|row| row.target.device.is_some() || self.has_left(row))
            .map(|row| row.id)
            .collect();
        let kept: BTreeSet<_> = self.subscribers.keys().copied().collect();
        self.retain_rows(|row| {
            kept.contains(&row.target.subscriber) && !finished.contains(&row.id)
        });
    }

    /// Tells whether a row is on a router that its subscriber may use no longer.
    pub(super) fn has_left(&self, row: &Row) -> bool {
        let owner = self.subscribers.get(&row.target.subscriber);
        let router = self.routers.get(&row.router);
        owner
            .zip(router)
            .is_some_and(|(owner, router)| !owner.is_removed() && !owner.covers(&router.router))
    }
}
