//! Connects to a router, logs in and reads, and says which step fails.

use std::fmt;

use expiry_core::{GatewayError, RouterFacts, RouterGateway, RouterLogin};
use serde::Serialize;

use crate::{error::CliError, output::Output};

pub(super) async fn run(
    login: &RouterLogin,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let router = &login.router;
    let probed = gateway.probe(login).await;
    gateway.close(router.id).await;
    match probed {
        Ok(facts) => {
            let report = Report {
                router: router.name.clone(),
                success: true,
                failed_step: None,
                facts: Some(facts),
            };
            Ok(out.show(&report)?)
        }
        Err(source) => {
            let step = failed_step(&source);
            if out.is_json() {
                out.json_line(&Report {
                    router: router.name.clone(),
                    success: false,
                    failed_step: Some(step),
                    facts: None,
                })?;
            }
            let router = router.name.clone();
            Err(CliError::RouterTest {
                router,
                step,
                source,
            })
        }
    }
}

pub(in crate::commands) fn failed_step(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::Connect { .. } => "connecting",
        GatewayError::Login { .. } | GatewayError::NoPassword(_) => "logging in",
        GatewayError::Refused { .. } => "reading",
        GatewayError::WrongRouter { .. } => "recognising the box",
        GatewayError::TimedOut { .. }
        | GatewayError::Disconnected { .. }
        | GatewayError::Protocol { .. }
        | _ => "talking the RouterOS API",
    }
}

#[derive(Debug, Serialize)]
struct Report {
    router: String,
    success: bool,
    failed_step: Option<&'static str>,
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
