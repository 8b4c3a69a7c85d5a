//! What happens around every request: its id, its line in the log, its time limit, the headers of
//! its answer.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    body,
    client::Client,
    hosts,
    pages::POLICY,
    problem::{Problem, REQUEST},
    state::Inner,
};

/// The longest a request may take: a check that waits for routers takes up to 20 s.
const LIMIT: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn every_request(
    State(app): State<Arc<Inner>>,
    request: Request,
    next: Next,
) -> Response {
    let id = Uuid::now_v7().simple().to_string();
    let client = Client::of(
        request.extensions(),
        request.headers(),
        &app.service.proxies,
    );
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if client.is_unheard && app.unheard.is_first() {
        tracing::warn!(
            client = %client.address,
            "X-Forwarded-For is ignored: it comes from an address that is not among \
             http.trusted_proxies; if that is your proxy, name it there"
        );
    }
    let span = span(&id);
    let began = Instant::now();
    let served = REQUEST.scope(id.clone(), async {
        if let Err(problem) = hosts::check(&request, &app.service.hosts) {
            if problem.status() == StatusCode::MISDIRECTED_REQUEST && app.misdirected.is_first() {
                tracing::warn!(client = %client.address, "refused: {}", problem.detail);
            }
            body::read_away(request).await;
            return problem.in_form(is_old(&path));
        }
        if let Ok(response) = timeout(LIMIT, next.run(request)).await {
            return response;
        }
        timed_out(&path)
    });
    let mut response = served.instrument(span.clone()).await;
    span.in_scope(|| {
        let status = response.status().as_u16();
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let client = client.address;
        if response.status().is_server_error() && path != "/readyz" {
            tracing::warn!(%method, path, status, ms, %client, "request failed");
        } else if method == Method::GET || method == Method::HEAD {
            tracing::debug!(%method, path, status, ms, %client, "request");
        } else {
            tracing::info!(%method, path, status, ms, %client, "request");
        }
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
    ];
    headers.extend(fixed);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Of the highest level, so that a warning says which request it was about even where only warnings
/// are logged.
fn span(id: &str) -> tracing::Span {
    tracing::error_span!("request", request_id = id)
}

fn timed_out(path: &str) -> Response {
    let detail = format!("no answer within {} s", LIMIT.as_secs());
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", detail);
    problem.in_form(is_old(path))
}

fn is_old(path: &str) -> bool {
    path.starts_with("/api/admin/")
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn whoever_waited_too_long_is_told_in_the_form_of_the_path() {
        for (path, kind) in [
            ("/api/v1/overview", "application/problem+json"),
            ("/api/admin/expiry-watcher/", "application/json"),
        ] {
            let response = timed_out(path);
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
            let body = to_bytes(response.into_body(), 1_000).await.expect("bytes");
            let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            if path.starts_with("/api/admin") {
                let expected = serde_json::json!({
                    "success": false, "message": "no answer within 30 s"
                });
                assert_eq!(json, expected);
            } else {
                assert_eq!(json["code"], "timed_out");
            }
        }
    }

    #[test]
    fn a_warning_has_the_id_of_its_request_where_only_warnings_are_logged() {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            span("abc").in_scope(|| tracing::warn!("no answer"));
        });
        let lines = lines.0.lock().expect("not poisoned").clone();
        let lines = String::from_utf8(lines).expect("UTF-8");
        assert!(lines.contains("request_id=\"abc\""), "{lines}");
    }
}
