//! For tests: stand-ins for the ports, and the suites that every implementation of a port passes.

pub mod gateway;

pub use gateway::SimGateway;
