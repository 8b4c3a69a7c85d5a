//! The four endpoints that clients of the system being replaced call, in its shapes.

pub(crate) mod cleanup;
pub(crate) mod connection;
pub(crate) mod watcher;

use std::time::Duration;

use axum::{
    Router,
    http::{StatusCode, Uri},
    routing::{get, post},
};
use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::timeout;

use crate::{
    problem::{Problem, Refusal},
    state::App,
};

/// The same endpoints without their last slash, which some clients leave out.
pub(crate) fn without_slash() -> Router<App> {
    Router::new()
        .route("/expiry-watcher", get(watcher::show).post(watcher::trigger))
        .route("/cleanup-expired", post(cleanup::cleanup))
        .route(
            "/mikrotik/test-connection",
            get(connection::saved).post(connection::given),
        )
}

pub(crate) async fn not_found(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into()
}

pub(crate) async fn wrong_method() -> Refusal {
    let detail = "the path does not take this method; `Allow` says which it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into()
}

/// A time of whole seconds, as the old clients read it.
fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How long the reading before a check may take, so that there is time for the check.
const BEFORE: Duration = Duration::from_secs(6);

/// Waits for what is read before a check is begun.
async fn in_time<T>(read: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let read = timeout(BEFORE, read).await;
    read.unwrap_or_else(|_| Err(Problem::unavailable()))
}
