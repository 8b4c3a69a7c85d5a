use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::WatcherConfig;
use crate::Clock;

/// How long this watcher may believe that its routers are its own.
///
/// The store respects an ownership for some time after the last heartbeat. The watcher counts the
/// same time from *before* it sent the heartbeat, on a clock that goes on during suspend, and stops
/// a little earlier: so it stops writing before anybody else begins.
pub(super) struct Tenure {
    clock: Arc<dyn Clock>,
    good_for: Duration,
    until_us: AtomicU64,
}

impl Tenure {
    pub(super) fn new(clock: Arc<dyn Clock>, config: &WatcherConfig) -> Self {
        let good_for = config.ownership.mul_f64(0.8);
        Self {
            clock,
            good_for,
            until_us: AtomicU64::new(0),
        }
    }

    /// Reads the clock before a heartbeat is sent.
    pub(super) fn start(&self) -> Duration {
        self.clock.boot()
    }

    /// Notes that the heartbeat begun at `start` was taken.
    pub(super) fn renew(&self, start: Duration) {
        self.until_us
            .store(micros(start + self.good_for), Ordering::Release);
    }

    /// Tells whether routers may be written to now.
    pub(super) fn holds(&self) -> bool {
        micros(self.clock.boot()) < self.until_us.load(Ordering::Acquire)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
