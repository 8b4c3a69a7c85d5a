//! What the connection to a router is waiting for.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use expiry_core::{Phase, Waiting};
use tokio::time::Instant;

/// Shows to others what a try is doing, and since when nothing was heard of the router.
#[derive(Default)]
pub(crate) struct Gauge(Mutex<Option<Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    phase: Phase,
    quiet_since: Instant,
    limit: Duration,
    /// The longest silence that ended with an answer.
    longest: Duration,
}

impl Gauge {
    /// Notes that a phase begins, whose silence is borne for `limit`.
    pub(crate) fn enter(&self, phase: Phase, limit: Duration) {
        let longest = self.lock().map_or(Duration::ZERO, |now| now.longest);
        *self.lock() = Some(Reading {
            phase,
            quiet_since: Instant::now(),
            limit,
            longest,
        });
    }

    /// Notes that bytes came.
    pub(crate) fn heard(&self) {
        if let Some(now) = &mut *self.lock() {
            now.longest = now.longest.max(now.quiet_since.elapsed());
            now.quiet_since = Instant::now();
        }
    }

    /// Nothing is waited for any more. Returns the longest silence that ended with an answer.
    pub(crate) fn rest(&self) -> Duration {
        self.lock().take().map_or(Duration::ZERO, |now| now.longest)
    }

    /// Returns the phase, and since when nothing was heard.
    pub(crate) fn quiet(&self) -> Option<(Phase, Instant)> {
        self.lock().map(|now| (now.phase, now.quiet_since))
    }

    /// Returns the longest silence that ended with an answer.
    pub(crate) fn longest(&self) -> Duration {
        self.lock().map_or(Duration::ZERO, |now| now.longest)
    }

    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let now = (*self.lock())?;
        Some(Waiting {
            phase: now.phase,
            silent_for: now.quiet_since.elapsed(),
            limit: now.limit,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.waiting()).finish()
    }
}
