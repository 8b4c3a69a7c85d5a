//! Checks that somebody asked for: whatever is owed is tried once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use expiry_core::watcher::{OnceReport, WatchError, Watcher};
use futures::{FutureExt, future::Shared};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest that somebody who asked is kept waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a check that was stopped may take to finish what is on the wire.
const TO_FINISH: Duration = Duration::from_secs(3);

/// What a check came to; `None` if it was cut off.
type Done = Arc<Result<Option<OnceReport>, WatchError>>;
type Check = Shared<Pin<Box<dyn Future<Output = Done> + Send>>>;

/// One check runs at a time. Who asks while one runs gets the next, with all others who ask
/// meanwhile: what became owed since the running one began is tried then, too.
#[derive(Default)]
pub(crate) struct Checks {
    next: Arc<Mutex<Option<Check>>>,
    running: Arc<tokio::sync::Mutex<()>>,
}

impl Checks {
    /// Runs a check. Returns `None` if it took too long; it goes on until it is stopped.
    pub(crate) async fn run(
        &self,
        watcher: impl FnOnce() -> Watcher,
        stop: &CancellationToken,
    ) -> Option<Done> {
        let check = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = next.clone();
            waiting.unwrap_or_else(|| next.insert(self.start(watcher(), stop)).clone())
        };
        timeout(PATIENCE, check).await.ok()
    }

    fn start(&self, watcher: Watcher, stop: &CancellationToken) -> Check {
        let (next, running) = (Arc::clone(&self.next), Arc::clone(&self.running));
        let stop = stop.child_token();
        let check = tokio::spawn(async move {
            let turn = running.lock().await;
            *next.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let ours = stop.clone();
            let stopped = async {
                stop.cancelled().await;
                tokio::time::sleep(TO_FINISH).await;
            };
            let done = tokio::select! {
                done = watcher.run_once(ours) => done.map(Some),
                () = stopped => Ok(None),
            };
            drop(turn);
            Arc::new(done)
        });
        let next = Arc::clone(&self.next);
        let check = async move {
            check.await.unwrap_or_else(|panicked| {
                tracing::error!(%panicked, "a check panicked");
                *next.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Arc::new(Ok(None))
            })
        };
        check.boxed().shared()
    }
}
