//! What is told of a turn that waits for a silent router: status says what it waits for.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::Shared;
use crate::{Fence, RouterState};

/// How often it is asked whether the router is silent.
const PACE: Duration = Duration::from_secs(1);

/// Silence from here on is told.
const TOLD: Duration = Duration::from_secs(3);

/// It is told again after this.
const TOLD_AGAIN: Duration = Duration::from_secs(5);

/// Watches one turn of a lane.
pub(super) struct Vigil {
    pub(super) shared: Arc<Shared>,
    pub(super) fence: Fence,
    /// Set when the store was told of a silence, or may have been.
    pub(super) hindered: Arc<AtomicBool>,
}

impl Vigil {
    /// Tells the store what the turn waits for, whenever that takes long. Never returns.
    pub(super) async fn keep(&self) -> Infallible {
        let mut told: Option<Instant> = None;
        loop {
            sleep(PACE).await;
            let waiting = self.shared.gateway.waiting(self.fence.router);
            let silent = waiting.filter(|waiting| waiting.silent_for >= TOLD);
            let is_due = told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN);
            if let (Some(waiting), true) = (silent, is_due) {
                told = Some(Instant::now());
                self.hindered.store(true, Ordering::Relaxed);
                let state = RouterState::Hindered(waiting.to_string());
                let _told = Told(&self.hindered);
                // What cannot be told now is told the next time.
                let _ = self.shared.store.router_state(&self.fence, &state).await;
            }
        }
    }
}

/// Sets the mark again when the store has answered, or is not waited for any more: meanwhile the turn
/// may have told that nothing is in the way, and been the first to be recorded.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "mock", feature = "testing"))]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::{
        Epoch, MockRouterGateway, NoEvents, Phase, RouterId, SystemClock, Waiting, WatcherId,
        testing::{MemoryStore, memory::Fault},
        watcher::{Watcher, WatcherConfig},
    };

    #[tokio::test(start_paused = true)]
    async fn r9_a_turn_that_says_meanwhile_that_nothing_is_in_the_way_has_to_say_so_again() {
        let mut gateway = MockRouterGateway::new();
        gateway.expect_waiting().return_const(Some(Waiting {
            phase: Phase::Reading,
            silent_for: TOLD,
            limit: TOLD_AGAIN,
        }));
        let store = MemoryStore::new(Arc::new(SystemClock));
        let hindered = Arc::new(AtomicBool::new(false));
        let of_turn = Arc::clone(&hindered);
        store.fail_when(move |call| {
            assert_eq!(call, "router_state");
            // What the turn tells is recorded first.
            assert!(of_turn.swap(false, Ordering::Relaxed));
            Fault::None
        });
        let watcher = Watcher::new(
            Arc::new(store),
            Arc::new(gateway),
            Arc::new(SystemClock),
            Arc::new(NoEvents),
            WatcherConfig::default(),
        );
        let vigil = Vigil {
            shared: Arc::new(watcher.shared),
            fence: Fence {
                router: RouterId(1),
                watcher: WatcherId::fresh(),
                epoch: Epoch(1),
            },
            hindered: Arc::clone(&hindered),
        };

        let kept = timeout(2 * PACE, vigil.keep()).await;

        assert!(kept.is_err(), "it never ends");
        assert!(hindered.load(Ordering::Relaxed));
    }
}
