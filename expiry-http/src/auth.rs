//! Who may come in.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    client::Client,
    problem::{Problem, Refusal},
    state::Inner,
};

/// The shortest token.
const SHORTEST: usize = 16;

/// The token that opens the service: only what it takes to recognise it is kept.
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(token: &SecretString) -> Self {
        Self(Sha256::digest(token.expose_secret()).into())
    }

    /// Compares in the same time whatever is given, or nothing.
    pub(crate) fn is(&self, given: Option<&[u8]>) -> bool {
        let given: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        self.0.ct_eq(&given).into()
    }
}

/// Tells whether a token can be sent in a header, and is long enough that nobody guesses it.
///
/// # Errors
/// Says what would be right.
pub fn check_token(token: &SecretString) -> Result<(), String> {
    let token = token.expose_secret();
    if token.chars().count() < SHORTEST {
        return Err(format!(
            "it is too short: at least {SHORTEST} characters, better 64 random ones"
        ));
    }
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("only ASCII letters, digits and punctuation can be sent in a header".into())
    }
}

/// Returns what is given in each of the three places.
fn given(headers: &HeaderMap) -> [Option<&[u8]>; 3] {
    let value = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let bearer = value("authorization").and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    [value("x-admin-token"), value("x-admin-access"), bearer]
        .map(|token| token.filter(|token| !token.is_empty()))
}

/// Lets in who has the token in any place: clients send leftovers in the others.
///
/// # Errors
/// Those that are told to who has it not.
pub(crate) fn check(app: &Inner, client: Client, headers: &HeaderMap) -> Result<(), Denied> {
    if let Some(wait) = app.guard.wait(client.address) {
        return Err(Denied::Wait(wait.as_secs() + 1));
    }
    let given = given(headers);
    let is_right = |so_far, token: &Option<_>| so_far | app.token.is(*token);
    if given.iter().fold(false, is_right) {
        return Ok(());
    }
    // Who sent no token guessed none; who sent several guessed as often.
    for _ in given.iter().flatten() {
        app.guard.failed(client.address);
        tracing::warn!(client = %client.address, "sign-in refused");
    }
    Err(Denied::Unknown)
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Unknown,
    /// For so many seconds.
    Wait(u64),
}

impl Denied {
    fn problem(self) -> Problem {
        match self {
            Self::Unknown => Problem::unauthorized(),
            Self::Wait(seconds) => {
                let detail = format!("too many wrong tokens: try again in {seconds} s");
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
            }
        }
    }

    fn response(self, is_old: bool) -> Response {
        let problem = self.problem();
        let mut response = if is_old {
            Refusal::from(problem).into_response()
        } else {
            problem.into_response()
        };
        let headers = response.headers_mut();
        match self {
            Self::Unknown => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            Self::Wait(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
        }
        response
    }
}

/// Guards `/api/v1`.
pub(crate) async fn guard(State(app): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    enter(&app, request, next, false).await
}

/// Guards the old endpoints, which have their own form of errors.
pub(crate) async fn guard_old(
    State(app): State<Arc<Inner>>,
    request: Request,
    next: Next,
) -> Response {
    enter(&app, request, next, true).await
}

/// Guards what anybody on this machine may read.
pub(crate) async fn guard_remote(
    State(app): State<Arc<Inner>>,
    request: Request,
    next: Next,
) -> Response {
    let client = Client::of(
        request.extensions(),
        request.headers(),
        &app.service.proxies,
    );
    if client.is_local {
        return next.run(request).await;
    }
    enter(&app, request, next, false).await
}

async fn enter(app: &Inner, request: Request, next: Next, is_old: bool) -> Response {
    let client = Client::of(
        request.extensions(),
        request.headers(),
        &app.service.proxies,
    );
    match check(app, client, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.response(is_old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_only_the_whole_token_is_the_token() {
        let token = Token::new(&"correct horse battery staple".into());
        assert!(token.is(Some(b"correct horse battery staple")));
        for wrong in [
            None,
            Some(&b""[..]),
            Some(b"correct horse"),
            Some(b"Correct horse battery staple"),
        ] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn it_is_found_in_three_places() {
        for (at, name, value) in [
            (0, "x-admin-token", "t"),
            (1, "x-admin-access", "t"),
            (2, "authorization", "Bearer t"),
            (2, "authorization", "bearer t"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let mut expected = [None; 3];
            expected[at] = Some(&b"t"[..]);
            assert_eq!(given(&headers), expected, "{name}");
        }
        for (name, value) in [("authorization", "Basic t"), ("x-admin-token", "")] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(given(&headers), [None; 3], "{name}");
        }
    }
}
