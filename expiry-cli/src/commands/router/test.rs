//! Connects to a router, logs in and reads its hotspot, and says which step fails, why, and the way
//! out.

use std::fmt;

use expiry_core::{
    Cause, Clock, GatewayError, PasswordStore, Router, RouterFacts, RouterGateway, StoreError,
    SystemClock, Trouble, examine,
};
use serde::Serialize;

use crate::{error::CliError, output::Output};

/// Tests `router`, and compares the box with those of `all` routers.
pub(super) async fn run(
    router: &Router,
    all: &[Router],
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tried = match passwords.router_login(router.id).await {
        Ok(login) => examine(gateway, &login, all, passwords, SystemClock.wall()).await,
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
