//! What is true now: once, or until somebody has seen enough.

mod screen;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use expiry_core::{
    AuditStore, Cause, Health, HealthReport, Histogram, LagReport, Lags, OwedItem, RouterStatus,
    Status, StatusStore, Store, StoreError, Upcoming, WatcherKind, WayIn,
};
use serde::Serialize;

use super::{brake, router::BoxName};
use crate::{
    args::StatusArgs,
    error::CliError,
    output::{Output, count, time},
    words::{advice, span},
};

/// Most owed items that are read for JSON and for the screen.
const LIMIT: u32 = 1_000;

/// Most entries of a list in the text, unless all are asked for.
const LISTED: usize = 20;

/// Most deadlines ahead that are listed.
const AHEAD: u32 = 100;

pub(super) async fn run(
    args: &StatusArgs,
    store: Arc<dyn Store>,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    if args.watch {
        return watch::watch(store, out).await;
    }
    let limit = if args.all { u32::MAX } else { LIMIT };
    let report = Report::read(&*store, &*store, limit).await?;
    let listed = if args.all { usize::MAX } else { LISTED };
    let health = report.health.health;
    out.show(&Page { report, listed })?;
    match health {
        Health::NeedsAttention | Health::Critical if args.exit_code => {
            Err(CliError::Unhealthy(health))
        }
        Health::Healthy | Health::NeedsAttention | Health::Critical => Ok(()),
    }
}

/// A status as people read it, and what belongs to it.
#[derive(Clone, Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    status: Status,
    #[serde(flatten)]
    health: HealthReport,
    lag: LagReport,
    upcoming: Vec<Upcoming>,
}

impl Report {
    async fn read(
        status: &dyn StatusStore,
        audit: &dyn AuditStore,
        limit: u32,
    ) -> Result<Self, StoreError> {
        let status = status.status(limit).await?;
        Ok(Self {
            health: HealthReport::of(&status),
            lag: audit.lag().await?,
            upcoming: audit.upcoming(AHEAD).await?,
            status,
        })
    }

    /// The lags of one router, if any cut or restore was confirmed there.
    fn lags_on(&self, router: &RouterStatus) -> Option<&Lags> {
        let routers = &self.lag.routers;
        let found = routers.iter().find(|of| of.id == Some(router.id));
        found.map(|of| &of.lags)
    }
}

/// A report with lists of a certain length.
#[derive(Serialize)]
struct Page {
    #[serde(flatten)]
    report: Report,
    /// Most entries of each list in the text.
    #[serde(skip)]
    listed: usize,
}

/// Says how many entries of a list are not shown.
fn more(f: &mut fmt::Formatter<'_>, all: u64, shown: usize) -> fmt::Result {
    match all.saturating_sub(shown as u64) {
        0 => Ok(()),
        hidden => write!(
            f,
            "\n  and {hidden} more: `expiryctl status --all` lists them"
        ),
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, listed } = self;
        let status = &report.status;
        for brake in &status.brakes {
            writeln!(f, "{}", brake::Line(brake))?;
        }
        writeln!(f, "at {}", time(status.now))?;
        writeln!(f, "health: {}", report.health.health)?;
        for reason in &report.health.reasons {
            writeln!(f, "  {reason}")?;
        }
        watchers(status, *listed, f)?;
        write!(f, "subscribers: {} live", status.live_subscribers)?;
        match status.next_deadline {
            Some(at) => writeln!(f, ", next access ends {}", time(at))?,
            None => writeln!(f, ", no end ahead")?,
        }
        write!(f, "routers: {}", status.routers.len())?;
        // Those that do not answer must not be hidden by the alphabet.
        let mut routers: Vec<_> = status.routers.iter().collect();
        if routers.len() > *listed {
            routers.sort_by_key(|router| !router.is_out_of_reach());
        }
        for router in routers.iter().take(*listed) {
            write!(f, "\n  {}", RouterLine(router))?;
            if let Some(lags) = report.lags_on(router) {
                write!(f, ", lag of cuts {}", Lag(&lags.cuts))?;
            }
            if let Some(cause) = cause_of(router) {
                let way_out = cause.way_out(Some(&router.name));
                write!(f, "\n    {}; {way_out}", cause.says())?;
            }
        }
        more(f, routers.len() as u64, *listed)?;
        writeln!(f, "\nlag of cuts: {}", Lag(&report.lag.all.cuts))?;
        let late = &report.lag.all.known_late_cuts;
        if late.count() > 0 {
            let took = Lag(late);
            writeln!(
                f,
                "ended before they were known, from then until cut, no lag: {took}"
            )?;
        }
        let outage = &report.lag.all.outage_cuts;
        if outage.count() > 0 {
            writeln!(f, "lag of cuts that waited for a router: {}", Lag(outage))?;
        }
        let cuts = count(status.owed_cuts, "cut");
        let restores = count(status.owed_restores, "restore");
        write!(f, "owed: {cuts}, {restores}")?;
        let shown = status.owed.len().min(*listed);
        for item in status.owed.iter().take(shown) {
            let routers = &status.routers;
            let router = routers.iter().find(|router| router.name == item.router);
            write!(f, "\n  {}", OwedLine { item, router })?;
        }
        more(f, status.owed_cuts + status.owed_restores, shown)
    }
}

/// Lags as percentiles. All but the longest are upper bounds.
struct Lag<'a>(&'a Histogram);

impl fmt::Display for Lag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = (self.0.percentile(50), self.0.percentile(99), self.0.max());
        let (Some(half), Some(most), Some(max)) = figures else {
            return f.write_str("none yet");
        };
        write!(
            f,
            "p50 ≤ {}, p99 ≤ {}, max {} of {}",
            span(half),
            span(most),
            span(max),
            self.0.count()
        )
    }
}

fn watchers(status: &Status, listed: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match alive_and_braked(status) {
        (0, _) => match next_check(status) {
            Some(every) => write!(f, "watchers: none, checked by cron every {}", span(every))?,
            None => write!(f, "watchers: none alive, nobody makes cuts")?,
        },
        (alive, 0) => write!(f, "watchers: {alive} alive")?,
        (alive, braked) if alive == braked => {
            write!(f, "watchers: {alive} alive, all BRAKED, nobody makes cuts")?;
        }
        (alive, braked) => write!(f, "watchers: {alive} alive, {braked} of them BRAKED")?,
    }
    for watcher in status.watchers.iter().take(listed) {
        write!(f, "\n  {}", watcher.id)?;
        if let Some(machine) = &watcher.machine {
            write!(f, " on {machine}")?;
        }
        let state = match (watcher.alive, watcher.braked, watcher.kind) {
            (true, _, WatcherKind::Check) => "runs a single check",
            (true, false, WatcherKind::Watcher) => "alive",
            (true, true, WatcherKind::Watcher) => "BRAKED",
            (false, ..) => "silent",
        };
        let heartbeat = time(watcher.heartbeat_at);
        match watcher.comes_again(status.now).filter(|_| !watcher.alive) {
            Some(every) => {
                let every = span(every);
                write!(f, " checks by cron every {every}, last at {heartbeat}")?;
            }
            None => write!(f, " {state}, last heartbeat {heartbeat}")?,
        }
    }
    more(f, status.watchers.len() as u64, listed)?;
    writeln!(f)
}

/// How often a check comes, if one does.
fn next_check(status: &Status) -> Option<Duration> {
    let watchers = status.watchers.iter();
    watchers.filter_map(|one| one.comes_again(status.now)).min()
}

/// How many watchers are alive, in few words.
fn alive(status: &Status) -> String {
    let (alive, braked) = alive_and_braked(status);
    if let (0, Some(every)) = (alive, next_check(status)) {
        return format!("checked by cron every {}", span(every));
    }
    let words = format!("{} alive", count(alive as u64, "watcher"));
    match braked {
        0 => words,
        braked if alive == braked => format!("{words}, BRAKED"),
        braked => format!("{words}, {braked} BRAKED"),
    }
}

fn alive_and_braked(status: &Status) -> (usize, usize) {
    let alive = status.watchers.iter().filter(|watcher| watcher.watches());
    let braked = alive.clone().filter(|watcher| watcher.braked);
    (alive.count(), braked.count())
}

/// Why a router is not served, if it should be.
fn cause_of(router: &RouterStatus) -> Option<Cause> {
    let error = router.last_error.as_deref().filter(|_| router.enabled)?;
    Cause::in_line(error)
}

struct RouterLine<'a>(&'a RouterStatus);

impl fmt::Display for RouterLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let router = self.0;
        write!(f, "{} {}", router.name, router.address)?;
        if let Some(tenant) = &router.tenant {
            write!(f, " of {tenant}")?;
        }
        match (router.enabled, router.down_since, router.attempted_at) {
            (false, _, _) => write!(f, ": disabled")?,
            (true, Some(since), _) if cause_of(router) == Some(Cause::SameBox) => {
                write!(f, ": not served since {}", time(since))?;
            }
            (true, Some(since), _) => write!(f, ": down since {}", time(since))?,
            (true, None, Some(_)) => write!(f, ": up")?,
            (true, None, None) => write!(f, ": not tried yet")?,
        }
        if let (true, Some(error)) = (router.enabled, &router.last_error) {
            write!(f, " ({error})")?;
        }
        match router.owner {
            Some(owner) => write!(f, ", served by {owner}")?,
            None if router.enabled => write!(f, ", served by nobody")?,
            None => {}
        }
        if let Some(seen) = &router.seen {
            write!(f, ", {}", BoxName { seen })?;
        }
        if router.owed_cuts + router.owed_restores > 0 {
            let cuts = count(router.owed_cuts, "cut");
            let restores = count(router.owed_restores, "restore");
            write!(f, ", owed {cuts}, {restores}")?;
        }
        if router.strays > 0 {
            write!(f, ", {}", count(router.strays, "stray"))?;
        }
        Ok(())
    }
}

struct OwedLine<'a> {
    item: &'a OwedItem,
    router: Option<&'a RouterStatus>,
}

impl fmt::Display for OwedLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = self.item;
        write!(f, "{} of {}", item.want, item.username)?;
        if let Some(device) = item.device {
            write!(f, " (removed device {device})")?;
        }
        if let Some(tenant) = &item.tenant {
            write!(f, " of {tenant}")?;
        }
        let (router, since) = (&item.router, time(item.since));
        if item.online {
            write!(f, ": online on {router}, owed since {since}")?;
        } else {
            write!(f, ": unconfirmed on {router} since {since}")?;
        }
        let down = self.router.filter(|router| router.enabled);
        let down = down.and_then(|router| Some((router, router.down_since?)));
        match (item.task, item.attempts) {
            (None, _) => write!(f, ", no watcher has taken it up yet")?,
            // Tries that do not reach the router are none of the item.
            (Some(_), 0) if down.is_some() => {}
            (Some(_), n) => write!(f, ", {}", count(n.into(), "attempt"))?,
        }
        if let Some((router, since)) = down {
            write!(f, ", {} not reached since {}", router.name, time(since))?;
            if let Some(at) = router.attempted_at {
                write!(f, ", last tried {}", time(at))?;
            }
        }
        let error = down.and_then(|(router, _)| router.last_error.as_ref());
        if let Some(error) = error.or(item.last_error.as_ref()) {
            write!(f, ", last: {error}")?;
        }
        if item.backlog {
            f.write_str("; ended before it was known")?;
        }
        if item.cannot_hold {
            let way_in = item.way_in.unwrap_or(WayIn::Unknown);
            write!(f, "; CANNOT HOLD, comes back by {}", advice(way_in))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use chrono::{DateTime, Utc};
    use expiry_core::{
        Backlog, Brake, MockAuditStore, MockStatusStore, RouterId, RouterLags, SubscriberId,
        TaskId, Want, WatcherId, WatcherKind, WatcherStatus,
    };

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
    }

    fn item() -> OwedItem {
        OwedItem {
            task: Some(TaskId(1)),
            subscriber: SubscriberId(1),
            username: "joe".parse().expect("a name"),
            device: None,
            tenant: None,
            router: "r1".into(),
            router_id: RouterId(1),
            want: Want::Cut,
            since: at(0),
            online: false,
            attempts: 1,
            attempted_at: Some(at(9)),
            last_error: Some("no answer for 5 s".into()),
            cannot_hold: false,
            way_in: None,
            backlog: false,
        }
    }

    fn router() -> RouterStatus {
        RouterStatus {
            id: RouterId(1),
            name: "r1".into(),
            tenant: None,
            address: "10.0.0.1:8728".into(),
            enabled: true,
            owner: None,
            seen: None,
            down_since: None,
            attempted_at: Some(at(9)),
            last_error: None,
            owed_cuts: 0,
            owed_restores: 0,
            reconciled_at: None,
            strays: 0,
            oldest_cut: None,
            ends_soon: None,
            said: None,
        }
    }

    fn status() -> Status {
        Status {
            now: at(10),
            brakes: Vec::new(),
            live_subscribers: 5,
            owed_cuts: 3,
            owed_restores: 0,
            owed_subscribers: 2,
            late_subscribers: 2,
            backlog: Backlog::default(),
            next_deadline: Some(at(60)),
            watchers: vec![WatcherStatus {
                id: WatcherId::fresh(),
                kind: WatcherKind::Watcher,
                heartbeat_at: at(8),
                alive: true,
                machine: Some("vps1".into()),
                braked: false,
                interval: None,
            }],
            routers: vec![router()],
            owed: vec![item()],
        }
    }

    fn page(report: Report) -> Page {
        let listed = LISTED;
        Page { report, listed }
    }

    fn report(status: Status) -> Report {
        Report {
            health: HealthReport::of(&status),
            lag: LagReport::default(),
            upcoming: Vec::new(),
            status,
        }
    }

    #[test]
    fn r9_every_owed_item_has_a_reason() {
        let line = |item: &OwedItem| OwedLine { item, router: None }.to_string();
        let text = line(&item());
        let expected = "cut of joe: unconfirmed on r1 since 2027-01-15T08:00:00Z, 1 attempt, \
                        last: no answer for 5 s";
        assert_eq!(text, expected);
        let online = OwedItem {
            online: true,
            last_error: None,
            ..item()
        };
        let text = line(&online);
        assert!(
            text.contains(": online on r1, owed since 2027-01-15T08:00:00Z"),
            "{text}"
        );
    }

    #[test]
    fn r9_what_waits_for_a_router_that_is_down_counts_no_attempts() {
        let mut status = status();
        status.routers[0].down_since = Some(at(-60));
        status.routers[0].last_error = Some("login refused: no".into());
        status.owed[0].attempts = 0;
        let text = page(report(status)).to_string();
        let line = "cut of joe: unconfirmed on r1 since 2027-01-15T08:00:00Z, r1 not reached since \
                    2027-01-15T07:59:00Z, last tried 2027-01-15T08:00:09Z, last: login refused: no\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_cannot_hold_says_how_they_come_back() {
        let item = OwedItem {
            cannot_hold: true,
            way_in: Some(WayIn::Trial),
            ..item()
        };
        let line = OwedLine {
            item: &item,
            router: None,
        };
        let text = line.to_string();
        assert!(
            text.contains("CANNOT HOLD") && text.contains("`trial`"),
            "{text}"
        );
    }

    #[test]
    fn r9_nobody_watching_is_said_first() {
        let mut status = status();
        for watcher in &mut status.watchers {
            watcher.alive = false;
        }
        let text = page(report(status)).to_string();
        assert!(
            text.contains("watchers: none alive, nobody makes cuts"),
            "{text}"
        );
    }

    #[test]
    fn r10_a_brake_is_said_before_everything_else() {
        let mut status = status();
        status.brakes = vec![Brake::Clock {
            machine: "vps1".into(),
            since: at(5),
            apart_ms: Some(9_000),
            jumped_ms: None,
            agreed_ms: None,
        }];
        status.watchers[0].braked = true;
        let text = page(report(status)).to_string();
        assert!(
            text.starts_with("BRAKED since 2027-01-15T08:00:05Z: "),
            "{text}"
        );
        assert!(
            text.contains("watchers: 1 alive, all BRAKED, nobody makes cuts"),
            "{text}"
        );
        assert!(text.contains(" on vps1 BRAKED, "), "{text}");
    }

    #[test]
    fn r9_health_comes_first_with_its_reasons() {
        let text = page(report(status())).to_string();
        let reason = "2 subscribers who may not be online any more are not confirmed off";
        let expected = format!("health: needs attention\n  {reason}\n");
        assert!(text.contains(&expected), "{text}");
        let json = serde_json::to_value(report(status())).expect("JSON");
        assert_eq!(json["health"], "needs_attention");
        assert_eq!(json["health_reasons"][0], reason);
        assert_eq!(json["owed"][0]["router"], "r1");
    }

    #[test]
    fn r9_lags_are_told_for_each_router_and_outages_apart() {
        let mut lags = Lags::default();
        for ms in [7, 41, 180] {
            lags.cuts.record(Duration::from_millis(ms));
        }
        lags.outage_cuts.record(Duration::from_secs(95));
        let of = RouterLags {
            id: Some(RouterId(1)),
            router: Some("r1".into()),
            lags,
        };
        let report = Report {
            lag: LagReport::new(vec![of]),
            ..report(status())
        };
        let text = page(report.clone()).to_string();
        let cuts = "p50 ≤ 50 ms, p99 ≤ 180 ms, max 180 ms of 3";
        for line in [
            format!("up, served by nobody, lag of cuts {cuts}\n"),
            format!("\nlag of cuts: {cuts}\n"),
            "waited for a router: p50 ≤ 1 minute 35 seconds,".into(),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        let json = serde_json::to_value(report).expect("JSON");
        assert_eq!(json["lag"]["all"]["cuts"]["max_ms"], 180);
        assert_eq!(json["lag"]["routers"][0]["outage_cuts"]["count"], 1);
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let text = page(report(status())).to_string();
        assert!(
            text.contains("\n  and 2 more: `expiryctl status --all`"),
            "{text}"
        );
    }

    #[test]
    fn a_router_that_is_down_says_since_when_and_why() {
        let down = RouterStatus {
            down_since: Some(at(-60)),
            last_error: Some("login refused".into()),
            ..router()
        };
        let text = RouterLine(&down).to_string();
        let expected = "r1 10.0.0.1:8728: down since 2027-01-15T07:59:00Z (login refused), \
                        served by nobody";
        assert_eq!(text, expected);
        let told = report(Status {
            routers: vec![RouterStatus {
                last_error: Some("login refused: no [login_refused]".into()),
                ..down
            }],
            ..status()
        });
        let told = page(told).to_string();
        let way_out = "\n    the router does not take this account with this password; set them \
                       with `expiryctl router set r1 ";
        assert!(told.contains(way_out), "{told}");
    }

    #[test]
    fn a_box_that_is_known_under_another_name_is_not_called_down() {
        let twice = RouterStatus {
            down_since: Some(at(-60)),
            last_error: Some("the same box as router `r0` (serial number HF1) [same_box]".into()),
            ..router()
        };
        let text = RouterLine(&twice).to_string();
        let expected = "r1 10.0.0.1:8728: not served since 2027-01-15T07:59:00Z (the same box as \
                        router `r0` (serial number HF1) [same_box]), served by nobody";
        assert_eq!(text, expected);
    }

    #[test]
    fn r9_strays_are_counted_by_router() {
        for (strays, expected) in [(0, "nobody"), (1, "nobody, 1 stray"), (9, ", 9 strays")] {
            let router = RouterStatus { strays, ..router() };
            let text = RouterLine(&router).to_string();
            assert!(text.ends_with(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_gone_is_a_failure() {
        let mut store = MockStatusStore::new();
        store
            .expect_status()
            .return_once(|_| Err(StoreError::Unavailable("gone".into())));
        let result = Report::read(&store, &MockAuditStore::new(), 20).await;
        let result = result.map_err(CliError::from);
        assert_eq!(
            result.expect_err("failed").exit_code(),
            crate::error::FAILED
        );
    }
}
