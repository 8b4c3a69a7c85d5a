//! Whether all is well, and if not, why.
//!
//! *Critical* is what goes wrong now: nobody watches, a brake holds, or many whose access ended may be
//! online. Who had ended before anybody could know it is being worked through: that needs attention,
//! and never hides who is late now.

use std::{cmp::Reverse, fmt};

use chrono::SecondsFormat;
use serde::Serialize;

use crate::{Cause, RouterStatus, Status, WatcherStatus};

/// More subscribers than this that are late are critical.
const MANY: u64 = 10;

/// At most this many routers on which no cut can be made are told one by one.
const NAMED: usize = 3;

/// How things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A watcher is alive, every router in service answers and can be cut on, and whose access ended is confirmed off, or
    /// is being cut this moment.
    Healthy,
    /// Somebody whose access ended may be online, or a router does not answer, or refuses.
    NeedsAttention,
    /// Many may be, or somebody who should make cuts does not.
    Critical,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::NeedsAttention => "needs attention",
            Self::Critical => "critical",
        })
    }
}

/// How things are, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The worst of all that was found.
    pub health: Health,
    /// A sentence for each finding, worst first; empty when healthy.
    #[serde(rename = "health_reasons")]
    pub reasons: Vec<String>,
}

impl HealthReport {
    /// Judges a status. What is listed in it does not matter, only its counts do.
    pub fn of(status: &Status) -> Self {
        let mut found = Vec::new();
        let comes = |watcher: &WatcherStatus| watcher.comes_again(status.now).is_some();
        let is_seen_to = |watcher: &WatcherStatus| watcher.watches() || comes(watcher);
        if !status.watchers.iter().any(is_seen_to) {
            let reason = "no watcher is alive: nobody makes cuts".to_owned();
            found.push((Health::Critical, reason));
        }
        for brake in &status.brakes {
            found.push((Health::Critical, format!("braked: {brake}")));
        }
        let late = status.late_subscribers;
        let of_late = if late > MANY {
            Health::Critical
        } else {
            Health::NeedsAttention
        };
        routers(status, of_late, &mut found);
        if late > 0 {
            found.push((of_late, not_confirmed(late)));
        }
        if status.backlog.left > 0 {
            found.push((Health::NeedsAttention, to_be_taken_off(status)));
        }
        found.sort_by_key(|(health, _)| Reverse(*health));
        Self {
            health: found.first().map_or(Health::Healthy, |(health, _)| *health),
            reasons: found.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

/// Names the routers on which no cut can be made, those with the most cuts first. One where cuts wait stands
/// with those who are late.
fn routers(status: &Status, of_late: Health, found: &mut Vec<(Health, String)>) {
    let mut unreached: Vec<_> = status
        .routers
        .iter()
        .filter(|router| router.is_out_of_reach())
        .collect();
    unreached.sort_by_key(|router| (Reverse(router.owed_cuts), Reverse(router.ends_soon)));
    for router in unreached.iter().take(NAMED) {
        let health = if router.oldest_cut.is_some() {
            of_late
        } else {
            Health::NeedsAttention
        };
        found.push((health, unreached_words(router)));
    }
    let more = unreached.len().saturating_sub(NAMED);
    if more > 0 {
        let words = match more {
            1 => "1 more router does not answer, or refuses".to_owned(),
            n => format!("{n} more routers do not answer, or refuse"),
        };
        found.push((Health::NeedsAttention, words));
    }
}

/// Says of a router on which no cut can be made since when, why, and what waits for it.
pub fn unreached_words(router: &RouterStatus) -> String {
    let name = &router.name;
    let cause = router.last_error.as_deref().and_then(Cause::in_line);
    let mut words = match router.down_since {
        None if router.is_hindered() => format!("router {name} answers and cannot be served"),
        Some(since) => {
            let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
            let what = if cause.is_some_and(Cause::is_password) {
                "cannot be logged in to"
            } else {
                "does not answer"
            };
            format!("router {name} {what} since {since}")
        }
        None => format!("router {name} was never reached"),
    };
    if let Some(error) = &router.last_error {
        words = format!("{words} ({error})");
    }
    let waiting = match router.owed_cuts {
        0 => None,
        1 => Some("1 cut waits for it".to_owned()),
        n => Some(format!("{n} cuts wait for it")),
    };
    let soon = match router.ends_soon.unwrap_or_default() {
        0 => None,
        1 => Some("1 access ends there within the hour".to_owned()),
        n => Some(format!("{n} accesses end there within the hour")),
    };
    let rest: Vec<_> = waiting.into_iter().chain(soon).collect();
    if rest.is_empty() {
        words
    } else {
        format!("{words}: {}", rest.join(", "))
    }
}

fn not_confirmed(subscribers: u64) -> String {
    match subscribers {
        1 => "1 subscriber who may not be online any more is not confirmed off".into(),
        n => format!("{n} subscribers who may not be online any more are not confirmed off"),
    }
}

fn to_be_taken_off(status: &Status) -> String {
    let (left, of) = (status.backlog.left, status.backlog.of);
    let are = if left == 1 { "is" } else { "are" };
    format!(
        "{left} of {of} whose access had ended before it was entered here or watched {are} still to be \
         taken off"
    )
}

#[cfg(test)]
mod tests;
