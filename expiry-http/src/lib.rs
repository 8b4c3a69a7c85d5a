//! The admin service: tells load balancers and people whether cuts are being made.
//!
//! [`app`] is an ordinary [`axum::Router`] that may be nested into another service; [`serve()`] runs
//! it until it is told to stop. The caller owns the listener and the signals.

#![warn(missing_docs)]

mod health;
mod serve;

use std::sync::Arc;

use axum::{Router, routing::get};
use expiry_core::StatusStore;

pub use serve::serve;

/// Puts the routes together:
///
/// - `GET /healthz` answers `200 ok` as long as the process is alive, whatever else is broken.
/// - `GET /readyz` answers `200` when the database can be read and holds the heartbeat of a living
///   watcher, else `503`; the body says which of the two is missing.
pub fn app(store: Arc<dyn StatusStore>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(store)
}
