//! Is the process alive, and is anybody making cuts?

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use expiry_core::StatusStore;
use serde::Serialize;
use tokio::time::timeout;

/// A database that takes longer is not ready for anything.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    database: &'static str,
    watcher: &'static str,
}

pub(crate) async fn alive() -> &'static str {
    "ok"
}

pub(crate) async fn ready(
    State(store): State<Arc<dyn StatusStore>>,
) -> (StatusCode, Json<Readiness>) {
    let (database, watcher) = match timeout(PATIENCE, store.status(0)).await {
        Ok(Ok(status)) if status.watchers.iter().any(|watcher| watcher.alive) => ("ok", "alive"),
        Ok(Ok(_)) => ("ok", "none"),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            ("failed", "unknown")
        }
        Err(_) => {
            tracing::warn!(
                after_s = PATIENCE.as_secs(),
                "not ready: the database is silent"
            );
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

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use chrono::{DateTime, Utc};
    use expiry_core::{MockStatusStore, Outlook, Status, StoreError, WatcherId, WatcherStatus};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::app;

    fn status(watchers: &[bool]) -> Status {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let watcher = |alive: &bool| WatcherStatus {
            id: WatcherId::fresh(),
            heartbeat_at: now,
            alive: *alive,
            machine: None,
            braked: false,
        };
        Status {
            now,
            watchers: watchers.iter().map(watcher).collect(),
            ..Status::default()
        }
    }

    async fn get(store: MockStatusStore, path: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = app(Arc::new(store))
            .oneshot(request)
            .await
            .expect("infallible");
        let code = answer.status();
        let body = answer.into_body().collect().await.expect("a body");
        (code, body.to_bytes().to_vec())
    }

    async fn readyz(answer: Result<Status, StoreError>) -> (StatusCode, Value) {
        let mut store = MockStatusStore::new();
        store.expect_status().return_once(|_| answer);
        let (code, body) = get(store, "/readyz").await;
        (code, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_live_process_is_healthy_without_a_look_at_the_database() {
        let answer = get(MockStatusStore::new(), "/healthz").await;
        assert_eq!(answer, (StatusCode::OK, b"ok".to_vec()));
    }

    #[tokio::test]
    async fn r9_one_living_watcher_is_enough_to_be_ready() {
        let (code, body) = readyz(Ok(status(&[false, true]))).await;
        assert_eq!(code, StatusCode::OK);
        let expected = json!({"ready": true, "database": "ok", "watcher": "alive"});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn r9_without_a_living_watcher_nothing_is_ready() {
        for watchers in [&[][..], &[false]] {
            let (code, body) = readyz(Ok(status(watchers))).await;
            assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
            let expected = json!({"ready": false, "database": "ok", "watcher": "none"});
            assert_eq!(body, expected);
        }
    }

    #[tokio::test]
    async fn a_database_that_fails_is_named_and_its_error_is_not_told_to_strangers() {
        let error = StoreError::Unavailable("secret host".into());
        let (code, body) = readyz(Err(error)).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        let expected = json!({"ready": false, "database": "failed", "watcher": "unknown"});
        assert_eq!(body, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_answered_for() {
        struct Silent;
        #[async_trait::async_trait]
        impl StatusStore for Silent {
            async fn status(&self, _limit: u32) -> Result<Status, StoreError> {
                std::future::pending().await
            }

            async fn tries(&self) -> Result<expiry_core::Tries, StoreError> {
                std::future::pending().await
            }

            async fn outlook(&self) -> Result<Outlook, StoreError> {
                std::future::pending().await
            }
        }
        let (code, Json(body)) = ready(State(Arc::new(Silent))).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body.database, "silent");
    }
}
