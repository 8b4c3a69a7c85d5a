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
    /// Set once the store was told of a silence.
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
                // What cannot be told now is told the next time.
                let _ = self.shared.store.router_state(&self.fence, &state).await;
            }
        }
    }
}
