//! For tests: stand-ins for the ports, and the suites that every implementation of a port passes.

mod clock;
pub mod conformance;
pub mod memory;

pub use clock::TestClock;
pub use memory::MemoryStore;
