//! Log lines: how they are written, and which the watcher's events become.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use expiry_core::{Event, EventSink, LagKind, MacAddr, Presence, RouterId, Username};
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::writer::{BoxMakeWriter, MakeWriterExt},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::args::{LogFormat, LogLevel};

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// A service: info and below to stdout, warnings and errors to stderr.
    Service,
    /// A command whose results have stdout for themselves.
    Command,
}

/// Starts logging. Other crates are heard from warnings on.
pub(crate) fn start(streams: Streams, level: Option<LogLevel>, format: LogFormat) {
    let default = match streams {
        Streams::Service => LogLevel::Info,
        Streams::Command => LogLevel::Warn,
    };
    let level = filter(level.unwrap_or(default));
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("expiry", level);
    let writer = match streams {
        Streams::Service => {
            BoxMakeWriter::new(io::stderr.with_max_level(Level::WARN).or_else(io::stdout))
        }
        Streams::Command => BoxMakeWriter::new(io::stderr),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(writer);
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Writes one line for each event.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    routers: Mutex<BTreeMap<RouterId, String>>,
}

impl EventLog {
    fn name(&self, id: RouterId) -> String {
        let routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        routers.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn learn(&self, id: RouterId, name: &str) {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        routers.insert(id, name.into());
    }
}

impl EventSink for EventLog {
    fn record(&self, event: &Event) {
        match event {
            Event::Braked { brake } => {
                tracing::error!(%brake, "BRAKED: no cuts; `expiryctl brake` says what to do");
            }
            Event::BrakeEnded { brake } => tracing::info!(%brake, "the brake ended"),
            Event::Owned { router, name } => {
                self.learn(*router, name);
                tracing::info!(router = name, "router is ours");
            }
            Event::Disowned { name, .. } => tracing::info!(router = name, "router let go"),
            Event::RouterLost {
                name, error, cause, ..
            } => {
                let (error, way_out) = (shortened(error), cause.way_out(Some(name)));
                let (cause, says) = (cause.code(), cause.says());
                tracing::warn!(router = name, error, cause, says, way_out, "router lost");
            }
            Event::RouterReached { router, name } => {
                self.learn(*router, name);
                tracing::info!(router = name, "router reached");
            }
            Event::RouterRestarted { name, .. } => {
                tracing::warn!(router = name, "router has restarted; it is read whole");
            }
            Event::Cut {
                task,
                router,
                username,
                waited,
                ..
            } => tracing::info!(
                task = task.0,
                router = self.name(*router),
                subscriber = masked(username.as_ref()),
                lag_ms = waited.lag().map(millis),
                outage = waited.kind == LagKind::Outage,
                known_late_ms = (waited.kind == LagKind::KnownLate).then(|| millis(waited.span)),
                "cut confirmed"
            ),
            Event::Restored {
                task,
                router,
                username,
                lag,
            } => tracing::info!(
                task = task.0,
                router = self.name(*router),
                subscriber = masked(username.as_ref()),
                lag_ms = millis(*lag),
                "restored"
            ),
            Event::Returned {
                task,
                router,
                username,
                way_in,
                cannot_hold,
            } => {
                let router = self.name(*router);
                let subscriber = masked(username.as_ref());
                let way_in = way_in.as_str();
                if *cannot_hold {
                    tracing::error!(task = task.0, router, subscriber, way_in, "cut cannot hold");
                } else {
                    tracing::warn!(task = task.0, router, subscriber, way_in, "back again");
                }
            }
            Event::Strays { name, new, all, .. } => strays(name, new, *all),
            Event::Unread {
                name, error, cause, ..
            } => {
                let (error, way_out) = (shortened(error), cause.way_out(Some(name)));
                let (cause, says) = (cause.code(), cause.says());
                tracing::warn!(
                    router = name,
                    error,
                    cause,
                    says,
                    way_out,
                    "who is on cannot be read; cuts go on"
                );
            }
            Event::Refused {
                name, error, cause, ..
            } => {
                let (error, way_out) = (shortened(error), cause.way_out(Some(name)));
                let (cause, says) = (cause.code(), cause.says());
                tracing::error!(
                    router = name,
                    error,
                    cause,
                    says,
                    way_out,
                    "nobody can be cut: the router refuses"
                );
            }
            Event::Unconfirmed {
                task,
                router,
                username,
                error,
            } => tracing::warn!(
                task = task.0,
                router = self.name(*router),
                subscriber = masked(username.as_ref()),
                error = shortened(error),
                "not confirmed"
            ),
        }
        if let Some((task, Some(username))) = whose(event) {
            tracing::debug!(task, username = username.as_str(), "of subscriber");
        }
    }
}

fn whose(event: &Event) -> Option<(i64, Option<&Username>)> {
    match event {
        Event::Cut { task, username, .. }
        | Event::Restored { task, username, .. }
        | Event::Returned { task, username, .. }
        | Event::Unconfirmed { task, username, .. } => Some((task.0, username.as_ref())),
        Event::Braked { .. }
        | Event::BrakeEnded { .. }
        | Event::Owned { .. }
        | Event::Disowned { .. }
        | Event::RouterLost { .. }
        | Event::RouterReached { .. }
        | Event::RouterRestarted { .. }
        | Event::Strays { .. }
        | Event::Refused { .. }
        | Event::Unread { .. } => None,
    }
}

/// Most new strays of one reading that get a line each.
const STRAYS: usize = 10;

fn strays(router: &str, new: &[Presence], all: usize) {
    for stray in new.iter().take(STRAYS) {
        let mac = stray.mac.map(|mac| mac.to_string());
        tracing::info!(
            router,
            kind = stray.kind.as_str(),
            login = stray.login.as_deref().map(tail),
            mac = mac.as_deref().map(tail),
            way_in = stray.way_in.as_str(),
            "stray"
        );
        tracing::debug!(router, login = stray.login, mac, "of stray");
    }
    if new.len() > STRAYS {
        let more = new.len() - STRAYS;
        tracing::info!(
            router,
            more,
            all,
            "more strays: see `expiryctl router strays`"
        );
    }
}

/// Shortens what could be a phone number or a MAC in the words of a router.
fn shortened(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":-+".contains(c);
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_number = digits >= 7 && word.trim_start_matches('+').len() == digits;
        let is_mac = word.trim_matches(':').parse::<MacAddr>().is_ok();
        short.push_str(before);
        if is_number || is_mac {
            short.push('…');
            short.push_str(&word[word.len() - 3..]);
        } else {
            short.push_str(word);
        }
        rest = after;
    }
    short + rest
}

fn masked(username: Option<&Username>) -> String {
    username.map_or_else(|| "removed device".into(), |name| tail(name.as_str()))
}

/// Keeps the last three characters: enough to tell neighbouring lines apart.
fn tail(text: &str) -> String {
    let hidden = text.chars().count().saturating_sub(3).max(1);
    let tail: String = text.chars().skip(hidden).collect();
    format!("…{tail}")
}

fn millis(lag: std::time::Duration) -> u64 {
    u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use expiry_core::Cause;

    use super::*;

    #[test]
    fn r11_what_a_router_says_of_people_is_shortened() {
        let said = "user 255700000001 (AA:BB:CC:DD:EE:0F) at 10.5.50.7:8728: no such item (4)";
        let short = "user …001 (…:0F) at 10.5.50.7:8728: no such item (4)";
        assert_eq!(shortened(said), short);
        assert_eq!(shortened("no answer for 5 s…"), "no answer for 5 s…");
    }

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn why_a_router_cannot_be_served_is_told_with_its_code_and_the_way_out() {
        let (router, name, error) = (RouterId(1), || "hill".to_owned(), || "said no".to_owned());
        for cause in Cause::ALL {
            let events = [
                Event::RouterLost {
                    router,
                    name: name(),
                    error: error(),
                    cause,
                },
                Event::Unread {
                    router,
                    name: name(),
                    error: error(),
                    cause,
                },
                Event::Refused {
                    router,
                    name: name(),
                    error: error(),
                    cause,
                },
            ];
            for event in events {
                let lines = Lines::default();
                let to = lines.clone();
                let subscriber = tracing_subscriber::fmt()
                    .json()
                    .flatten_event(true)
                    .with_writer(move || to.clone())
                    .finish();
                tracing::subscriber::with_default(subscriber, || {
                    EventLog::default().record(&event);
                });
                let line = lines.0.lock().expect("not poisoned").clone();
                let line: serde_json::Value = serde_json::from_slice(&line).expect("one line");
                assert_eq!(line["cause"], cause.code(), "{line}");
                assert_eq!(line["says"], cause.says(), "{line}");
                assert_eq!(line["way_out"], cause.way_out(Some("hill")), "{line}");
                assert_eq!(
                    (&line["router"], &line["error"]),
                    (&"hill".into(), &"said no".into())
                );
            }
        }
    }

    #[test]
    fn r11_a_phone_number_is_never_whole() {
        let cases = [("255700000001", "…001"), ("joe", "…oe"), ("a", "…")];
        for (name, expected) in cases {
            let name = name.parse().expect("a name");
            assert_eq!(masked(Some(&name)), expected);
        }
    }
}
