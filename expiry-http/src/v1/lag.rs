use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{Histogram, LagPoint, Lags};
use serde::Serialize;
use utoipa::ToSchema;

use super::lists::Direction;
use crate::{answers::Guarded, problem::Problem, state::Inner};

/// So many of the latest confirmations are told one by one.
const RECENT: u32 = 500;

/// How fast cuts and restores are.
#[derive(Serialize, ToSchema)]
pub(crate) struct LagAnswer {
    now: DateTime<Utc>,
    all: LagsView,
    routers: Vec<RouterLagsView>,
    /// The latest first confirmations, oldest first.
    recent: Vec<Point>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Lags)]
struct LagsView {
    cuts: HistogramView,
    /// Of cuts that waited for a router that was down.
    outage_cuts: HistogramView,
    /// Of cuts whose end was past already when it came to be known, from then on: no lag.
    known_late_cuts: HistogramView,
    restores: HistogramView,
    outage_restores: HistogramView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RouterLags)]
struct RouterLagsView {
    /// Null for all removed routers together.
    id: Option<i64>,
    /// The router's name.
    router: Option<String>,
    cuts: HistogramView,
    outage_cuts: HistogramView,
    /// Of cuts whose end was past already when it came to be known, from then on: no lag.
    known_late_cuts: HistogramView,
    restores: HistogramView,
    outage_restores: HistogramView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Histogram)]
struct HistogramView {
    count: u64,
    sum_ms: u64,
    p50_ms: Option<u64>,
    p99_ms: Option<u64>,
    max_ms: Option<u64>,
    /// Each with its own count, not that of all before.
    buckets: Vec<Bucket>,
}

#[derive(Serialize, ToSchema)]
struct Bucket {
    /// The upper bound; null for what took longer than all bounds.
    le_ms: Option<u64>,
    count: u64,
}

#[derive(Serialize, ToSchema)]
struct Point {
    at: DateTime<Utc>,
    lag_ms: u64,
    /// Whether the router was down meanwhile.
    outage: bool,
    want: Direction,
    /// The router's name.
    router: Option<String>,
}

/// Tells how fast cuts and restores are.
#[utoipa::path(
    get,
    path = "/lag",
    tag = "v1",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "Of all times, and the latest.", body = LagAnswer),
        Guarded,
    )
)]
pub(crate) async fn lag(State(app): State<Arc<Inner>>) -> Result<Json<LagAnswer>, Problem> {
    let report = app.lag.get().await;
    let report = report.map_err(|error| Problem::of_store(&error))?;
    let recent = app.service.audit.latest_lags(RECENT).await?;
    let routers = report.routers.iter().map(|of| {
        let LagsView {
            cuts,
            outage_cuts,
            known_late_cuts,
            restores,
            outage_restores,
        } = LagsView::new(&of.lags);
        RouterLagsView {
            id: of.id.map(|id| id.0),
            router: of.router.clone(),
            cuts,
            outage_cuts,
            known_late_cuts,
            restores,
            outage_restores,
        }
    });
    Ok(Json(LagAnswer {
        now: app.now().await?,
        all: LagsView::new(&report.all),
        routers: routers.collect(),
        recent: recent.into_iter().map(Point::new).collect(),
    }))
}

impl LagsView {
    fn new(lags: &Lags) -> Self {
        Self {
            cuts: HistogramView::new(&lags.cuts),
            outage_cuts: HistogramView::new(&lags.outage_cuts),
            known_late_cuts: HistogramView::new(&lags.known_late_cuts),
            restores: HistogramView::new(&lags.restores),
            outage_restores: HistogramView::new(&lags.outage_restores),
        }
    }
}

impl HistogramView {
    fn new(histogram: &Histogram) -> Self {
        let mut before = 0;
        let buckets = histogram.cumulative().map(|(bound, count)| {
            let own = count - before;
            before = count;
            Bucket {
                le_ms: bound.map(millis),
                count: own,
            }
        });
        let buckets = buckets.collect();
        Self {
            count: histogram.count(),
            sum_ms: millis(histogram.sum()),
            p50_ms: histogram.percentile(50).map(millis),
            p99_ms: histogram.percentile(99).map(millis),
            max_ms: histogram.max().map(millis),
            buckets,
        }
    }
}

impl Point {
    fn new(point: LagPoint) -> Self {
        Self {
            at: point.at,
            lag_ms: millis(point.lag),
            outage: point.outage,
            want: point.want.into(),
            router: point.router,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
