use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    MemoryStore,
    tables::{RouterRow, Row, SubscriberRow, Tables, UndoRow},
};
use crate::{
    AuditEntry, AuditEvent, AuditId, AuditKind, AuditStore, Explained, ExplainedRouter,
    ExplainedTarget, ExplainedUndo, Explanation, LagPoint, LagReport, Pruned, RouterCounts,
    RouterLags, StoreError, TenantId, UndoKey, Upcoming, Username, Want,
};

#[async_trait]
impl AuditStore for MemoryStore {
    async fn events(&self, after: AuditId, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.transaction("events", |tables, _| {
            let later = tables.events.iter().filter(|event| event.id > after);
            Ok(later.take(limit as usize).cloned().collect())
        })
    }

    async fn latest_events(&self, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.transaction("latest_events", |tables, _| {
            let skipped = tables.events.len().saturating_sub(limit as usize);
            Ok(tables.events.iter().skip(skipped).cloned().collect())
        })
    }

    async fn event_at(&self, id: AuditId) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.transaction("event_at", |tables, _| {
            let found = tables.events.iter().find(|event| event.id == id);
            Ok(found.map(|event| event.at))
        })
    }

    async fn latest_lags(&self, limit: u32) -> Result<Vec<LagPoint>, StoreError> {
        self.transaction("latest_lags", |tables, _| {
            let points = tables.events.iter().rev().filter_map(lag_point);
            let mut points: Vec<_> = points.take(limit as usize).collect();
            points.reverse();
            Ok(points)
        })
    }

    async fn lag(&self) -> Result<LagReport, StoreError> {
        self.transaction("lag", |tables, _| Ok(tables.lag()))
    }

    async fn counts(&self) -> Result<Vec<RouterCounts>, StoreError> {
        self.transaction("counts", |tables, _| Ok(tables.counted()))
    }

    async fn upcoming(&self, limit: u32) -> Result<Vec<Upcoming>, StoreError> {
        self.transaction("upcoming", |tables, now| Ok(tables.upcoming(limit, now)))
    }

    async fn explain(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
        events: u32,
    ) -> Result<Explanation, StoreError> {
        self.transaction("explain", |tables, now| {
            Ok(tables.explain(tenant, username, events, now))
        })
    }
}

fn lag_point(event: &AuditEvent) -> Option<LagPoint> {
    let is_restore = event.entry.kind == AuditKind::RestoreConfirmed;
    let want = if is_restore { Want::Restore } else { Want::Cut };
    Some(LagPoint {
        at: event.at,
        lag: event.entry.lag?,
        outage: event.entry.outage,
        want,
        router: event.entry.router_name.clone(),
    })
}

impl Tables {
    fn lag(&self) -> LagReport {
        let mut removed = RouterLags {
            id: None,
            router: None,
            lags: crate::Lags::default(),
        };
        let mut routers = Vec::new();
        for (id, lags) in &self.lags {
            match self.routers.get(id) {
                Some(row) => routers.push(RouterLags {
                    id: Some(*id),
                    router: Some(row.router.name.clone()),
                    lags: lags.clone(),
                }),
                None => removed.lags.add(lags),
            }
        }
        if removed.lags != crate::Lags::default() {
            routers.push(removed);
        }
        LagReport::new(routers)
    }

    fn counted(&self) -> Vec<RouterCounts> {
        let of = self.routers.iter().map(|(id, row)| RouterCounts {
            id: *id,
            router: row.router.name.clone(),
            cuts: self.cuts.get(id).cloned().unwrap_or_default(),
            requests: self.requests.get(id).cloned().unwrap_or_default(),
        });
        let mut counts: Vec<_> = of.collect();
        counts.sort_by(|a, b| a.router.cmp(&b.router));
        counts
    }

    pub(super) fn upcoming(&self, limit: u32, now: DateTime<Utc>) -> Vec<Upcoming> {
        let live = self.subscribers.values().filter(|row| row.is_live(now));
        let mut ahead: Vec<_> = live
            .filter_map(|row| {
                Some(Upcoming {
                    subscriber: row.subscriber.id,
                    username: row.subscriber.username.clone(),
                    tenant: self.slug(row.subscriber.tenant),
                    ends_at: row.subscriber.access.end()?,
                })
            })
            .collect();
        ahead.sort_by_key(|one| (one.ends_at, one.subscriber));
        ahead.truncate(limit as usize);
        ahead
    }

    fn explain(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
        events: u32,
        now: DateTime<Utc>,
    ) -> Explanation {
        let named = self
            .subscribers
            .values()
            .filter(|row| row.subscriber.tenant == tenant && row.subscriber.username == *username);
        let mut named: Vec<_> = named.collect();
        let latest_first =
            |row: &SubscriberRow| std::cmp::Reverse((row.removed_at, row.subscriber.id));
        named.sort_by_key(|row| (row.is_removed(), latest_first(row)));
        let explained = named.into_iter().map(|row| Explained {
            subscriber: row.subscriber.clone(),
            removed_at: row.removed_at,
            routers: self.explained_routers(row, now),
            events: self.latest_events(events as usize, |entry| {
                entry.subscriber == Some(row.subscriber.id)
            }),
        });
        Explanation {
            now,
            brakes: self.brakes(),
            watchers: self.watcher_list(now),
            subscribers: explained.collect(),
            former: self.events_of_former(tenant, username, events as usize),
        }
    }

    fn events_of_former(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
        limit: usize,
    ) -> Vec<AuditEvent> {
        let removals = self.events.iter().map(|event| &event.entry);
        let removals = removals.filter(|entry| {
            matches!(entry.kind, AuditKind::SubscriberRemoved { .. })
                && entry.tenant == tenant
                && entry.username.as_ref() == Some(username)
        });
        let former: BTreeSet<_> = removals
            .filter_map(|entry| entry.subscriber)
            .filter(|id| !self.subscribers.contains_key(id))
            .collect();
        self.latest_events(limit, |entry| {
            entry.subscriber.is_some_and(|id| former.contains(&id))
        })
    }

    fn latest_events(
        &self,
        limit: usize,
        is_wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Vec<AuditEvent> {
        let events = self.events.iter().rev();
        let events = events.filter(|event| is_wanted(&event.entry));
        let mut events: Vec<_> = events.take(limit).cloned().collect();
        events.reverse();
        events
    }

    fn explained_routers(&self, of: &SubscriberRow, now: DateTime<Utc>) -> Vec<ExplainedRouter> {
        let mut keys: BTreeSet<UndoKey> = of.keys().into_iter().collect();
        let rows = self.rows();
        let rows = rows.filter(|row| row.target.subscriber == of.subscriber.id);
        keys.extend(rows.flat_map(Row::keys));
        let routers = self.routers.values();
        let mut routers: Vec<_> = routers
            .filter(|row| row.router.tenant == of.subscriber.tenant)
            .map(|row| {
                (
                    of.covers(&row.router),
                    self.explained_router(of, row, &keys, now),
                )
            })
            .filter(|(covered, on)| *covered || !on.targets.is_empty() || !on.undo.is_empty())
            .map(|(_, on)| on)
            .collect();
        routers.sort_by(|a, b| a.name.cmp(&b.name));
        routers
    }

    fn explained_router(
        &self,
        of: &SubscriberRow,
        row: &RouterRow,
        keys: &BTreeSet<UndoKey>,
        now: DateTime<Utc>,
    ) -> ExplainedRouter {
        let router = row.router.id;
        let targets = self.rows();
        let mut targets: Vec<_> = targets
            .filter(|row| row.router == router && row.target.subscriber == of.subscriber.id)
            .collect();
        targets.sort_by_key(|row| row.target.device);
        let undo = self.undo.values();
        let mut undo: Vec<_> = undo
            .filter(|undo| undo.router == router && keys.contains(&undo.undo.key))
            .collect();
        undo.sort_by_key(|undo| undo.opened);
        ExplainedRouter {
            id: router,
            name: row.router.name.clone(),
            in_scope: of.has_in_scope(&row.router),
            enabled: row.router.enabled,
            owner: self.living_owner(row, now),
            down_since: row.down_since,
            attempted_at: row.attempted_at,
            last_error: row.last_error.clone(),
            targets: targets.into_iter().map(explained_target).collect(),
            undo: undo.into_iter().map(explained_undo).collect(),
        }
    }

    pub(super) fn prune(&mut self, keep: Duration, limit: u32, now: DateTime<Utc>) -> Pruned {
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let Some(before) = now.checked_sub_signed(keep) else {
            return Pruned::default();
        };
        let owed: BTreeSet<_> = self
            .rows()
            .filter(|row| row.is_owed())
            .map(|row| row.target.subscriber)
            .collect();
        let mut pruned = Pruned::default();
        let limit = u64::from(limit);
        self.events.retain(|event| {
            let needed = event.entry.subscriber.is_some_and(|id| owed.contains(&id));
            let drop = event.at < before && !needed && pruned.events < limit;
            pruned.events += u64::from(drop);
            !drop
        });
        let looks: Vec<Row> = self
            .rows()
            .filter(|row| row.want == Want::Restore && !row.is_owed())
            .filter(|row| row.wanted_at().is_some())
            .cloned()
            .collect();
        self.undo.retain(|_, undo| {
            let is_old = undo.undone_at.is_some_and(|at| at < before);
            let mut looks = looks.iter().filter(|row| row.router == undo.router);
            let drop =
                !undo.open && is_old && !looks.any(|row| undo.is_of(row)) && pruned.undo < limit;
            pruned.undo += u64::from(drop);
            !drop
        });
        self.payments.retain(|_, (_, receipt)| {
            let drop = receipt.at < before && pruned.payments < limit;
            pruned.payments += u64::from(drop);
            !drop
        });
        pruned
    }
}

fn explained_target(row: &Row) -> ExplainedTarget {
    ExplainedTarget {
        task: row.id,
        device: row.target.device,
        want: row.want,
        revision: row.revision,
        due_at: row.due_at,
        known_late_at: row.known_late_at,
        cannot_hold: row.progress.cannot_hold(),
        progress: row.progress.clone(),
        attempted_at: row.attempted_at,
    }
}

fn explained_undo(row: &UndoRow) -> ExplainedUndo {
    ExplainedUndo {
        undo: row.undo.clone(),
        opened_at: row.opened_at,
        undone_at: row.undone_at.filter(|_| !row.open),
    }
}
