//! What monitoring wants, as Prometheus reads it. All of it is what the database says, so that each
//! process says the same, and nothing of it names a subscriber.

use std::{
    fmt::{Display, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use expiry_core::{
    Brake, CutResult, Health, HealthReport, Histogram, LagReport, Lags, RouterCounts, RouterStatus,
    Summary, WatcherKind,
};

use crate::{problem::Problem, state::Inner, v1::routers::seconds};

/// Tells everything that monitoring wants.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "watching",
    security((), ("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "In the text format of Prometheus.", body = String, content_type = "text/plain; version=0.0.4; charset=utf-8"),
        (status = UNAUTHORIZED, description = "From another machine without the token.", body = Problem, content_type = "application/problem+json"),
        (status = TOO_MANY_REQUESTS, description = "Too many wrong tokens.", body = Problem, content_type = "application/problem+json"),
        (status = SERVICE_UNAVAILABLE, description = "The database cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn metrics(State(app): State<Arc<Inner>>) -> Result<Response, Problem> {
    let snapshot = app.snapshot().await?;
    let lag = app.lag.get().await;
    let lag = lag.map_err(|error| Problem::of_store(&error))?;
    let counts = app.counts.get().await;
    let counts = counts.map_err(|error| Problem::of_store(&error))?;
    let text = written(&snapshot.summary, &lag, &counts);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn written(summary: &Summary, lag: &LagReport, counts: &[RouterCounts]) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.build();
    page.state(summary);
    page.routers(&summary.status.routers);
    page.lags(lag);
    page.counts(counts);
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str(r"\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str(r"\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn build(&mut self) {
        self.family("expiry_build_info", "gauge", "The version of the service.");
        let version = env!("CARGO_PKG_VERSION");
        self.sample("expiry_build_info", &[("version", version)], 1);
    }

    fn state(&mut self, summary: &Summary) {
        let status = &summary.status;
        self.family("expiry_subscribers", "gauge", "Subscribers by state.");
        for (state, count) in [
            ("live", status.live_subscribers),
            ("expiring", summary.expiring),
            ("owed", status.owed_subscribers),
            ("late", status.late_subscribers),
            ("backlog", status.backlog.left),
        ] {
            self.sample("expiry_subscribers", &[("state", state)], count);
        }
        self.family(
            "expiry_health",
            "gauge",
            "0 healthy, 1 needs attention, 2 critical.",
        );
        let health = match HealthReport::of(status).health {
            Health::Healthy => 0,
            Health::NeedsAttention => 1,
            Health::Critical => 2,
        };
        self.sample("expiry_health", &[], health);
        self.family(
            "expiry_braked",
            "gauge",
            "Whether something forbids cuts, by kind.",
        );
        let clock = |brake: &Brake| matches!(brake, Brake::Clock { .. });
        let is_clock = status.brakes.iter().any(clock);
        let is_share = status.brakes.iter().any(|brake| !clock(brake));
        for (kind, is) in [("clock", is_clock), ("share", is_share)] {
            self.sample("expiry_braked", &[("kind", kind)], u8::from(is));
        }
        self.family("expiry_watchers", "gauge", "Watchers that are alive.");
        let alive = status.watchers.iter().filter(|watcher| watcher.watches());
        self.sample("expiry_watchers", &[], alive.count());
        self.family(
            "expiry_checks",
            "gauge",
            "Machines on which a check comes again and again, as from cron, and is not overdue.",
        );
        let watchers = status.watchers.iter();
        let checks = watchers.filter(|one| one.comes_again(status.now).is_some());
        self.sample("expiry_checks", &[], checks.count());
        let mut watchers = status.watchers.iter();
        let freshest = watchers.find(|watcher| watcher.kind == WatcherKind::Watcher);
        if let Some(freshest) = freshest {
            self.family(
                "expiry_heartbeat_age_seconds",
                "gauge",
                "Time since the last heartbeat of any watcher.",
            );
            let age = (status.now - freshest.heartbeat_at).num_milliseconds();
            self.sample("expiry_heartbeat_age_seconds", &[], seconds(age.max(0)));
        }
        if let Some(next) = status.next_deadline {
            self.family(
                "expiry_next_deadline_timestamp_seconds",
                "gauge",
                "When the next access ends.",
            );
            let name = "expiry_next_deadline_timestamp_seconds";
            self.sample(name, &[], next.timestamp());
        }
        let oldest = status.routers.iter().filter_map(|router| router.oldest_cut);
        self.family(
            "expiry_owed_oldest_seconds",
            "gauge",
            "For how long the oldest cut is owed, but for the backlog; 0 without any.",
        );
        let age = oldest
            .min()
            .map_or(0, |at| (status.now - at).num_milliseconds());
        self.sample("expiry_owed_oldest_seconds", &[], seconds(age.max(0)));
        self.family(
            "expiry_router_owed_oldest_seconds",
            "gauge",
            "For how long the oldest cut is owed on a router, but for the backlog; 0 without any.",
        );
        for router in status.routers.iter().filter(|router| router.enabled) {
            let age = router
                .oldest_cut
                .map_or(0, |at| (status.now - at).num_milliseconds());
            let name = "expiry_router_owed_oldest_seconds";
            self.sample(name, &[("router", &router.name)], seconds(age.max(0)));
        }
    }

    fn routers(&mut self, routers: &[RouterStatus]) {
        let enabled = || routers.iter().filter(|router| router.enabled);
        self.family(
            "expiry_routers",
            "gauge",
            "Routers by whether they are in service.",
        );
        let in_service = enabled().count();
        self.sample("expiry_routers", &[("enabled", "true")], in_service);
        self.sample(
            "expiry_routers",
            &[("enabled", "false")],
            routers.len() - in_service,
        );
        self.each(
            enabled(),
            "expiry_router_up",
            "Whether a router answers.",
            |router| {
                let was_tried = router.attempted_at.is_some();
                was_tried.then(|| f64::from(u8::from(router.down_since.is_none())))
            },
        );
        self.each(
            enabled(),
            "expiry_router_ends_soon",
            "Accesses that end within the hour on a router that does not answer.",
            |router| router.ends_soon.map(float),
        );
        self.each(
            enabled(),
            "expiry_router_owned",
            "Whether a living watcher serves a router.",
            |router| Some(f64::from(u8::from(router.owner.is_some()))),
        );
        self.each(
            enabled(),
            "expiry_owed_cuts",
            "Cuts owed on a router.",
            |router| Some(float(router.owed_cuts)),
        );
        self.each(
            enabled(),
            "expiry_owed_restores",
            "Restores owed on a router.",
            |router| Some(float(router.owed_restores)),
        );
        self.each(
            enabled(),
            "expiry_strays",
            "What a router lets through that belongs to nobody we know.",
            |router| Some(float(router.strays)),
        );
        self.each(
            enabled(),
            "expiry_router_clock_skew_seconds",
            "How far a router's clock is ahead of the database's; it shows whole seconds.",
            |router| Some(seconds(router.said.as_ref()?.clock_skew_ms?)),
        );
    }

    fn each<'a>(
        &mut self,
        routers: impl Iterator<Item = &'a RouterStatus>,
        name: &str,
        help: &str,
        value: impl Fn(&RouterStatus) -> Option<f64>,
    ) {
        self.family(name, "gauge", help);
        for router in routers {
            if let Some(value) = value(router) {
                self.sample(name, &[("router", &router.name)], value);
            }
        }
    }

    fn lags(&mut self, lag: &LagReport) {
        type Part = fn(&Lags) -> &Histogram;
        let parts: [(&str, &str, Part); 4] = [
            (
                "expiry_cut_lag_seconds",
                "From the end of access until the cut was confirmed.",
                |lags| &lags.cuts,
            ),
            (
                "expiry_cut_outage_lag_seconds",
                "The same of cuts that waited for a router that was down.",
                |lags| &lags.outage_cuts,
            ),
            (
                "expiry_restore_lag_seconds",
                "From the payment until the restore was confirmed.",
                |lags| &lags.restores,
            ),
            (
                "expiry_restore_outage_lag_seconds",
                "The same of restores that waited for a router that was down.",
                |lags| &lags.outage_restores,
            ),
        ];
        for (name, help, part) in parts {
            self.family(name, "histogram", help);
            for (router, lags) in named(lag) {
                self.histogram(name, router, part(lags));
            }
        }
        self.family(
            "expiry_known_late_cuts_total",
            "counter",
            "Confirmed cuts whose end was past already when it came to be known: they have no lag.",
        );
        for (router, lags) in named(lag) {
            let name = "expiry_known_late_cuts_total";
            self.sample(name, &[("router", router)], lags.known_late_cuts.count());
        }
        self.family(
            "expiry_free_seconds_total",
            "counter",
            "Time between ends of access and their confirmed cuts: given away for nothing.",
        );
        for (router, lags) in named(lag) {
            let free = lags.cuts.sum() + lags.outage_cuts.sum();
            let name = "expiry_free_seconds_total";
            self.sample(name, &[("router", router)], free.as_secs_f64());
        }
    }

    fn counts(&mut self, counts: &[RouterCounts]) {
        self.family(
            "expiry_cuts_total",
            "counter",
            "Attempts at cuts by what they came to, and confirmed cuts that were found undone.",
        );
        for of in counts {
            for result in CutResult::ALL {
                let labels = [("router", of.router.as_str()), ("result", result.as_str())];
                let count = of.cuts.get(&result).copied().unwrap_or_default();
                self.sample("expiry_cuts_total", &labels, count);
            }
        }
        let name = "expiry_router_request_duration_seconds";
        self.family(
            name,
            "histogram",
            "From a flight of commands to a router until it had answered; failed ones are not counted.",
        );
        for of in counts {
            self.histogram(name, &of.router, &of.requests);
        }
    }

    fn histogram(&mut self, name: &str, router: &str, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or_else(
                || "+Inf".into(),
                |bound: Duration| bound.as_secs_f64().to_string(),
            );
            self.sample(&bucket, &[("router", router), ("le", &bound)], count);
        }
        let labels = [("router", router)];
        self.sample(
            &format!("{name}_sum"),
            &labels,
            histogram.sum().as_secs_f64(),
        );
        self.sample(&format!("{name}_count"), &labels, histogram.count());
    }
}

/// The routers that are still there. What a removed one counted in all its life would appear at once
/// in a series of another name, which is a spike of cuts that nobody made.
fn named(lag: &LagReport) -> impl Iterator<Item = (&str, &Lags)> {
    let routers = lag.routers.iter();
    routers.filter_map(|of| Some((of.router.as_deref()?, &of.lags)))
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
