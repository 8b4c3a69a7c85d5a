//! Who may come in.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use crate::{body, client::Client, guard::Wrong, problem::Problem, state::Inner};

/// The shortest token.
const SHORTEST: usize = 16;

/// The fewest different characters of a token.
const FEWEST: usize = 8;

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
            "it is too short: at least {SHORTEST} characters, better 64 random ones (`openssl rand -hex 32`)"
        ));
    }
    if token.chars().collect::<BTreeSet<_>>().len() < FEWEST {
        return Err(format!(
            "it has fewer than {FEWEST} different characters, and can be guessed: take a random one, as \
             `openssl rand -hex 32` makes it"
        ));
    }
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("only ASCII letters, digits and punctuation can be sent in a header".into())
    }
}

/// How long an answer is kept back from who guessed too often, so that each connection makes few guesses.
const HELD: Duration = Duration::from_secs(1);

/// More tokens of one request are not tried.
const MOST: usize = 3;

/// Returns what is given in the three places.
fn given(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let bearer = values("authorization").filter_map(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    let plain = values("x-admin-token").chain(values("x-admin-access"));
    let all = plain.chain(bearer).filter(|token| !token.is_empty());
    all.take(MOST)
}

/// Lets in who has the token in any place: clients send leftovers in the others. Nobody who has it waits,
/// whatever others of the same address send.
///
/// # Errors
/// Those that are told to who has it not.
pub(crate) fn check(app: &Inner, client: Client, headers: &HeaderMap) -> Result<(), Denied> {
    let is_right = |so_far, token| so_far | app.token.is(token);
    let some = given(headers).map(Some).fold(false, is_right);
    // As long for who sends none as for who sends one.
    let none = given(headers).next().is_none() && app.token.is(None);
    if some | none {
        return Ok(());
    }
    // Who sent no token guessed none; who sent several guessed as often.
    let mut denied = Denied::Unknown;
    for token in given(headers) {
        match app.guard.wrong(client.address, token) {
            Wrong::New => tracing::warn!(client = %client.address, "sign-in refused"),
            Wrong::Again => {}
            Wrong::TooMany(wait) => denied = Denied::Wait(wait.as_secs() + 1),
        }
    }
    Err(denied)
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
                Problem::too_often("too_many_attempts", detail, seconds)
            }
        }
    }

    fn response(self, is_old: bool) -> Response {
        let problem = self.problem();
        let mut response = problem.in_form(is_old);
        if self == Self::Unknown {
            let scheme = HeaderValue::from_static("Bearer");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, scheme);
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
    if let Err(denied) = check(app, client, request.headers()) {
        body::read_away(request).await;
        if matches!(denied, Denied::Wait(_)) {
            sleep(HELD).await;
        }
        return denied.response(is_old);
    }
    let is_order = !request.method().is_safe();
    let response = match body::take_in(request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.in_form(is_old),
    };
    if is_order && response.status().is_success() {
        app.summary.forget();
    }
    response
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
    fn r11_a_token_that_can_be_guessed_is_none() {
        let check = |token: &str| check_token(&token.into());
        for weak in ["aaaaaaaaaaaaaaaa", "123412341234123412341234", "0123456"] {
            let wrong = check(weak).expect_err("weak");
            assert!(wrong.contains("openssl rand -hex 32"), "{wrong}");
        }
        assert_eq!(check("correct-horse-battery-staple"), Ok(()));
        assert_eq!(check("0f3a9c4be8d17265"), Ok(()));
    }

    #[test]
    fn it_is_found_in_three_places() {
        let found = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let given: Vec<_> = given(&headers).map(<[u8]>::to_vec).collect();
            given
        };
        for (name, value) in [
            ("x-admin-token", "t"),
            ("x-admin-access", "t"),
            ("authorization", "Bearer t"),
            ("authorization", "bearer t"),
        ] {
            assert_eq!(found(&[(name, value)]), [b"t"], "{name}");
        }
        for (name, value) in [("authorization", "Basic t"), ("x-admin-token", "")] {
            assert!(found(&[(name, value)]).is_empty(), "{name}");
        }
        let twice = [("x-admin-token", "a"), ("x-admin-token", "b")];
        assert_eq!(found(&twice), [b"a", b"b"]);
    }
}
