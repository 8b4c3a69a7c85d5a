//! What the end-to-end tests share: a private PostgreSQL, simulated routers, the real binary as
//! a user runs it, and programs that others wrote.

#![warn(missing_docs)]

pub mod http;
pub mod pg;
pub mod process;
pub mod python;
pub mod world;
