use expiry_core::{
    Backlog, HealthReport, LagReport, Lags, RouterId, RouterLags, Status, SubscriberId, TaskId,
    WatcherId, WatcherKind, WatcherStatus,
};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
}

fn owed(number: usize) -> OwedItem {
    OwedItem {
        task: Some(TaskId(1)),
        subscriber: SubscriberId(1),
        username: format!("2557000000{number:02}").parse().expect("a name"),
        device: None,
        tenant: None,
        router: "hill".into(),
        router_id: RouterId(1),
        want: Want::Cut,
        since: at(-185),
        online: number.is_multiple_of(2),
        attempts: 1,
        attempted_at: Some(at(-1)),
        last_error: Some("no answer for 5 s".into()),
        cannot_hold: false,
        way_in: None,
        backlog: false,
    }
}

fn router(number: usize) -> RouterStatus {
    RouterStatus {
        id: RouterId(i64::try_from(number).expect("small")),
        name: format!("router-{number}"),
        tenant: None,
        address: "10.0.0.1:8728".into(),
        enabled: true,
        owner: Some(WatcherId::fresh()),
        seen: None,
        down_since: (number == 1).then(|| at(-185)),
        attempted_at: Some(at(-1)),
        last_error: (number == 1).then(|| "cannot connect".into()),
        owed_cuts: u64::from(number == 1),
        owed_restores: 0,
        reconciled_at: None,
        strays: 2 * u64::from(number == 2),
        oldest_cut: None,
        ends_soon: None,
        said: None,
    }
}

fn upcoming(number: usize) -> Upcoming {
    Upcoming {
        subscriber: SubscriberId(1),
        username: format!("25571{number:07}").parse().expect("a name"),
        tenant: None,
        ends_at: at(12 + i64::try_from(number).expect("small")),
    }
}

fn report(owed_items: usize, routers: usize, ends: usize) -> Report {
    let status = Status {
        now: at(0),
        brakes: Vec::new(),
        live_subscribers: 1_204,
        owed_cuts: owed_items as u64,
        owed_restores: 0,
        owed_subscribers: owed_items as u64,
        late_subscribers: owed_items as u64,
        backlog: Backlog::default(),
        next_deadline: Some(at(12)),
        watchers: vec![WatcherStatus {
            id: WatcherId::fresh(),
            kind: WatcherKind::Watcher,
            heartbeat_at: at(-1),
            alive: true,
            machine: None,
            braked: false,
            interval: None,
        }],
        routers: (0..routers).map(router).collect(),
        owed: (0..owed_items).map(owed).collect(),
    };
    let mut lags = Lags::default();
    lags.cuts.record(Duration::from_millis(41));
    lags.outage_cuts.record(Duration::from_secs(95));
    Report {
        health: HealthReport::of(&status),
        lag: LagReport::new(vec![RouterLags {
            id: Some(RouterId(0)),
            router: Some("router-0".into()),
            lags,
        }]),
        upcoming: (0..ends).map(upcoming).collect(),
        status,
    }
}

fn text(report: &Report, width: usize, height: usize) -> Vec<String> {
    let rows = rows(report, None, Size { width, height });
    rows.iter().map(Row::text).collect()
}

#[test]
fn everything_stands_on_a_usual_screen() {
    let text = text(&report(2, 3, 2), 80, 24);
    assert_eq!(text[0].len(), 80);
    assert!(text[0].starts_with("expiryctl 2027-01-15 08:00:00 UTC"));
    assert!(text[0].ends_with(" NEEDS ATTENTION"));
    assert_eq!(
        text[1..],
        [
            "router router-1 does not answer since 2027-01-15T07:56:55Z (cannot connect): 1 cut \
             waits for it; 2 subscribers who may not be online any more are not confirmed off",
            "1 watcher alive, 1204 subscribers live, owed 2 cuts and 0 restores",
            "lag p50 ≤41ms p99 ≤41ms max 41ms (1); after outages p50 ≤1m35s p99 ≤1m35s max 1m35s (1)",
            "",
            "OWED 2",
            "  255700000000         hill         online      3m05s   no answer for 5 s",
            "  255700000001         hill         unconfirmed 3m05s   no answer for 5 s",
            "",
            "ROUTERS 3",
            "  router-0             up                       p50 ≤41ms p99 ≤41ms max 41ms (1)",
            "  router-1             DOWN 3m05s   owed 1      cannot connect",
            "  router-2             up                       2 strays",
            "",
            "NEXT ENDS",
            "  255710000000         12s          2027-01-15 08:00:12 UTC ",
            "  255710000001         13s          2027-01-15 08:00:13 UTC ",
        ]
    );
}

#[test]
fn r9_ends_that_were_known_late_are_told_apart_from_the_lag() {
    let mut late = report(2, 3, 2);
    let mut lags = late.lag.routers[0].lags.clone();
    lags.known_late_cuts.record(Duration::from_secs(2));
    late.lag = LagReport::new(vec![RouterLags {
        lags,
        ..late.lag.routers[0].clone()
    }]);
    let known = "ended before they were known, cut after that, no lag: \
                 p50 ≤2s p99 ≤2s max 2s (1)";
    assert_eq!(text(&late, 80, 24)[4], known);
    let small = text(&late, 80, HEADER + SECTION);
    assert_eq!(small[5], "OWED 2", "it comes first: {small:#?}");
    for (title, row) in [("OWED 2", 6), ("ROUTERS 3", 10)] {
        assert_eq!(text(&late, 80, 24)[row], title);
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    let text = text(&report(50, 30, 99), 80, 24);
    assert_eq!(text.len(), 24);
    for (title, more) in [("OWED 50", 46), ("ROUTERS 30", 26), ("NEXT ENDS", 96)] {
        let at = text.iter().position(|row| row == title).expect(title);
        let end = text[at..].iter().position(String::is_empty);
        let last = end.map_or(text.len(), |end| at + end) - 1;
        assert_eq!(text[last], format!("  … and {more} more"), "{text:#?}");
    }
}

#[test]
fn what_is_owed_stays_longest_on_a_small_screen() {
    let small = text(&report(5, 3, 3), 40, 8);
    assert!(small.contains(&"OWED 5".to_owned()), "{small:#?}");
    assert!(!small.contains(&"ROUTERS 3".to_owned()), "{small:#?}");
    assert_eq!(text(&report(5, 3, 3), 40, 2).len(), 2);
}

#[test]
fn ends_beyond_those_that_were_read_are_not_counted() {
    let capped = text(&report(0, 1, 100), 80, 24);
    assert!(capped.contains(&"  … and more".to_owned()), "{capped:#?}");
}

#[test]
fn r9_trouble_stands_where_the_reason_stood() {
    let size = Size {
        width: 80,
        height: 24,
    };
    let rows = rows(&report(0, 1, 1), Some("as of then: gone"), size);
    assert_eq!(rows[1].text(), "as of then: gone");
}

#[test]
fn what_cannot_hold_names_its_way_in() {
    let item = OwedItem {
        cannot_hold: true,
        way_in: Some(WayIn::Trial),
        ..owed(0)
    };
    let row = owed_row(&item, at(0)).text();
    assert!(row.contains("CANNOT HOLD, trial:"), "{row}");
}

#[test]
fn r1_a_countdown_never_shows_less_than_is_left() {
    let now = at(0) + Duration::from_millis(1);
    let next = Upcoming {
        ends_at: at(1),
        ..upcoming(0)
    };
    let row = next_row(&next, now).text();
    assert!(row.contains(" 1s "), "{row}");
}

#[test]
fn spans_are_short() {
    let cases = [(0, "0s"), (41, "41ms"), (12_000, "12s"), (185_000, "3m05s")];
    for (ms, words) in cases {
        assert_eq!(short(Duration::from_millis(ms)), words);
    }
    assert_eq!(short(Duration::from_mins(125)), "2h05m");
    assert_eq!(short(Duration::from_hours(98)), "4d02h");
}

proptest! {
    #[test]
    fn no_screen_overflows(
        (owed, routers, ends) in (0..40usize, 0..40usize, 0..40usize),
        (width, height) in (0..200usize, 0..60usize),
    ) {
        let rows = rows(&report(owed, routers, ends), None, Size { width, height });
        prop_assert!(rows.len() <= height);
        let titles = rows.iter().filter(|row| row.text().starts_with("OWED")).count();
        prop_assert_eq!(titles, usize::from(height >= HEADER + SECTION));
    }
}
