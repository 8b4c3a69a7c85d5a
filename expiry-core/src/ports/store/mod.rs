mod audit;
mod directory;
mod enforcement;
mod error;
mod status;

pub use audit::{
    AuditStore, Explained, ExplainedRouter, ExplainedTarget, ExplainedUndo, Explanation, Upcoming,
};
pub use directory::{Directory, NewRouter, OpenWork, RouterChange};
pub use enforcement::{
    ChangeFeed, EnforcementStore, Fence, Live, Planned, Pruned, RouterState, Work,
};
pub use error::{Conflict, Missing, StoreError};
pub use status::{OwedItem, RouterStatus, Status, StatusStore, WatcherStatus};
#[cfg(feature = "mock")]
pub use {
    audit::MockAuditStore, directory::MockDirectory, enforcement::MockEnforcementStore,
    status::MockStatusStore,
};

/// The roles that a watcher needs.
pub trait WatcherStore: EnforcementStore + StatusStore {}

impl<T: EnforcementStore + StatusStore> WatcherStore for T {}

/// All roles of a store.
pub trait Store: Directory + WatcherStore + AuditStore {}

impl<T: Directory + WatcherStore + AuditStore> Store for T {}
