//! A store in memory: one transaction at a time, on a clock of its choice, failing on demand.

mod audit;
mod backup;
mod brake;
mod claims;
mod directory;
mod enforcement;
mod faults;
mod feed;
mod payments;
mod planning;
mod put;
mod reconcile;
mod results;
mod routers;
mod secrets;
mod status;
mod subscribers;
mod tables;
mod watch;

pub use backup::Backup;
pub use faults::Fault;
pub use tables::{Row, Target, UndoRow};

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, SubsecRound, Utc};

use self::{
    faults::{Faults, answer_lost, fault_error},
    feed::Changes,
    tables::Tables,
};
use crate::{AuditEvent, Clock, NoPasswordCause, RouterId, StoreError, TaskId};

/// Implements every role of a store in memory.
///
/// Clones share one content, as watchers share one database. The clock is the database's: give the
/// watchers others to let them disagree. Ids count up and every listing is ordered, so equal calls
/// give equal answers. No call waits for anything, so none can be dropped half-way.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

struct Shared {
    tables: Mutex<Tables>,
    faults: Faults,
    changes: Changes,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                tables: Mutex::default(),
                faults: Faults::default(),
                changes: Changes::default(),
            }),
            clock,
        }
    }

    /// Opens the same content by another clock, as if the database's had been set to it.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            clock,
        }
    }

    /// Asks `hook` at each call from now on, by the name of the method, whether it fails.
    pub fn fail_when(&self, hook: impl FnMut(&'static str) -> Fault + Send + 'static) {
        self.shared.faults.set(Some(Box::new(hook)));
    }

    /// Lets calls succeed again.
    pub fn heal(&self) {
        self.shared.faults.set(None);
    }

    /// Lets the password of a router be one that does not open.
    pub fn lose_password(&self, router: RouterId, cause: NoPasswordCause) {
        self.tables().set_password(router, Err(cause));
    }

    /// Returns all enforcement rows by id.
    pub fn rows(&self) -> Vec<Row> {
        self.tables().rows().cloned().collect()
    }

    /// Returns one enforcement row.
    pub fn row(&self, id: TaskId) -> Option<Row> {
        self.tables().row(id).cloned()
    }

    /// Returns all undo rows, open and closed, by router and key.
    pub fn undo_rows(&self) -> Vec<UndoRow> {
        self.tables().undo.values().cloned().collect()
    }

    /// Returns the events of the audit, oldest first.
    pub fn audit_events(&self) -> Vec<AuditEvent> {
        self.tables().events.clone()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        let tables = self.shared.tables.lock();
        tables.unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one transaction. `run` must find what is wrong before it changes anything.
    fn transaction<T>(
        &self,
        call: &'static str,
        run: impl FnOnce(&mut Tables, DateTime<Utc>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = self.shared.faults.next(call);
        if fault == Fault::Before {
            return Err(fault_error(call));
        }
        let (result, woke) = {
            let mut tables = self.tables();
            let now = self.clock.wall().trunc_subsecs(6);
            let result = run(&mut tables, now);
            (result, tables.take_woke())
        };
        if woke {
            self.shared.changes.announce();
        }
        match fault {
            Fault::After => Err(answer_lost(call)),
            Fault::None | Fault::Before => result,
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
