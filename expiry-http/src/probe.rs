//! Asks a router what it is, and says which step failed and what to do.

use std::time::Duration;

use expiry_core::{
    Cause, Clock, GatewayError, NewRouter, Router, RouterGateway, RouterLogin, StoreError,
    SystemClock, Tried, Trouble, examine, look_first,
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa::ToSchema;

use crate::{state::Inner, v1::routers::seconds};

/// The longest that somebody who asked is kept waiting, however many routers are tested.
const PATIENCE: Duration = Duration::from_secs(20);

/// A router that was silent for less may only have had no turn.
const FAIR: Duration = Duration::from_secs(10);

/// How long the goodbye may take.
const CLOSE: Duration = Duration::from_secs(1);

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    NameLookup,
    TcpConnect,
    Login,
    Permission,
    Protocol,
    Hotspot,
    WrongRouter,
}

impl Step {
    /// What an older client makes of a cause.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named fails in the conversation"
    )]
    fn of(cause: Cause) -> Self {
        match cause {
            Cause::HostNotFound => Self::NameLookup,
            Cause::ConnectionRefused
            | Cause::NoRoute
            | Cause::ConnectTimedOut
            | Cause::ConnectFailed => Self::TcpConnect,
            Cause::NoPassword
            | Cause::OtherKey
            | Cause::KeyMissing
            | Cause::KeyUnusable
            | Cause::LoginRefused
            | Cause::NoApiPolicy
            | Cause::TooOld => Self::Login,
            Cause::NoReadPolicy | Cause::NoWritePolicy | Cause::MenuRefused => Self::Permission,
            Cause::NoHotspot | Cause::DeviceMode => Self::Hotspot,
            Cause::OtherBox | Cause::SameBox => Self::WrongRouter,
            _ => Self::Protocol,
        }
    }
}

/// Why a router did not answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed for this cause, which the text tells with the way out.
    Caused(Cause, String),
    /// Nothing failed, and nothing came.
    Silent(String),
    /// The test was not begun, or was broken off: that says nothing of the router.
    Untested(String),
}

impl Failure {
    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Caused(cause, _) => Some(Step::of(*cause)),
            Self::Silent(_) | Self::Untested(_) => None,
        }
    }

    pub(crate) fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Caused(cause, _) => Some(cause.code()),
            Self::Silent(_) | Self::Untested(_) => None,
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Caused(_, text) | Self::Silent(text) | Self::Untested(text) => text,
        }
    }
}

/// What a router answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) tried: Tried,
    /// How far its clock is ahead of the store's.
    pub(crate) clock_skew_seconds: Option<f64>,
}

/// Returns when tests that begin now end at the latest.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// As [`probe`], of a saved router.
pub(crate) async fn probe_saved(
    app: &Inner,
    router: &Router,
    others: &[Router],
    deadline: Instant,
) -> Result<Answered, Failure> {
    let name = Some(router.name.as_str());
    match app.service.passwords.router_login(router.id).await {
        Ok(login) => probe(app, &login, name, others, deadline).await,
        Err(StoreError::NoPassword(error)) => {
            let error = GatewayError::from(*error);
            Err(Failure::Caused(error.cause(), error.told(name)))
        }
        Err(error) => Err(Failure::Untested(error.to_string())),
    }
}

/// Tests a router, which has a `name` if it is saved, and whether it is the box of one of the others.
/// Ends at the deadline, or when the service stops, so that somebody who waits is told so.
pub(crate) async fn probe(
    app: &Inner,
    login: &RouterLogin,
    name: Option<&str>,
    others: &[Router],
    deadline: Instant,
) -> Result<Answered, Failure> {
    let gateway = (app.service.gateways)();
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        () = app.service.stop.cancelled() => {
            Err(Failure::Untested("the service is stopping".into()))
        }
        () = sleep_until(deadline) => Err(out_of_time(began.elapsed())),
        result = ask(app, &*gateway, login, others) => {
            result.map_err(|trouble| Failure::Caused(trouble.cause, trouble.told(name)))
        }
    };
    let _ = timeout(CLOSE, gateway.close(login.router.id)).await;
    result
}

fn out_of_time(had: Duration) -> Failure {
    if had >= FAIR {
        let seconds = had.as_secs_f64();
        return Failure::Silent(format!("no answer within {seconds:.0} s"));
    }
    let all = PATIENCE.as_secs();
    Failure::Untested(format!(
        "not tested to the end: the {all} s for all routers were over; test it by itself"
    ))
}

async fn ask(
    app: &Inner,
    gateway: &dyn RouterGateway,
    login: &RouterLogin,
    others: &[Router],
) -> Result<Answered, Trouble> {
    let store = app.time.now().await.ok();
    let now = store.unwrap_or_else(|| SystemClock.wall());
    let passwords = &*app.service.passwords;
    let tried = examine(gateway, login, others, passwords, now).await?;
    let skew = tried.clock_ahead.filter(|_| store.is_some());
    Ok(Answered {
        clock_skew_seconds: skew.map(|skew| seconds(skew.num_milliseconds())),
        tried,
    })
}

/// Looks at a router that is to be added. What may be mended later is logged: it is shown with the
/// router as soon as a watcher has met it.
///
/// # Errors
/// It is the box of one of the others.
pub(crate) async fn first_look(
    app: &Inner,
    new: &NewRouter,
    others: &[Router],
) -> Result<(), Trouble> {
    let gateway = (app.service.gateways)();
    let (passwords, now) = (&*app.service.passwords, SystemClock.wall());
    let looked = tokio::select! {
        biased;
        () = app.service.stop.cancelled() => return Ok(()),
        looked = look_first(&*gateway, new, others, passwords, now) => looked?,
    };
    let router = &new.name;
    match looked {
        None => tracing::info!(router, "a new router does not answer yet"),
        Some(found) => {
            for trouble in found {
                let (cause, found) = (trouble.cause.code(), trouble.told(Some(router)));
                tracing::info!(
                    router,
                    cause,
                    found,
                    "a new router cannot be served yet, or not well"
                );
            }
        }
    }
    Ok(())
}
