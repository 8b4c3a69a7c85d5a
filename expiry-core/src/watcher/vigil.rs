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
