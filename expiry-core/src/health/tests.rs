use chrono::{DateTime, TimeDelta, Utc};
use rstest::rstest;

use super::*;
use crate::{Backlog, Brake, RouterId, WatcherId, WatcherKind};

const NOW: DateTime<Utc> = DateTime::<Utc>::UNIX_EPOCH;

fn status(alive: &[bool], late: u64) -> Status {
    let watcher = |alive: &bool| WatcherStatus {
        id: WatcherId::fresh(),
        kind: WatcherKind::Watcher,
        heartbeat_at: NOW,
        alive: *alive,
        machine: None,
        braked: false,
        interval: None,
    };
    Status {
        now: NOW,
        owed_cuts: late * 3,
        owed_restores: 7,
        owed_subscribers: late,
        late_subscribers: late,
        watchers: alive.iter().map(watcher).collect(),
        ..Status::default()
    }
}

fn down(name: &str, owed_cuts: u64, ends_soon: u64) -> RouterStatus {
    RouterStatus {
        id: RouterId(1),
        name: name.into(),
        tenant: None,
        address: "10.0.0.1:8728".into(),
        enabled: true,
        owner: None,
        seen: None,
        down_since: Some(NOW - TimeDelta::minutes(5)),
        attempted_at: Some(NOW),
        last_error: Some("login refused".into()),
        owed_cuts,
        owed_restores: 0,
        reconciled_at: None,
        strays: 0,
        oldest_cut: (owed_cuts > 0).then_some(NOW),
        ends_soon: Some(ends_soon),
        said: None,
    }
}

#[rstest]
#[case(&[true], 0, Health::Healthy, 0)]
#[case(&[false, true], 1, Health::NeedsAttention, 1)]
#[case(&[true], 10, Health::NeedsAttention, 1)]
#[case(&[true], 11, Health::Critical, 1)]
#[case(&[false], 0, Health::Critical, 1)]
#[case(&[], 1, Health::Critical, 2)]
fn r9_health_is_the_worst_finding_and_each_has_a_reason(
    #[case] alive: &[bool],
    #[case] late: u64,
    #[case] health: Health,
    #[case] reasons: usize,
) {
    let report = HealthReport::of(&status(alive, late));
    assert_eq!(report.health, health);
    assert_eq!(report.reasons.len(), reasons, "{:?}", report.reasons);
}

#[test]
fn r9_who_is_being_cut_this_moment_is_no_finding() {
    let status = Status {
        owed_subscribers: 500,
        owed_cuts: 500,
        ..status(&[true], 0)
    };
    assert_eq!(HealthReport::of(&status).health, Health::Healthy);
}

#[test]
fn r9_backlog_needs_attention_with_its_progress_and_hides_nobody_who_is_late() {
    let mut status = status(&[true], 0);
    status.owed_subscribers = 1_240;
    status.backlog = Backlog {
        left: 1_240,
        of: 2_900,
    };
    let report = HealthReport::of(&status);
    let progress = "1240 of 2900 whose access had ended before it was entered here or watched are \
                    still to be taken off";
    assert_eq!(report.health, Health::NeedsAttention);
    assert_eq!(report.reasons, [progress]);
    status.late_subscribers = 11;
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::Critical);
    assert!(report.reasons[0].starts_with("11 subscribers"));
    assert_eq!(report.reasons[1], progress);
}

#[test]
fn r9_a_router_that_does_not_answer_is_named_with_what_waits_for_it() {
    let mut status = status(&[true], 0);
    status.routers = vec![down("r1", 0, 0), down("r2", 0, 12)];
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::NeedsAttention);
    let since = "does not answer since 1969-12-31T23:55:00Z (login refused)";
    assert_eq!(
        report.reasons,
        [
            format!("router r2 {since}: 12 accesses end there within the hour"),
            format!("router r1 {since}"),
        ]
    );
    status.late_subscribers = 30;
    status.routers[0].owed_cuts = 30;
    status.routers[0].oldest_cut = Some(NOW);
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::Critical);
    assert_eq!(
        report.reasons[0],
        format!("router r1 {since}: 30 cuts wait for it")
    );
    assert!(report.reasons[1].starts_with("30 subscribers"));
}

#[test]
fn r9_three_routers_are_named_and_the_others_counted() {
    let mut status = status(&[true], 0);
    let names = ["a", "b", "c", "d", "e"];
    status.routers = names.map(|name| down(name, 0, 0)).into();
    let report = HealthReport::of(&status);
    assert_eq!(report.reasons.len(), 4);
    assert_eq!(report.reasons[3], "2 more routers do not answer, or refuse");
}

#[test]
fn r9_a_router_that_was_never_reached_is_a_reason_and_a_disabled_one_is_none() {
    let fresh = RouterStatus {
        down_since: None,
        attempted_at: None,
        last_error: None,
        ..down("r1", 0, 0)
    };
    let mut status = status(&[true], 0);
    status.routers = vec![fresh];
    let report = HealthReport::of(&status);
    assert_eq!(report.reasons, ["router r1 was never reached"]);
    assert_eq!(report.health, Health::NeedsAttention);
    for router in [down("r1", 0, 0), status.routers[0].clone()] {
        status.routers = vec![RouterStatus {
            enabled: false,
            ..router
        }];
        assert_eq!(HealthReport::of(&status).health, Health::Healthy);
    }
}

#[test]
fn r9_a_router_that_answers_and_cannot_be_read_is_named_with_what_will_wait_and_a_silent_moment_is_not()
 {
    let refusing = RouterStatus {
        down_since: None,
        last_error: Some("not allowed by device-mode [device_mode]".into()),
        ..down("hill", 0, 2)
    };
    let mut status = status(&[true], 0);
    status.routers = vec![refusing.clone()];
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::NeedsAttention);
    let told = "router hill answers and cannot be served (not allowed by device-mode [device_mode]): \
                2 accesses end there within the hour";
    assert_eq!(report.reasons, [told]);
    let silent = Some("no answer to a question for 3 s".into());
    for (enabled, last_error) in [
        (true, silent),
        (true, None),
        (false, refusing.last_error.clone()),
    ] {
        status.routers = vec![RouterStatus {
            enabled,
            last_error,
            ..refusing.clone()
        }];
        assert_eq!(HealthReport::of(&status).health, Health::Healthy);
    }
}

#[test]
fn r9_a_single_check_is_no_watcher() {
    let mut status = status(&[true], 0);
    status.watchers[0].kind = WatcherKind::Check;
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::Critical);
    assert_eq!(report.reasons, ["no watcher is alive: nobody makes cuts"]);
}

#[rstest]
#[case::in_time(60, Some(60), Health::Healthy)]
#[case::late_once(139, Some(60), Health::Healthy)]
#[case::missed(140, Some(60), Health::Critical)]
#[case::by_hand(1, None, Health::Critical)]
#[case::by_a_clock_far_ahead(-140, Some(60), Health::Critical)]
fn r9_a_check_that_comes_again_is_missed_when_it_does_not(
    #[case] ago: i64,
    #[case] every: Option<u64>,
    #[case] expected: Health,
) {
    let mut status = status(&[false], 0);
    let check = &mut status.watchers[0];
    check.kind = WatcherKind::Check;
    check.heartbeat_at = NOW - TimeDelta::seconds(ago);
    check.interval = every.map(std::time::Duration::from_secs);
    assert_eq!(HealthReport::of(&status).health, expected);
    // How often a watcher looks says nothing about when it is back.
    status.watchers[0].kind = WatcherKind::Watcher;
    assert_eq!(HealthReport::of(&status).health, Health::Critical);
}

#[test]
fn r10_a_brake_is_critical_and_says_why() {
    let mut status = status(&[true], 1);
    status.brakes.push(Brake::Share {
        since: status.now,
        ended: 600,
        subscribers: 1000,
        limit_percent: 50,
    });
    let report = HealthReport::of(&status);
    assert_eq!(report.health, Health::Critical);
    assert_eq!(report.reasons[0], format!("braked: {}", status.brakes[0]));
    assert_eq!(report.reasons.len(), 2);
}

#[test]
fn its_words_are_those_of_the_api() {
    let words = [Health::Healthy, Health::NeedsAttention, Health::Critical];
    let json = serde_json::to_string(&words).expect("JSON");
    assert_eq!(json, r#"["healthy","needs_attention","critical"]"#);
}
