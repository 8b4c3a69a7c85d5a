//! Each router, all at once: from its name to what its account may do.

use std::{fmt, sync::Arc, time::Duration};

use expiry_core::{
    Clock, GatewayError, PasswordStore, Router, RouterGateway, StoreError, SystemClock, Tried,
    Trouble, same_box, same_system_id, try_router,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::check::{Check, Findings};
use crate::error::{CliError, chain};

/// How long all routers together may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a login may stay silent until that is told: some boards take 8 s.
pub(super) const LOGIN: Duration = Duration::from_secs(15);

/// Most connections that are made at once: each is a file of this process.
const AT_ONCE: usize = 256;

pub(super) async fn examine(
    routers: Vec<Router>,
    passwords: &Arc<dyn PasswordStore>,
    gateway: &Arc<dyn RouterGateway>,
    findings: &mut Findings<'_, '_>,
) -> Result<(), CliError> {
    let all = routers.len();
    let deadline = Instant::now() + PATIENCE;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut boxes = Boxes::on_record(&routers);
    let mut running = JoinSet::new();
    for router in routers {
        let (gateway, permits) = (Arc::clone(gateway), Arc::clone(&permits));
        let passwords = Arc::clone(passwords);
        running.spawn(async move {
            let tried = timeout_at(deadline, async {
                let _permit = permits.acquire().await;
                try_one(&router, &*passwords, &*gateway).await
            });
            let verdict = tried.await.ok();
            Found { router, verdict }
        });
    }
    let mut done = 0;
    loop {
        findings.doing(&format!("{done} of {all} routers"));
        let Some(ended) = running.join_next().await else {
            return Ok(());
        };
        done += 1;
        for check in check(ended.map_err(CliError::Panic)?, &mut boxes) {
            findings.add(check)?;
        }
    }
}

/// What was found on a router.
struct Found {
    router: Router,
    /// `None` if it was not done in time.
    verdict: Option<Result<Tried, Fault>>,
}

/// What went wrong.
enum Fault {
    Router(Trouble),
    /// The database did not tell the password.
    Store(StoreError),
}

async fn try_one(
    router: &Router,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Result<Tried, Fault> {
    let login = match passwords.router_login(router.id).await {
        Ok(login) => login,
        Err(StoreError::NoPassword(error)) => {
            return Err(Fault::Router(GatewayError::from(*error).into()));
        }
        Err(error) => return Err(Fault::Store(error)),
    };
    let tried = try_router(gateway, &login, SystemClock.wall()).await;
    gateway.close(router.id).await;
    tried.map_err(Fault::Router)
}

/// The boxes that were found so far, by the names of their routers.
#[derive(Default)]
struct Boxes {
    serials: Vec<(String, String)>,
    system_ids: Vec<(String, String)>,
}

impl Boxes {
    /// Starts with what is on record.
    fn on_record(routers: &[Router]) -> Self {
        let serial = |router: &Router| {
            let serial = router.seen.as_ref()?.serial.clone()?;
            Some((router.name.clone(), serial))
        };
        Self {
            serials: routers.iter().filter_map(serial).collect(),
            system_ids: Vec::new(),
        }
    }

    /// Tells what is wrong with a box beside the others, and keeps it.
    fn add(&mut self, name: &str, tried: &mut Tried) -> Result<(), Trouble> {
        let others = |known: &[(String, String)]| {
            let others = known.iter().filter(|(other, _)| other != name);
            let others = others.map(|(other, id)| (other.clone(), id.clone()));
            others.collect::<Vec<_>>()
        };
        let known = others(&self.serials);
        let known = known
            .iter()
            .map(|(other, id)| (other.as_str(), Some(id.as_str())));
        if let Some(twin) = same_box(&tried.facts, known) {
            return Err(twin);
        }
        let known = others(&self.system_ids);
        let known = known
            .iter()
            .map(|(other, id)| (other.as_str(), Some(id.as_str())));
        tried.warnings.extend(same_system_id(&tried.survey, known));
        let name = || name.to_owned();
        self.serials
            .extend(tried.facts.hardware.serial.clone().map(|id| (name(), id)));
        self.system_ids
            .extend(tried.survey.system_id.clone().map(|id| (name(), id)));
        Ok(())
    }
}

fn check(found: Found, boxes: &mut Boxes) -> Vec<Check> {
    let router = &found.router.name;
    let name = format!("router {router}");
    let tried = match found.verdict {
        Some(Ok(mut tried)) => boxes.add(router, &mut tried).map(|()| tried),
        Some(Err(Fault::Router(trouble))) => Err(trouble),
        Some(Err(Fault::Store(error))) => {
            let found = format!("reading its password failed: {}", chain(&error));
            return vec![Check::failed(
                name,
                found,
                "see what the database server logs",
            )];
        }
        None => {
            let found = format!("not done within {} s", PATIENCE.as_secs());
            return vec![Check::failed(name, found, "is the link to it very slow?")];
        }
    };
    match tried {
        Ok(tried) => {
            let warnings = tried.warnings.iter();
            let warnings = warnings.map(|warning| Check::warned(name.clone(), warning, router));
            let mut checks: Vec<_> = warnings.collect();
            checks.insert(0, Check::ok(name.clone(), Health(&tried).to_string()));
            checks
        }
        Err(trouble) => vec![Check::caused(name, &trouble, router)],
    }
}

/// What is right.
struct Health<'a>(&'a Tried);

impl fmt::Display for Health<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connected, logged in, may read and write")?;
        for (what, value) in [
            ("RouterOS ", &self.0.facts.version),
            ("", &self.0.facts.board),
        ] {
            if let Some(value) = value {
                write!(f, ", {what}{value}")?;
            }
        }
        let millis = self.0.round_trip.as_secs_f64() * 1_000.0;
        write!(f, ", round trip {millis:.1} ms")
    }
}

#[cfg(test)]
mod tests;
