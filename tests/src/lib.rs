//! Harness of the end-to-end tests: simulated routers, and the real binary as a user runs it.

pub mod process;
pub mod world;
