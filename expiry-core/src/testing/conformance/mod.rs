//! Suites that hold every implementation of a port to the port's contract.

pub mod gateway;
pub mod store;
