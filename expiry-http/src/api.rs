//! Which handler answers what, and the description made of that.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, OpenApi as Description, Ref, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{admin, health, metrics, state::App, v1};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Expiry",
        description = "Ends Wi-Fi access on MikroTik routers on time, and tells the truth about it."
    ),
    modifiers(&Tokens),
    tags(
        (name = "v1", description = "Everything, with problem+json errors"),
        (name = "admin", description = "The endpoints of the system that was replaced"),
        (name = "watching", description = "For monitoring"),
    )
)]
struct Api;

/// The three ways to send the token.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, api: &mut Description) {
        let components = api.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", bearer);
        for (name, header) in [
            ("admin_token", "X-Admin-Token"),
            ("admin_access", "X-Admin-Access"),
        ] {
            let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
            components.add_security_scheme(name, key);
        }
    }
}

pub(crate) fn v1() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(v1::overview::overview))
        .routes(routes!(v1::routers::list, v1::routers::add))
        .routes(routes!(v1::routers::show))
        .routes(routes!(v1::routers::enable))
        .routes(routes!(v1::routers::disable))
        .routes(routes!(v1::routers::test))
        .routes(routes!(v1::routers::strays))
        .routes(routes!(v1::subscribers::list, v1::subscribers::create))
        .routes(routes!(v1::subscribers::show))
        .routes(routes!(v1::subscribers::extend))
        .routes(routes!(v1::subscribers::revoke))
        .routes(routes!(v1::payments::pay))
        .routes(routes!(v1::explain::explain))
        .routes(routes!(v1::lists::upcoming))
        .routes(routes!(v1::lists::owed))
        .routes(routes!(v1::lag::lag))
        .routes(routes!(v1::events::events))
        .routes(routes!(v1::stream::stream))
}

pub(crate) fn admin() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(admin::watcher::show, admin::watcher::trigger))
        .routes(routes!(admin::cleanup::cleanup))
        .routes(routes!(admin::connection::saved, admin::connection::given))
}

pub(crate) fn watching() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
}

pub(crate) fn metrics() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics::metrics))
}

pub(crate) fn description() -> Description {
    let all = OpenApiRouter::with_openapi(Api::openapi())
        .nest("/api/v1", v1())
        .nest("/api/admin", admin())
        .merge(watching())
        .merge(metrics());
    let mut api = all.into_openapi();
    api.info.version = env!("CARGO_PKG_VERSION").into();
    api.info.license = None;
    for (path, item) in &mut api.paths.paths {
        let operations = [&mut item.get, &mut item.post].into_iter().flatten();
        for operation in operations {
            refuse(path, operation);
        }
    }
    api
}

/// Adds what every endpoint may answer that does not say it itself.
fn refuse(path: &str, operation: &mut Operation) {
    let (kind, shape) = if path.starts_with("/api/admin/") {
        ("application/json", "Refusal")
    } else {
        ("application/problem+json", "Problem")
    };
    let missed = "The service does not go by the name in `Host`.";
    for (status, why) in [("400", "There is no such parameter."), ("421", missed)] {
        let answers = &mut operation.responses.responses;
        answers.entry(status.into()).or_insert_with(|| {
            let body = Content::new(Some(Ref::from_schema_name(shape)));
            let answer = ResponseBuilder::new().description(why);
            answer.content(kind, body).build().into()
        });
    }
}
