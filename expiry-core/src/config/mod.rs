//! Settings: each crate describes the keys of its own section, and one loader reads them all.
//!
//! A [`Section`] is an ordinary struct with a table of its keys. The loader (feature `config`)
//! takes each key from the strongest source that has it (a flag, then the environment, then the
//! file, then the default), says where each value comes from, and collects every fault with its
//! place instead of stopping at the first.

mod key;
#[cfg(feature = "config")]
mod reading;

pub use key::{Contradiction, Field, Key, LONGEST, Section};
#[cfg(feature = "config")]
pub use reading::{Fault, Loader, Place, Setting, Sources, Value, variable};
