use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// The longest that a call of the store may take before its loop counts as stuck. Stores answer, or
/// give up, within a minute.
const CALL: Duration = Duration::from_secs(90);

/// How late a nap may end, on a machine that is busy, before its loop counts as stuck.
const SLACK: Duration = Duration::from_secs(10);

/// Tells whether the loops of a watcher turn, for whoever has to restart one that hangs.
///
/// Each loop says by when it will be heard of again: when its nap ends, or when the call of the
/// store that it makes must have been answered or given up. So a database that is down does not
/// look like a loop that hangs.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Loops>);

/// What became of the latest heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// There was none yet.
    None,
    /// The store took it.
    Taken,
    /// The store failed.
    Failed,
}

#[derive(Debug)]
struct Loops {
    heart: Pulse,
    planner: Pulse,
    beat: watch::Sender<Beat>,
}

/// The sign of life of one loop.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Loops {
            heart: Pulse::default(),
            planner: Pulse::default(),
            beat: watch::Sender::new(Beat::None),
        }))
    }

    /// Returns the name of a loop that hangs, if one does. A watcher that does not run, or has
    /// ended, does not hang.
    pub fn stuck(&self) -> Option<&'static str> {
        let now = Instant::now();
        let loops = [("heart", &self.0.heart), ("planner", &self.0.planner)];
        let mut stuck = loops.into_iter().filter(|(_, pulse)| pulse.is_overdue(now));
        stuck.next().map(|(name, _)| name)
    }

    /// Follows what becomes of the heartbeats.
    pub fn beats(&self) -> watch::Receiver<Beat> {
        self.0.beat.subscribe()
    }

    pub(super) fn heart(&self) -> &Pulse {
        &self.0.heart
    }

    pub(super) fn planner(&self) -> &Pulse {
        &self.0.planner
    }

    pub(super) fn beaten(&self, beat: Beat) {
        self.0.beat.send_if_modified(|last| {
            let is_news = *last != beat;
            *last = beat;
            is_news
        });
    }

    /// The watcher ended: nobody is to be heard of again.
    pub(super) fn ended(&self) {
        self.0.heart.set(None);
        self.0.planner.set(None);
    }
}

impl Pulse {
    /// The loop calls the store now.
    pub(super) fn calls(&self) {
        self.set(Instant::now().checked_add(CALL));
    }

    /// The loop naps for so long.
    pub(super) fn naps(&self, nap: Duration) {
        self.set(Instant::now().checked_add(nap.saturating_add(SLACK)));
    }

    /// The loop does something that takes at most so long, and then calls the store.
    pub(super) fn works(&self, limit: Duration) {
        self.set(Instant::now().checked_add(limit.saturating_add(CALL)));
    }

    fn set(&self, next: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let next = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.is_some_and(|next| next < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_hangs_is_enough() {
        let progress = Progress::new();
        for _ in 0..10 {
            progress.heart().naps(Duration::from_secs(3));
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        assert_eq!(progress.stuck(), None);
        progress.planner().calls();
        for _ in 0..31 {
            assert_eq!(progress.stuck(), None);
            progress.heart().naps(Duration::from_secs(3));
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        assert_eq!(progress.stuck(), Some("planner"));
    }
}
