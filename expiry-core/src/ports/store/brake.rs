use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;
use crate::{Brake, Machine, MachineState};

/// What keeps watchers from cutting: clocks that are not to be trusted, and changes that ended the
/// access of too many.
///
/// # Errors
/// Every method as for [`Directory`](super::Directory).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BrakeStore: Send + Sync {
    /// Returns what is known of a machine's clock, by the machine's id, and whether a change ended
    /// too many.
    async fn machine(&self, machine: &str) -> Result<MachineRecord, StoreError>;

    /// Records what a machine's clock was judged to be, unless somebody else did since `version`
    /// was read. Returns whether it was recorded. Where a brake ends by this, whatever the store
    /// has stamped with a time that is still ahead is due now: the clock was wrong.
    async fn record_machine(
        &self,
        machine: &Machine,
        version: i64,
        state: &MachineState,
    ) -> Result<bool, StoreError>;

    /// Ends all brakes, and returns them. What changes have ended until now is accepted; clocks
    /// that differ may do so until they have agreed again.
    async fn release_brakes(&self) -> Result<Vec<Brake>, StoreError>;
}

/// What is known of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRecord {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Counts what was recorded of the machine; 0 if nothing was.
    pub version: i64,
    /// What its clock was last judged to be.
    pub state: Option<MachineState>,
    /// Whether a change ended too many: then no watcher serves any router.
    pub share: Option<Brake>,
}
