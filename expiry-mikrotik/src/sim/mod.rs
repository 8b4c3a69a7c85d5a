//! A RouterOS simulator: it speaks the API's wire protocol and behaves like a hotspot.
//!
//! [`Simulator`] is the router itself, without I/O and on a clock of its own; [`SimRouter`] runs
//! one on Tokio, over TCP or any stream. What counts in tests is not what the tables say but
//! whether a device's bytes still pass: [`Simulator::client_can_move_bytes`],
//! [`Simulator::bytes_moved`] and [`TrafficEvent`].
//!
//! The hotspot has every way in that a real one has, in the same order, and forgets as little: a
//! disabled account keeps its sessions, a removed binding leaves its device passing until the host
//! row goes, fasttracked connections outlive the session, ids come back with other rows.

mod api;
mod client;
mod config;
mod driver;
mod faults;
mod hotspot;
mod operator;
mod random;
mod run;
mod session;
mod simulator;
mod stats;
mod text;

pub use api::Trap;
pub use client::{Access, ClientConfig, ClientId, TrafficEvent};
pub use config::{HotspotMenu, LoginMethod, SimConfig, StaleIdText};
pub use driver::SimRouter;
pub use faults::{Fault, FaultRule, Link};
pub use operator::{Row, SimUser};
pub use simulator::{ConnId, Simulator};
pub use stats::SimStats;
