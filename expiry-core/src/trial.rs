//! Trying a router without changing anything on it: can it be reached, is it the box on record,
//! may its account read and write, and is there a hotspot to cut on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::{
    Cause, DropOrder, GatewayError, Query, Router, RouterFacts, RouterGateway, RouterLogin, RowId,
    Step, Survey, Trouble, Username,
};

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

/// What a router that can be served said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What it is.
    pub facts: RouterFacts,
    /// What is set up on it.
    pub survey: Survey,
    /// How long it took to answer on the warm connection.
    pub round_trip: Duration,
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

/// Tells that a box which says `facts` is on record, or was just found, as another router.
pub fn same_box<'a>(
    facts: &RouterFacts,
    others: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Option<Trouble> {
    let serial = facts.hardware.serial.as_deref()?;
    let mut others = others.into_iter();
    let (router, _) = others.find(|(_, theirs)| *theirs == Some(serial))?;
    let error = GatewayError::SameBox {
        router: router.to_owned(),
        serial: serial.to_owned(),
    };
    Some(error.into())
}

/// Tells that a box without serial number has the system-id of another router.
pub fn same_system_id<'a>(
    survey: &Survey,
    others: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Option<Trouble> {
    let id = survey.system_id.as_deref()?;
    let mut others = others.into_iter();
    let (router, _) = others.find(|(_, theirs)| *theirs == Some(id))?;
    Some(Trouble {
        cause: Cause::SameSystemId,
        seen: format!("router `{router}` has the same system-id, {id}"),
    })
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

    #[test]
    fn a_box_is_known_again_by_its_serial_number_alone() {
        let others = [("r0", None), ("r1", Some("HF1"))];
        let twin = same_box(&facts("", Some("HF1")), others).expect("known");
        assert_eq!(twin.cause, Cause::SameBox);
        assert!(twin.seen.contains("`r1`"), "{}", twin.seen);
        assert_eq!(same_box(&facts("", Some("HF2")), others), None);
        assert_eq!(same_box(&facts("", None), others), None);
    }
}
