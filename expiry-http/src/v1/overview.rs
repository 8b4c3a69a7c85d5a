use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{Brake, HealthReport, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::routers::RouterView;
use crate::{admin::watcher::word, answers::Guarded, problem::Problem, state::Inner};

/// Everything at one glance.
#[derive(Serialize, ToSchema)]
pub(crate) struct Overview {
    now: DateTime<Utc>,
    /// The version of the service.
    version: &'static str,
    /// `healthy`, `needs_attention` or `critical`.
    health: &'static str,
    /// Why it is not healthy, a sentence each, worst first.
    health_reasons: Vec<String>,
    counts: Counts,
    next_deadline: Option<DateTime<Utc>>,
    brakes: Vec<BrakeView>,
    watchers: Vec<WatcherView>,
    routers: Vec<RouterView>,
}

#[derive(Serialize, ToSchema)]
struct Counts {
    live_subscribers: u64,
    expiring_in_30_min: u64,
    /// Subscribers of whom a cut is owed.
    owed_subscribers: u64,
    /// Of those, who is late now: due for more than 5 s, and not of the backlog.
    late_subscribers: u64,
    /// Of those, whose end was past already when it came to be known.
    backlog_subscribers: u64,
    /// Those of the backlog, and who of it was taken off since.
    backlog_of: u64,
    owed_cuts: u64,
    owed_restores: u64,
}

/// Why nothing is cut.
#[derive(Serialize, ToSchema)]
struct BrakeView {
    /// `clock` or `share`.
    kind: &'static str,
    since: DateTime<Utc>,
    /// What is wrong, in a sentence.
    text: String,
}

#[derive(Serialize, ToSchema)]
struct WatcherView {
    id: String,
    machine: Option<String>,
    /// `watcher`, or `check`: one that ends after a single check, and watches nothing.
    kind: &'static str,
    alive: bool,
    braked: bool,
    heartbeat_at: DateTime<Utc>,
}

/// Tells everything at one glance, at most a second old.
#[utoipa::path(
    get,
    path = "/overview",
    tag = "v1",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What is true.", body = Overview),
        Guarded,
    )
)]
pub(crate) async fn overview(State(app): State<Arc<Inner>>) -> Result<Json<Overview>, Problem> {
    let snapshot = app.snapshot().await?;
    let Status {
        now,
        brakes,
        live_subscribers,
        owed_cuts,
        owed_restores,
        owed_subscribers,
        late_subscribers,
        backlog,
        next_deadline,
        watchers,
        routers,
        ..
    } = &snapshot.summary.status;
    let report = HealthReport::of(&snapshot.summary.status);
    let watchers = watchers.iter().map(|watcher| WatcherView {
        id: watcher.id.to_string(),
        machine: watcher.machine.clone(),
        kind: watcher.kind.as_str(),
        alive: watcher.alive,
        braked: watcher.braked,
        heartbeat_at: watcher.heartbeat_at,
    });
    Ok(Json(Overview {
        now: *now,
        version: env!("CARGO_PKG_VERSION"),
        health: word(report.health),
        health_reasons: report.reasons,
        counts: Counts {
            live_subscribers: *live_subscribers,
            expiring_in_30_min: snapshot.summary.expiring,
            owed_subscribers: *owed_subscribers,
            late_subscribers: *late_subscribers,
            backlog_subscribers: backlog.left,
            backlog_of: backlog.of,
            owed_cuts: *owed_cuts,
            owed_restores: *owed_restores,
        },
        next_deadline: *next_deadline,
        brakes: brakes.iter().map(BrakeView::new).collect(),
        watchers: watchers.collect(),
        routers: routers.iter().map(RouterView::new).collect(),
    }))
}

impl BrakeView {
    fn new(brake: &Brake) -> Self {
        Self {
            kind: match brake {
                Brake::Clock { .. } => "clock",
                Brake::Share { .. } => "share",
            },
            since: brake.since(),
            text: brake.to_string(),
        }
    }
}
