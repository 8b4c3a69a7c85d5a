//! Answers that many endpoints may give, for their description.

#![expect(dead_code, reason = "they are described, and made elsewhere")]

use utoipa::IntoResponses;

use crate::problem::{Problem, Refusal};

/// Of endpoints that ask for the token.
#[derive(IntoResponses)]
pub(crate) enum Guarded {
    /// The token is missing or wrong.
    #[response(status = UNAUTHORIZED, content_type = "application/problem+json")]
    Unknown(Problem),
    /// Too many wrong tokens.
    #[response(status = TOO_MANY_REQUESTS, content_type = "application/problem+json")]
    Locked(Problem),
    /// The database cannot be reached.
    #[response(status = SERVICE_UNAVAILABLE, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// The service failed; its log says how.
    #[response(status = INTERNAL_SERVER_ERROR, content_type = "application/problem+json")]
    Failed(Problem),
    /// There was no answer within 30 s, or that of the database was lost.
    #[response(status = GATEWAY_TIMEOUT, content_type = "application/problem+json")]
    TimedOut(Problem),
}

/// Of endpoints that read a body.
#[derive(IntoResponses)]
pub(crate) enum WithBody {
    /// The body is too long.
    #[response(status = PAYLOAD_TOO_LARGE, content_type = "application/problem+json")]
    TooLong(Problem),
    /// The body took longer than 10 s.
    #[response(status = REQUEST_TIMEOUT, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// The body is not JSON.
    #[response(status = UNSUPPORTED_MEDIA_TYPE, content_type = "application/problem+json")]
    NoJson(Problem),
}

/// Of the old endpoints, which all ask for the token.
#[derive(IntoResponses)]
pub(crate) enum OldGuarded {
    /// The token is missing or wrong.
    #[response(status = UNAUTHORIZED)]
    Unknown(Refusal),
    /// Too many wrong tokens, or too many tests of routers.
    #[response(status = TOO_MANY_REQUESTS)]
    Locked(Refusal),
    /// The database cannot be reached.
    #[response(status = SERVICE_UNAVAILABLE)]
    Unavailable(Refusal),
    /// The service failed; its log says how.
    #[response(status = INTERNAL_SERVER_ERROR)]
    Failed(Refusal),
    /// There was no answer within 30 s, or that of the database was lost.
    #[response(status = GATEWAY_TIMEOUT)]
    TimedOut(Refusal),
}

/// Of the old endpoints that read a body.
#[derive(IntoResponses)]
pub(crate) enum OldWithBody {
    /// The body is too long.
    #[response(status = PAYLOAD_TOO_LARGE)]
    TooLong(Refusal),
    /// The body took longer than 10 s.
    #[response(status = REQUEST_TIMEOUT)]
    TooSlow(Refusal),
}
