//! One API connection without I/O and without a clock: tags, the window of outstanding commands,
//! replies, and how long to wait for them.

mod connection;
mod pace;
mod patience;
mod reply;
pub(crate) mod stranger;

pub use connection::{CommandId, Connection, ConnectionConfig, Event, ProtocolError};
pub use patience::{Deadline, Patience};
pub use reply::{Answer, Trap};
