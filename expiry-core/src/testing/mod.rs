//! For tests: stand-ins for the ports, and the suites that every implementation of a port passes.

mod clock;
pub mod conformance;
pub mod gateway;
pub mod memory;
mod recorder;

pub use clock::TestClock;
pub use gateway::SimGateway;
pub use memory::MemoryStore;
pub use recorder::Recorder;
