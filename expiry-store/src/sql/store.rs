//! The ports: each call is one transaction, and none waits for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use expiry_core::{
    AccessChange, AuditEvent, AuditId, AuditStore, ChangeFeed, Directory, EnforcementStore,
    Explanation, Fence, Heartbeat, Histogram, Intent, Known, LagPoint, LagReport, Live, MacAddr,
    NewRouter, NewSubscriber, OpenWork, Outlook, Overdue, OwedFilter, OwedItem, OwedPlace,
    Ownership, Planned, Pruned, PutReport, PutSubscriber, Reconciled, Reconciliation, Router,
    RouterChange, RouterCounts, RouterId, RouterState, Settled, Settlement, Status, StatusStore,
    StoreError, Strays, Subscriber, SubscriberFilter, SubscriberId, Summary, TaskRef, Tenant,
    TenantId, Tries, UndoKey, Upcoming, Username, WatcherId, Work,
};

use super::{
    Backend, audit, counts, explain, intend, outlook, ownership, planning, prune, put, recheck,
    reconcile, routers, settle, share, state, status, stray, subscribers, summary, tenants, work,
};
use crate::{
    error,
    mode::{LONG, Mode, SHORT},
    row::instant,
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A peer that vanished without a word must not hold a call.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = error::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(done) => Ok(done?),
        Err(elapsed) => Err(StoreError::Unavailable(Box::new(elapsed))),
    }
}

#[async_trait]
impl Directory for Backend {
    async fn add_tenant(&self, slug: &str, name: &str) -> Result<Tenant> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let tenant = tenants::add(&mut tx, slug, name).await?;
            tx.commit().await?;
            Ok(tenant)
        })
        .await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let tenants = tenants::list(&mut tx).await?;
            tx.commit().await?;
            Ok(tenants)
        })
        .await
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            tenants::remove(&mut tx, tenant).await?;
            tx.commit().await
        })
        .await
    }

    async fn add_router(&self, new: &NewRouter) -> Result<Router> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let router = routers::add(&mut tx, &self.sealer, new).await?;
            tx.commit().await?;
            Ok(router)
        })
        .await
    }

    async fn change_router(&self, router: RouterId, change: &RouterChange) -> Result<Router> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let router = routers::change(&mut tx, &self.sealer, router, change).await?;
            tx.commit().await?;
            Ok(router)
        })
        .await
    }

    async fn accept_router(&self, router: RouterId) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            routers::accept(&mut tx, router).await?;
            tx.commit().await
        })
        .await
    }

    async fn routers(&self) -> Result<Vec<Router>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let routers = routers::list(&mut tx, &self.sealer).await?;
            tx.commit().await?;
            Ok(routers)
        })
        .await
    }

    async fn open_work(&self, router: RouterId) -> Result<OpenWork> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let open = routers::open_work(&mut tx, router).await?;
            tx.commit().await?;
            Ok(open)
        })
        .await
    }

    async fn strays(&self, router: RouterId) -> Result<Strays> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let strays = stray::list(&mut tx, router).await?;
            tx.commit().await?;
            Ok(strays)
        })
        .await
    }

    async fn remove_router(&self, router: RouterId, force: bool) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            routers::remove(&mut tx, router, force).await?;
            tx.commit().await
        })
        .await
    }

    async fn add_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let subscriber = subscribers::add(&mut tx, new).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn put_subscribers(&self, rows: &[PutSubscriber], dry_run: bool) -> Result<PutReport> {
        within(LONG, async {
            let mode = if dry_run { Mode::Read } else { Mode::Plan };
            let mut tx = self.begin(mode).await?;
            let report = put::put(&mut tx, rows, dry_run).await?;
            tx.commit().await?;
            Ok(report)
        })
        .await
    }

    async fn subscriber(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<Option<Subscriber>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscriber = subscribers::find(&mut tx, tenant, username).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn subscribers(
        &self,
        tenant: Option<TenantId>,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscribers = subscribers::list(&mut tx, tenant, after, limit).await?;
            tx.commit().await?;
            Ok(subscribers)
        })
        .await
    }

    async fn subscriber_by_id(&self, id: SubscriberId) -> Result<Option<Subscriber>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscriber = subscribers::by_id(&mut tx, id).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn find_subscribers(
        &self,
        filter: &SubscriberFilter,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let found = subscribers::search(&mut tx, filter, after, limit).await?;
            tx.commit().await?;
            Ok(found)
        })
        .await
    }

    async fn change_access(
        &self,
        subscriber: SubscriberId,
        change: AccessChange,
    ) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let subscriber = subscribers::change_access(&mut tx, subscriber, change).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn add_device(&self, subscriber: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let subscriber = subscribers::add_device(&mut tx, subscriber, mac).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn remove_device(&self, subscriber: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Plan).await?;
            let subscriber = subscribers::remove_device(&mut tx, subscriber, mac).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn remove_subscriber(&self, subscriber: SubscriberId) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Plan).await?;
            subscribers::remove(&mut tx, subscriber).await?;
            tx.commit().await
        })
        .await
    }
}

#[async_trait]
impl EnforcementStore for Backend {
    async fn now(&self) -> Result<DateTime<Utc>> {
        within(SHORT, async {
            let tx = self.begin(Mode::Read).await?;
            let now = tx.now;
            tx.commit().await?;
            Ok(instant(now)?)
        })
        .await
    }

    async fn own(&self, beat: &Heartbeat) -> Result<Vec<Ownership>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Claim).await?;
            let owned = ownership::own(&mut tx, &self.sealer, beat).await?;
            tx.commit().await?;
            Ok(owned)
        })
        .await
    }

    async fn stand_by(&self, beat: &Heartbeat) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Claim).await?;
            ownership::stand_by(&mut tx, beat).await?;
            tx.commit().await
        })
        .await
    }

    async fn release(&self, watcher: WatcherId) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Claim).await?;
            ownership::release(&mut tx, watcher).await?;
            tx.commit().await
        })
        .await
    }

    async fn plan_due(&self, limit: u32) -> Result<Planned> {
        within(LONG, planning::plan_due(self, limit)).await
    }

    async fn work(&self, fence: &Fence, limit: u32, backlog: u32) -> Result<Work> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let (work, exceeded) = work::work(&mut tx, fence, limit, backlog).await?;
            tx.commit().await?;
            if let Some(exceeded) = exceeded {
                let mut tx = self.begin(Mode::Claim).await?;
                share::record(&mut tx, exceeded).await?;
                tx.commit().await?;
            }
            Ok(work)
        })
        .await
    }

    async fn live(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let live = work::live(&mut tx, router, names, macs).await?;
            tx.commit().await?;
            Ok(live)
        })
        .await
    }

    async fn known(&self, router: RouterId, keys: &BTreeSet<UndoKey>) -> Result<Known> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let known = reconcile::known(&mut tx, router, keys).await?;
            tx.commit().await?;
            Ok(known)
        })
        .await
    }

    async fn next_deadline(
        &self,
        router: RouterId,
        soon: Duration,
    ) -> Result<Option<DateTime<Utc>>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let deadline = reconcile::next_deadline(&mut tx, router, soon).await?;
            tx.commit().await?;
            Ok(deadline.map(instant).transpose()?)
        })
        .await
    }

    async fn reconciled(
        &self,
        fence: &Fence,
        reconciliation: &Reconciliation,
    ) -> Result<Reconciled> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Record).await?;
            let recorded = reconcile::reconciled(&mut tx, fence, reconciliation).await?;
            tx.commit().await?;
            Ok(recorded)
        })
        .await
    }

    async fn intend(&self, fence: &Fence, intents: &[Intent]) -> Result<BTreeSet<TaskRef>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Record).await?;
            let standing = intend::intend(&mut tx, fence, intents).await?;
            tx.commit().await?;
            Ok(standing)
        })
        .await
    }

    async fn standing(&self, fence: &Fence, tasks: &[TaskRef]) -> Result<BTreeSet<TaskRef>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let standing = work::standing(&mut tx, fence, tasks).await?;
            tx.commit().await?;
            Ok(standing)
        })
        .await
    }

    async fn settle(&self, fence: &Fence, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Record).await?;
            let settled = settle::settle(&mut tx, fence, settlements).await?;
            tx.commit().await?;
            Ok(settled)
        })
        .await
    }

    async fn recheck(&self, router: RouterId, keys: &[UndoKey]) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Plan).await?;
            recheck::recheck(&mut tx, router, keys).await?;
            tx.commit().await
        })
        .await
    }

    async fn router_state(&self, fence: &Fence, state: &RouterState) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Claim).await?;
            state::router_state(&mut tx, fence, state).await?;
            tx.commit().await
        })
        .await
    }

    async fn note_requests(&self, requests: &BTreeMap<RouterId, Histogram>) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Record).await?;
            counts::note_requests(&mut tx, requests).await?;
            tx.commit().await
        })
        .await
    }

    async fn nudge(&self) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::PlanAndClaim).await?;
            recheck::nudge(&mut tx).await?;
            tx.commit().await
        })
        .await
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<Pruned> {
        within(SHORT, prune::prune(self, keep, limit)).await
    }

    async fn changes(&self) -> Result<Box<dyn ChangeFeed>> {
        within(SHORT, async {
            let feed = self.feed().await?;
            Ok(Box::new(feed) as Box<dyn ChangeFeed>)
        })
        .await
    }
}

#[async_trait]
impl StatusStore for Backend {
    async fn status(&self, limit: u32) -> Result<Status> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let status = status::status(&mut tx, limit).await?;
            tx.commit().await?;
            Ok(status)
        })
        .await
    }

    async fn summary(&self, soon: Duration, limit: u32) -> Result<Summary> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let summary = summary::summary(&mut tx, soon, limit).await?;
            tx.commit().await?;
            Ok(summary)
        })
        .await
    }

    async fn owed(
        &self,
        filter: OwedFilter,
        after: Option<OwedPlace>,
        limit: u32,
    ) -> Result<(u64, Vec<OwedItem>)> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let owed = status::owed(&mut tx, filter, after, limit).await?;
            tx.commit().await?;
            Ok(owed)
        })
        .await
    }

    async fn overdue(&self) -> Result<Overdue> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let overdue = summary::overdue(&mut tx).await?;
            tx.commit().await?;
            Ok(overdue)
        })
        .await
    }

    async fn live_among(
        &self,
        subscribers: &BTreeSet<SubscriberId>,
    ) -> Result<BTreeSet<SubscriberId>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let live = summary::live_among(&mut tx, subscribers).await?;
            tx.commit().await?;
            Ok(live)
        })
        .await
    }

    async fn tries(&self) -> Result<Tries> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let tries = status::tries(&mut tx).await?;
            tx.commit().await?;
            Ok(tries)
        })
        .await
    }

    async fn outlook(&self) -> Result<Outlook> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let outlook = outlook::outlook(&mut tx).await?;
            tx.commit().await?;
            Ok(outlook)
        })
        .await
    }
}

#[async_trait]
impl AuditStore for Backend {
    async fn events(&self, after: AuditId, limit: u32) -> Result<Vec<AuditEvent>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let events = audit::after(&mut tx, after, limit).await?;
            tx.commit().await?;
            Ok(events)
        })
        .await
    }

    async fn latest_events(&self, limit: u32) -> Result<Vec<AuditEvent>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let events = audit::latest(&mut tx, limit).await?;
            tx.commit().await?;
            Ok(events)
        })
        .await
    }

    async fn event_at(&self, id: AuditId) -> Result<Option<DateTime<Utc>>> {
        let before = AuditId {
            number: id.number - 1,
            ..id
        };
        let next = self.events(before, 1).await?;
        let found = next.into_iter().find(|event| event.id == id);
        Ok(found.map(|event| event.at))
    }

    async fn latest_lags(&self, limit: u32) -> Result<Vec<LagPoint>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let points = audit::latest_lags(&mut tx, limit).await?;
            tx.commit().await?;
            Ok(points)
        })
        .await
    }

    async fn lag(&self) -> Result<LagReport> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let lag = audit::lag(&mut tx).await?;
            tx.commit().await?;
            Ok(lag)
        })
        .await
    }

    async fn counts(&self) -> Result<Vec<RouterCounts>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let counts = counts::read(&mut tx).await?;
            tx.commit().await?;
            Ok(counts)
        })
        .await
    }

    async fn upcoming(&self, limit: u32) -> Result<Vec<Upcoming>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let upcoming = explain::upcoming(&mut tx, i64::MAX, limit).await?;
            tx.commit().await?;
            Ok(upcoming)
        })
        .await
    }

    async fn explain(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
        events: u32,
    ) -> Result<Explanation> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let explanation = explain::explain(&mut tx, tenant, username, events).await?;
            tx.commit().await?;
            Ok(explanation)
        })
        .await
    }
}
