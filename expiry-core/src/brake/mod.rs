//! When nothing may be cut: clocks that disagree, a clock that jumped, too many ended by a change.
//!
//! Nothing here reads a clock or a store.

mod clocks;
mod judge;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use clocks::{Agreement, Apart, Clocks, Machine};
pub use judge::{AGREED_FOR, ClockBrake, MachineState, Reading, judge};

/// Why nothing is cut, until it ends by itself or is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Brake {
    /// One machine's clock is not to be trusted: its watchers serve no router.
    Clock {
        /// The name of the machine.
        machine: String,
        /// Since when, by the database's clock.
        since: DateTime<Utc>,
        /// How far the database's clock was ahead of the machine's when they last differed, in
        /// milliseconds; behind if negative. Absent if they never did.
        apart_ms: Option<i64>,
        /// How far the machine's clock last jumped, in milliseconds; back if negative. Absent if it
        /// did not.
        jumped_ms: Option<i64>,
        /// How long the clocks have agreed since, in milliseconds. Absent while they differ.
        agreed_ms: Option<u64>,
    },
    /// A change ended the access of too many: no watcher serves any router.
    Share {
        /// Since when.
        since: DateTime<Utc>,
        /// How many subscribers had ended by changes.
        ended: u64,
        /// How many subscribers there were.
        subscribers: u64,
        /// The limit that was exceeded.
        limit_percent: u8,
    },
}

impl Brake {
    /// Returns since when it holds.
    pub fn since(&self) -> DateTime<Utc> {
        match self {
            Self::Clock { since, .. } | Self::Share { since, .. } => *since,
        }
    }

    /// Tells whether the other is the same brake, which may have been described at another time.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_kind = std::mem::discriminant(self) == std::mem::discriminant(other);
        same_kind && self.since() == other.since()
    }

    /// Describes the brake of a machine.
    pub fn of_machine(machine: &str, state: &MachineState) -> Option<Self> {
        let brake = state.brake.as_ref()?;
        let agreed = state.agreed_for().map(|agreed| agreed.as_millis());
        Some(Self::Clock {
            machine: machine.into(),
            since: brake.since,
            apart_ms: brake.apart.map(|apart| apart.num_milliseconds()),
            jumped_ms: brake.jumped.map(|jumped| jumped.num_milliseconds()),
            agreed_ms: agreed.map(|agreed| u64::try_from(agreed).unwrap_or(u64::MAX)),
        })
    }
}

/// Says in one sentence what is wrong.
impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock {
                machine,
                apart_ms,
                jumped_ms,
                agreed_ms,
                ..
            } => {
                let differ = if agreed_ms.is_some() {
                    "differed"
                } else {
                    "differ"
                };
                match (apart_ms, jumped_ms) {
                    (Some(apart), None) => {
                        write!(
                            f,
                            "the clocks of {machine} and of the database {differ} by {}",
                            Span(*apart)
                        )
                    }
                    (None, Some(jumped)) => {
                        write!(f, "the clock of {machine} jumped {}", Jump(*jumped))
                    }
                    (Some(apart), Some(jumped)) => write!(
                        f,
                        "the clock of {machine} jumped {}, and it and the database's {differ} by {}",
                        Jump(*jumped),
                        Span(*apart)
                    ),
                    (None, None) => write!(f, "the clock of {machine} is not trusted"),
                }
            }
            Self::Share {
                ended,
                subscribers,
                limit_percent,
                ..
            } => write!(
                f,
                "changes ended the access of {ended} while there are {subscribers} subscribers, \
                 more than {limit_percent} %"
            ),
        }
    }
}

/// A time in seconds, whichever its direction.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.unsigned_abs();
        write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}

struct Jump(i64);

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.0 < 0 { "back" } else { "ahead" };
        write!(f, "{way} by {}", Span(self.0))
    }
}

/// Tells whether `ended` of `subscribers` are more than `limit_percent`.
pub fn exceeds_share(ended: u64, subscribers: u64, limit_percent: u8) -> bool {
    u128::from(ended) * 100 > u128::from(subscribers) * u128::from(limit_percent)
}

/// So many subscribers are enough for `ended` not to exceed the limit: nobody needs to count more.
pub fn enough_subscribers(ended: u64, limit_percent: u8) -> u64 {
    let most = (u128::from(ended) * 100).div_ceil(u128::from(limit_percent.max(1)));
    u64::try_from(most).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(apart_ms: Option<i64>, jumped_ms: Option<i64>, agreed_ms: Option<u64>) -> String {
        let brake = Brake::Clock {
            machine: "vps1".into(),
            since: DateTime::UNIX_EPOCH,
            apart_ms,
            jumped_ms,
            agreed_ms,
        };
        brake.to_string()
    }

    #[test]
    fn r10_a_brake_says_which_clock_is_wrong_and_by_how_much() {
        assert_eq!(
            clock(Some(-7_250), None, None),
            "the clocks of vps1 and of the database differ by 7.2 s"
        );
        assert_eq!(
            clock(None, Some(-3_600_000), Some(5)),
            "the clock of vps1 jumped back by 3600.0 s"
        );
        assert_eq!(
            clock(Some(60_000), Some(60_000), Some(5)),
            "the clock of vps1 jumped ahead by 60.0 s, and it and the database's differed by 60.0 s"
        );
    }

    #[test]
    fn r10_a_share_is_more_than_its_limit_not_as_much() {
        assert!(!exceeds_share(2, 10, 20));
        assert!(exceeds_share(3, 10, 20));
        assert!(exceeds_share(1, 0, 100), "nobody is left");
        assert!(!exceeds_share(0, 0, 1));
    }

    proptest! {
        #[test]
        fn r10_counting_enough_subscribers_tells_as_much_as_counting_all(
            ended in 0..100_000u64, subscribers in 0..100_000u64, limit in 1..=100u8
        ) {
            let counted = subscribers.min(enough_subscribers(ended, limit));
            prop_assert_eq!(
                exceeds_share(ended, counted, limit),
                exceeds_share(ended, subscribers, limit)
            );
        }
    }
}
