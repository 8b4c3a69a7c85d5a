//! Whether the loops of a watcher turn, and whether they get anything done.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// The longest that a call of the store may take before its loop counts as stuck. Stores answer, or
/// give up, within a minute.
const CALL: Duration = Duration::from_secs(90);

/// How late a nap may end, on a machine that is busy, before its loop counts as stuck.
const SLACK: Duration = Duration::from_secs(10);

/// How long a loop may do nothing but fail before its watcher counts as unwell. A database that
/// restarts, or a disk that was full for a moment, takes less.
const FAILING: Duration = Duration::from_mins(1);

/// Tells whether the loops of a watcher get anything done, for whoever has to restart it.
///
/// Each loop says by when it will be heard of again: when its nap ends, or when the call of the
/// store that it makes must have been answered or given up. It also says what came of each call.
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

/// What is wrong with a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwell {
    /// A loop hangs.
    Hangs(&'static str),
    /// All that a loop tried has failed for so long, at least a minute.
    Fails(&'static str, Duration),
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangs(name) => write!(f, "the {name} of the watcher hangs"),
            Self::Fails(name, time) => {
                let seconds = time.as_secs();
                write!(
                    f,
                    "the {name} of the watcher has only failed for {seconds} s"
                )
            }
        }
    }
}

#[derive(Debug)]
struct Loops {
    heart: Pulse,
    planner: Pulse,
    beat: watch::Sender<Beat>,
}

/// The sign of life of one loop.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Signs>);

#[derive(Debug, Default)]
struct Signs {
    /// When it is heard of at the latest.
    next: Option<Instant>,
    /// Since when it has only failed.
    failing: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Loops {
            heart: Pulse::default(),
            planner: Pulse::default(),
            beat: watch::Sender::new(Beat::None),
        }))
    }

    /// Returns what is wrong, if anything is. A watcher that does not run, or has ended, is not
    /// unwell.
    pub fn unwell(&self) -> Option<Unwell> {
        let now = Instant::now();
        let loops = [("heart", &self.0.heart), ("planner", &self.0.planner)];
        let mut unwell = loops
            .into_iter()
            .filter_map(|(name, pulse)| pulse.unwell(name, now));
        unwell.next()
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
        self.0.heart.end();
        self.0.planner.end();
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

    /// The loop got something done.
    pub(super) fn succeeded(&self) {
        self.signs().failing = None;
    }

    /// What the loop tried failed.
    pub(super) fn failed(&self) {
        self.signs().failing.get_or_insert_with(Instant::now);
    }

    /// The loop has ended.
    fn end(&self) {
        *self.signs() = Signs::default();
    }

    fn set(&self, next: Option<Instant>) {
        self.signs().next = next;
    }

    fn unwell(&self, name: &'static str, now: Instant) -> Option<Unwell> {
        let signs = self.signs();
        if signs.next.is_some_and(|next| next < now) {
            return Some(Unwell::Hangs(name));
        }
        let time = now - signs.failing?;
        (time >= FAILING).then_some(Unwell::Fails(name, time))
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(progress.unwell(), None);
        progress.planner().calls();
        for _ in 0..31 {
            assert_eq!(progress.unwell(), None);
            progress.heart().naps(Duration::from_secs(3));
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        assert_eq!(progress.unwell(), Some(Unwell::Hangs("planner")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_only_fails_is_unwell_after_a_minute_and_one_success_makes_it_well() {
        let progress = Progress::new();
        let fail_for = async |seconds| {
            for _ in 0..seconds {
                progress.planner().failed();
                progress.heart().succeeded();
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        };
        fail_for(59).await;
        assert_eq!(progress.unwell(), None);
        fail_for(1).await;
        let minute = Duration::from_mins(1);
        assert_eq!(progress.unwell(), Some(Unwell::Fails("planner", minute)));
        progress.planner().succeeded();
        fail_for(59).await;
        assert_eq!(progress.unwell(), None);
    }
}
