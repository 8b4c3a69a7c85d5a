//! Harness of the end-to-end tests: a private PostgreSQL, and the real binaries.

pub mod process;
