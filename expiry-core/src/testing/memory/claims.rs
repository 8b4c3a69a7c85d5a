use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::{Tables, WatcherRow};
use crate::{AuditKind, Fence, Heartbeat, Ownership, RouterId, StoreError, WatcherId, WatcherKind};

impl Tables {
    pub(super) fn own(&mut self, beat: &Heartbeat, now: DateTime<Utc>) -> Vec<Ownership> {
        let watcher = beat.watcher;
        let gap = self.gap(beat.kind, now);
        self.note_beat(beat, false, now);
        self.forget_ended(now);
        self.share_is_exceeded(now);
        let mut claimed = Vec::new();
        for row in self.routers.values_mut().filter(|row| row.router.enabled) {
            let alive = |owner| {
                let row = self.watchers.get(&owner);
                owner == watcher || row.is_some_and(|row| row.is_alive(now))
            };
            if row.owner.is_some_and(alive) {
                continue;
            }
            row.taken_over |= row.owner.is_some();
            claimed.push((row.router.id, row.owner));
            row.owner = Some(watcher);
            row.epoch = row.epoch.next(now);
            row.claimed_at = now;
        }
        self.mark_unseen(gap, now);
        for (router, taken_over_from) in claimed {
            let kind = AuditKind::RouterOwned {
                watcher,
                taken_over_from,
            };
            self.note_on(router, kind, now);
        }
        let owned = self
            .routers
            .values()
            .filter(|row| row.owner == Some(watcher));
        owned
            .map(|row| Ownership {
                router: row.router.clone(),
                password: row.password(),
                epoch: row.epoch,
                taken_over: row.taken_over,
                nudged_at: row.nudged_at,
            })
            .collect()
    }

    pub(super) fn stand_by(&mut self, beat: &Heartbeat, now: DateTime<Utc>) {
        let gap = self.gap(beat.kind, now);
        self.note_beat(beat, true, now);
        self.mark_unseen(gap, now);
        if self.let_go(beat.watcher, true, now) {
            self.wake();
        }
    }

    fn note_beat(&mut self, beat: &Heartbeat, braked: bool, now: DateTime<Utc>) {
        let machine = beat.place.as_ref().map(|(machine, _)| machine.name.clone());
        let row = WatcherRow {
            kind: beat.kind,
            heartbeat_at: now,
            ttl: beat.ttl,
            machine,
            braked,
            share_limit: beat.share_limit,
            interval: beat.interval,
        };
        self.watchers.insert(beat.watcher, row);
        if let Some((machine, clocks)) = &beat.place {
            self.note_clocks(machine, clocks);
        }
    }

    pub(super) fn release(&mut self, watcher: WatcherId, now: DateTime<Utc>) {
        let gone = self.watchers.remove(&watcher);
        if let Some(row) = gone.as_ref().filter(|row| row.comes_again()) {
            let machine = &row.machine;
            self.watchers.retain(|_, earlier| {
                !(earlier.comes_again() && earlier.ttl.is_zero() && earlier.machine == *machine)
            });
            let ttl = Duration::ZERO;
            self.watchers
                .insert(watcher, WatcherRow { ttl, ..row.clone() });
        }
        if gone.is_some_and(|row| row.kind == WatcherKind::Watcher) {
            self.watch.left_at = Some(now);
        }
        self.let_go(watcher, false, now);
        self.wake();
    }

    /// Takes a router away from its owner, who is done with it; tells whether it had one.
    pub(super) fn let_go_of(&mut self, router: RouterId, now: DateTime<Utc>) -> bool {
        let row = self.routers.get_mut(&router);
        let Some((row, watcher)) = row.and_then(|row| row.owner.map(|owner| (row, owner))) else {
            return false;
        };
        row.owner = None;
        self.note_on(router, AuditKind::RouterReleased { watcher }, now);
        true
    }

    /// Takes its routers away from a watcher, who may still write to them, and tells whether it had
    /// any.
    fn let_go(&mut self, watcher: WatcherId, may_write: bool, now: DateTime<Utc>) -> bool {
        let owned = self
            .routers
            .values_mut()
            .filter(|row| row.owner == Some(watcher));
        let mut released = Vec::new();
        for row in owned {
            row.owner = None;
            row.taken_over |= may_write;
            released.push(row.router.id);
        }
        for router in &released {
            self.note_on(*router, AuditKind::RouterReleased { watcher }, now);
        }
        !released.is_empty()
    }

    /// Takes a disabled router away from its owner, who may be in the middle of a write.
    pub(super) fn disown(&mut self, router: RouterId) {
        if let Some(row) = self.routers.get_mut(&router) {
            row.taken_over |= row.owner.is_some();
            row.owner = None;
        }
    }

    /// Returns the fence of each router that has an owner.
    pub(super) fn fences(&self) -> Vec<Fence> {
        let owned = self.routers.values().filter_map(|row| {
            let watcher = row.owner?;
            Some(Fence {
                router: row.router.id,
                watcher,
                epoch: row.epoch,
            })
        });
        owned.collect()
    }

    pub(super) fn check(&self, fence: &Fence) -> Result<(), StoreError> {
        let holds = self.routers.get(&fence.router).is_some_and(|row| {
            row.router.enabled && row.owner == Some(fence.watcher) && row.epoch == fence.epoch
        });
        if holds {
            Ok(())
        } else {
            Err(StoreError::NotOwner(fence.router))
        }
    }
}

impl WatcherRow {
    /// Tells whether it is a check that another one is to follow.
    fn comes_again(&self) -> bool {
        self.kind == WatcherKind::Check && self.interval.is_some()
    }

    /// A heartbeat from far ahead is one of a clock that was wrong.
    pub(super) fn is_alive(&self, now: DateTime<Utc>) -> bool {
        let ttl = TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX);
        (now - self.heartbeat_at).abs() < ttl
    }
}
