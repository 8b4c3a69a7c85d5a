mod audit;
mod brake;
mod directory;
mod enforcement;
mod error;
mod password;
mod status;

pub use audit::{
    AuditStore, Explained, ExplainedRouter, ExplainedTarget, ExplainedUndo, Explanation, LagPoint,
    Upcoming,
};
pub use brake::{BrakeStore, MachineRecord};
pub use directory::{Directory, NewRouter, OpenWork, RouterChange, Standing, SubscriberFilter};
pub use enforcement::{
    ChangeFeed, EnforcementStore, Fence, Heartbeat, LOOKS_AFTER_RESTART, Live, Planned, Pruned,
    RESTART_TOLERANCE, RouterState, Work,
};
pub use error::{Conflict, Missing, StoreError};
pub use password::PasswordStore;
pub use status::{
    Backlog, Outlook, Overdue, OwedFilter, OwedItem, OwedPlace, RouterSaid, RouterStatus, SOON,
    Status, StatusStore, Summary, TenantSummary, Tries, Try, Unconfirmed, UnconfirmedOn,
    WatcherStatus,
};
#[cfg(feature = "mock")]
pub use {
    audit::MockAuditStore, brake::MockBrakeStore, directory::MockDirectory,
    enforcement::MockEnforcementStore, password::MockPasswordStore, status::MockStatusStore,
};

/// The roles that a watcher needs.
pub trait WatcherStore: EnforcementStore + StatusStore + BrakeStore {}

impl<T: EnforcementStore + StatusStore + BrakeStore> WatcherStore for T {}

/// All roles of a store.
pub trait Store: Directory + PasswordStore + WatcherStore + AuditStore {}

impl<T: Directory + PasswordStore + WatcherStore + AuditStore> Store for T {}
