//! Speaking to MikroTik routers over the RouterOS API.
//!
//! [`MikrotikGateway`] is what the engine of `expiry-core` works with. Below it, [`wire`] turns
//! bytes into sentences and back and [`proto`] sentences into commands and answers, both without
//! I/O; [`Client`] drives them over a byte stream. With the feature `sim` there is also a simulated
//! router to try it all on.

#![warn(missing_docs)]

mod client;
mod dial;
mod gateway;
mod gauge;
mod hotspot;
pub mod proto;
mod questions;
#[cfg(feature = "sim")]
pub mod sim;
mod survey;
mod system;
pub mod wire;

pub use client::{Client, ClientError};
pub use dial::{Dialer, Stream, TcpDialer};
pub use gateway::{GatewayConfig, MikrotikGateway};
