use std::{fmt, sync::Arc};

use expiry_core::{
    Cause, Store,
    watcher::{OnceReport, Waiting},
};
use serde::Serialize;

use super::{brake, dry_run, one_router};
use crate::{
    args::RunArgs,
    error::CliError,
    lifecycle,
    log::EventLog,
    output::Output,
    service::{self, Inside},
    settings::Settings,
    wiring,
};

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
        one_router::register(router, &*store, &*store).await?;
    }
    if args.once {
        let events = Arc::new(EventLog::default());
        let watcher = wiring::watcher(store, events, settings).coming_every(args.every);
        let report = lifecycle::until_signal(async |stop| watcher.run_once(stop).await).await??;
        return conclude(&report, out);
    }
    lifecycle::until_signal(async |stop| {
        service::watch(store, settings, &Inside::default(), &stop).await
    })
    .await??;
    tracing::info!("stopped");
    Ok(())
}

/// A brake is a failure even if nothing is owed yet: the next deadline would be missed.
fn conclude(report: &OnceReport, out: &mut Output<'_>) -> Result<(), CliError> {
    // The exit code tells of the routers, whether or not this can be printed.
    out.answer(&Once(report));
    match (report.brakes.first(), report.still_owed) {
        (Some(brake), owed) => Err(CliError::Braked {
            owed,
            brake: brake.to_string(),
        }),
        (None, 0) => match report.waiting.first() {
            Some(waiting) => Err(CliError::Waiting {
                router: waiting.router.clone(),
                seen: waiting.seen.clone(),
            }),
            None => Ok(()),
        },
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
            waiting,
            brakes,
        } = self.0;
        for brake in brakes {
            writeln!(f, "{}", brake::Line(brake))?;
        }
        write!(
            f,
            "owed at the start: {owed}, confirmed: {confirmed}, still owed: {still_owed}"
        )?;
        for Waiting { router, seen, owed } in waiting {
            let way_out = Cause::SameBox.way_out(Some(router));
            write!(f, "\nwaits for you: {owed} on {router}, {seen}; {way_out}")?;
        }
        Ok(())
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
            ..OnceReport::default()
        };
        let (text, result) = concluded(&report, true);
        let expected =
            "{\"owed\":3,\"confirmed\":2,\"still_owed\":1,\"waiting\":[],\"brakes\":[]}\n";
        assert_eq!(text, expected);
        assert_eq!(result.expect_err("owed").exit_code(), crate::error::OWED);
    }

    #[test]
    fn r9_the_exit_code_is_that_of_the_routers_even_if_nothing_can_be_printed() {
        struct Closed;
        impl std::io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for (still_owed, code) in [(0, None), (1, Some(crate::error::OWED))] {
            let report = OnceReport {
                still_owed,
                ..OnceReport::default()
            };
            let ended = conclude(&report, &mut Output::new(&mut Closed, true));
            assert_eq!(ended.err().map(|error| error.exit_code()), code);
        }
    }

    #[test]
    fn nothing_owed_is_0() {
        let (text, result) = concluded(&OnceReport::default(), false);
        result.expect("done");
        assert_eq!(text, "owed at the start: 0, confirmed: 0, still owed: 0\n");
    }

    #[test]
    fn r9_what_waits_for_a_decision_alone_is_told_apart_from_what_is_owed() {
        let twin = |still_owed| OnceReport {
            still_owed,
            waiting: vec![Waiting {
                router: "r2".into(),
                seen: "the same box as router `r1` (serial number HF1)".into(),
                owed: 4,
            }],
            ..OnceReport::default()
        };
        let (text, result) = concluded(&twin(0), false);
        assert!(
            text.contains("waits for you: 4 on r2, the same box as router `r1`"),
            "{text}"
        );
        assert!(text.contains("`expiryctl router remove r2`"), "{text}");
        assert_eq!(
            result.expect_err("a decision").exit_code(),
            crate::error::FAILED
        );
        let (_, result) = concluded(&twin(1), false);
        assert_eq!(result.expect_err("owed").exit_code(), crate::error::OWED);
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
