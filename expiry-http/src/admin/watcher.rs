use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{
    Health, HealthReport, Status, Summary, Unconfirmed,
    watcher::{OnceReport, WatchError},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::{in_time, seconds};
use crate::{
    answers::OldGuarded,
    checks::Done,
    extract::Params,
    problem::{Problem, Refusal},
    state::{Inner, MOST},
};

/// How the watcher does, and who is about to go or should be gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct WatcherAnswer {
    success: bool,
    watcher: Running,
    statistics: Statistics,
    by_tenant: BTreeMap<String, OfTenant>,
    expiring_soon: Vec<Expiring>,
    expired_not_disconnected: Vec<Overdue>,
    /// `healthy`, `needs_attention` or `critical`.
    health: String,
    /// Why it is not healthy, a sentence each.
    health_reasons: Vec<String>,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct Running {
    /// Whether any watcher is alive, in whatever process.
    running: bool,
    /// The longest time between two looks of a living watcher at the database, in whatever process.
    check_interval_seconds: u64,
}

#[derive(Serialize, ToSchema)]
struct Statistics {
    total_active_users: u64,
    expiring_in_30_min: u64,
    expired_but_still_active: u64,
}

#[derive(Serialize, ToSchema)]
struct OfTenant {
    tenant_name: String,
    active_users: u64,
    expiring_soon: u64,
    expired_not_disconnected: u64,
}

#[derive(Serialize, ToSchema)]
struct Expiring {
    id: i64,
    phone_number: String,
    tenant: Option<String>,
    tenant_name: Option<String>,
    expires_at: String,
    remaining_minutes: i64,
}

#[derive(Serialize, ToSchema)]
struct Overdue {
    id: i64,
    phone_number: String,
    tenant: Option<String>,
    tenant_name: Option<String>,
    expired_at: String,
    expires_at: String,
    minutes_expired: i64,
    /// `online` or `unconfirmed`.
    reason: &'static str,
    routers: Vec<On>,
}

#[derive(Serialize, ToSchema)]
struct On {
    name: String,
    since: String,
}

/// Longer lists are not made.
const LONGEST: u32 = 100_000;

/// How long the lists may be.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// Most entries of each list.
    #[param(minimum = 0, maximum = 100_000, default = 100)]
    limit: Option<u32>,
}

/// Tells how the watcher does, and who is about to go or should be gone.
#[utoipa::path(
    get,
    path = "/expiry-watcher/",
    operation_id = "watcher_status",
    tag = "admin",
    params(Limit),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What is true, at most a second old.", body = WatcherAnswer),
        (status = BAD_REQUEST, description = "The limit is wrong.", body = Refusal),
        OldGuarded,
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<Inner>>,
    params: Result<Params<Limit>, Problem>,
) -> Result<Response, Refusal> {
    let limit = params?.0.limit.unwrap_or(100);
    if limit > LONGEST {
        let detail = format!("limit: at most {LONGEST}");
        return Err(Problem::parameter(detail).into());
    }
    let interval = app.service.interval;
    let written = move |summary: &Summary| {
        let answer = WatcherAnswer::new(summary, limit as usize, interval);
        serde_json::to_vec(&answer).map_or_else(|_| Bytes::new(), Bytes::from)
    };
    let body = if limit <= MOST {
        app.snapshot().await?.answer(limit, written)
    } else {
        app.long_answer(limit, written).await?
    };
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

impl WatcherAnswer {
    fn new(summary: &Summary, limit: usize, interval: Duration) -> Self {
        let status = &summary.status;
        let expired: u64 = summary.tenants.iter().map(|tenant| tenant.owed).sum();
        // The old clients know only of those whose access has ended, not of removed devices.
        let late = summary.tenants.iter().map(|tenant| tenant.late).sum();
        let HealthReport { health, reasons } = HealthReport::of(&Status {
            late_subscribers: late,
            ..status.clone()
        });
        let names: BTreeMap<_, _> = summary
            .tenants
            .iter()
            .map(|tenant| (tenant.slug.as_deref(), tenant.name.as_str()))
            .collect();
        let name = |slug: &Option<String>| {
            let slug = slug.as_deref()?;
            names.get(&Some(slug)).map(|name| (*name).to_owned())
        };
        let expiring = summary.soon.iter().take(limit).map(|one| Expiring {
            id: one.subscriber.0,
            phone_number: one.username.as_str().into(),
            tenant_name: name(&one.tenant),
            tenant: one.tenant.clone(),
            expires_at: seconds(one.ends_at),
            remaining_minutes: minutes(one.ends_at - status.now),
        });
        let overdue = summary.unconfirmed.iter().take(limit);
        let alive = || status.watchers.iter().filter(|watcher| watcher.watches());
        let slowest = alive().filter_map(|watcher| watcher.interval).max();
        Self {
            success: true,
            watcher: Running {
                running: alive().next().is_some(),
                check_interval_seconds: slowest.unwrap_or(interval).as_secs(),
            },
            statistics: Statistics {
                total_active_users: status.live_subscribers,
                expiring_in_30_min: summary.expiring,
                expired_but_still_active: expired,
            },
            by_tenant: by_tenant(summary),
            expiring_soon: expiring.collect(),
            expired_not_disconnected: overdue
                .map(|one| Overdue::new(one, name(&one.tenant), status.now))
                .collect(),
            health: word(health).into(),
            health_reasons: reasons,
            timestamp: seconds(status.now),
        }
    }
}

fn by_tenant(summary: &Summary) -> BTreeMap<String, OfTenant> {
    let tenants = summary.tenants.iter();
    let tenants = tenants.filter_map(|tenant| {
        let of = OfTenant {
            tenant_name: tenant.name.clone(),
            active_users: tenant.live,
            expiring_soon: tenant.expiring,
            expired_not_disconnected: tenant.owed,
        };
        Some((tenant.slug.clone()?, of))
    });
    tenants.collect()
}

impl Overdue {
    fn new(one: &Unconfirmed, tenant_name: Option<String>, now: DateTime<Utc>) -> Self {
        let is_online = one.routers.iter().any(|on| on.online);
        let on = one.routers.iter().map(|on| On {
            name: on.router.clone(),
            since: seconds(on.since),
        });
        Self {
            id: one.subscriber.0,
            phone_number: one.username.as_str().into(),
            tenant: one.tenant.clone(),
            tenant_name,
            expired_at: seconds(one.ended_at),
            expires_at: seconds(one.ended_at),
            minutes_expired: minutes(now - one.ended_at),
            reason: if is_online { "online" } else { "unconfirmed" },
            routers: on.collect(),
        }
    }
}

fn minutes(span: TimeDelta) -> i64 {
    span.num_minutes().max(0)
}

pub(crate) fn word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::NeedsAttention => "needs_attention",
        Health::Critical => "critical",
    }
}

/// What a check came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Triggered {
    /// Whether the check ran.
    success: bool,
    message: String,
    timestamp: String,
}

/// Runs one check now: whatever is owed is tried once. Answers after at most 20 s.
#[utoipa::path(
    post,
    path = "/expiry-watcher/",
    operation_id = "watcher_trigger",
    tag = "admin",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "Each cut that was owed was tried, or 20 s have passed, or a brake holds.", body = Triggered),
        OldGuarded,
    )
)]
pub(crate) async fn trigger(State(app): State<Arc<Inner>>) -> Result<Json<Triggered>, Refusal> {
    // Read before: once the check is begun, nothing may fail.
    let began = Instant::now();
    let now = in_time(app.now()).await?;
    let checked = check(&app).await?;
    let (success, message) = match &checked {
        Checked::Through(report) if report.brakes.is_empty() => {
            (true, "Expiry check triggered successfully".into())
        }
        Checked::Through(report) => (false, braked(report)),
        Checked::TakesLonger => (
            true,
            "Expiry check triggered successfully; not everything was tried within 20 s".into(),
        ),
        Checked::Stopped => (false, STOPPING.into()),
        Checked::Unread => (false, UNREAD.into()),
    };
    Ok(Json(Triggered {
        success,
        message,
        timestamp: seconds(now + began.elapsed()),
    }))
}

pub(super) fn braked(report: &OnceReport) -> String {
    let why: Vec<_> = report.brakes.iter().map(ToString::to_string).collect();
    format!(
        "nothing is cut: {}; `expiryctl brake` says what to do",
        why.join("; ")
    )
}

/// How far a check has come.
pub(super) enum Checked {
    Through(OnceReport),
    /// It goes on.
    TakesLonger,
    /// The service stopped meanwhile.
    Stopped,
    /// It was begun, and what came of it cannot be told.
    Unread,
}

/// What is said of a check that was cut off.
pub(super) const STOPPING: &str = "the service is stopping; what is owed stays owed";

/// What is said of a check whose end the database does not tell. That is no failure of the order: the
/// watchers were asked.
pub(super) const UNREAD: &str = "the check was begun, and what came of it cannot be told, since the \
                                 database does not answer; what is owed stays owed";

/// Runs a check. It fails only where none was begun.
pub(super) async fn check(app: &Inner) -> Result<Checked, Problem> {
    let (watchers, stop) = (&app.service.watchers, &app.service.stop);
    let Ok(done) = app.checks.run(watchers, stop).await else {
        return Ok(Checked::TakesLonger);
    };
    // What broke it is in the log already.
    let Some(done) = done else {
        return Ok(Checked::Unread);
    };
    match &*done {
        Done::Stopped => Ok(Checked::Stopped),
        Done::Report(Ok(report)) => Ok(Checked::Through(report.clone())),
        Done::Report(Err(WatchError::Store(error))) => Err(Problem::of_store(error)),
        Done::Report(Err(error)) => {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "what came of a check is not known");
            Ok(Checked::Unread)
        }
    }
}
