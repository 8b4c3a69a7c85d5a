use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::Tables;
use crate::{AuditKind, Fence, Ownership, RouterId, StoreError, WatcherId};

impl Tables {
    pub(super) fn own(
        &mut self,
        watcher: WatcherId,
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Vec<Ownership> {
        self.watchers.insert(watcher, now);
        let mut claimed = Vec::new();
        for row in self.routers.values_mut().filter(|row| row.router.enabled) {
            let alive = |owner| {
                let beat = self.watchers.get(&owner);
                owner == watcher || beat.is_some_and(|beat| is_younger(*beat, ttl, now))
            };
            if row.owner.is_some_and(alive) {
                continue;
            }
            row.taken_over |= row.owner.is_some();
            claimed.push((row.router.id, row.owner));
            row.owner = Some(watcher);
            row.epoch.0 += 1;
        }
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
                epoch: row.epoch,
                taken_over: row.taken_over,
                nudged_at: row.nudged_at,
            })
            .collect()
    }

    pub(super) fn release(&mut self, watcher: WatcherId, now: DateTime<Utc>) {
        self.watchers.remove(&watcher);
        let owned = self
            .routers
            .values_mut()
            .filter(|row| row.owner == Some(watcher));
        let mut released = Vec::new();
        for row in owned {
            row.owner = None;
            row.taken_over = false;
            released.push(row.router.id);
        }
        for router in released {
            self.note_on(router, AuditKind::RouterReleased { watcher }, now);
        }
        self.wake();
    }

    /// Takes a disabled router away from its owner, who may be in the middle of a write.
    pub(super) fn disown(&mut self, router: RouterId) {
        if let Some(row) = self.routers.get_mut(&router) {
            row.taken_over |= row.owner.is_some();
            row.owner = None;
        }
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

pub(super) fn is_younger(beat: DateTime<Utc>, ttl: Duration, now: DateTime<Utc>) -> bool {
    now - beat < TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX)
}
