use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use expiry_core::{Brake, BrakeStore, StatusStore, WatcherKind, WatcherStatus, brake::AGREED_FOR};
use serde::Serialize;

use crate::{
    args::BrakeCommand,
    error::CliError,
    output::{Output, time},
};

pub(super) async fn run(
    command: Option<&BrakeCommand>,
    status: &dyn StatusStore,
    brakes: &dyn BrakeStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        None => {
            let status = status.status(0).await?;
            let is_cutting =
                |watcher: &WatcherStatus| watcher.alive && watcher.kind == WatcherKind::Watcher;
            let watched = status.watchers.iter().any(is_cutting);
            let (now, brakes) = (status.now, status.brakes);
            Ok(out.show(&Shown {
                now,
                brakes,
                watched,
            })?)
        }
        Some(BrakeCommand::Release) => {
            let released = brakes.release_brakes().await?;
            out.answer(&Released { released });
            Ok(())
        }
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    now: DateTime<Utc>,
    brakes: Vec<Brake>,
    /// Somebody is there to make cuts.
    watched: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.brakes.is_empty() {
            return if self.watched {
                write!(f, "no brake holds: cuts are made")
            } else {
                write!(
                    f,
                    "no brake holds; no watcher is alive now: cuts wait for the next `expiryctl run`"
                )
            };
        }
        lines(&self.brakes, f)
    }
}

#[derive(Debug, Serialize)]
struct Released {
    released: Vec<Brake>,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.released.is_empty() {
            return write!(f, "no brake held; nothing was released");
        }
        for (at, brake) in self.released.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}released: {brake}")?;
        }
        Ok(())
    }
}

/// Writes each brake with what to do about it, one line each.
fn lines(brakes: &[Brake], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, brake) in brakes.iter().enumerate() {
        let end = if at == 0 { "" } else { "\n" };
        write!(f, "{end}{}", Line(brake))?;
    }
    Ok(())
}

/// One brake, with what to do about it.
pub(super) struct Line<'a>(pub(super) &'a Brake);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = time(self.0.since());
        let scope = match self.0 {
            Brake::Clock { machine, .. } => format!("watchers on {machine} cut nobody"),
            Brake::Share { .. } => "no watcher cuts anybody".into(),
        };
        write!(
            f,
            "BRAKED since {since}: {}; {scope}. {}",
            self.0,
            advice(self.0)
        )
    }
}

fn advice(brake: &Brake) -> String {
    match brake {
        Brake::Share { .. } => "Check who was revoked, removed or imported (`expiryctl status` \
                                lists them), give back what was a mistake, then `expiryctl brake \
                                release`: it has everybody cut who is still owed"
            .into(),
        Brake::Clock {
            jumped_ms,
            agreed_ms: None,
            ..
        } => {
            let end = match jumped_ms {
                None => "they have agreed for a minute",
                Some(_) => {
                    "they have agreed for a minute and the system reports a synchronised clock"
                }
            };
            format!(
                "Set the clocks right (`timedatectl`): the brake ends by itself when {end}. \
                 If they are right as they are, `expiryctl brake release`"
            )
        }
        Brake::Clock {
            jumped_ms,
            agreed_ms: Some(agreed_ms),
            ..
        } => {
            let left = AGREED_FOR.saturating_sub(Duration::from_millis(*agreed_ms));
            match (jumped_ms, left.as_secs()) {
                (None, left) => format!(
                    "The clocks agree again: the brake ends by itself in about {left} s while a \
                     watcher runs"
                ),
                (Some(_), _) => "Check the time of the machine (`timedatectl`): the brake ends by \
                                 itself a minute after the jump, once the system reports a \
                                 synchronised clock. If the time is right and nothing \
                                 synchronises it, `expiryctl brake release`"
                    .into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expiry_core::{MockBrakeStore, MockStatusStore};

    use super::*;

    fn clock(jumped_ms: Option<i64>, agreed_ms: Option<u64>) -> Brake {
        Brake::Clock {
            machine: "vps1".into(),
            since: DateTime::UNIX_EPOCH,
            apart_ms: jumped_ms.is_none().then_some(61_000),
            jumped_ms,
            agreed_ms,
        }
    }

    fn share() -> Brake {
        Brake::Share {
            since: DateTime::UNIX_EPOCH,
            ended: 700,
            subscribers: 1000,
            limit_percent: 20,
        }
    }

    #[test]
    fn r10_a_brake_is_told_in_words_with_what_to_do() {
        let cases = [
            (
                clock(None, None),
                "the clocks of vps1 and of the database differ by 61.0 s",
                "Set the clocks right",
            ),
            (
                clock(None, Some(20_000)),
                "differed by 61.0 s",
                "in about 40 s",
            ),
            (
                clock(Some(-5_500), Some(90_000)),
                "jumped back by 5.5 s",
                "reports a synchronised clock",
            ),
            (
                share(),
                "changes ended the access of 700 while there are 1000 subscribers, more than 20 %",
                "`expiryctl brake release`",
            ),
        ];
        for (brake, what, advice) in cases {
            let line = Line(&brake).to_string();
            assert!(
                line.starts_with("BRAKED since 1970-01-01T00:00:00Z: "),
                "{line}"
            );
            assert!(line.contains(what) && line.contains(advice), "{line}");
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
        }
    }

    #[tokio::test]
    async fn r10_a_release_says_what_it_ended() {
        let mut brakes = MockBrakeStore::new();
        brakes
            .expect_release_brakes()
            .return_once(|| Ok(vec![share()]));
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes, false);

        let command = Some(&BrakeCommand::Release);
        run(command, &MockStatusStore::new(), &brakes, &mut out)
            .await
            .expect("released");

        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("released: changes ended"), "{text}");
    }

    #[test]
    fn no_brake_is_said_too() {
        let told = |watched| {
            let (now, brakes) = (DateTime::UNIX_EPOCH, Vec::new());
            let shown = Shown {
                now,
                brakes,
                watched,
            };
            shown.to_string()
        };
        assert_eq!(told(true), "no brake holds: cuts are made");
        assert!(told(false).contains("cuts wait"), "{}", told(false));
    }
}
