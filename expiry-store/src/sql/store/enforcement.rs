//! What the engine needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use expiry_core::{
    ChangeFeed, EnforcementStore, Fence, Heartbeat, Histogram, Intent, Known, Live, MacAddr,
    Ownership, Planned, Pruned, Reconciled, Reconciliation, RouterId, RouterState, Settled,
    Settlement, TaskRef, UndoKey, Username, WatcherId, Work,
};

use super::super::{
    Backend, counts, intend, ownership, planning, prune, recheck, reconcile, settle, share, state,
    work,
};
use super::{Result, within};
use crate::{
    mode::{LONG, Mode, SHORT},
    row::instant,
};

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

    async fn let_go(&self, fence: &Fence) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Claim).await?;
            ownership::let_go_of(&mut tx, fence).await?;
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
