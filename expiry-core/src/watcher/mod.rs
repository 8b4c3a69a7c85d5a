//! The engine: naps until the next deadline, plans what is due, and serves its routers.
//!
//! A watcher runs three loops. The **heart** compares the clocks, beats in the store, claims routers
//! nobody serves, and keeps one **lane** for each router it owns; while a brake holds it owns none.
//! The **planner** naps until the next deadline, turns deadlines into owed cuts and wakes the lanes.
//! The **feed** wakes both when the data changes. On the side, what is old and of no more use is
//! dropped, and how long routers took to answer is recorded.
//! Hints only shorten naps: every loop reads the state of the store anew.

mod brake;
mod config;
mod cut;
mod dry_run;
mod feed;
mod heart;
mod lane;
mod measured;
mod once;
mod planner;
mod progress;
mod prune;
mod reconcile;
mod removals;
mod restore;
mod tenure;
mod turn;
mod uptime;
mod vigil;
mod whereabouts;

pub use config::WatcherConfig;
pub use dry_run::{DryRun, Preview, RouterPreview, RowsPreview, TaskPreview};
pub use once::{OnceReport, Waiting};
pub use progress::{Beat, Progress, Unwell};

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::{measured::Measured, tenure::Tenure};
use crate::{
    Brake, Clock, Event, EventSink, Machine, RouterGateway, RouterId, StoreError, WatcherId,
    WatcherKind, WatcherStore,
};

/// One watcher: everything it needs, ready to run.
pub struct Watcher {
    shared: Shared,
}

/// Why a watcher had to stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The store failed in a way that waiting does not mend.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    /// A single check was begun, and what came of it cannot be read. What is owed stays owed.
    #[error("the check was begun, and what came of it cannot be read")]
    Unread(#[source] StoreError),
}

impl Watcher {
    /// Puts a watcher together. Nothing runs yet.
    pub fn new(
        store: Arc<dyn WatcherStore>,
        gateway: Arc<dyn RouterGateway>,
        clock: Arc<dyn Clock>,
        events: Arc<dyn EventSink>,
        config: WatcherConfig,
    ) -> Self {
        let measured = Arc::new(Measured::new(gateway));
        let tenure = Tenure::new(Arc::clone(&clock), &config);
        let shared = Shared {
            id: WatcherId::fresh(),
            kind: WatcherKind::Watcher,
            every: None,
            store,
            gateway: Arc::clone(&measured) as Arc<dyn RouterGateway>,
            measured,
            events,
            config,
            machine: clock.machine(),
            clock,
            tenure,
            progress: Progress::new(),
            brakes: Mutex::default(),
            changed: Notify::new(),
            plan: Notify::new(),
            served: Mutex::new(BTreeSet::new()),
        };
        Self { shared }
    }

    /// Returns the id under which this watcher owns routers.
    pub fn id(&self) -> WatcherId {
        self.shared.id
    }

    /// Returns what tells whether its loops get anything done, once it runs.
    pub fn progress(&self) -> Progress {
        self.shared.progress.clone()
    }

    /// Runs until `stop` is cancelled, then finishes what is on the wire and lets go of its routers,
    /// within [`WatcherConfig::patience`].
    ///
    /// Dropping the future stops at once. Nothing is lost by that: what was not recorded is still
    /// owed, and another watcher takes the routers over when the heartbeat has run out.
    ///
    /// # Errors
    /// [`WatchError::Store`] when the store failed in a way that waiting does not mend.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WatchError> {
        Arc::new(self.shared).run(&stop).await
    }

    /// Says that a single check like this comes this often, as from cron. It is missed when it does
    /// not, and until then nobody is told that no watcher is alive.
    #[must_use]
    pub fn coming_every(mut self, every: Option<Duration>) -> Self {
        self.shared.every = every;
        self
    }

    /// Has everything that is owed now tried once, by the watchers that own the routers, or by
    /// itself where nobody does, and returns within [`WatcherConfig::patience`] and the time that
    /// the flights then on the wire take. Looks that are overdue are done; none is waited for.
    /// While a brake holds nothing is tried, and the report says why.
    ///
    /// # Errors
    /// [`WatchError::Store`] when the store fails before anything was begun;
    /// [`WatchError::Unread`] when it fails later.
    pub async fn run_once(self, stop: CancellationToken) -> Result<OnceReport, WatchError> {
        let shared = Shared {
            kind: WatcherKind::Check,
            ..self.shared
        };
        once::run_once(&Arc::new(shared), &stop).await
    }
}

/// What all loops of one watcher share.
struct Shared {
    id: WatcherId,
    kind: WatcherKind,
    /// How often a single check comes, if it said so.
    every: Option<Duration>,
    store: Arc<dyn WatcherStore>,
    /// Measures what goes through it.
    gateway: Arc<dyn RouterGateway>,
    measured: Arc<Measured>,
    events: Arc<dyn EventSink>,
    config: WatcherConfig,
    clock: Arc<dyn Clock>,
    machine: Machine,
    tenure: Tenure,
    progress: Progress,
    /// Why nothing may be cut, as it was last judged.
    brakes: Mutex<Vec<Brake>>,
    /// Wakes the heart: the data changed.
    changed: Notify,
    /// Wakes the planner: the data changed.
    plan: Notify,
    /// Routers whose lane has been through all that was to do at least once.
    served: Mutex<BTreeSet<RouterId>>,
}

impl Shared {
    async fn run(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), WatchError> {
        let lanes = heart::Lanes::default();
        let ended = tokio::select! {
            biased;
            result = heart::beat(self, &lanes, stop) => result,
            result = planner::plan(self, &lanes) => result,
            () = feed::listen(self) => Ok(()),
            () = prune::prune(self) => Ok(()),
            () = measured::keep(self) => Ok(()),
        };
        self.progress.ended();
        ended
    }

    fn record(&self, event: &Event) {
        self.events.record(event);
    }

    fn served(&self) -> MutexGuard<'_, BTreeSet<RouterId>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn brakes(&self) -> MutexGuard<'_, Vec<Brake>> {
        self.brakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorts store failures into those that time can heal and those that end the watcher.
fn fatal(error: StoreError) -> Result<StoreError, WatchError> {
    match error {
        StoreError::SchemaTooNew { .. }
        | StoreError::SchemaTooOld { .. }
        | StoreError::Open { .. }
        | StoreError::Key(_) => Err(WatchError::Store(error)),
        StoreError::Unavailable(_)
        | StoreError::OutcomeUnknown(_)
        | StoreError::Busy
        | StoreError::Corrupt { .. }
        | StoreError::SchemaUnknown(_)
        | StoreError::Refused(_)
        | StoreError::Missing(_)
        | StoreError::Conflict(_)
        | StoreError::Rows(_)
        | StoreError::NoPassword(_)
        | StoreError::NotOwner(_) => Ok(error),
    }
}
