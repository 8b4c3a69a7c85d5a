//! What is answered when a request cannot be served.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use expiry_core::{Conflict, Missing, StoreError, Trouble};
use serde::Serialize;
use utoipa::ToSchema;

tokio::task_local! {
    /// The id of the request that is being served.
    pub(crate) static REQUEST: String;
}

/// A failure as `application/problem+json` (RFC 9457). Programs act on `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The words for the status.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What went wrong, for programs: never changes its meaning.
    code: &'static str,
    /// What went wrong, for people.
    pub(crate) detail: String,
    /// The id under which the log tells more.
    request_id: Option<String>,
    /// Seconds after which it may be tried again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Failure"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            request_id: REQUEST.try_with(Clone::clone).ok(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    /// Somebody asks too often, and may ask again after so long.
    pub(crate) fn too_often(code: &'static str, detail: impl Into<String>, after: u64) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Answers as the path wants it: the old endpoints have their own form of errors.
    pub(crate) fn in_form(self, is_old: bool) -> Response {
        if is_old {
            Refusal::from(self).into_response()
        } else {
            self.into_response()
        }
    }

    pub(crate) fn parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
    }

    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", detail)
    }

    pub(crate) fn no_subscriber(id: i64) -> Self {
        let detail = format!("no subscriber {id}");
        Self::new(StatusCode::NOT_FOUND, "subscriber_not_found", detail)
    }

    pub(crate) fn no_router(id: i64) -> Self {
        let detail = format!("no router {id}");
        Self::new(StatusCode::NOT_FOUND, "router_not_found", detail)
    }

    pub(crate) fn no_tenant(slug: &str) -> Self {
        let detail = format!("no tenant `{slug}`");
        Self::new(StatusCode::NOT_FOUND, "tenant_not_found", detail)
    }

    /// A router that is not added, since it is another's box.
    pub(crate) fn same_box(name: &str, twin: &Trouble) -> Self {
        let seen = &twin.seen;
        let detail =
            format!("router `{name}` was not added: {seen}: remove that one first, or leave it");
        Self::new(StatusCode::CONFLICT, "router_address_taken", detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "the token is missing or wrong";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(crate) fn internal() -> Self {
        let detail = "the log of the service says what went wrong";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "the database cannot be reached; try again",
        )
    }

    /// Logs what a store said where it is no answer to the caller.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Missing(missing) => {
                let code = match missing {
                    Missing::Tenant => "tenant_not_found",
                    Missing::Router => "router_not_found",
                    Missing::Subscriber | Missing::Device(_) | _ => "subscriber_not_found",
                };
                Self::new(StatusCode::NOT_FOUND, code, missing.to_string())
            }
            StoreError::Conflict(conflict) => {
                let code = match conflict {
                    Conflict::Username(_) => "username_taken",
                    Conflict::Device { .. } => "device_taken",
                    Conflict::RouterName(_) => "router_name_taken",
                    Conflict::RouterAddress { .. } | Conflict::RouterSerial { .. } => {
                        "router_address_taken"
                    }
                    Conflict::RouterTenant(_) => "other_tenant",
                    Conflict::Elsewhere { .. } => "tenant_missing",
                    Conflict::Reference(_) => "reference_reused",
                    Conflict::GoesBeyond { .. } => "access_goes_beyond",
                    Conflict::EndPassed { .. } => {
                        return Self::body(format!("until: {conflict}"));
                    }
                    Conflict::Tenant(_)
                    | Conflict::TenantInUse
                    | Conflict::RouterBusy
                    | Conflict::HasAccess(_)
                    | _ => "conflict",
                };
                Self::new(StatusCode::CONFLICT, code, conflict.to_string())
            }
            StoreError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_busy",
                "the database is busy: cuts go first, and too many orders wait; nothing was changed",
            ),
            StoreError::OutcomeUnknown(_) => {
                tracing::warn!(error = error as &dyn std::error::Error, "no answer");
                Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "outcome_unknown",
                    "the answer of the database was lost, so it is not known whether this was \
                     done: look before you order it again",
                )
            }
            // It says what to do, on the machine of the service.
            StoreError::Key(why) => Self::new(StatusCode::CONFLICT, "key_unusable", why),
            StoreError::Unavailable(_) => {
                tracing::warn!(error = error as &dyn std::error::Error, "no answer");
                Self::unavailable()
            }
            StoreError::Corrupt { .. }
            | StoreError::SchemaTooNew { .. }
            | StoreError::SchemaTooOld { .. }
            | StoreError::SchemaUnknown(_)
            | StoreError::Refused(_)
            | StoreError::Open { .. }
            | StoreError::Rows(_)
            | StoreError::NotOwner(_)
            | _ => {
                tracing::error!(error = error as &dyn std::error::Error, "no answer");
                Self::internal()
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::of_store(&error)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be application/json",
            ),
            _ => Self::body(rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::parameter(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::parameter(rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/problem+json");
        let (status, after) = (self.status(), self.retry_after);
        retried(after, (status, [(header::CONTENT_TYPE, kind)], Json(self)))
    }
}

/// Says when to try again, if that helps: nothing was begun.
fn retried(after: Option<u64>, answer: impl IntoResponse) -> Response {
    let mut answer = answer.into_response();
    if let Some(seconds) = after {
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// A failure as the four old endpoints tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Refusal {
    /// Always false.
    success: bool,
    /// What went wrong.
    message: String,
    #[serde(skip)]
    status: StatusCode,
    /// Seconds after which it may be tried again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        let problem = problem.into();
        Self {
            success: false,
            status: problem.status(),
            retry_after: problem.retry_after,
            message: problem.detail,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        retried(self.retry_after, (self.status, Json(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_may_have_been_carried_out_is_not_to_be_tried_again() {
        let problem = Problem::of_store(&StoreError::OutcomeUnknown("gone".into()));
        assert_eq!(problem.code, "outcome_unknown");
        assert!(problem.detail.contains("look before"), "{problem:?}");
        let answers = [
            problem.clone().into_response(),
            Refusal::from(problem).into_response(),
        ];
        for answer in answers {
            assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
            assert!(!answer.headers().contains_key(header::RETRY_AFTER));
        }
    }

    #[test]
    fn an_order_that_finds_too_many_before_it_is_told_when_to_come_again() {
        let problem = Problem::of_store(&StoreError::Busy);
        assert_eq!(problem.code, "database_busy");
        let answers = [
            problem.clone().into_response(),
            Refusal::from(problem).into_response(),
        ];
        for answer in answers {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
    }
}
