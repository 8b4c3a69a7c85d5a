use std::fmt;

use expiry_core::{OwedItem, RouterStatus, Status, StatusStore, WayIn};
use serde::Serialize;

use super::{brake, router::BoxName};
use crate::{
    error::CliError,
    output::{Output, count, time},
};

/// Most owed items that are listed.
const LIMIT: u32 = 1_000;

pub(super) async fn run(store: &dyn StatusStore, out: &mut Output<'_>) -> Result<(), CliError> {
    let status = store.status(LIMIT).await?;
    Ok(out.show(&Report(status))?)
}

/// A status as people read it.
#[derive(Debug, Serialize)]
pub(super) struct Report(pub(super) Status);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.0;
        for brake in &status.brakes {
            writeln!(f, "{}", brake::Line(brake))?;
        }
        writeln!(f, "at {}", time(status.now))?;
        watchers(status, f)?;
        write!(f, "subscribers: {} live", status.live_subscribers)?;
        match status.next_deadline {
            Some(at) => writeln!(f, ", next access ends {}", time(at))?,
            None => writeln!(f, ", no end ahead")?,
        }
        writeln!(f, "routers: {}", status.routers.len())?;
        for router in &status.routers {
            writeln!(f, "  {}", RouterLine(router))?;
        }
        let cuts = count(status.owed_cuts, "cut");
        let restores = count(status.owed_restores, "restore");
        write!(f, "owed: {cuts}, {restores}")?;
        for item in &status.owed {
            write!(f, "\n  {}", OwedLine(item))?;
        }
        let owed = status.owed_cuts + status.owed_restores;
        let hidden = owed.saturating_sub(status.owed.len() as u64);
        if hidden > 0 {
            write!(f, "\n  and {hidden} more")?;
        }
        Ok(())
    }
}

fn watchers(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let alive = status
        .watchers
        .iter()
        .filter(|watcher| watcher.alive)
        .count();
    let braked = status
        .watchers
        .iter()
        .filter(|watcher| watcher.alive && watcher.braked)
        .count();
    match (alive, braked) {
        (0, _) => writeln!(f, "watchers: none alive, nobody makes cuts")?,
        (alive, 0) => writeln!(f, "watchers: {alive} alive")?,
        (alive, braked) if alive == braked => {
            writeln!(f, "watchers: {alive} alive, all BRAKED, nobody makes cuts")?;
        }
        (alive, braked) => writeln!(f, "watchers: {alive} alive, {braked} of them BRAKED")?,
    }
    for watcher in &status.watchers {
        write!(f, "  {}", watcher.id)?;
        if let Some(machine) = &watcher.machine {
            write!(f, " on {machine}")?;
        }
        let state = match (watcher.alive, watcher.braked) {
            (true, false) => "alive",
            (true, true) => "BRAKED",
            (false, _) => "silent",
        };
        let heartbeat = time(watcher.heartbeat_at);
        writeln!(f, " {state}, last heartbeat {heartbeat}")?;
    }
    Ok(())
}

struct RouterLine<'a>(&'a RouterStatus);

impl fmt::Display for RouterLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let router = self.0;
        write!(f, "{} {}", router.name, router.address)?;
        if let Some(tenant) = &router.tenant {
            write!(f, " of {tenant}")?;
        }
        match (router.enabled, router.down_since, router.attempted_at) {
            (false, _, _) => write!(f, ": disabled")?,
            (true, Some(since), _) => write!(f, ": down since {}", time(since))?,
            (true, None, Some(_)) => write!(f, ": up")?,
            (true, None, None) => write!(f, ": not tried yet")?,
        }
        if let (true, Some(_), Some(error)) =
            (router.enabled, router.down_since, &router.last_error)
        {
            write!(f, " ({error})")?;
        }
        match router.owner {
            Some(owner) => write!(f, ", served by {owner}")?,
            None if router.enabled => write!(f, ", served by nobody")?,
            None => {}
        }
        if let Some(seen) = &router.seen {
            write!(f, ", {}", BoxName { seen })?;
        }
        if router.owed_cuts + router.owed_restores > 0 {
            let cuts = count(router.owed_cuts, "cut");
            let restores = count(router.owed_restores, "restore");
            write!(f, ", owed {cuts}, {restores}")?;
        }
        if router.strays > 0 {
            write!(f, ", {}", count(router.strays, "stray"))?;
        }
        Ok(())
    }
}

struct OwedLine<'a>(&'a OwedItem);

impl fmt::Display for OwedLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = self.0;
        write!(f, "{} of {}", item.want, item.username)?;
        if let Some(device) = item.device {
            write!(f, " (removed device {device})")?;
        }
        if let Some(tenant) = &item.tenant {
            write!(f, " of {tenant}")?;
        }
        let (router, since) = (&item.router, time(item.since));
        if item.online {
            write!(f, ": online on {router}, owed since {since}")?;
        } else {
            write!(f, ": unconfirmed on {router} since {since}")?;
        }
        match item.task {
            Some(_) => write!(f, ", {}", count(item.attempts.into(), "attempt"))?,
            None => write!(f, ", no watcher has taken it up yet")?,
        }
        if let Some(error) = &item.last_error {
            write!(f, ", last: {error}")?;
        }
        if item.cannot_hold {
            let way_in = item.way_in.unwrap_or(WayIn::Unknown);
            write!(f, "; CANNOT HOLD, comes back by {}", advice(way_in))?;
        }
        Ok(())
    }
}

fn advice(way_in: WayIn) -> &'static str {
    match way_in {
        WayIn::Trial => "trial: take `trial` out of `login-by` of the server profile",
        WayIn::Radius => "RADIUS: reject the account there too",
        WayIn::MacLogin => "MAC login: remove the MAC from RADIUS, or `mac` from `login-by`",
        WayIn::Cookie => "a saved cookie: take `cookie` out of `login-by`",
        WayIn::Bypass => "a bypass binding: something on the router makes it anew",
        WayIn::Account => "its account: something else enables it again",
        WayIn::Unknown => "a way that the rows do not show",
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use expiry_core::{
        Brake, MockStatusStore, RouterId, StoreError, SubscriberId, TaskId, Want, WatcherId,
        WatcherStatus,
    };

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
    }

    fn item() -> OwedItem {
        OwedItem {
            task: Some(TaskId(1)),
            subscriber: SubscriberId(1),
            username: "joe".parse().expect("a name"),
            device: None,
            tenant: None,
            router: "r1".into(),
            want: Want::Cut,
            since: at(0),
            online: false,
            attempts: 1,
            attempted_at: Some(at(9)),
            last_error: Some("no answer for 5 s".into()),
            cannot_hold: false,
            way_in: None,
        }
    }

    fn router() -> RouterStatus {
        RouterStatus {
            id: RouterId(1),
            name: "r1".into(),
            tenant: None,
            address: "10.0.0.1:8728".into(),
            enabled: true,
            owner: None,
            seen: None,
            down_since: None,
            attempted_at: Some(at(9)),
            last_error: None,
            owed_cuts: 0,
            owed_restores: 0,
            reconciled_at: None,
            strays: 0,
        }
    }

    fn status() -> Status {
        Status {
            now: at(10),
            brakes: Vec::new(),
            live_subscribers: 5,
            owed_cuts: 3,
            owed_restores: 0,
            next_deadline: Some(at(60)),
            watchers: vec![WatcherStatus {
                id: WatcherId::fresh(),
                heartbeat_at: at(8),
                alive: true,
                machine: Some("vps1".into()),
                braked: false,
            }],
            routers: vec![router()],
            owed: vec![item()],
        }
    }

    #[test]
    fn r9_every_owed_item_has_a_reason() {
        let text = OwedLine(&item()).to_string();
        let expected = "cut of joe: unconfirmed on r1 since 2027-01-15T08:00:00Z, 1 attempt, \
                        last: no answer for 5 s";
        assert_eq!(text, expected);
        let online = OwedItem {
            online: true,
            last_error: None,
            ..item()
        };
        let text = OwedLine(&online).to_string();
        assert!(
            text.contains(": online on r1, owed since 2027-01-15T08:00:00Z"),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_hold_says_how_they_come_back() {
        let item = OwedItem {
            cannot_hold: true,
            way_in: Some(WayIn::Trial),
            ..item()
        };
        let text = OwedLine(&item).to_string();
        assert!(
            text.contains("CANNOT HOLD") && text.contains("`trial`"),
            "{text}"
        );
    }

    #[test]
    fn r9_nobody_watching_is_said_first() {
        let mut status = status();
        for watcher in &mut status.watchers {
            watcher.alive = false;
        }
        let text = Report(status).to_string();
        assert!(
            text.contains("watchers: none alive, nobody makes cuts"),
            "{text}"
        );
    }

    #[test]
    fn r10_a_brake_is_said_before_everything_else() {
        let mut status = status();
        status.brakes = vec![Brake::Clock {
            machine: "vps1".into(),
            since: at(5),
            apart_ms: Some(9_000),
            jumped_ms: None,
            agreed_ms: None,
        }];
        status.watchers[0].braked = true;
        let text = Report(status).to_string();
        assert!(
            text.starts_with("BRAKED since 2027-01-15T08:00:05Z: "),
            "{text}"
        );
        assert!(
            text.contains("watchers: 1 alive, all BRAKED, nobody makes cuts"),
            "{text}"
        );
        assert!(text.contains(" on vps1 BRAKED, "), "{text}");
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let text = Report(status()).to_string();
        assert!(text.ends_with("\n  and 2 more"), "{text}");
    }

    #[test]
    fn a_router_that_is_down_says_since_when_and_why() {
        let down = RouterStatus {
            down_since: Some(at(-60)),
            last_error: Some("login refused".into()),
            ..router()
        };
        let text = RouterLine(&down).to_string();
        let expected = "r1 10.0.0.1:8728: down since 2027-01-15T07:59:00Z (login refused), \
                        served by nobody";
        assert_eq!(text, expected);
    }

    #[test]
    fn r9_strays_are_counted_by_router() {
        for (strays, expected) in [(0, "nobody"), (1, "nobody, 1 stray"), (9, ", 9 strays")] {
            let router = RouterStatus { strays, ..router() };
            let text = RouterLine(&router).to_string();
            assert!(text.ends_with(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_gone_is_a_failure() {
        let mut store = MockStatusStore::new();
        store
            .expect_status()
            .return_once(|_| Err(StoreError::Unavailable("gone".into())));
        let mut bytes = Vec::new();
        let result = run(&store, &mut Output::new(&mut bytes, false)).await;
        assert_eq!(
            result.expect_err("failed").exit_code(),
            crate::error::FAILED
        );
    }
}
