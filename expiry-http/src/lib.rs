//! The admin service: tells people and programs what is true now and why, takes orders from who has
//! the token, and answers the four endpoints of the system that was replaced.
//!
//! [`app`] makes an [`axum::Router`] that must stand at the root, since its pages load each other
//! from there, and be run by [`serve()`], which tells it where a request comes from. The caller owns
//! the listener and the signals. `docs/HTTP.md` shows all routes with examples.

#![warn(missing_docs)]
#![expect(
    unused_qualifications,
    reason = "the macros of utoipa write them wherever a handler takes parameters"
)]

mod admin;
mod answers;
mod api;
mod around;
mod auth;
mod body;
mod cached;
mod checks;
mod client;
mod config;
mod extract;
mod guard;
mod health;
mod hosts;
mod metrics;
mod pace;
mod pages;
mod places;
mod probe;
mod problem;
mod query;
mod serve;
mod state;
mod targets;
mod turns;
mod v1;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, Uri, header},
    middleware::from_fn_with_state,
    routing::get,
};
use bytes::Bytes;
use utoipa::openapi::OpenApi;

pub use auth::check_token;
pub use config::{HttpConfig, Network};
pub use hosts::HostName;
pub use serve::serve;
pub use state::{Service, Words};

use problem::Problem;
use state::Inner;

/// Puts the routes together, to be run by [`serve()`]. Run by anything else, all callers count as one
/// from elsewhere: none reads the metrics without the token, and wrong tokens of all are counted together.
pub fn app(service: Service) -> Router {
    let app = Arc::new(Inner::new(service));
    let (guarded, old, open) = (
        from_fn_with_state(Arc::clone(&app), auth::guard),
        from_fn_with_state(Arc::clone(&app), auth::guard_old),
        from_fn_with_state(Arc::clone(&app), auth::guard_remote),
    );
    let (v1, _) = api::v1().split_for_parts();
    let (admin, _) = api::admin().split_for_parts();
    let (watching, _) = api::watching().split_for_parts();
    let description = api::description();
    let known = Arc::new(query::Known::of(&description));
    let known = from_fn_with_state(known, query::only_known);
    let description = Bytes::from(description.to_json().unwrap_or_default());
    let v1 = v1
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(known.clone())
        .layer(guarded);
    let v1 = v1.route(
        "/openapi.json",
        get(async move || {
            let kind = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, kind)], description.clone())
        }),
    );
    let admin = admin
        .merge(admin::without_slash())
        .fallback(admin::not_found)
        .method_not_allowed_fallback(admin::wrong_method)
        .layer(known.clone())
        .layer(old);
    let (metrics, _) = api::metrics().split_for_parts();
    Router::new()
        .merge(pages::routes())
        .merge(watching.layer(known.clone()))
        .merge(metrics.layer(known).layer(open))
        .nest("/api/v1", v1)
        .nest("/api/admin", admin)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), around::every_request))
        .with_state(app)
}

/// Describes the API as `OpenAPI` 3.1, generated from the handlers.
pub fn description() -> OpenApi {
    api::description()
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn wrong_method() -> Problem {
    let detail = "the path does not take this method; `Allow` says which it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
