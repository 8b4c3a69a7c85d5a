//! Shows the status again and again: on a terminal as a live view, else a line each time.

use std::{io, sync::Arc, time::Duration};

use chrono::SubsecRound;
use expiry_core::{ChangeFeed, Store, StoreError};
use serde::Serialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, Report, alive, screen};
use crate::{
    error::{self, CliError},
    lifecycle,
    output::{Output, count, time},
    terminal::{self, Terminal},
    words::relative,
};

/// Time between two readings.
const PACE: Duration = Duration::from_secs(1);

/// The least time between two readings that changes ask for.
const SPACING: Duration = Duration::from_millis(200);

/// A database that takes longer is said to be silent.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn watch(store: Arc<dyn Store>, out: &mut Output<'_>) -> Result<(), CliError> {
    // What is wrong for good is said at once, on the screen that stays.
    let first = Report::read(&*store, &*store, LIMIT).await?;
    let mut view = if out.is_json() {
        View::Json
    } else if terminal::can_draw() {
        View::Screen(Terminal::enter()?)
    } else {
        View::Lines
    };
    let ended =
        lifecycle::until_signal(async |stop| follow(&*store, first, &mut view, out, &stop).await);
    ended.await?
}

enum View {
    Screen(Terminal),
    Lines,
    Json,
}

/// The last report, and why there is no newer one.
struct Picture {
    report: Report,
    trouble: Option<String>,
}

async fn follow(
    store: &dyn Store,
    first: Report,
    view: &mut View,
    out: &mut Output<'_>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let mut resized = signal(SignalKind::window_change()).map_err(CliError::Signals)?;
    let mut feed = None;
    let mut picture = Picture {
        report: first,
        trouble: None,
    };
    loop {
        let read_at = Instant::now();
        picture.show(view, out)?;
        if feed.is_none() && picture.trouble.is_none() {
            feed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                feed = store.changes() => feed.ok(),
            };
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep_until(read_at + PACE) => break,
                () = changed(&mut feed) => {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = sleep_until(read_at + SPACING) => break,
                    }
                }
                Some(()) = resized.recv() => picture.redraw(view)?,
            }
        }
        let read = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            read = timeout(PATIENCE, Report::read(store, store, LIMIT)) => read,
        };
        picture.take(read.ok())?;
    }
}

/// Waits for a change. A feed that broke is opened anew with the next reading.
async fn changed(feed: &mut Option<Box<dyn ChangeFeed>>) {
    let Some(open) = feed else {
        return std::future::pending().await;
    };
    if open.changed().await.is_err() {
        *feed = None;
    }
}

impl Picture {
    /// Takes in what a reading came to; nothing if it took too long. The last report stays until
    /// the database answers again.
    fn take(&mut self, read: Option<Result<Report, StoreError>>) -> Result<(), CliError> {
        self.trouble = match read {
            Some(Ok(report)) => {
                self.report = report;
                None
            }
            Some(Err(failure)) if failure.is_transient() => Some(error::chain(&failure)),
            Some(Err(failure)) => return Err(failure.into()),
            None => Some(format!(
                "the database is silent for {} s",
                PATIENCE.as_secs()
            )),
        };
        Ok(())
    }

    fn show(&self, view: &mut View, out: &mut Output<'_>) -> io::Result<()> {
        match (&view, &self.trouble) {
            (View::Screen(_), _) => self.redraw(view),
            (View::Json, None) => out.json_line(&self.report),
            (View::Json, Some(error)) => out.json_line(&Trouble { error }),
            (View::Lines, None) => out.line(&line(&self.report)),
            (View::Lines, Some(error)) => out.line(error),
        }
    }

    fn redraw(&self, view: &mut View) -> io::Result<()> {
        let View::Screen(terminal) = view else {
            return Ok(());
        };
        let since = self.report.status.now;
        let trouble = self.trouble.as_ref();
        let trouble = trouble.map(|trouble| format!("as of {}: {trouble}", time(since)));
        let size = Terminal::size();
        let rows = screen::rows(&self.report, trouble.as_deref(), size);
        terminal.draw(&rows, size)
    }
}

#[derive(Serialize)]
struct Trouble<'a> {
    error: &'a str,
}

/// A status in one line.
fn line(report: &Report) -> String {
    let status = &report.status;
    let now = status.now.trunc_subsecs(0);
    let next = match status.next_deadline {
        Some(at) => format!("next end {}", relative(at, status.now)),
        None => "no end ahead".into(),
    };
    format!(
        "{} {}: {}, {} live, owed {} and {}, {next}",
        time(now),
        report.health.health,
        alive(status),
        count(status.live_subscribers, "subscriber"),
        count(status.owed_cuts, "cut"),
        count(status.owed_restores, "restore"),
    )
}

#[cfg(test)]
mod tests {
    use expiry_core::{
        Backlog, HealthReport, LagReport, Status, WatcherId, WatcherKind, WatcherStatus,
    };

    use super::*;

    fn report() -> Report {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let status = Status {
            now,
            brakes: Vec::new(),
            live_subscribers: 5,
            owed_cuts: 0,
            owed_restores: 1,
            owed_subscribers: 0,
            late_subscribers: 0,
            backlog: Backlog::default(),
            next_deadline: Some(now + Duration::from_secs(12)),
            watchers: vec![WatcherStatus {
                id: WatcherId::fresh(),
                kind: WatcherKind::Watcher,
                heartbeat_at: now,
                alive: true,
                machine: None,
                braked: false,
                interval: None,
            }],
            routers: Vec::new(),
            owed: Vec::new(),
        };
        Report {
            health: HealthReport::of(&status),
            lag: LagReport::default(),
            upcoming: Vec::new(),
            status,
        }
    }

    fn shown(picture: &Picture, view: &mut View) -> String {
        let mut bytes = Vec::new();
        let json = matches!(view, View::Json);
        picture
            .show(view, &mut Output::new(&mut bytes, json))
            .expect("written");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn without_a_terminal_each_reading_is_one_line() {
        let mut picture = Picture {
            report: report(),
            trouble: None,
        };
        assert_eq!(
            shown(&picture, &mut View::Lines),
            "2027-01-15T08:00:00Z healthy: 1 watcher alive, 5 subscribers live, owed 0 cuts and \
             1 restore, next end in 12 seconds\n"
        );
        let json = shown(&picture, &mut View::Json);
        let value: serde_json::Value = serde_json::from_str(&json).expect("one JSON value");
        assert_eq!(
            (json.lines().count(), &value["health"]),
            (1, &"healthy".into())
        );

        let gone = StoreError::Unavailable("no route".into());
        picture.take(Some(Err(gone))).expect("it may come back");
        let json = shown(&picture, &mut View::Json);
        assert_eq!(
            json,
            "{\"error\":\"the database is unavailable: no route\"}\n"
        );
        picture.take(Some(Ok(report()))).expect("it is back");
        assert!(shown(&picture, &mut View::Lines).contains("healthy"));
    }

    #[test]
    fn a_silent_database_is_said_and_a_wrong_one_ends_it() {
        let mut picture = Picture {
            report: report(),
            trouble: None,
        };
        picture.take(None).expect("it may come back");
        assert!(shown(&picture, &mut View::Lines).contains("silent for 5 s"));
        let newer = StoreError::SchemaTooNew {
            found: 9,
            supported: 1,
        };
        picture.take(Some(Err(newer))).expect_err("for good");
    }
}
