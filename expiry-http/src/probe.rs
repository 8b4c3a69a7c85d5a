//! Asks a router what it is, and says which step failed and what to do.

use std::time::Duration;

use expiry_core::{Clock, GatewayError, Router, RouterFacts, RouterGateway, SystemClock};
use serde::Serialize;
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};
use utoipa::ToSchema;

/// How long finding the address may take.
const LOOKUP: Duration = Duration::from_secs(3);

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

/// What came of it.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) result: Result<Answered, (Step, String)>,
}

/// What a router answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) facts: RouterFacts,
    pub(crate) rtt: Duration,
    /// How far its clock is ahead of this machine's.
    pub(crate) clock_skew_seconds: Option<f64>,
}

pub(crate) async fn probe(gateway: &dyn RouterGateway, router: &Router) -> Probed {
    let result = ask(gateway, router).await;
    gateway.close(router.id).await;
    Probed { result }
}

async fn ask(gateway: &dyn RouterGateway, router: &Router) -> Result<Answered, (Step, String)> {
    let (host, port) = (router.address.host.as_str(), router.address.port);
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
    gateway.probe(router).await.map_err(|error| told(&error))?;
    // Once more on the warm connection: that is what a cut meets.
    let began = Instant::now();
    let facts = gateway.probe(router).await.map_err(|error| told(&error))?;
    let rtt = began.elapsed();
    let now = SystemClock.wall();
    let skew = facts.clock.map(|clock| clock - now);
    Ok(Answered {
        clock_skew_seconds: skew.map(|skew| {
            let tenths = (skew.num_milliseconds() + 50).div_euclid(100);
            f64::from(i32::try_from(tenths).unwrap_or(i32::MAX)) / 10.0
        }),
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
