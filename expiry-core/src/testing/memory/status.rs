use std::{cmp::Reverse, collections::BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    MemoryStore,
    enforcement::turn_of,
    planning::FRESH,
    tables::{RouterRow, Row, SubscriberRow, Tables},
};
use crate::{
    Outlook, OwedItem, Progress, RouterAddress, RouterStatus, Status, StatusStore, StoreError,
    Task, TaskId, TenantId, Trace, Tries, Try, Want, WatcherId, WatcherStatus,
};

#[async_trait]
impl StatusStore for MemoryStore {
    async fn status(&self, limit: u32) -> Result<Status, StoreError> {
        self.transaction("status", |tables, now| Ok(tables.status(limit, now)))
    }

    async fn tries(&self) -> Result<Tries, StoreError> {
        self.transaction("tries", |tables, now| {
            let rows = tables.rows().filter(|row| tables.counts(row, now));
            let items = rows.filter_map(|row| tables.owed_item(row));
            let tasks = items.filter_map(|item| {
                Some(Try {
                    task: item.task?,
                    at: item.attempted_at,
                    cannot_hold: item.cannot_hold,
                })
            });
            let tasks = tasks.collect();
            Ok(Tries { now, tasks })
        })
    }

    async fn outlook(&self) -> Result<Outlook, StoreError> {
        self.transaction("outlook", |tables, now| Ok(tables.outlook(now)))
    }
}

impl Tables {
    fn status(&self, limit: u32, now: DateTime<Utc>) -> Status {
        let live = self.subscribers.values().filter(|row| row.is_live(now));
        let rows = self.rows().filter(|row| self.counts(row, now));
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
            brakes: self.brakes(),
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
            .map(|(id, row)| WatcherStatus {
                id: *id,
                heartbeat_at: row.heartbeat_at,
                alive: row.is_alive(now),
                machine: row.machine.clone(),
                braked: row.braked,
            })
            .collect();
        watchers.sort_by_key(|row| (Reverse(row.heartbeat_at), row.id));
        watchers
    }

    /// Returns the owner of a router if it is alive.
    pub(super) fn living_owner(&self, row: &RouterRow, now: DateTime<Utc>) -> Option<WatcherId> {
        let alive = |owner: &WatcherId| {
            let row = self.watchers.get(owner);
            row.is_some_and(|row| row.is_alive(now))
        };
        row.owner.filter(alive)
    }

    /// Tells whether a row is owed where anybody serves it.
    fn counts(&self, row: &Row, now: DateTime<Utc>) -> bool {
        let router = self.routers.get(&row.router);
        row.is_owed() && row.due_at <= now && router.is_some_and(|router| router.router.enabled)
    }

    fn outlook(&self, now: DateTime<Utc>) -> Outlook {
        let rows = self.rows().filter(|row| self.counts(row, now));
        let rows = rows.filter(|row| row.want == Want::Restore || self.may_be_cut(row, now));
        let mut tasks: Vec<_> = rows
            .map(|row| (turn_of(row), row.router, self.task(row)))
            .collect();
        for owner in self.unplanned(now) {
            let task = unplanned_task(&owner, now);
            let turn = if task.backlog { 3 } else { 1 };
            let routers = self.routers.values().map(|row| &row.router);
            for router in routers.filter(|router| owner.has_in_scope(router)) {
                tasks.push((turn, router.id, task.clone()));
            }
        }
        tasks.sort_by_key(|(turn, router, task)| (*router, *turn, task.due_at, task.id));
        let tasks = tasks.into_iter().map(|(_, router, task)| (router, task));
        let live = self.subscribers.values().filter(|row| row.is_live(now));
        Outlook {
            now,
            tasks: tasks.collect(),
            next_deadline: live.filter_map(|row| row.subscriber.access.end()).min(),
        }
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
            reconciled_at: row.reconciled_at,
            strays: self
                .strays
                .get(&row.router.id)
                .map_or(0, |s| s.len() as u64),
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

/// The cut that planning would make.
fn unplanned_task(owner: &SubscriberRow, now: DateTime<Utc>) -> Task {
    let due_at = owner.subscriber.access.end().unwrap_or(now);
    Task {
        id: TaskId(0),
        want: Want::Cut,
        revision: owner.subscriber.revision,
        username: Some(owner.subscriber.username.clone()),
        macs: owner.subscriber.devices.clone(),
        due_at,
        backlog: now - due_at > FRESH,
        progress: Progress::owed(now),
        trace: Trace::default(),
        undo: Vec::new(),
    }
}

fn count(items: &[&OwedItem], want: Want) -> u64 {
    items.iter().filter(|item| item.want == want).count() as u64
}
