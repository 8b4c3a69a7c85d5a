//! Connects to a router, logs in and reads, and says which step fails.

use std::fmt;

use expiry_core::{
    Cause, GatewayError, PasswordStore, Router, RouterFacts, RouterGateway, StoreError,
};
use serde::Serialize;

use crate::{error::CliError, output::Output};

pub(super) async fn run(
    router: &Router,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let probed = match passwords.router_login(router.id).await {
        Ok(login) => gateway.probe(&login).await,
        Err(StoreError::NoPassword(error)) => Err(GatewayError::from(error)),
        Err(error) => return Err(error.into()),
    };
    gateway.close(router.id).await;
    match probed {
        Ok(facts) => {
            let report = Report {
                router: router.name.clone(),
                success: true,
                failed_step: None,
                cause: None,
                facts: Some(facts),
            };
            Ok(out.show(&report)?)
        }
        Err(source) => {
            let cause = source.cause();
            if out.is_json() {
                out.json_line(&Report {
                    router: router.name.clone(),
                    success: false,
                    failed_step: Some(cause.step().to_string()),
                    cause: Some(cause),
                    facts: None,
                })?;
            }
            let router = router.name.clone();
            Err(CliError::RouterTest { router, source })
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
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "router {}: connected, logged in, read", self.router)?;
        let Some(facts) = &self.facts else {
            return Ok(());
        };
        write!(
            f,
            "; {}",
            super::view::BoxName {
                seen: &facts.hardware
            }
        )?;
        for (what, value) in [("RouterOS", &facts.version), ("board", &facts.board)] {
            if let Some(value) = value {
                write!(f, ", {what} {value}")?;
            }
        }
        Ok(())
    }
}
