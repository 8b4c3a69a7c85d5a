//! Checks that somebody asked for: whatever is owed is tried once.

use std::{sync::Arc, time::Duration};

use expiry_core::watcher::{OnceReport, WatchError, Watcher};
use tokio::time::{error::Elapsed, timeout};
use tokio_util::sync::CancellationToken;

use crate::turns::Turns;

/// The longest that somebody who asked is kept waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a check that was stopped may take to finish what is on the wire.
const TO_FINISH: Duration = Duration::from_secs(3);

/// What a check came to.
#[derive(Debug)]
pub(crate) enum Done {
    Report(Result<OnceReport, WatchError>),
    /// The service stopped before it was through.
    Stopped,
}

/// What became owed since a running check began is tried by the next one, too.
#[derive(Default)]
pub(crate) struct Checks(Turns<Done>);

impl Checks {
    /// Runs a check. Returns `None` if it broke.
    ///
    /// # Errors
    /// If it took too long; it goes on until it is stopped.
    pub(crate) async fn run(
        &self,
        watcher: impl FnOnce() -> Watcher,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Done>>, Elapsed> {
        let check = self.0.take(|| run(watcher(), stop.child_token()));
        timeout(PATIENCE, check).await
    }
}

async fn run(watcher: Watcher, stop: CancellationToken) -> Done {
    let ours = stop.clone();
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(TO_FINISH).await;
    };
    let done = tokio::select! {
        done = watcher.run_once(ours) => done,
        () = stopped => return Done::Stopped,
    };
    // It ends early, then, and says nothing of what it did not try.
    if stop.is_cancelled() {
        return Done::Stopped;
    }
    Done::Report(done)
}
