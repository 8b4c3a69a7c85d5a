use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::WatcherConfig;
use crate::{Clock, Clocks, brake::Apart};

/// How long this watcher may believe that its routers are its own, and its clock right.
///
/// The store respects an ownership for some time after the last heartbeat. The watcher counts the
/// same time from *before* it sent the heartbeat, on a clock that goes on during suspend, and stops
/// a little earlier: so it stops writing before anybody else begins. Its clock was judged before
/// the heartbeat; a jump since then ends the trust at once.
pub(super) struct Tenure {
    clock: Arc<dyn Clock>,
    good_for: Duration,
    held: Mutex<Option<Held>>,
}

struct Held {
    until: Duration,
    judged: Clocks,
    tolerated: Option<TimeDelta>,
}

impl Tenure {
    pub(super) fn new(clock: Arc<dyn Clock>, config: &WatcherConfig) -> Self {
        Self {
            clock,
            good_for: config.trust(),
            held: Mutex::default(),
        }
    }

    /// Reads the clock before a heartbeat is sent.
    pub(super) fn start(&self) -> Duration {
        self.clock.boot()
    }

    /// Notes that the heartbeat begun at `start` was taken, after the clock was judged to be right
    /// at `judged`, or off by what is `tolerated`. Tells whether there was no trust before.
    pub(super) fn renew(
        &self,
        start: Duration,
        judged: Clocks,
        tolerated: Option<TimeDelta>,
    ) -> bool {
        let is_new = !self.holds();
        *self.held() = Some(Held {
            until: start + self.good_for,
            judged,
            tolerated,
        });
        is_new
    }

    /// Ends the trust.
    pub(super) fn end(&self) {
        *self.held() = None;
    }

    /// Tells whether routers may be written to now.
    pub(super) fn holds(&self) -> bool {
        let clocks = self.clock.read();
        self.held().as_ref().is_some_and(|held| {
            clocks.boot < held.until && clocks.jumped_since(&held.judged).is_none()
        })
    }

    /// Returns the wall time, for a comparison with the store's.
    pub(super) fn wall(&self) -> DateTime<Utc> {
        self.clock.wall()
    }

    /// Tells whether the store's clock, as read in a call that began at `before`, may be right.
    pub(super) fn agrees(&self, before: DateTime<Utc>, store: DateTime<Utc>) -> bool {
        let agreement = Apart::between(before, store, self.clock.wall()).agreement();
        let tolerated = self.held().as_ref().and_then(|held| held.tolerated);
        agreement.intolerable(tolerated).is_none()
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
