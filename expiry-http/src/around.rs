//! What happens around every request: its id, its line in the log, its time limit, the headers of
//! its answer.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    client::Client,
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
    let span = tracing::info_span!("request", request_id = id);
    let began = Instant::now();
    let served = REQUEST.scope(id.clone(), async {
        match timeout(LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = format!("no answer within {} s", LIMIT.as_secs());
                Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", detail).into_response()
            }
        }
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
