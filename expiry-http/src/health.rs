//! Is the process alive, and is anybody making cuts?

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use expiry_core::WatcherStatus;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::state::Inner;

/// A database that takes longer is not ready for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether cuts are made.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether both of the others are well.
    ready: bool,
    /// `ok`, `failed` or `silent`.
    database: &'static str,
    /// `alive`, `none` or `unknown`; `unwell` if the one inside hangs, or has only failed for a minute.
    watcher: &'static str,
}

/// Tells that the process is alive, and that a watcher inside it gets something done: one that hangs,
/// or has only failed for a minute, is to be started again.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "watching",
    responses(
        (status = OK, description = "It is.", body = String, content_type = "text/plain; charset=utf-8"),
        (status = SERVICE_UNAVAILABLE, description = "The watcher inside is unwell.", body = String, content_type = "text/plain; charset=utf-8"),
    )
)]
pub(crate) async fn alive(State(app): State<Arc<Inner>>) -> (StatusCode, String) {
    match (app.service.unwell)() {
        None => (StatusCode::OK, "ok".into()),
        Some(unwell) => (StatusCode::SERVICE_UNAVAILABLE, unwell),
    }
}

/// Tells whether the database can be read and holds the heartbeat of a living watcher.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "watching",
    responses(
        (status = OK, description = "Cuts are made.", body = Readiness),
        (status = SERVICE_UNAVAILABLE, description = "They are not.", body = Readiness),
    )
)]
pub(crate) async fn ready(State(app): State<Arc<Inner>>) -> (StatusCode, Json<Readiness>) {
    let (database, watcher) = match timeout(PATIENCE, app.snapshot()).await {
        Ok(Ok(snapshot)) => {
            let mut watchers = snapshot.summary.status.watchers.iter();
            let is_alive = watchers.any(WatcherStatus::watches);
            let watcher = match (app.service.unwell)() {
                Some(_) => "unwell",
                None if is_alive => "alive",
                None => "none",
            };
            ("ok", watcher)
        }
        Ok(Err(_)) => ("failed", "unknown"),
        Err(_) => {
            let after_s = PATIENCE.as_secs();
            tracing::warn!(after_s, "not ready: the database is silent");
            ("silent", "unknown")
        }
    };
    let ready = watcher == "alive";
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Readiness {
        ready,
        database,
        watcher,
    };
    (code, Json(body))
}
