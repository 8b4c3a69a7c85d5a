//! Trying a router without changing anything on it: can it be reached, is it the box on record,
//! may its account read and write, and is there a hotspot to cut on.

mod boxes;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    Cause, DropOrder, NewRouter, PasswordStore, Query, Router, RouterFacts, RouterGateway,
    RouterId, RouterLogin, RowId, Step, Survey, Trouble, Username,
};

pub use boxes::Boxes;

/// No router gives this id to a row, so that a write to it changes nothing.
const NO_ROW: &str = "*FFFFFFFF";

/// The command with which writing is tried.
const REMOVE: &str = "/ip/hotspot/active/remove";

/// A name that nobody has.
const NOBODY: &str = "expiryctl doctor";

/// A router's clock that is off by more than this is worth a word.
const CLOCK: TimeDelta = TimeDelta::minutes(1);

/// A clock before this was never set: RouterOS starts in 1970.
const SET: i64 = 1_000_000_000;

/// How long all other routers together may take to say which box they are.
const OTHERS: Duration = Duration::from_secs(3);

/// How long a router that is to be added may take to say what it is.
const FIRST_LOOK: Duration = Duration::from_secs(6);

/// The number of a router that is not in the database.
const NOT_YET: RouterId = RouterId(0);

/// What a router that can be served said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What it is.
    pub facts: RouterFacts,
    /// What is set up on it.
    pub survey: Survey,
    /// How long it took to answer on the warm connection.
    pub round_trip: Duration,
    /// How far its clock is ahead, if it shows one.
    pub clock_ahead: Option<TimeDelta>,
    /// What keeps nobody from being cut and should be mended all the same.
    pub warnings: Vec<Trouble>,
}

/// Tries a router; `now` is the time that its clock should show. The connection stays open.
///
/// # Errors
/// The first thing that keeps subscribers from being cut there.
pub async fn try_router(
    gateway: &dyn RouterGateway,
    login: &RouterLogin,
    now: DateTime<Utc>,
) -> Result<Tried, Trouble> {
    let began = Instant::now();
    gateway.probe(login).await?;
    // Once more on the warm connection: that is what a cut meets.
    let warm = Instant::now();
    let facts = gateway.probe(login).await?;
    let round_trip = warm.elapsed();
    let passed = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    let clock_ahead = facts.clock.map(|clock| clock - (now + passed));
    let survey = gateway.survey(login).await?;
    if survey.device_mode_forbids {
        let seen = "`/system device-mode print` says hotspot: no".into();
        let cause = Cause::DeviceMode;
        return Err(Trouble { cause, seen });
    }
    gateway.look(login, &nobody()).await?;
    try_to_write(gateway, &login.router).await?;
    let warnings = warnings(&facts, &survey, now + passed);
    Ok(Tried {
        facts,
        survey,
        round_trip,
        clock_ahead,
        warnings,
    })
}

fn nobody() -> Query {
    let name: Option<Username> = NOBODY.parse().ok();
    Query {
        names: name.into_iter().collect(),
        ..Query::default()
    }
}

/// Removes a session that is not there, which a router answers with a refusal only if the account
/// may not write.
async fn try_to_write(gateway: &dyn RouterGateway, router: &Router) -> Result<(), Trouble> {
    let order = DropOrder {
        actives: RowId::new(NO_ROW).into_iter().collect(),
        ..DropOrder::default()
    };
    let refusals = gateway.drop_rows(router, &order).await?;
    match refusals.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(Trouble {
            cause: Cause::of_trap(Step::Write, REMOVE, &refusal.message),
            seen: refusal.message,
        }),
    }
}

fn warnings(facts: &RouterFacts, survey: &Survey, now: DateTime<Utc>) -> Vec<Trouble> {
    let mut warnings = Vec::new();
    if let Some(servers) = &survey.servers
        && !servers.iter().any(|server| server.is_on)
    {
        let seen = if servers.is_empty() {
            "`/ip hotspot print` shows no server".into()
        } else {
            let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
            format!("disabled or invalid: {}", names.join(", "))
        };
        let cause = Cause::NoHotspotServer;
        warnings.push(Trouble { cause, seen });
    }
    if let Some(clock) = facts.clock {
        let seen = format!("it shows {}", clock.format("%Y-%m-%d %H:%M:%S UTC"));
        if clock.timestamp() < SET {
            let cause = Cause::ClockNotSet;
            warnings.push(Trouble { cause, seen });
        } else if (clock - now).abs() > CLOCK {
            let cause = Cause::ClockOff;
            warnings.push(Trouble { cause, seen });
        }
    }
    warnings
}

/// Tries a router, and tells whether its box is that of another one of `all`: by what is on record,
/// and of those that have no serial number there, by asking them. The connections are closed.
///
/// # Errors
/// The first thing that keeps subscribers from being cut there: also that it is another's box.
pub async fn examine(
    gateway: &dyn RouterGateway,
    login: &RouterLogin,
    all: &[Router],
    passwords: &dyn PasswordStore,
    now: DateTime<Utc>,
) -> Result<Tried, Trouble> {
    let Router { id, seen, .. } = &login.router;
    let began = Instant::now();
    let tried = try_router(gateway, login, now).await;
    gateway.close(*id).await;
    let mut tried = tried?;
    let others: Vec<_> = all.iter().filter(|other| other.id != *id).collect();
    let mut boxes = Boxes::on_record(others.iter().copied());
    boxes.compare(&login.router, &mut tried)?;
    if seen.as_ref().is_some_and(|seen| seen.serial.is_some()) {
        // On record it is this router's: if another one answers too, that one is too much.
        return Ok(tried);
    }
    let passed = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    ask(&others, passwords, gateway, now + passed, &mut boxes).await;
    boxes.compare(&login.router, &mut tried)?;
    Ok(tried)
}

/// Asks those routers which box they are whose serial number is not on record.
async fn ask(
    others: &[&Router],
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    now: DateTime<Utc>,
    boxes: &mut Boxes,
) {
    let deadline = Instant::now() + OTHERS;
    let is_unknown = |router: &&&Router| {
        let seen = router.seen.as_ref();
        router.enabled && seen.is_none_or(|seen| seen.serial.is_none())
    };
    for other in others.iter().filter(is_unknown) {
        let asked = timeout_at(deadline, async {
            let login = passwords.router_login(other.id).await.ok()?;
            try_router(gateway, &login, now).await.ok()
        });
        let asked = asked.await;
        gateway.close(other.id).await;
        match asked {
            Ok(Some(tried)) => boxes.keep(other, &tried),
            Ok(None) => {}
            Err(_) => break,
        }
    }
}

/// Looks at a router that is to be added, where it can be reached, and returns what is wrong with it:
/// that may be mended later. `None` stands for a router that does not answer within 6 s.
///
/// # Errors
/// It is the box of another router, and is not to be added.
pub async fn look_first(
    gateway: &dyn RouterGateway,
    new: &NewRouter,
    all: &[Router],
    passwords: &dyn PasswordStore,
    now: DateTime<Utc>,
) -> Result<Option<Vec<Trouble>>, Trouble> {
    let login = RouterLogin {
        router: Router {
            id: NOT_YET,
            name: new.name.clone(),
            tenant: new.tenant,
            address: new.address.clone(),
            enabled: true,
            seen: None,
        },
        password: new.password.clone(),
    };
    let looked = examine(gateway, &login, all, passwords, now);
    match timeout(FIRST_LOOK, looked).await {
        Err(_) => Ok(None),
        Ok(Ok(tried)) => Ok(Some(tried.warnings)),
        Ok(Err(trouble)) if trouble.cause == Cause::SameBox => Err(trouble),
        Ok(Err(trouble)) => Ok(Some(vec![trouble])),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Hardware, HotspotServer};

    fn facts(clock: &str, serial: Option<&str>) -> RouterFacts {
        RouterFacts {
            hardware: Hardware {
                identity: "hill".into(),
                serial: serial.map(Into::into),
            },
            version: None,
            board: None,
            uptime: None,
            clock: clock.parse().ok(),
        }
    }

    fn survey(servers: &[(&str, bool)]) -> Survey {
        let server = |(name, is_on): &(&str, bool)| HotspotServer {
            name: (*name).into(),
            is_on: *is_on,
        };
        Survey {
            servers: Some(servers.iter().map(server).collect()),
            ..Survey::default()
        }
    }

    #[rstest]
    #[case::right("2027-01-15T08:00:30Z", &[("hs1", true)], &[])]
    #[case::never_set("1970-01-02T00:00:12Z", &[("hs1", true)], &[Cause::ClockNotSet])]
    #[case::behind("2027-01-15T07:58:00Z", &[("hs1", true)], &[Cause::ClockOff])]
    #[case::unknown("", &[("hs1", true)], &[])]
    #[case::no_server("2027-01-15T08:00:00Z", &[], &[Cause::NoHotspotServer])]
    #[case::one_of_two("2027-01-15T08:00:00Z", &[("hs1", false), ("hs2", true)], &[])]
    #[case::all_off("2027-01-15T08:00:00Z", &[("hs1", false)], &[Cause::NoHotspotServer])]
    fn what_keeps_nobody_from_being_cut_is_a_warning(
        #[case] clock: &str,
        #[case] servers: &[(&str, bool)],
        #[case] expected: &[Cause],
    ) {
        let now = "2027-01-15T08:00:00Z".parse().expect("a time");
        let found = warnings(&facts(clock, None), &survey(servers), now);
        let causes: Vec<_> = found.into_iter().map(|warning| warning.cause).collect();
        assert_eq!(causes, expected);
    }
}
