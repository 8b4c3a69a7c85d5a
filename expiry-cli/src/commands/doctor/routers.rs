//! Each router, all at once: from its name to what its account may do.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use expiry_core::{
    DropOrder, GatewayError, PasswordStore, Query, Router, RouterFacts, RouterGateway, RowId,
    StoreError, Username,
};
use tokio::{
    net::lookup_host,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::check::{Check, Findings};
use crate::{commands::router::failed_step, error::CliError};

/// How long all routers together may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Most connections that are made at once: each is a file of this process.
const AT_ONCE: usize = 256;

/// No router gives this id to a row, so that a write to it changes nothing.
const NO_ROW: &str = "*FFFFFFFF";

/// A name that nobody has.
const NOBODY: &str = "expiry doctor";

/// What went wrong, and what to do.
struct Trouble {
    step: &'static str,
    error: String,
    advice: String,
}

/// What is right.
struct Health {
    facts: RouterFacts,
    round_trip: Duration,
}

pub(super) async fn examine(
    routers: Vec<Router>,
    passwords: &Arc<dyn PasswordStore>,
    gateway: &Arc<dyn RouterGateway>,
    findings: &mut Findings<'_, '_>,
) -> Result<(), CliError> {
    let all = routers.len();
    let deadline = Instant::now() + PATIENCE;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for router in routers {
        let (gateway, permits) = (Arc::clone(gateway), Arc::clone(&permits));
        let passwords = Arc::clone(passwords);
        running.spawn(async move {
            let examined = timeout_at(deadline, async {
                let _permit = permits.acquire().await;
                examine_one(&router, &*passwords, &*gateway).await
            });
            let verdict = examined.await.unwrap_or_else(|_| Err(late()));
            check(&router, verdict)
        });
    }
    let mut done = 0;
    loop {
        findings.doing(&format!("{done} of {all} routers"));
        let Some(ended) = running.join_next().await else {
            return Ok(());
        };
        done += 1;
        findings.add(ended.map_err(CliError::Panic)?)?;
    }
}

fn check(router: &Router, verdict: Result<Health, Trouble>) -> Check {
    let name = format!("router {}", router.name);
    match verdict {
        Ok(health) => Check::ok(name, health.to_string()),
        Err(Trouble {
            step,
            error,
            advice,
        }) => Check::failed(name, format!("{step} failed: {error}"), advice),
    }
}

async fn examine_one(
    router: &Router,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Result<Health, Trouble> {
    let login = passwords.router_login(router.id).await;
    let login = &login.map_err(|error| no_password(&error))?;
    look_up(router).await?;
    let trouble = |error: GatewayError| Trouble {
        step: failed_step(&error),
        advice: advice(router, &error),
        error: error.to_string(),
    };
    let facts = gateway.probe(login).await.map_err(trouble)?;
    let started = Instant::now();
    gateway.probe(login).await.map_err(trouble)?;
    let round_trip = started.elapsed();
    let seen = gateway.look(login, &query()).await;
    seen.map_err(|error| Trouble {
        step: "reading the hotspot",
        ..trouble(error)
    })?;
    try_to_write(router, gateway).await?;
    gateway.close(router.id).await;
    Ok(Health { facts, round_trip })
}

async fn look_up(router: &Router) -> Result<(), Trouble> {
    let host = router.address.host.as_str();
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match lookup_host((host, router.address.port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Trouble {
            step: "name lookup",
            error: error.to_string(),
            advice: format!("is `{host}` right, and does this machine's DNS know it?"),
        }),
    }
}

/// Finds out without changing anything whether the account may write: removes a session that is
/// not there, which a router answers with a refusal only if it may not.
async fn try_to_write(router: &Router, gateway: &dyn RouterGateway) -> Result<(), Trouble> {
    let order = DropOrder {
        actives: RowId::new(NO_ROW).into_iter().collect(),
        ..DropOrder::default()
    };
    let error = match gateway.drop_rows(router, &order).await {
        Ok(refusals) => match refusals.into_iter().next() {
            Some(refusal) => refusal.message,
            None => return Ok(()),
        },
        Err(error) => error.to_string(),
    };
    Err(Trouble {
        step: "permission to write",
        error,
        advice: policies(router),
    })
}

fn query() -> Query {
    let nobody: Option<Username> = NOBODY.parse().ok();
    Query {
        names: nobody.into_iter().collect(),
        ..Query::default()
    }
}

fn no_password(error: &StoreError) -> Trouble {
    Trouble {
        step: "reading its password",
        error: error.to_string(),
        advice: "no other router is concerned".into(),
    }
}

fn late() -> Trouble {
    Trouble {
        step: "answering in time",
        error: format!("not done within {} s", PATIENCE.as_secs()),
        advice: "is the link to it very slow?".into(),
    }
}

fn policies(router: &Router) -> String {
    let user = &router.address.username;
    format!("give the group of `{user}` on the router the policies api, read and write")
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named has the general advice"
)]
fn advice(router: &Router, error: &GatewayError) -> String {
    let name = &router.name;
    match error {
        GatewayError::Connect { .. } => {
            "is the VPN up, the router on, and its service `api` (/ip/service) open to this machine?"
                .into()
        }
        GatewayError::Login { .. } => {
            format!("set the account with `expiry router set {name} --username --password-file`")
        }
        GatewayError::Refused { .. } => policies(router),
        GatewayError::WrongRouter { .. } => {
            format!("if the box was replaced: `expiry router accept {name}`")
        }
        _ => "is this the port of the service `api`, and is the link good?".into(),
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connected, logged in, may read and write")?;
        for (what, value) in [("RouterOS ", &self.facts.version), ("", &self.facts.board)] {
            if let Some(value) = value {
                write!(f, ", {what}{value}")?;
            }
        }
        let millis = self.round_trip.as_secs_f64() * 1_000.0;
        write!(f, ", round trip {millis:.1} ms")
    }
}

#[cfg(test)]
mod tests;
