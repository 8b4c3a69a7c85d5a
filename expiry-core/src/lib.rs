#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod access;
mod audit;
pub mod brake;
mod cause;
pub mod config;
mod counts;
pub mod decide;
mod enforcement;
mod health;
mod id;
mod lag;
mod lateness;
mod login;
mod mac;
mod millis;
mod nearest;
mod payment;
mod ports;
mod presence;
pub mod put;
mod reach;
mod retry;
mod secrets;
mod sighting;
pub mod spelling;
mod subscriber;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
mod trial;
mod undo;
mod username;
pub mod watcher;

pub use access::{Access, AccessChange};
pub use audit::{AuditEntry, AuditEvent, AuditId, AuditIdError, AuditKind};
pub use brake::{Brake, Clocks, Machine, MachineState};
pub use cause::{Cause, Step, Trouble};
pub use counts::{CutResult, RouterCounts};
pub use enforcement::{
    Intent, Outcome, Progress, RETURNS_UNTIL_CANNOT_HOLD, Recorded, Settled, Settlement, State,
    Task, TaskRef, Trace, Want, WayIn, undo_keys,
};
pub use health::{Health, HealthReport, unreached_words};
pub use id::{Epoch, Revision, RouterId, SubscriberId, TaskId, TenantId, WatcherId, WatcherKind};
pub use lag::{Histogram, LAG_BOUNDS, LagReport, Lags, RouterLags, lag_bound};
pub use lateness::{
    JUST_NOW, LATE_AFTER, LagKind, Lateness, Owing, UNSEEN_AFTER, Waited, known_late, seen_late,
};
pub use login::{NoPassword, NoPasswordCause, Ownership, RouterLogin};
pub use mac::{MacAddr, MacError};
pub use nearest::nearest;
pub use payment::{Buys, LabelError, Note, Paid, Payment, Pending, Receipt, Reference};
pub use ports::*;
pub use presence::{
    Found, Known, Presence, PresenceKind, Reconciled, Reconciliation, Stray, Strays,
};
pub use put::{Field, Loss, PutOptions, PutReport, PutSubscriber, RowError, RowRefusal};
pub use reach::Reach;
pub use retry::{Backoff, EmptyWaits, RetryPolicy};
pub use secrets::{KeyState, RouterSecret, Secrets};
pub use sighting::{
    ActiveRow, BindingKind, BindingRow, BrokenOff, ConnectionRow, CookieRow, HolderRow, HostRow,
    Query, RowId, RowKind, Sighting, UserRow,
};
pub use subscriber::{
    Hardware, HotspotServer, NewSubscriber, Router, RouterAddress, RouterFacts, Service,
    ServiceError, Subscriber, Survey, Tenant,
};
pub use trial::{Boxes, Tried, examine, look_first, try_router};
pub use undo::{Undo, UndoItem, UndoKey};
pub use username::{Username, UsernameError};
