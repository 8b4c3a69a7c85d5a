//! Whether all is well, and if not, why.

use std::fmt;

use serde::Serialize;

use crate::Status;

/// More subscribers than this that are not confirmed off are critical.
const MANY: u64 = 10;

/// How things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A watcher is alive, and whose access ended is confirmed off.
    Healthy,
    /// Somebody whose access ended may be online.
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
        if !status.watchers.iter().any(|watcher| watcher.alive) {
            let reason = "no watcher is alive: nobody makes cuts".to_owned();
            found.push((Health::Critical, reason));
        }
        for brake in &status.brakes {
            found.push((Health::Critical, format!("braked: {brake}")));
        }
        match status.owed_subscribers {
            0 => {}
            owed => {
                let health = if owed > MANY {
                    Health::Critical
                } else {
                    Health::NeedsAttention
                };
                found.push((health, not_confirmed(owed)));
            }
        }
        found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
        Self {
            health: found.first().map_or(Health::Healthy, |(health, _)| *health),
            reasons: found.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

fn not_confirmed(subscribers: u64) -> String {
    match subscribers {
        1 => "1 subscriber who may not be online any more is not confirmed off".into(),
        n => format!("{n} subscribers who may not be online any more are not confirmed off"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use rstest::rstest;

    use super::*;
    use crate::{Brake, WatcherId, WatcherStatus};

    fn status(alive: &[bool], owed_subscribers: u64) -> Status {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let watcher = |alive: &bool| WatcherStatus {
            id: WatcherId::fresh(),
            heartbeat_at: now,
            alive: *alive,
            machine: None,
            braked: false,
            interval: None,
        };
        Status {
            now,
            owed_cuts: owed_subscribers * 3,
            owed_restores: 7,
            owed_subscribers,
            watchers: alive.iter().map(watcher).collect(),
            ..Status::default()
        }
    }

    #[rstest]
    #[case(&[true], 0, Health::Healthy, 0)]
    #[case(&[false, true], 1, Health::NeedsAttention, 1)]
    #[case(&[true], 10, Health::NeedsAttention, 1)]
    #[case(&[true], 11, Health::Critical, 1)]
    #[case(&[false], 0, Health::Critical, 1)]
    #[case(&[], 1, Health::Critical, 2)]
    fn r9_health_is_the_worst_finding_and_each_has_a_reason(
        #[case] alive: &[bool],
        #[case] owed: u64,
        #[case] health: Health,
        #[case] reasons: usize,
    ) {
        let report = HealthReport::of(&status(alive, owed));
        assert_eq!(report.health, health);
        assert_eq!(report.reasons.len(), reasons, "{:?}", report.reasons);
    }

    #[test]
    fn r10_a_brake_is_critical_and_says_why() {
        let mut status = status(&[true], 1);
        status.brakes.push(Brake::Share {
            since: status.now,
            ended: 600,
            subscribers: 1000,
            limit_percent: 50,
        });
        let report = HealthReport::of(&status);
        assert_eq!(report.health, Health::Critical);
        assert_eq!(report.reasons[0], format!("braked: {}", status.brakes[0]));
        assert_eq!(report.reasons.len(), 2);
    }

    #[test]
    fn its_words_are_those_of_the_api() {
        let words = [Health::Healthy, Health::NeedsAttention, Health::Critical];
        let json = serde_json::to_string(&words).expect("JSON");
        assert_eq!(json, r#"["healthy","needs_attention","critical"]"#);
    }
}
