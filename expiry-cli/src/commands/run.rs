use std::{fmt, sync::Arc, time::Duration};

use expiry_core::{Event, EventSink, Status, Store, watcher::OnceReport};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{brake, dry_run, one_router};
use crate::{
    args::RunArgs,
    error::CliError,
    lifecycle,
    log::EventLog,
    output::{Output, time},
    service::{self, Manager, Serving},
    settings::Settings,
    wiring,
};

/// Most routers that the first line names.
const NAMED: usize = 20;

pub(super) async fn run(
    args: &RunArgs,
    settings: &Settings,
    store: Arc<dyn Store>,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    if args.dry_run {
        let dry_run = wiring::dry_run(store, &settings.watcher, &settings.gateway);
        return dry_run::run(dry_run, args.once, out).await;
    }
    if let Some(router) = &settings.one_router {
        one_router::register(router, &*store).await?;
    }
    if !args.once {
        announce(&store.status(0).await?, settings.watcher.interval);
    }
    let events = Arc::new(Listeners::default());
    let config = settings.watcher.clone();
    let patience = config.patience;
    let watcher = wiring::watcher(store, Arc::clone(&events) as _, config, &settings.gateway);
    if args.once {
        let report = lifecycle::until_signal(async |stop| watcher.run_once(stop).await).await??;
        return conclude(&report, out);
    }
    let manager = Manager::from_environment(|name| std::env::var_os(name));
    let progress = watcher.progress();
    let serve = async |stop: CancellationToken| {
        let told = service::tell(&manager, &progress, &events.serving, &stop, patience);
        tokio::select! {
            ended = watcher.run(stop.clone()) => ended,
            never = told => match never {},
        }
    };
    lifecycle::until_signal(serve).await??;
    tracing::info!("stopped");
    Ok(())
}

/// Hears of everything that the watcher does.
#[derive(Debug, Default)]
struct Listeners {
    log: EventLog,
    serving: Serving,
}

impl EventSink for Listeners {
    fn record(&self, event: &Event) {
        self.log.record(event);
        self.serving.record(event);
    }
}

fn announce(status: &Status, interval: Duration) {
    let enabled = status.routers.iter().filter(|router| router.enabled);
    let names: Vec<_> = enabled
        .clone()
        .take(NAMED)
        .map(|router| router.name.as_str())
        .collect();
    let more = enabled.count() - names.len();
    tracing::info!(
        routers = names.join(", "),
        more_routers = more,
        live_subscribers = status.live_subscribers,
        owed_cuts = status.owed_cuts,
        owed_restores = status.owed_restores,
        next_deadline = status.next_deadline.map(time),
        interval_s = interval.as_secs_f64(),
        "watching"
    );
}

/// A brake is a failure even if nothing is owed yet: the next deadline would be missed.
fn conclude(report: &OnceReport, out: &mut Output<'_>) -> Result<(), CliError> {
    out.show(&Once(report))?;
    match (report.brakes.first(), report.still_owed) {
        (Some(brake), owed) => Err(CliError::Braked {
            owed,
            brake: brake.to_string(),
        }),
        (None, 0) => Ok(()),
        (None, owed) => Err(CliError::StillOwed(owed)),
    }
}

#[derive(Debug, Serialize)]
struct Once<'a>(&'a OnceReport);

impl fmt::Display for Once<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OnceReport {
            owed,
            confirmed,
            still_owed,
            brakes,
        } = self.0;
        for brake in brakes {
            writeln!(f, "{}", brake::Line(brake))?;
        }
        write!(
            f,
            "owed at the start: {owed}, confirmed: {confirmed}, still owed: {still_owed}"
        )
    }
}

#[cfg(test)]
mod tests {
    use expiry_core::Brake;

    use super::*;

    fn concluded(report: &OnceReport, json: bool) -> (String, Result<(), CliError>) {
        let mut bytes = Vec::new();
        let result = conclude(report, &mut Output::new(&mut bytes, json));
        (String::from_utf8(bytes).expect("text"), result)
    }

    #[test]
    fn r9_work_that_is_still_owed_is_3_and_is_counted() {
        let report = OnceReport {
            owed: 3,
            confirmed: 2,
            still_owed: 1,
            brakes: Vec::new(),
        };
        let (text, result) = concluded(&report, true);
        let expected = "{\"owed\":3,\"confirmed\":2,\"still_owed\":1,\"brakes\":[]}\n";
        assert_eq!(text, expected);
        assert_eq!(result.expect_err("owed").exit_code(), crate::error::OWED);
    }

    #[test]
    fn nothing_owed_is_0() {
        let (text, result) = concluded(&OnceReport::default(), false);
        result.expect("done");
        assert_eq!(text, "owed at the start: 0, confirmed: 0, still owed: 0\n");
    }

    #[test]
    fn r10_a_brake_is_3_while_something_is_owed_and_else_1() {
        for (still_owed, code) in [(2, crate::error::OWED), (0, crate::error::FAILED)] {
            let report = OnceReport {
                still_owed,
                brakes: vec![Brake::Clock {
                    machine: "vps1".into(),
                    since: chrono::DateTime::UNIX_EPOCH,
                    apart_ms: None,
                    jumped_ms: Some(60_000),
                    agreed_ms: Some(0),
                }],
                ..OnceReport::default()
            };
            let (text, result) = concluded(&report, false);
            assert!(text.starts_with("BRAKED since"), "{text}");
            let error = result.expect_err("braked");
            assert_eq!(error.exit_code(), code);
            assert!(error.to_string().contains("vps1 jumped ahead"), "{error}");
        }
    }
}
