use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    MemoryStore,
    claims::is_younger,
    tables::{RouterRow, Row, Tables},
};
use crate::{
    OwedItem, RouterAddress, RouterStatus, Status, StatusStore, StoreError, TenantId, Want,
    WatcherId, WatcherStatus,
};

/// How long a watcher counts as alive after a heartbeat.
const ALIVE: Duration = Duration::from_secs(15);

#[async_trait]
impl StatusStore for MemoryStore {
    async fn status(&self, limit: u32) -> Result<Status, StoreError> {
        self.transaction("status", |tables, now| Ok(tables.status(limit, now)))
    }
}

impl Tables {
    fn status(&self, limit: u32, now: DateTime<Utc>) -> Status {
        let live = self.subscribers.values().filter(|row| row.is_live(now));
        let rows = self.rows().filter(|row| self.counts(row));
        let mut owed: Vec<_> = rows.filter_map(|row| self.owed_item(row)).collect();
        owed.extend(self.owed_unplanned(now));
        owed.sort_by_key(|item| (item.since, item.task));
        let all: Vec<_> = owed.iter().collect();
        let mut routers: Vec<_> = self
            .routers
            .values()
            .map(|row| self.router_status(row, &owed, now))
            .collect();
        routers.sort_by(|a, b| a.name.cmp(&b.name));
        let cuts = all.iter().filter(|item| item.want == Want::Cut);
        let subscribers: BTreeSet<_> = cuts.map(|item| item.subscriber).collect();
        Status {
            now,
            live_subscribers: live.clone().count() as u64,
            owed_cuts: count(&all, Want::Cut),
            owed_restores: count(&all, Want::Restore),
            owed_subscribers: subscribers.len() as u64,
            next_deadline: live.filter_map(|row| row.subscriber.access.end()).min(),
            watchers: self.watcher_list(now),
            routers,
            owed: owed.into_iter().take(limit as usize).collect(),
        }
    }

    pub(super) fn watcher_list(&self, now: DateTime<Utc>) -> Vec<WatcherStatus> {
        let watchers = self.watchers.iter();
        let mut watchers: Vec<_> = watchers
            .map(|(id, beat)| WatcherStatus {
                id: *id,
                heartbeat_at: *beat,
                alive: is_younger(*beat, ALIVE, now),
            })
            .collect();
        watchers.sort_by_key(|row| (Reverse(row.heartbeat_at), row.id));
        watchers
    }

    /// Returns the owner of a router if it is alive.
    pub(super) fn living_owner(&self, row: &RouterRow, now: DateTime<Utc>) -> Option<WatcherId> {
        let alive = |owner: &WatcherId| {
            let beat = self.watchers.get(owner);
            beat.is_some_and(|beat| is_younger(*beat, ALIVE, now))
        };
        row.owner.filter(alive)
    }

    /// Tells whether a row is owed where anybody serves it.
    fn counts(&self, row: &Row) -> bool {
        let router = self.routers.get(&row.router);
        row.is_owed() && router.is_some_and(|router| router.router.enabled)
    }

    /// The cuts that are owed since a deadline passed, although nobody has planned them yet.
    fn owed_unplanned(&self, now: DateTime<Utc>) -> Vec<OwedItem> {
        let mut items = Vec::new();
        for row in self.unplanned(now) {
            let routers = self.routers.values().map(|row| &row.router);
            for router in routers.filter(|router| row.has_in_scope(router)) {
                items.push(OwedItem {
                    task: None,
                    subscriber: row.subscriber.id,
                    username: row.subscriber.username.clone(),
                    device: None,
                    tenant: self.slug(row.subscriber.tenant),
                    router: router.name.clone(),
                    want: Want::Cut,
                    since: row.subscriber.access.end().unwrap_or(now),
                    online: false,
                    attempts: 0,
                    attempted_at: None,
                    last_error: None,
                    cannot_hold: false,
                    way_in: None,
                });
            }
        }
        items
    }

    fn router_status(
        &self,
        row: &RouterRow,
        owed: &[OwedItem],
        now: DateTime<Utc>,
    ) -> RouterStatus {
        let here = |item: &&OwedItem| item.router == row.router.name;
        let owed: Vec<_> = owed.iter().filter(here).collect();
        let address = &row.router.address;
        RouterStatus {
            id: row.router.id,
            name: row.router.name.clone(),
            tenant: self.slug(row.router.tenant),
            address: RouterAddress::place(&address.host, address.port),
            enabled: row.router.enabled,
            owner: self.living_owner(row, now),
            seen: row.router.seen.clone(),
            down_since: row.down_since,
            attempted_at: row.attempted_at,
            last_error: row.last_error.clone(),
            owed_cuts: count(&owed, Want::Cut),
            owed_restores: count(&owed, Want::Restore),
        }
    }

    fn owed_item(&self, row: &Row) -> Option<OwedItem> {
        let router = self.routers.get(&row.router)?;
        let owner = self.subscribers.get(&row.target.subscriber)?;
        let progress = &row.progress;
        Some(OwedItem {
            task: Some(row.id),
            subscriber: row.target.subscriber,
            username: owner.subscriber.username.clone(),
            device: row.target.device,
            tenant: self.slug(owner.subscriber.tenant),
            router: router.router.name.clone(),
            want: row.want,
            since: row.due_at,
            online: progress.online,
            attempts: progress.attempts,
            attempted_at: row
                .attempted_at
                .max(router.down_since.and(router.attempted_at)),
            last_error: progress
                .last_error
                .clone()
                .or_else(|| router.last_error.clone()),
            cannot_hold: progress.cannot_hold(),
            way_in: progress.way_in,
        })
    }

    pub(super) fn slug(&self, tenant: Option<TenantId>) -> Option<String> {
        Some(self.tenants.get(&tenant?)?.slug.clone())
    }
}

fn count(items: &[&OwedItem], want: Want) -> u64 {
    items.iter().filter(|item| item.want == want).count() as u64
}
