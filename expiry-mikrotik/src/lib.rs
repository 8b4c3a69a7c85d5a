//! Speaking to MikroTik routers over the RouterOS API.
//!
//! [`wire`] turns bytes into sentences and back, without any I/O.

#![warn(missing_docs)]

#[cfg(feature = "sim")]
pub mod sim;
pub mod wire;
