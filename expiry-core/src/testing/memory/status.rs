use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    MemoryStore,
    enforcement::turn_of,
    planning::FRESH,
    tables::{RouterRow, Row, SubscriberRow, Tables},
};
use crate::{
    Access, Backlog, LATE_AFTER, Outlook, Overdue, OwedFilter, OwedItem, OwedPlace, Progress,
    Router, RouterAddress, RouterStatus, SOON, Standing, Status, StatusStore, StoreError,
    SubscriberFilter, SubscriberId, Summary, Task, TaskId, Tenant, TenantId, TenantSummary, Trace,
    Tries, Try, Unconfirmed, UnconfirmedOn, Want, WatcherId, WatcherStatus, seen_late,
};

#[async_trait]
impl StatusStore for MemoryStore {
    async fn status(&self, limit: u32) -> Result<Status, StoreError> {
        self.transaction("status", |tables, now| Ok(tables.status(limit, now)))
    }

    async fn summary(&self, soon: Duration, limit: u32) -> Result<Summary, StoreError> {
        self.transaction(
            "summary",
            |tables, now| Ok(tables.summary(soon, limit, now)),
        )
    }

    async fn owed(
        &self,
        filter: OwedFilter,
        after: Option<OwedPlace>,
        limit: u32,
    ) -> Result<(u64, Vec<OwedItem>), StoreError> {
        self.transaction("owed", |tables, now| {
            let name = |id| Some(tables.routers.get(&id)?.router.name.clone());
            let router = filter.router.map(name);
            let mut items = tables.status(u32::MAX, now).owed;
            items.sort_by_key(OwedItem::place);
            items.retain(|item| {
                let here = router
                    .as_ref()
                    .is_none_or(|name| *name == Some(item.router.clone()));
                here && filter.want.is_none_or(|want| want == item.want)
            });
            let all = items.len() as u64;
            items.retain(|item| after.is_none_or(|after| item.place() > after));
            items.truncate(limit as usize);
            Ok((all, items))
        })
    }

    async fn overdue(&self) -> Result<Overdue, StoreError> {
        self.transaction("overdue", |tables, now| {
            let summary = tables.summary(Duration::ZERO, u32::MAX, now);
            let subscribers = summary.unconfirmed.iter().map(|one| {
                let row = tables.subscribers.get(&one.subscriber);
                let row = row.filter(|row| !row.is_removed());
                let devices = row.map_or(0, |row| row.subscriber.devices.len());
                (one.subscriber, devices as u64)
            });
            let subscribers = subscribers.collect();
            Ok(Overdue { now, subscribers })
        })
    }

    async fn live_among(
        &self,
        subscribers: &BTreeSet<SubscriberId>,
    ) -> Result<BTreeSet<SubscriberId>, StoreError> {
        self.transaction("live_among", |tables, now| {
            let is_live = |id: &&SubscriberId| {
                let row = tables.subscribers.get(id);
                row.is_some_and(|row| row.is_live(now))
            };
            Ok(subscribers.iter().filter(is_live).copied().collect())
        })
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
        owed.sort_by_key(|item| (item.backlog, item.since, item.task));
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
            late_subscribers: late_of(&owed, now).len() as u64,
            backlog: self.backlog(&owed),
            next_deadline: live.filter_map(|row| row.subscriber.access.end()).min(),
            watchers: self.watcher_list(now),
            routers,
            owed: owed.into_iter().take(limit as usize).collect(),
        }
    }

    fn summary(&self, soon: Duration, limit: u32, now: DateTime<Utc>) -> Summary {
        let mut status = self.status(u32::MAX, now);
        let owed = std::mem::take(&mut status.owed);
        let mut unconfirmed: Vec<Unconfirmed> = Vec::new();
        let mut late = BTreeSet::new();
        for item in owed.into_iter().filter(|item| item.want == Want::Cut) {
            let owner = self.subscribers.get(&item.subscriber);
            let owner = owner.filter(|owner| owner.has_ended(now) || owner.is_removed());
            let Some(ended_at) = owner.and_then(|owner| owner.subscriber.access.end()) else {
                continue;
            };
            let is_late = !late_of(std::slice::from_ref(&item), now).is_empty();
            late.extend(is_late.then_some(item.subscriber));
            let on = UnconfirmedOn {
                router: item.router,
                since: item.since,
                online: item.online,
            };
            match unconfirmed
                .iter_mut()
                .find(|one| one.subscriber == item.subscriber)
            {
                Some(one) => match one
                    .routers
                    .iter_mut()
                    .find(|known| known.router == on.router)
                {
                    Some(known) => {
                        known.online |= on.online;
                        known.since = known.since.min(on.since);
                    }
                    None => one.routers.push(on),
                },
                None => unconfirmed.push(Unconfirmed {
                    subscriber: item.subscriber,
                    username: item.username,
                    tenant: item.tenant,
                    ended_at,
                    routers: vec![on],
                }),
            }
        }
        for one in &mut unconfirmed {
            one.routers.sort_by(|a, b| a.router.cmp(&b.router));
        }
        unconfirmed.sort_by_key(|one| (one.ended_at, one.subscriber));
        let mut ahead = self.upcoming(u32::MAX, now);
        ahead.retain(|one| one.ends_at <= now + soon);
        let nobodys = TenantSummary::default();
        let of = |tenant: &Tenant| TenantSummary {
            slug: Some(tenant.slug.clone()),
            name: tenant.name.clone(),
            ..TenantSummary::default()
        };
        let mut tenants: Vec<_> = std::iter::once(nobodys)
            .chain(self.tenants.values().map(of))
            .collect();
        tenants.sort_by(|a, b| a.slug.cmp(&b.slug));
        for tenant in &mut tenants {
            let live = self.subscribers.values().filter(|row| row.is_live(now));
            let here = |row: &&SubscriberRow| self.slug(row.subscriber.tenant) == tenant.slug;
            tenant.live = live.filter(here).count() as u64;
            let ours = |slug: &Option<String>| *slug == tenant.slug;
            tenant.expiring = ahead.iter().filter(|one| ours(&one.tenant)).count() as u64;
            let here = || unconfirmed.iter().filter(|one| ours(&one.tenant));
            tenant.owed = here().count() as u64;
            tenant.late = here().filter(|one| late.contains(&one.subscriber)).count() as u64;
        }
        let expiring = ahead.len() as u64;
        ahead.truncate(limit as usize);
        unconfirmed.truncate(limit as usize);
        Summary {
            status,
            expiring,
            tenants,
            soon: ahead,
            unconfirmed,
        }
    }

    pub(super) fn watcher_list(&self, now: DateTime<Utc>) -> Vec<WatcherStatus> {
        let watchers = self.watchers.iter();
        let mut watchers: Vec<_> = watchers
            .map(|(id, row)| WatcherStatus {
                id: *id,
                kind: row.kind,
                heartbeat_at: row.heartbeat_at,
                alive: row.is_alive(now),
                machine: row.machine.clone(),
                braked: row.braked,
                interval: row.interval,
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
        let watched_since = self.watched_since(now);
        for row in self.unplanned(now) {
            let end = row.subscriber.access.end().unwrap_or(now);
            let backlog = seen_late(end, watched_since, now).is_some();
            let routers = self.routers.values().map(|row| &row.router);
            for router in routers.filter(|router| row.has_in_scope(router)) {
                let item = OwedItem::unplanned(
                    (row.subscriber.id, row.subscriber.username.clone()),
                    self.slug(row.subscriber.tenant),
                    (router.id, router.name.clone()),
                    end,
                );
                items.push(OwedItem { backlog, ..item });
            }
        }
        items
    }

    /// Counts whose end was known late, and who of them was taken off since.
    fn backlog(&self, owed: &[OwedItem]) -> Backlog {
        let left: BTreeSet<_> = owed
            .iter()
            .filter(|item| item.backlog)
            .map(|item| item.subscriber)
            .collect();
        let owed_rows = owed.iter().filter(|item| item.backlog);
        let known = owed_rows.filter_map(|item| self.row(item.task?)?.known_late_at);
        let since = known.min();
        let unsettled: BTreeSet<_> = self
            .rows()
            .filter(|row| row.is_owed())
            .map(|row| row.target.subscriber)
            .collect();
        let done: BTreeSet<_> = self
            .rows()
            .filter(|row| row.known_late_at.is_some() && !row.is_owed())
            .filter(|row| since.is_some() && row.progress.confirmed_at >= since)
            .map(|row| row.target.subscriber)
            .filter(|subscriber| !unsettled.contains(subscriber))
            .collect();
        Backlog {
            left: left.len() as u64,
            of: (left.len() + done.len()) as u64,
        }
    }

    /// Counts the accesses that end soon in the scope of a router.
    fn ends_soon(&self, router: &Router, now: DateTime<Utc>) -> u64 {
        let here = self
            .subscribers
            .values()
            .filter(|row| row.has_in_scope(router));
        let live = here.filter(|row| row.is_live(now));
        let ends = live.filter_map(|row| row.subscriber.access.end());
        ends.filter(|end| *end <= now + SOON).count() as u64
    }

    fn router_status(
        &self,
        row: &RouterRow,
        owed: &[OwedItem],
        now: DateTime<Utc>,
    ) -> RouterStatus {
        let here = |item: &&OwedItem| item.router == row.router.name;
        let owed: Vec<_> = owed.iter().filter(here).collect();
        let cuts = owed.iter().filter(|item| item.want == Want::Cut);
        let address = &row.router.address;
        let status = RouterStatus {
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
            oldest_cut: cuts
                .filter(|item| !item.backlog)
                .map(|item| item.since)
                .min(),
            said: row.said.clone(),
            ends_soon: None,
        };
        let ends_soon = status
            .is_out_of_reach()
            .then(|| self.ends_soon(&row.router, now));
        RouterStatus {
            ends_soon,
            ..status
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
            router_id: router.router.id,
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
            backlog: row.is_backlog(),
        })
    }

    pub(super) fn slug(&self, tenant: Option<TenantId>) -> Option<String> {
        Some(self.tenants.get(&tenant?)?.slug.clone())
    }
}

impl Tables {
    /// Tells whether a subscriber is asked for.
    pub(super) fn passes(
        &self,
        row: &SubscriberRow,
        filter: &SubscriberFilter,
        now: DateTime<Utc>,
    ) -> bool {
        let of = &row.subscriber;
        let is_owed = || {
            let owed = self.status(u32::MAX, now).owed;
            let mut cuts = owed.iter().filter(|item| item.want == Want::Cut);
            cuts.any(|item| item.subscriber == of.id)
        };
        let named = filter.name.as_ref().map(|part| {
            let name = of.username.as_str().to_ascii_lowercase();
            name.contains(&part.to_ascii_lowercase())
        });
        let has = filter.device.map(|mac| of.devices.contains(&mac));
        (named == Some(true) || has == Some(true) || named.is_none() && has.is_none())
            && filter.tenant.is_none_or(|tenant| of.tenant == tenant)
            && filter.router.is_none_or(|router| of.router == Some(router))
            && filter.standing.is_none_or(|standing| match standing {
                Standing::Live => of.access.is_live(now),
                Standing::Ended => of.access.has_ended(now),
                Standing::Never => of.access == Access::None,
                Standing::Owed => is_owed(),
            })
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

/// Who is late of what is owed.
fn late_of(owed: &[OwedItem], now: DateTime<Utc>) -> BTreeSet<SubscriberId> {
    let cuts = owed.iter().filter(|item| item.want == Want::Cut);
    let late = cuts.filter(|item| !item.backlog && now - item.since > LATE_AFTER);
    late.map(|item| item.subscriber).collect()
}

fn count(items: &[&OwedItem], want: Want) -> u64 {
    items.iter().filter(|item| item.want == want).count() as u64
}
