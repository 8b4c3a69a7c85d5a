//! What the tests of several crates share.

#![warn(missing_docs)]

pub mod pg;
