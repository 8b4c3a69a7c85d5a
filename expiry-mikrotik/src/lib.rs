//! Speaking to MikroTik routers over the RouterOS API.
//!
//! [`wire`] turns bytes into sentences and back, without any I/O.

#![warn(missing_docs)]

pub mod wire;
