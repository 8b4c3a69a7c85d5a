use std::{collections::BTreeSet, sync::Arc, time::Duration};

use expiry_core::{
    Access, AccessChange, Clock, Directory, Event, GatewayError, Health, HealthReport,
    NewSubscriber, PresenceKind, Router, RouterChange, RouterId, Service, StatusStore, WayIn,
    testing::{
        gateway::{Admission, Fault, Flight},
        memory,
    },
    watcher::WatcherConfig,
};
use rstest::rstest;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    reading::Reading,
    world::{FLIGHT, Running, World, is_cut, mac, username},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn start(world: &World, reading: &Arc<Reading>) -> Running {
    let gateway = Arc::clone(reading) as _;
    World::start_watcher(world.watcher_with(gateway, WatcherConfig::default()))
}

/// Somebody enables an account at the router.
fn enable(world: &World, router: RouterId, name: &str) {
    let gateway = &world.gateway;
    let number = |hotspot: &mut expiry_core::testing::gateway::Hotspot| {
        for row in hotspot.users.values_mut().filter(|row| row.name == name) {
            row.disabled = false;
        }
        // Devices try again whenever something changes.
        hotspot.add_user("unrelated", true);
    };
    gateway.with(router, number);
}

/// Somebody whose access ends in a second, on whatever router.
async fn everywhere(world: &World, number: u8) {
    let new = NewSubscriber {
        tenant: None,
        username: username(number).parse().expect("a username"),
        service: Service::Hotspot,
        access: Access::Until(world.clock.wall() + SECOND),
        router: None,
        devices: BTreeSet::from([mac(number)]),
    };
    world.store.add_subscriber(&new).await.expect("added");
}

/// Somebody comes to a router that lets them in.
fn let_in(world: &World, router: &Router, number: u8) {
    world.gateway.with(router.id, |hotspot| {
        hotspot.add_device(mac(number), &username(number), Admission::Account, false);
    });
    assert!(world.can_move(router.id, number));
}

fn readings(world: &World, router: RouterId) -> usize {
    let flights = world.gateway.flights(router);
    flights.iter().filter(|f| **f == Flight::Sessions).count()
}

#[tokio::test(start_paused = true)]
async fn r9_routers_are_read_on_a_pace_and_not_all_at_once() {
    let world = World::new();
    let reading = Reading::new(&world.gateway, Duration::ZERO);
    let mut routers = Vec::new();
    for n in 0..20 {
        routers.push(world.router(&format!("r{n}")).await.id);
    }
    let running = start(&world, &reading);
    sleep(60 * MINUTE).await;

    let mut tenth = Vec::new();
    for router in routers {
        let begun = reading.begun(router);
        for pair in begun.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= 300 * SECOND && gap < 331 * SECOND, "{gap:?}");
        }
        tenth.push(begun[9]);
    }
    tenth.sort();
    assert!(*tenth.last().expect("20") - tenth[0] > 20 * SECOND);
    assert!(tenth.windows(2).all(|pair| pair[0] != pair[1]));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_who_ended_and_is_let_in_again_by_hand_is_cut_within_one_interval() {
    let world = World::new();
    let router = world.router("r1").await;
    for (number, by) in [(1, Admission::Account), (2, Admission::Bypass)] {
        world.subscriber(&router, number, 5 * SECOND, by).await;
    }
    world
        .subscriber(&router, 3, 1_000 * MINUTE, Admission::Account)
        .await;
    let running = world.start();
    world.events.wait_for(20 * SECOND, 2, is_cut).await;
    sleep(61 * MINUTE).await;
    enable(&world, router.id, &username(1));
    world.gateway.with(router.id, |hotspot| {
        hotspot.add_binding(mac(2), "paid", false)
    });
    world.gateway.with(router.id, |hotspot| {
        let host = hotspot
            .hosts
            .values_mut()
            .find(|row| row.mac == Some(mac(2)));
        host.expect("it is near").bypassed = true;
    });
    assert!(world.can_move(router.id, 1) && world.can_move(router.id, 2));

    let is_return = |event: &Event| matches!(event, Event::Returned { .. });
    let returns = world.events.wait_for(331 * SECOND, 2, is_return).await;
    sleep(SECOND).await;

    let way_in = |event: &Event| {
        if let Event::Returned { way_in, .. } = event {
            Some(*way_in)
        } else {
            None
        }
    };
    let ways: Vec<_> = returns.iter().filter_map(way_in).collect();
    assert_eq!(ways, [WayIn::Account, WayIn::Bypass]);
    assert!(!world.can_move(router.id, 1) && !world.can_move(router.id, 2));
    assert!(world.can_move(router.id, 3));
    assert!(world.is_disabled(router.id, &username(1)));
    assert_eq!(
        world.events.count(is_cut),
        2,
        "there is one lag for each deadline"
    );
    assert_eq!(world.store.status(9).await.expect("status").owed_cuts, 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_that_comes_back_is_read_at_once() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;
    sleep(MINUTE).await;
    world.gateway.set_fault(router.id, Fault::Down);
    sleep(MINUTE).await;
    enable(&world, router.id, &username(1));
    world.gateway.set_fault(router.id, Fault::None);

    sleep(20 * SECOND).await;

    assert!(!world.can_move(router.id, 1));
    assert_eq!(readings(&world, router.id), 2);
    running.stop().await;
}

#[rstest]
#[case::accepted(0)]
#[case::enabled(1)]
#[case::moved(2)]
#[tokio::test(start_paused = true)]
async fn r9_a_router_that_comes_into_service_is_read_at_once(#[case] how: u8) {
    let world = World::new();
    let router = world.router("r1").await;
    let running = world.start();
    sleep(MINUTE).await;
    assert_eq!(readings(&world, router.id), 1);
    let enabled = |enabled| RouterChange {
        enabled: Some(enabled),
        ..Default::default()
    };
    let moved = RouterChange {
        port: Some(8729),
        ..Default::default()
    };
    let change = async |change| {
        let changed = world.store.change_router(router.id, &change).await;
        changed.expect("it is there");
    };
    match how {
        0 => world
            .store
            .accept_router(router.id)
            .await
            .expect("accepted"),
        1 => {
            change(enabled(false)).await;
            sleep(MINUTE).await;
            change(enabled(true)).await;
        }
        _ => change(moved).await,
    }

    sleep(5 * SECOND).await;

    // The store may know of the change before the lane does: then that reading does not count.
    assert!((2..=3).contains(&readings(&world, router.id)));
    running.stop().await;
}

#[rstest]
#[case::accepted(0)]
#[case::enabled(1)]
#[case::moved(2)]
#[case::added(3)]
#[tokio::test(start_paused = true)]
async fn r2_who_ended_and_is_on_a_router_that_comes_into_service_is_cut_promptly(#[case] how: u8) {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 1..200 {
        everywhere(&world, number).await;
    }
    let enabled = |enabled| RouterChange {
        enabled: Some(enabled),
        ..Default::default()
    };
    let change = async |change| {
        let changed = world.store.change_router(router.id, &change).await;
        changed.expect("it is there");
    };
    if how == 1 {
        change(enabled(false)).await;
    }
    let running = world.start();
    sleep(MINUTE).await;

    let router = match how {
        0 => {
            let accepted = world.store.accept_router(router.id).await;
            accepted.expect("accepted");
            router
        }
        1 => {
            change(enabled(true)).await;
            router
        }
        2 => {
            let port = Some(8729);
            change(RouterChange {
                port,
                ..Default::default()
            })
            .await;
            router
        }
        _ => world.router("r2").await,
    };
    let_in(&world, &router, 199);
    sleep(3 * SECOND).await;

    assert!(!world.can_move(router.id, 199));
    let owed = world.store.status(9).await.expect("status").owed_cuts;
    assert_eq!(owed, 0, "nobody else is owed there");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_who_is_on_does_not_wait_for_a_paced_backlog() {
    let world = World::new();
    let router = returned(&world).await;
    for number in 2..202 {
        world
            .subscriber(&router, number, Duration::ZERO, Admission::Account)
            .await;
    }
    tokio::time::advance(60 * MINUTE).await;

    let running = world.start();
    sleep(SECOND / 2).await;

    assert!(!world.can_move(router.id, 1));
    let owed = world.store.status(9).await.expect("status").owed_cuts;
    assert!(owed > 100, "the backlog is paced: {owed}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_taken_over_from_a_watcher_that_fell_silent_is_read_at_once() {
    let world = World::new();
    let router = world.router("r1").await;
    let first = world.start();
    sleep(MINUTE).await;
    first.task.abort();
    let second = world.start();
    sleep(20 * SECOND).await;
    assert_eq!(readings(&world, router.id), 2);
    second.stop().await;
    let third = world.start();
    sleep(20 * SECOND).await;
    assert_eq!(
        readings(&world, router.id),
        2,
        "one that let go leaves nothing open"
    );
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_router_taken_over_is_read_at_once_by_the_next_owner_if_the_last_was_stopped_before() {
    let world = World::new();
    let router = world.router("r1").await;
    let first = world.start();
    sleep(MINUTE).await;
    first.task.abort();
    world.gateway.set_delay(router.id, MINUTE);
    let second = world.start();
    sleep(25 * SECOND).await;
    second.stop().await;
    assert_eq!(readings(&world, router.id), 1, "it was stopped too soon");
    world.gateway.set_delay(router.id, Duration::ZERO);

    let third = world.start();
    sleep(5 * SECOND).await;

    assert_eq!(readings(&world, router.id), 2);
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_strays_are_told_of_once_and_never_touched() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    world.gateway.with(router.id, |hotspot| {
        hotspot.add_device(mac(50), "staff", Admission::Account, false);
        hotspot.add_device(mac(51), "printer", Admission::Bypass, false);
    });
    let running = world.start();
    world.cut(20 * SECOND).await;
    sleep(20 * MINUTE).await;

    let is_news = |event: &Event| matches!(event, Event::Strays { .. });
    assert_eq!(world.events.count(is_news), 1);
    assert!(world.can_move(router.id, 50) && world.can_move(router.id, 51));
    let strays = world.store.strays(router.id).await.expect("listed");
    let kinds: Vec<_> = strays.strays.iter().map(|s| s.presence.kind).collect();
    assert_eq!(kinds, [PresenceKind::Session, PresenceKind::Binding]);
    let staff = &strays.strays[0];
    assert_eq!(staff.presence.login.as_deref(), Some("staff"));
    assert!(staff.last_seen - staff.first_seen > chrono::TimeDelta::minutes(14));
    let status = world.store.status(9).await.expect("status");
    assert_eq!(status.routers[0].strays, 2);

    world
        .gateway
        .with(router.id, |hotspot| hotspot.set_present(mac(50), false));
    sleep(6 * MINUTE).await;
    let status = world.store.status(9).await.expect("status");
    assert_eq!(status.routers[0].strays, 1);
    assert_eq!(world.events.count(is_news), 1, "who leaves is no news");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_deadline_that_is_near_comes_before_a_reading() {
    let world = World::new();
    let reading = Reading::new(&world.gateway, SECOND * 3 / 4);
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND / 2, Admission::Account)
        .await;
    let deadline = Instant::now() + SECOND / 2;
    let running = start(&world, &reading);
    let (lag, _) = world.cut(20 * SECOND).await;
    assert!(lag < 5 * FLIGHT, "lag {lag:?}");
    sleep(20 * SECOND).await;
    let begun = reading.begun(router.id);
    assert!(begun.len() == 1 && begun[0] > deadline, "{begun:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_cut_that_becomes_due_breaks_a_long_reading_off() {
    let world = World::new();
    let reading = Reading::new(&world.gateway, 20 * SECOND);
    let router = world.router("r1").await;
    let revoked = world
        .subscriber(&router, 1, 60 * MINUTE, Admission::Account)
        .await;
    let running = start(&world, &reading);
    sleep(5 * SECOND).await;
    assert_eq!(reading.begun(router.id).len(), 1);

    let revoke = AccessChange::Revoke;
    let done = world.store.change_access(revoked.id, revoke).await;
    done.expect("revoked");
    let (lag, _) = world.cut(20 * SECOND).await;

    assert!(lag < SECOND, "lag {lag:?}");
    let lost = |event: &Event| matches!(event, Event::RouterLost { .. });
    assert_eq!(world.events.count(lost), 0);
    sleep(2 * MINUTE).await;
    let status = world.store.status(9).await.expect("status");
    assert!(
        status.routers[0].reconciled_at.is_some(),
        "it is read later"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_router_that_is_slow_to_read_is_read_between_deadlines() {
    let world = World::new();
    let reading = Reading::new(&world.gateway, 3 * SECOND);
    let router = world.router("r1").await;
    for number in 1..=60 {
        let ends_in = Duration::from_millis(2_500) * u32::from(number);
        world
            .subscriber(&router, number, ends_in, Admission::Account)
            .await;
    }
    let running = start(&world, &reading);

    let cuts = world.events.wait_for_cuts(10 * MINUTE, 60, is_cut).await;

    let late = cuts.iter().filter(|(lag, _)| *lag > 5 * FLIGHT).count();
    let worst = cuts.iter().map(|(lag, _)| *lag).max();
    assert!(worst < Some(SECOND), "{worst:?}");
    assert!(late <= 12, "{late} cuts waited for a reading");
    sleep(MINUTE).await;
    let status = world.store.status(9).await.expect("status");
    assert!(status.routers[0].reconciled_at.is_some());
    running.stop().await;
}

#[rstest]
#[case::refused(GatewayError::Refused { command: "/ip/hotspot/active/print".into(), message: "no such command prefix".into() })]
#[case::silent(GatewayError::TimedOut { after: 30 * SECOND })]
#[tokio::test(start_paused = true)]
async fn r9_a_router_that_cannot_be_read_is_no_outage_and_said_once(#[case] error: GatewayError) {
    let meant = error.cause();
    let world = World::new();
    let reading = Reading::new(&world.gateway, SECOND);
    reading.fail(Some(error));
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 10 * MINUTE, Admission::Account)
        .await;
    let running = start(&world, &reading);
    let (lag, outage) = world.cut(11 * MINUTE).await;
    assert!(lag < 5 * FLIGHT && !outage, "{lag:?}");
    sleep(10 * MINUTE).await;

    let unread = |event: &Event| matches!(event, Event::Unread { .. });
    let caused = |event: &Event| matches!(event, Event::Unread { cause, .. } if *cause == meant);
    assert_eq!(world.events.count(caused), 1);
    let lost = |event: &Event| matches!(event, Event::RouterLost { .. });
    assert_eq!(
        (world.events.count(unread), world.events.count(lost)),
        (1, 0)
    );
    let tries = reading.begun(router.id).len();
    assert!((3..=5).contains(&tries), "{tries} in twenty minutes");
    let status = world.store.status(9).await.expect("status");
    let row = &status.routers[0];
    assert_eq!((row.down_since, row.reconciled_at), (None, None));

    reading.fail(None);
    sleep(6 * MINUTE).await;
    let status = world.store.status(9).await.expect("status");
    assert!(status.routers[0].reconciled_at.is_some());
    reading.fail(Some(GatewayError::TimedOut { after: SECOND }));
    sleep(6 * MINUTE).await;
    assert_eq!(world.events.count(unread), 2, "failing anew is news");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_that_refuses_to_be_read_needs_attention_until_it_is_read_whatever_a_probe_says()
 {
    let world = World::new();
    let reading = Reading::new(&world.gateway, Duration::ZERO);
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 50 * MINUTE, Admission::Account)
        .await;
    let running = start(&world, &reading);
    sleep(10 * SECOND).await;
    assert_eq!(health(&world).await, (Health::Healthy, Vec::new()));

    reading.fail(Some(GatewayError::Refused {
        command: "/ip/hotspot/active/print".into(),
        message: "failure: not allowed by device-mode".into(),
    }));
    sleep(6 * MINUTE).await;
    for _ in 0..300 {
        let (health, reasons) = health(&world).await;
        assert_eq!(health, Health::NeedsAttention);
        let [reason] = &reasons[..] else {
            panic!("{reasons:?}");
        };
        for words in ["router r1 answers", "[device_mode]", "1 access ends there"] {
            assert!(reason.contains(words), "{reason}");
        }
        sleep(SECOND).await;
    }
    assert!(world.gateway.flights(router.id).contains(&Flight::Probe));

    reading.fail(None);
    sleep(6 * MINUTE).await;
    assert_eq!(health(&world).await, (Health::Healthy, Vec::new()));
    running.stop().await;
}

/// Health, and its reasons.
async fn health(world: &World) -> (Health, Vec<String>) {
    let status = world.store.status(9).await.expect("status");
    let report = HealthReport::of(&status);
    (report.health, report.reasons)
}

#[tokio::test(start_paused = true)]
async fn r9_a_reading_that_the_store_does_not_take_is_made_again_but_not_at_once() {
    let world = World::new();
    let router = world.router("r1").await;
    world.store.fail_when(|call| match call {
        "reconciled" => memory::Fault::Before,
        _ => memory::Fault::None,
    });
    let running = world.start();
    sleep(5 * MINUTE).await;
    let tries = readings(&world, router.id);
    assert!((5..=11).contains(&tries), "{tries} in five minutes");
    world.store.heal();
    sleep(MINUTE).await;
    let status = world.store.status(9).await.expect("status");
    assert!(status.routers[0].reconciled_at.is_some());
    running.stop().await;
}

async fn check(world: &World) -> expiry_core::watcher::OnceReport {
    let stop = CancellationToken::new();
    world.watcher().run_once(stop).await.expect("a check")
}

/// A router with somebody who ended, was cut and is on again.
async fn returned(world: &World) -> Router {
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    sleep(2 * SECOND).await;
    check(world).await;
    for _ in 0..3 {
        // The looks of a check are those of later checks.
        sleep(20 * SECOND).await;
        check(world).await;
    }
    assert!(!world.can_move(router.id, 1));
    enable(world, router.id, &username(1));
    assert!(world.can_move(router.id, 1));
    router
}

#[tokio::test(start_paused = true)]
async fn r9_a_single_check_finds_who_is_on_and_cuts_them_too() {
    let world = World::new();
    let router = returned(&world).await;
    sleep(6 * MINUTE).await;

    let began = Instant::now();
    let report = check(&world).await;

    assert!(!world.can_move(router.id, 1));
    assert_eq!((report.owed, report.still_owed), (0, 0));
    assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r9_a_single_check_also_cuts_who_is_found_by_a_look_that_it_makes() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    tokio::time::advance(MINUTE).await;
    check(&world).await;
    assert!(!world.can_move(router.id, 1));
    sleep(MINUTE).await;
    enable(&world, router.id, &username(1));
    assert!(world.can_move(router.id, 1));

    let report = check(&world).await;

    assert!(!world.can_move(router.id, 1), "although it is backlog");
    assert_eq!(report.still_owed, 0);
}

#[tokio::test(start_paused = true)]
async fn r7_checks_every_minute_read_a_router_once_per_interval() {
    let world = World::new();
    let router = world.router("r1").await;
    for _ in 0..60 {
        check(&world).await;
        sleep(MINUTE).await;
    }
    let readings = readings(&world, router.id);
    assert!((10..=12).contains(&readings), "{readings} in an hour");
}

#[tokio::test(start_paused = true)]
async fn r9_a_check_after_an_outage_reads_the_router() {
    let world = World::new();
    let router = returned(&world).await;
    world.gateway.set_fault(router.id, Fault::Down);
    check(&world).await;
    world.gateway.set_fault(router.id, Fault::None);
    assert!(world.can_move(router.id, 1));

    check(&world).await;

    assert!(!world.can_move(router.id, 1));
}
