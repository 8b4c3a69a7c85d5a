//! What is true now and what happened, for people and monitoring.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use expiry_core::{
    AuditEvent, AuditId, AuditStore, Explanation, LagPoint, LagReport, Outlook, Overdue,
    OwedFilter, OwedItem, OwedPlace, RouterCounts, Status, StatusStore, SubscriberId, Summary,
    TenantId, Tries, Upcoming, Username,
};

use super::super::{Backend, audit, counts, explain, outlook, status, summary};
use super::{Result, within};
use crate::mode::{LONG, Mode, SHORT};

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
