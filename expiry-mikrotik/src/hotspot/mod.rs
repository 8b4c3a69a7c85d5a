//! The hotspot's tables as sentences: which rows to read, how to read them, what to write.

mod fields;
mod read;
mod rows;
mod write;

pub(crate) use read::{Read, Table, all_sessions, matching, matching_sessions};
pub(crate) use rows::Collector;
pub(crate) use write::{Write, block, drop_rows, unblock};
