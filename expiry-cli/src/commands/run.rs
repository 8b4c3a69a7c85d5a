use std::{fmt, sync::Arc, time::Duration};

use expiry_core::{
    Status, Store,
    watcher::{OnceReport, WatcherConfig},
};
use serde::Serialize;

use crate::{
    args::RunArgs,
    error::CliError,
    lifecycle,
    log::EventLog,
    output::{Output, time},
    wiring,
};

/// Most routers that the first line names.
const NAMED: usize = 20;

pub(super) async fn run(
    args: &RunArgs,
    store: Arc<dyn Store>,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    if !args.once {
        announce(&store.status(0).await?, args.interval);
    }
    let events = Arc::new(EventLog::default());
    let config = WatcherConfig {
        interval: Duration::from_secs(args.interval),
        reconcile: Duration::from_secs(args.reconcile),
        comments: args.match_comments,
        ..WatcherConfig::default()
    };
    let watcher = wiring::watcher(store, events, config);
    if args.once {
        let report = lifecycle::until_signal(async |stop| watcher.run_once(stop).await).await??;
        return conclude(report, out);
    }
    lifecycle::until_signal(async |stop| watcher.run(stop).await).await??;
    tracing::info!("stopped");
    Ok(())
}

fn announce(status: &Status, interval_s: u64) {
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
        interval_s,
        "watching"
    );
}

fn conclude(report: OnceReport, out: &mut Output<'_>) -> Result<(), CliError> {
    out.show(&Once(report))?;
    match report.still_owed {
        0 => Ok(()),
        owed => Err(CliError::StillOwed(owed)),
    }
}

#[derive(Debug, Serialize)]
struct Once(OnceReport);

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OnceReport {
            owed,
            confirmed,
            still_owed,
        } = self.0;
        write!(
            f,
            "owed at the start: {owed}, confirmed: {confirmed}, still owed: {still_owed}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(report: OnceReport, json: bool) -> (String, Result<(), CliError>) {
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
        };
        let (text, result) = concluded(report, true);
        assert_eq!(text, "{\"owed\":3,\"confirmed\":2,\"still_owed\":1}\n");
        assert_eq!(result.expect_err("owed").exit_code(), crate::error::OWED);
    }

    #[test]
    fn nothing_owed_is_0() {
        let (text, result) = concluded(OnceReport::default(), false);
        result.expect("done");
        assert_eq!(text, "owed at the start: 0, confirmed: 0, still owed: 0\n");
    }
}
