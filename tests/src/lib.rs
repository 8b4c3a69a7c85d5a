//! What the end-to-end tests share: a private PostgreSQL, simulated routers, and the real binary as
//! a user runs it.

#![warn(missing_docs)]

pub mod http;
pub mod pg;
pub mod process;
pub mod world;
