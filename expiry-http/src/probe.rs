//! Asks a router what it is, and says which step failed and what to do.

use std::time::Duration;

use chrono::TimeDelta;
use expiry_core::{GatewayError, RouterFacts, RouterGateway, RouterId, RouterLogin, StoreError};
use serde::Serialize;
use tokio::{
    net::lookup_host,
    time::{Instant, sleep_until, timeout},
};
use utoipa::ToSchema;

use crate::{state::Inner, v1::routers::seconds};

/// How long finding the address may take.
const LOOKUP: Duration = Duration::from_secs(3);

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
    WrongRouter,
}

/// Why a router did not answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This step failed.
    Step(Step, String),
    /// There is no password to log in with, so nothing was tried.
    NoPassword(String),
    /// Nothing failed, and nothing came.
    Silent(String),
    /// The test was not begun, or was broken off: that says nothing of the router.
    Untested(String),
}

impl Failure {
    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Step(step, _) => Some(*step),
            Self::NoPassword(_) => Some(Step::Login),
            Self::Silent(_) | Self::Untested(_) => None,
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Step(_, text)
            | Self::NoPassword(text)
            | Self::Silent(text)
            | Self::Untested(text) => text,
        }
    }
}

/// What a router answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) facts: RouterFacts,
    pub(crate) rtt: Duration,
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
    router: RouterId,
    deadline: Instant,
) -> Result<Answered, Failure> {
    match app.service.passwords.router_login(router).await {
        Ok(login) => probe(app, &login, deadline).await,
        Err(StoreError::NoPassword(error)) => Err(Failure::NoPassword(error.to_string())),
        Err(error) => Err(Failure::Untested(error.to_string())),
    }
}

/// Ends at the deadline, or when the service stops, so that somebody who waits is told so.
pub(crate) async fn probe(
    app: &Inner,
    login: &RouterLogin,
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
        result = ask(app, &*gateway, login) => {
            result.map_err(|(step, told)| Failure::Step(step, told))
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
) -> Result<Answered, (Step, String)> {
    let address = &login.router.address;
    let (host, port) = (address.host.as_str(), address.port);
    let failed = |reason: String| {
        let what = format!(
            "the address of `{host}` cannot be found: {reason}; check the name, or give an IP address"
        );
        (Step::NameLookup, what)
    };
    match timeout(LOOKUP, lookup_host((host, port))).await {
        Ok(Ok(mut found)) => {
            if found.next().is_none() {
                return Err(failed("it has none".into()));
            }
        }
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("no answer within {} s", LOOKUP.as_secs()))),
    }
    gateway.probe(login).await.map_err(|error| told(&error))?;
    // Once more on the warm connection: that is what a cut meets.
    let store = app.time.now().await.ok();
    let began = Instant::now();
    let facts = gateway.probe(login).await.map_err(|error| told(&error))?;
    let rtt = began.elapsed();
    let passed = TimeDelta::from_std(rtt).unwrap_or_default();
    let skew = facts
        .clock
        .zip(store)
        .map(|(clock, at)| clock - at - passed);
    Ok(Answered {
        clock_skew_seconds: skew.map(|skew| seconds(skew.num_milliseconds())),
        facts,
        rtt,
    })
}

fn told(error: &GatewayError) -> (Step, String) {
    let (step, advice) = match error {
        GatewayError::Connect { .. } => (
            Step::TcpConnect,
            "check host, port and VPN, and that the service `api` is on (`/ip service`)",
        ),
        GatewayError::TimedOut { .. } | GatewayError::Disconnected { .. } => (
            Step::Protocol,
            "check that the service at this port is `api`, and that its `address` allows this machine",
        ),
        GatewayError::Login { .. } => (
            Step::Login,
            "check account and password, and that the account's group has the policy `api`",
        ),
        GatewayError::Refused { .. } => (
            Step::Permission,
            "give the account's group the policies `read`, `write` and `api`",
        ),
        GatewayError::WrongRouter { .. } => (
            Step::WrongRouter,
            "check the address, or accept the new box with `expiry router accept`",
        ),
        GatewayError::Protocol { .. } | _ => (
            Step::Protocol,
            "check that the port is that of the service `api`, not of `api-ssl`, `www` or `winbox`",
        ),
    };
    (step, format!("{error}; {advice}"))
}
