//! How long to wait before the next try.
//!
//! Waits between tries of a router count from the start of the last one: a router that swallows
//! what it is sent makes each try last for seconds, and is to be found soon after it answers again.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::FailureKind;

/// The waits between tries. All of them are stretched by a random part of at most a tenth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Waits at the start of an outage; the last repeats while the outage is `early`.
    pub first: Vec<Duration>,
    /// How long an outage counts as young.
    pub early: Duration,
    /// Waits after that; the last repeats.
    pub then: Vec<Duration>,
    /// Waits after a refused login or a wrong box; the last repeats.
    pub rejected: Vec<Duration>,
}

/// A list of waits is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a retry policy needs at least one wait in each list")]
pub struct EmptyWaits;

impl Default for RetryPolicy {
    fn default() -> Self {
        let seconds = |list: &[u64]| list.iter().copied().map(Duration::from_secs).collect();
        Self {
            first: seconds(&[1, 2]),
            early: Duration::from_mins(2),
            then: seconds(&[4, 8, 15]),
            rejected: seconds(&[1, 3, 60]),
        }
    }
}

impl RetryPolicy {
    /// Makes a policy.
    ///
    /// # Errors
    /// [`EmptyWaits`] if a list has no wait in it.
    pub fn try_new(
        first: Vec<Duration>,
        early: Duration,
        then: Vec<Duration>,
        rejected: Vec<Duration>,
    ) -> Result<Self, EmptyWaits> {
        if first.is_empty() || then.is_empty() || rejected.is_empty() {
            return Err(EmptyWaits);
        }
        Ok(Self {
            first,
            early,
            then,
            rejected,
        })
    }

    /// Returns the longest wait between two tries of a router that has not answered for
    /// `down_for`, without its random part.
    pub fn longest_wait(&self, down_for: Duration) -> Duration {
        let waits = if down_for < self.early {
            &self.first
        } else {
            &self.then
        };
        waits.iter().max().copied().unwrap_or_default()
    }

    /// Returns the wait before the next attempt of a task that a reachable router did not
    /// confirm, after `attempts` earlier ones.
    pub fn unconfirmed(&self, attempts: u32, jitter: f64) -> Duration {
        let wait = match attempts.checked_sub(self.early_attempts()) {
            None => nth(&self.first, attempts),
            Some(late) => nth(&self.then, late),
        };
        stretched(wait, jitter)
    }

    /// How many waits begin while an outage is young.
    fn early_attempts(&self) -> u32 {
        let mut left = self.early;
        let mut attempts = 0;
        for wait in &self.first {
            if left.is_zero() {
                return attempts;
            }
            left = left.saturating_sub(*wait);
            attempts += 1;
        }
        let last = nth(&self.first, u32::MAX).as_nanos().max(1);
        let rest = u32::try_from(left.as_nanos().div_ceil(last)).unwrap_or(u32::MAX);
        attempts.saturating_add(rest)
    }
}

/// One router's outage, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    outage: Option<Outage>,
}

#[derive(Clone, Debug)]
struct Outage {
    since: Instant,
    tries: u32,
    late_tries: u32,
    rejections: u32,
}

impl Backoff {
    /// Notes a try that began at `began` and failed at `now`, and returns how long to wait before
    /// the next: at least a tenth of the wait, however long the try took. `jitter` is a random
    /// number from 0 to 1.
    pub fn failed(
        &mut self,
        policy: &RetryPolicy,
        kind: FailureKind,
        (began, now): (Instant, Instant),
        jitter: f64,
    ) -> Duration {
        let fresh = Outage {
            since: now,
            tries: 0,
            late_tries: 0,
            rejections: 0,
        };
        let outage = self.outage.get_or_insert(fresh);
        let (waits, count) = match kind {
            FailureKind::Rejected => (&policy.rejected, &mut outage.rejections),
            FailureKind::Unreachable | FailureKind::Answered => {
                outage.rejections = 0;
                if now - outage.since < policy.early {
                    (&policy.first, &mut outage.tries)
                } else {
                    (&policy.then, &mut outage.late_tries)
                }
            }
        };
        let wait = stretched(nth(waits, *count), jitter);
        *count += 1;
        wait.saturating_sub(now - began).max(wait / 10)
    }

    /// Notes that the router answers.
    pub fn ended(&mut self) {
        self.outage = None;
    }

    /// Tells whether the last try failed.
    pub fn is_down(&self) -> bool {
        self.outage.is_some()
    }
}

fn nth(waits: &[Duration], count: u32) -> Duration {
    let at = usize::try_from(count).unwrap_or(usize::MAX);
    waits
        .get(at)
        .or_else(|| waits.last())
        .copied()
        .unwrap_or(Duration::from_secs(1))
}

/// Stretches a wait by a tenth of `jitter`, which is from 0 to 1.
pub(crate) fn stretched(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits(kind: FailureKind, count: usize) -> Vec<u64> {
        let policy = RetryPolicy::default();
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        (0..count)
            .map(|_| {
                let wait = backoff.failed(&policy, kind, (now, now), 0.0);
                now += wait;
                wait.as_secs()
            })
            .collect()
    }

    #[tokio::test]
    async fn r4_an_outage_is_tried_fast_for_two_minutes_and_then_slower() {
        let waits = waits(FailureKind::Unreachable, 66);
        assert_eq!(waits[..4], [1, 2, 2, 2]);
        assert_eq!(waits[59..], [2, 2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn r4_an_unconfirmed_task_is_tried_at_the_same_pace_whatever_the_waits_are() {
        let waits = |policy: &RetryPolicy, attempts: std::ops::Range<u32>| {
            let waits = attempts.map(|n| policy.unconfirmed(n, 0.0).as_secs());
            waits.collect::<Vec<_>>()
        };
        let policy = RetryPolicy::default();
        assert_eq!(waits(&policy, 0..3), [1, 2, 2]);
        assert_eq!(waits(&policy, 59..65), [2, 2, 4, 8, 15, 15]);
        let slow = RetryPolicy {
            first: vec![Duration::from_secs(30)],
            ..policy
        };
        assert_eq!(waits(&slow, 2..6), [30, 30, 4, 8]);
    }

    #[tokio::test]
    async fn r4_a_refused_login_is_tried_twice_and_then_once_a_minute() {
        assert_eq!(waits(FailureKind::Rejected, 5), [1, 3, 60, 60, 60]);
    }

    #[tokio::test]
    async fn r4_a_try_that_takes_long_is_followed_soon() {
        let policy = RetryPolicy::default();
        let mut backoff = Backoff::default();
        let began = Instant::now();
        let mut wait_after = |seconds| {
            let now = began + Duration::from_secs(seconds);
            backoff.failed(&policy, FailureKind::Unreachable, (began, now), 0.0)
        };
        assert_eq!(wait_after(0), Duration::from_secs(1));
        assert_eq!(wait_after(1), Duration::from_secs(1));
        assert_eq!(wait_after(5), Duration::from_millis(200));
    }

    #[tokio::test]
    async fn an_outage_that_ended_is_forgotten() {
        let policy = RetryPolicy::default();
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            let now = Instant::now();
            backoff.failed(&policy, FailureKind::Rejected, (now, now), 0.0);
        }
        backoff.ended();
        assert!(!backoff.is_down());
        let now = Instant::now();
        let wait = backoff.failed(&policy, FailureKind::Rejected, (now, now), 0.0);
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn r4_the_longest_wait_grows_with_the_outage() {
        let policy = RetryPolicy::default();
        let seconds = |s| policy.longest_wait(Duration::from_secs(s)).as_secs();
        assert_eq!((seconds(0), seconds(119), seconds(120)), (2, 2, 15));
    }

    proptest! {
        #[test]
        fn r4_jitter_is_at_most_a_tenth(attempts: u32, jitter in 0.0..1.0f64) {
            let policy = RetryPolicy::default();
            let plain = policy.unconfirmed(attempts, 0.0);
            let wait = policy.unconfirmed(attempts, jitter);
            prop_assert!(wait >= plain && wait <= plain.mul_f64(1.1));
        }
    }
}
