//! Connects to a router, logs in and reads its hotspot, and says which step fails, why, and the way
//! out.

use std::{fmt, time::Duration};

use expiry_core::{
    Cause, Clock, GatewayError, PasswordStore, Router, RouterFacts, RouterGateway, RouterLogin,
    StoreError, SystemClock, Tried, Trouble, same_box, same_system_id, try_router,
};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::{error::CliError, output::Output};

/// How long all other routers together may take to say which box they are.
const OTHERS: Duration = Duration::from_secs(3);

/// Tests `router`, and compares the box with those of `all` routers.
pub(super) async fn run(
    router: &Router,
    all: &[Router],
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tried = match passwords.router_login(router.id).await {
        Ok(login) => examine(&login, all, passwords, gateway).await,
        Err(StoreError::NoPassword(error)) => Err(GatewayError::from(*error).into()),
        Err(error) => return Err(error.into()),
    };
    match tried {
        Ok(tried) => {
            let warnings = tried.warnings.iter();
            let report = Report {
                router: router.name.clone(),
                success: true,
                failed_step: None,
                cause: None,
                facts: Some(tried.facts),
                warnings: warnings.map(|found| Warning::of(found, router)).collect(),
            };
            Ok(out.show(&report)?)
        }
        Err(trouble) => {
            if out.is_json() {
                // The error says it, too: that this cannot be printed changes no exit code.
                drop(out.json_line(&Report {
                    router: router.name.clone(),
                    success: false,
                    failed_step: Some(trouble.cause.step().to_string()),
                    cause: Some(trouble.cause),
                    facts: None,
                    warnings: Vec::new(),
                }));
            }
            let router = router.name.clone();
            Err(CliError::RouterTest { router, trouble })
        }
    }
}

/// Tries a router, and tells whether its box is that of another one.
pub(super) async fn examine(
    login: &RouterLogin,
    all: &[Router],
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Result<Tried, Trouble> {
    let router = &login.router;
    let tried = try_router(gateway, login, SystemClock.wall()).await;
    gateway.close(router.id).await;
    let mut tried = tried?;
    let others: Vec<_> = all.iter().filter(|other| other.id != router.id).collect();
    let on_record = others.iter().map(|other| {
        let serial = other.seen.as_ref().and_then(|seen| seen.serial.as_deref());
        (other.name.as_str(), serial)
    });
    if let Some(trouble) = same_box(&tried.facts, on_record) {
        return Err(trouble);
    }
    let asked = ask(&others, passwords, gateway).await;
    let serials = asked
        .iter()
        .map(|(name, other)| (name.as_str(), other.facts.hardware.serial.as_deref()));
    if let Some(trouble) = same_box(&tried.facts, serials) {
        return Err(trouble);
    }
    let ids = asked
        .iter()
        .map(|(name, other)| (name.as_str(), other.survey.system_id.as_deref()));
    tried.warnings.extend(same_system_id(&tried.survey, ids));
    Ok(tried)
}

/// Asks those routers which box they are whose serial number is not on record.
async fn ask(
    others: &[&Router],
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Vec<(String, Tried)> {
    let deadline = Instant::now() + OTHERS;
    let is_unknown = |router: &&&Router| {
        let seen = router.seen.as_ref();
        router.enabled && seen.is_none_or(|seen| seen.serial.is_none())
    };
    let mut asked = Vec::new();
    for other in others.iter().filter(is_unknown) {
        let Ok(login) = passwords.router_login(other.id).await else {
            continue;
        };
        let tried = timeout_at(deadline, try_router(gateway, &login, SystemClock.wall())).await;
        gateway.close(other.id).await;
        match tried {
            Ok(Ok(tried)) => asked.push((other.name.clone(), tried)),
            Ok(Err(_)) => {}
            Err(_) => break,
        }
    }
    asked
}

#[derive(Debug, Serialize)]
struct Report {
    router: String,
    success: bool,
    failed_step: Option<String>,
    cause: Option<Cause>,
    #[serde(flatten)]
    facts: Option<RouterFacts>,
    warnings: Vec<Warning>,
}

/// What should be mended although cuts can be made.
#[derive(Debug, Serialize)]
struct Warning {
    cause: Cause,
    seen: String,
    says: &'static str,
    way_out: String,
}

impl Warning {
    fn of(found: &Trouble, router: &Router) -> Self {
        Self {
            cause: found.cause,
            seen: found.seen.clone(),
            says: found.cause.says(),
            way_out: found.cause.way_out(Some(&router.name)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "router {}: connected, logged in, may read and write",
            self.router
        )?;
        let Some(facts) = &self.facts else {
            return Ok(());
        };
        let seen = &facts.hardware;
        write!(f, "; {}", super::view::BoxName { seen })?;
        for (what, value) in [("RouterOS", &facts.version), ("board", &facts.board)] {
            if let Some(value) = value {
                write!(f, ", {what} {value}")?;
            }
        }
        for Warning {
            seen,
            says,
            way_out,
            ..
        } in &self.warnings
        {
            write!(f, "\nwarning: {seen}: {says}; {way_out}")?;
        }
        Ok(())
    }
}
