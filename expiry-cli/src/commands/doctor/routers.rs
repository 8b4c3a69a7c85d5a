//! Each router, all at once: from its name to what its account may do.

use std::{fmt, sync::Arc, time::Duration};

use expiry_core::{
    Cause, DropOrder, GatewayError, PasswordStore, Query, Router, RouterFacts, RouterGateway,
    RowId, Step, StoreError, Username,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::check::{Check, Findings};
use crate::error::{CliError, chain};

/// How long all routers together may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Most connections that are made at once: each is a file of this process.
const AT_ONCE: usize = 256;

/// No router gives this id to a row, so that a write to it changes nothing.
const NO_ROW: &str = "*FFFFFFFF";

/// The command with which that is tried.
const REMOVE: &str = "/ip/hotspot/active/remove";

/// A name that nobody has.
const NOBODY: &str = "expiry doctor";

/// What went wrong.
enum Trouble {
    Cause {
        cause: Cause,
        seen: String,
    },
    /// The database did not tell the password.
    Store(StoreError),
    /// Not done in time.
    Late,
}

impl From<GatewayError> for Trouble {
    fn from(error: GatewayError) -> Self {
        Self::Cause {
            cause: error.cause(),
            seen: error.to_string(),
        }
    }
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
            let verdict = examined.await.unwrap_or(Err(Trouble::Late));
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
        Err(Trouble::Cause { cause, seen }) => Check::caused(name, cause, &seen, &router.name),
        Err(Trouble::Store(error)) => Check::failed(
            name,
            format!("reading its password failed: {}", chain(&error)),
            "see what the database server logs",
        ),
        Err(Trouble::Late) => Check::failed(
            name,
            format!("not done within {} s", PATIENCE.as_secs()),
            "is the link to it very slow?",
        ),
    }
}

async fn examine_one(
    router: &Router,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Result<Health, Trouble> {
    let login = match passwords.router_login(router.id).await {
        Err(StoreError::NoPassword(error)) => return Err(GatewayError::from(error).into()),
        login => &login.map_err(Trouble::Store)?,
    };
    let facts = gateway.probe(login).await?;
    let started = Instant::now();
    gateway.probe(login).await?;
    let round_trip = started.elapsed();
    gateway.look(login, &query()).await?;
    try_to_write(router, gateway).await?;
    gateway.close(router.id).await;
    Ok(Health { facts, round_trip })
}

/// Finds out without changing anything whether the account may write: removes a session that is
/// not there, which a router answers with a refusal only if it may not.
async fn try_to_write(router: &Router, gateway: &dyn RouterGateway) -> Result<(), Trouble> {
    let order = DropOrder {
        actives: RowId::new(NO_ROW).into_iter().collect(),
        ..DropOrder::default()
    };
    let refusals = gateway.drop_rows(router, &order).await?;
    match refusals.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(Trouble::Cause {
            cause: Cause::of_trap(Step::Write, REMOVE, &refusal.message),
            seen: refusal.message,
        }),
    }
}

fn query() -> Query {
    let nobody: Option<Username> = NOBODY.parse().ok();
    Query {
        names: nobody.into_iter().collect(),
        ..Query::default()
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
