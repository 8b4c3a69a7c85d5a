//! The engine: naps until the next deadline, plans what is due, and serves its routers.

mod config;

pub use config::WatcherConfig;

use std::sync::Arc;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{Clock, EventSink, RouterGateway, Store, StoreError};

/// One watcher: everything it needs, ready to run.
pub struct Watcher {
    store: Arc<dyn Store>,
    gateway: Arc<dyn RouterGateway>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn EventSink>,
    config: WatcherConfig,
}

/// What a single check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OnceReport {
    /// Cuts and restores that were owed at the start.
    pub owed: u64,
    /// Of those, how many are confirmed now.
    pub confirmed: u64,
    /// Everything that is owed now.
    pub still_owed: u64,
}

/// Why a watcher had to stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The store failed in a way that waiting does not mend.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
}

impl Watcher {
    /// Puts a watcher together. Nothing runs yet.
    pub fn new(
        store: Arc<dyn Store>,
        gateway: Arc<dyn RouterGateway>,
        clock: Arc<dyn Clock>,
        events: Arc<dyn EventSink>,
        config: WatcherConfig,
    ) -> Self {
        Self {
            store,
            gateway,
            clock,
            events,
            config,
        }
    }

    /// Runs until `stop` is cancelled, then finishes what is on the wire and lets go of its routers,
    /// within [`WatcherConfig::patience`].
    ///
    /// # Errors
    /// [`WatchError::Store`] when the store failed in a way that waiting does not mend.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WatchError> {
        todo!()
    }

    /// Has everything that is owed now tried once, by the watchers that own the routers, or by
    /// itself where nobody does, and returns within [`WatcherConfig::patience`].
    ///
    /// # Errors
    /// As [`Watcher::run`].
    pub async fn run_once(self, stop: CancellationToken) -> Result<OnceReport, WatchError> {
        todo!()
    }
}
