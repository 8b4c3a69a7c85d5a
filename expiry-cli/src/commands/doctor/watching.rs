//! Is anybody making cuts, and are they made?

use chrono::TimeDelta;
use expiry_core::{Status, StatusStore, unreached_words};

use super::check::{Check, answer};
use crate::{
    output::{count, time},
    words::span,
};

/// Cuts that are owed for longer than this are worth a look.
const NOTABLE: TimeDelta = TimeDelta::minutes(1);

/// Cuts that are owed for longer than this are not being made.
const MOST: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn check(store: &(impl StatusStore + ?Sized)) -> Vec<Check> {
    match answer("watcher", store.status(1)).await {
        Ok(status) => vec![
            watcher(&status),
            brake(&status),
            unreached(&status),
            owed(&status),
        ],
        Err(check) => vec![check],
    }
}

fn watcher(status: &Status) -> Check {
    const NAME: &str = "watcher";
    let alive = status.watchers.iter().filter(|watcher| watcher.watches());
    let alive = alive.count() as u64;
    if alive > 0 {
        return Check::ok(NAME, format!("{} alive", count(alive, "watcher")));
    }
    let checks = status.watchers.iter();
    let every = checks.filter_map(|one| one.comes_again(status.now)).min();
    if let Some(every) = every {
        return Check::ok(NAME, format!("checked by cron every {}", span(every)));
    }
    let advice = "start the service, or `expiryctl run`; from cron, say how often: `expiryctl run \
                  --once --every 60s`";
    match status.watchers.iter().map(|w| w.heartbeat_at).max() {
        Some(last) => {
            let found = format!("none alive, last heartbeat {}", time(last));
            Check::failed(NAME, found, advice)
        }
        None => Check::warning(NAME, "none runs", advice),
    }
}

fn brake(status: &Status) -> Check {
    const NAME: &str = "brake";
    match status.brakes.first() {
        None => Check::ok(NAME, "none holds"),
        Some(brake) => {
            let found = format!("since {}: {brake}", time(brake.since()));
            Check::failed(NAME, found, "`expiryctl brake` says what to do")
        }
    }
}

/// What the watcher met, which may be on another network than this command.
fn unreached(status: &Status) -> Check {
    const NAME: &str = "reached";
    let routers = status.routers.iter().filter(|one| one.is_out_of_reach());
    let found: Vec<_> = routers.map(unreached_words).collect();
    if found.is_empty() {
        return Check::ok(NAME, "every router in service answers the watcher");
    }
    let advice = "`expiryctl router test` says which step fails";
    Check::warning(NAME, found.join("; "), advice)
}

fn owed(status: &Status) -> Check {
    const NAME: &str = "owed";
    let all = status.owed_cuts + status.owed_restores;
    let Some(oldest) = status.owed.first() else {
        return Check::ok(NAME, "nothing");
    };
    let backlog = status.backlog;
    if oldest.backlog && status.late_subscribers == 0 {
        let found = format!(
            "{} of {} who had ended before they were known",
            backlog.left, backlog.of
        );
        return Check::warning(
            NAME,
            found,
            "they are being taken off; `expiryctl status` says how far",
        );
    }
    let age = status.now - oldest.since;
    let cuts = count(status.owed_cuts, "cut");
    let restores = count(status.owed_restores, "restore");
    let found = format!(
        "{cuts}, {restores}, the oldest since {}",
        time(oldest.since)
    );
    let advice = "`expiryctl status` says why";
    if all == 0 || age <= NOTABLE {
        Check::ok(NAME, found)
    } else if age <= MOST {
        Check::warning(NAME, found, advice)
    } else {
        Check::failed(NAME, found, advice)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use expiry_core::{
        Backlog, Brake, MockStatusStore, OwedItem, RouterId, StoreError, SubscriberId, WatcherId,
        WatcherKind, WatcherStatus,
    };

    use super::*;
    use crate::commands::doctor::check::State;

    fn status(owed_for_s: Option<i64>, alive: &[bool]) -> Status {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let item = |seconds| {
            OwedItem::unplanned(
                (SubscriberId(1), "joe".parse().expect("a name")),
                None,
                (RouterId(1), "r1".into()),
                now - TimeDelta::seconds(seconds),
            )
        };
        let watcher = |alive: &bool| WatcherStatus {
            id: WatcherId::fresh(),
            kind: WatcherKind::Watcher,
            heartbeat_at: now,
            alive: *alive,
            machine: None,
            braked: false,
            interval: None,
        };
        Status {
            now,
            brakes: Vec::new(),
            live_subscribers: 0,
            owed_cuts: owed_for_s.iter().count() as u64,
            owed_restores: 0,
            owed_subscribers: 0,
            late_subscribers: 0,
            backlog: Backlog::default(),
            next_deadline: None,
            watchers: alive.iter().map(watcher).collect(),
            routers: Vec::new(),
            owed: owed_for_s.map(item).into_iter().collect(),
        }
    }

    #[test]
    fn r9_a_watcher_that_fell_silent_is_a_failure_and_none_at_all_a_warning() {
        for (alive, state) in [
            (&[true, false][..], State::Ok),
            (&[false], State::Failed),
            (&[], State::Warning),
        ] {
            assert_eq!(watcher(&status(None, alive)).state, state, "{alive:?}");
        }
    }

    #[test]
    fn r10_a_brake_that_holds_is_a_failure() {
        let mut status = status(None, &[true]);
        assert_eq!(brake(&status).state, State::Ok);
        status.brakes = vec![Brake::Share {
            since: status.now,
            ended: 5,
            subscribers: 10,
            limit_percent: 20,
        }];
        let check = brake(&status);
        assert_eq!(check.state, State::Failed);
        assert!(check.found.contains("more than 20 %"), "{check}");
    }

    #[test]
    fn r9_backlog_that_is_worked_through_is_a_warning() {
        let mut status = status(Some(9_000_000), &[true]);
        status.late_subscribers = 0;
        status.backlog = Backlog { left: 3, of: 9 };
        status.owed[0].backlog = true;
        let check = owed(&status);
        assert_eq!(check.state, State::Warning);
        assert!(check.found.starts_with("3 of 9"), "{check}");
    }

    #[test]
    fn r9_what_is_owed_for_long_is_a_failure() {
        for (age, state) in [
            (None, State::Ok),
            (Some(60), State::Ok),
            (Some(61), State::Warning),
            (Some(301), State::Failed),
        ] {
            assert_eq!(owed(&status(age, &[])).state, state, "{age:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_answer_is_a_failure_in_time() {
        let mut store = MockStatusStore::new();
        store
            .expect_status()
            .returning(|_| Err(StoreError::Unavailable("gone".into())));
        let checks = check(&store).await;
        assert_eq!(checks[0].state, State::Failed);
        let silent = answer("any", std::future::pending::<Result<(), StoreError>>()).await;
        assert!(silent.expect_err("failed").found.contains("within 2 s"));
    }
}
