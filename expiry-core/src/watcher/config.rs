use std::time::Duration;

use crate::{
    RetryPolicy,
    config::{Contradiction, Key, Section},
};

/// How a watcher behaves: section `[watcher]` of the configuration.
///
/// A key needs three lines here (field, default, entry in [`Section::KEYS`]) and one in the example
/// file `docs/expiry.toml`.
#[derive(Clone, Debug)]
pub struct WatcherConfig {
    /// The longest nap: the sweep of the database behind every hint.
    pub interval: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// How long others respect an ownership after the last heartbeat.
    pub ownership: Duration,
    /// When to look again at a confirmed result, counted from its confirmation, in order.
    pub looks: Vec<Duration>,
    /// Waits between tries.
    pub retry: RetryPolicy,
    /// Time between proofs that an idle connection still works.
    pub keepalive: Duration,
    /// Time between two readings of a whole router, stretched by at most a tenth. A router that
    /// comes into service or comes back is read at once.
    pub reconcile: Duration,
    /// Most tasks that share one cut.
    pub batch: u32,
    /// Most tasks of a batch that may be backlog, and the pause after such a batch.
    pub backlog: (u32, Duration),
    /// Whether a bypass binding also belongs to the subscriber whose name its comment equals.
    pub comments: bool,
    /// How long events, and undo rows that were undone, are kept. What is owed or to be undone is
    /// kept for as long as it is.
    pub keep: Duration,
    /// Nobody is cut, by any watcher, while changes have ended the access of more than this share
    /// of the subscribers, in percent from 1 to 100, until somebody releases the brake. 100 is no
    /// limit.
    pub share_limit: u32,
    /// How long a graceful stop, or a single check, may take.
    pub patience: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for WatcherConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            heartbeat: Duration::from_secs(3),
            ownership: Duration::from_secs(15),
            looks: [1, 3, 10].map(Duration::from_secs).into(),
            retry: RetryPolicy::default(),
            keepalive: Duration::from_secs(20),
            reconcile: Duration::from_mins(5),
            batch: 128,
            backlog: (64, Duration::from_secs(1)),
            comments: false,
            keep: Duration::from_hours(90 * 24),
            share_limit: 100,
            patience: Duration::from_secs(20),
            seed: 0,
        }
    }
}

impl WatcherConfig {
    /// The least [`interval`](Self::interval) that settings may ask for.
    pub const LEAST_INTERVAL: Duration = SECOND;
    /// The least time between two readings of a whole router that settings may ask for: small
    /// boards are busy for seconds with one.
    pub const LEAST_RECONCILE: Duration = Duration::from_secs(10);

    /// How long a watcher believes after a heartbeat that its routers are its own: a little shorter
    /// than others respect it.
    pub(super) fn trust(&self) -> Duration {
        self.ownership.mul_f64(0.8)
    }

    /// The share limit in percent, if there is one.
    pub(super) fn share_limit_percent(&self) -> Option<u8> {
        let percent = u8::try_from(self.share_limit).ok();
        percent.filter(|percent| *percent < 100)
    }
}

/// How long old events can be kept.
const LONGEST_KEPT: Duration = Duration::from_hours(3_650 * 24);

/// Stores ask for all tasks of a batch in one statement, and SQLite takes at most 32 766 values.
const LARGEST_BATCH: u32 = 1_000;
/// Nobody serves the routers of a dead watcher for so long.
const LONGEST_OWNERSHIP: Duration = Duration::from_mins(5);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

impl Section for WatcherConfig {
    const NAME: &'static str = "watcher";
    const KEYS: &'static [Key<Self>] = &[
        Key::duration("interval", Self::LEAST_INTERVAL, |c| &mut c.interval),
        Key::duration("heartbeat", Duration::from_millis(500), |c| {
            &mut c.heartbeat
        }),
        Key::span("ownership", (SECOND, LONGEST_OWNERSHIP), |c| {
            &mut c.ownership
        }),
        Key::moments("looks", MILLISECOND, |c| &mut c.looks),
        Key::waits("retry_first", MILLISECOND, |c| &mut c.retry.first),
        Key::duration("retry_early", Duration::ZERO, |c| &mut c.retry.early),
        Key::waits("retry_then", MILLISECOND, |c| &mut c.retry.then),
        Key::waits("retry_rejected", MILLISECOND, |c| &mut c.retry.rejected),
        Key::duration("keepalive", SECOND, |c| &mut c.keepalive),
        Key::duration("reconcile", Self::LEAST_RECONCILE, |c| &mut c.reconcile),
        Key::count("batch", (1, LARGEST_BATCH), |c| &mut c.batch),
        Key::count("backlog", (1, LARGEST_BATCH), |c| &mut c.backlog.0),
        Key::duration("backlog_pause", Duration::ZERO, |c| &mut c.backlog.1),
        Key::switch("match_comments", |c| &mut c.comments),
        Key::span("keep", (Duration::from_hours(1), LONGEST_KEPT), |c| {
            &mut c.keep
        }),
        Key::count("share_limit", (1, 100), |c| &mut c.share_limit),
        Key::duration("patience", SECOND, |c| &mut c.patience),
    ];

    fn contradictions(&self) -> Vec<Contradiction> {
        let mut all = Vec::new();
        if self.heartbeat * 2 >= self.trust() {
            all.push(Contradiction {
                keys: &["heartbeat", "ownership"],
                rule: "two heartbeats must be shorter than 80 % of an ownership, for which a \
                       watcher trusts in it, or one lost heartbeat loses the routers",
            });
        }
        if self.backlog.0 > self.batch {
            all.push(Contradiction {
                keys: &["backlog", "batch"],
                rule: "the backlog in a batch cannot be more than the batch",
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_lost_heartbeat_would_lose_the_routers(7_500, 15_000, false)]
    #[case::the_next_one_would_come_at_the_last_moment(6_000, 15_000, false)]
    #[case::one_lost_heartbeat_is_borne(5_999, 15_000, true)]
    #[case::the_shortest(500, 1_251, true)]
    fn r8_two_heartbeats_fit_into_the_time_of_trust(
        #[case] heartbeat_ms: u64,
        #[case] ownership_ms: u64,
        #[case] fits: bool,
    ) {
        let config = WatcherConfig {
            heartbeat: Duration::from_millis(heartbeat_ms),
            ownership: Duration::from_millis(ownership_ms),
            ..WatcherConfig::default()
        };
        assert_eq!(config.contradictions().is_empty(), fits);
    }
}
