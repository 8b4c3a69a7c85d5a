//! What the engine needs from outside: a store, routers, a clock, and somebody who listens.

mod clock;
mod events;
mod gateway;
mod store;

pub use clock::{Clock, SystemClock};
pub use events::{Event, EventSink, NoEvents};
pub use gateway::{
    BlockOrder, DropOrder, FailureKind, GatewayError, Phase, Refusal, RouterGateway, Speaks,
    UnblockOrder, Unreached, Waiting,
};
pub use store::{
    AuditStore, Backlog, BrakeStore, ChangeFeed, Conflict, Directory, EnforcementStore, Explained,
    ExplainedRouter, ExplainedTarget, ExplainedUndo, Explanation, Fence, Heartbeat,
    LOOKS_AFTER_RESTART, LagPoint, Live, MachineRecord, Missing, NewRouter, OpenWork, Outlook,
    Overdue, OwedFilter, OwedItem, OwedPlace, PasswordStore, Planned, Pruned, RESTART_TOLERANCE,
    RouterChange, RouterSaid, RouterState, RouterStatus, SOON, Standing, Status, StatusStore,
    Store, StoreError, SubscriberFilter, Summary, TenantSummary, Tries, Try, Unconfirmed,
    UnconfirmedOn, Upcoming, WatcherStatus, WatcherStore, Work,
};
#[cfg(feature = "mock")]
pub use {
    gateway::MockRouterGateway,
    store::{
        MockAuditStore, MockBrakeStore, MockDirectory, MockEnforcementStore, MockPasswordStore,
        MockStatusStore,
    },
};
