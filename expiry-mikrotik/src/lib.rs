//! Speaking to MikroTik routers over the RouterOS API.
//!
//! [`wire`] turns bytes into sentences and back, [`proto`] sentences into commands and answers; both
//! without I/O.

#![warn(missing_docs)]

mod client;
mod dial;
pub mod proto;
pub mod wire;

pub use client::{Client, ClientError};
pub use dial::{Dialer, Stream, TcpDialer};
