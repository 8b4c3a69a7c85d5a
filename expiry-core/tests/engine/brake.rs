//! Clocks that are wrong, jump, or sleep, and changes that end too much.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use expiry_core::{
    AccessChange, Brake, BrakeStore, Directory, Event, Router, RouterId, StatusStore,
    testing::{
        TestClock,
        gateway::{Admission, Flight},
    },
    watcher::WatcherConfig,
};
use rstest::rstest;
use tokio::time::sleep;

use crate::world::{World, is_cut};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

#[rstest]
#[case::ahead(10)]
#[case::behind(-10)]
#[tokio::test(start_paused = true)]
async fn r10_where_one_machines_clock_is_wrong_another_serves_all(#[case] by_seconds: i64) {
    let world = World::new();
    let wrong = world.clock.on_machine("wrong");
    wrong.step_wall(TimeDelta::seconds(by_seconds));
    let braked = world.start_on(&wrong);
    sleep(SECOND).await;
    for number in 1..=2 {
        let router = world.router(&format!("r{number}")).await;
        world
            .subscriber(&router, number, 5 * SECOND, Admission::Account)
            .await;
    }
    sleep(3 * SECOND).await;
    assert_eq!(world.events.count(is_owned), 0);

    let running = world.start();
    let cuts = world.events.wait_for_cuts(10 * SECOND, 2, is_cut).await;

    assert!(cuts.iter().all(|(lag, _)| *lag < SECOND), "{cuts:?}");
    let status = world.store.status(0).await.expect("status");
    assert!(matches!(
        &status.brakes[..],
        [Brake::Clock { machine, apart_ms: Some(apart), jumped_ms: None, .. }]
            if machine == "wrong" && *apart == -1000 * by_seconds
    ));
    assert!(status.watchers.iter().all(|watcher| watcher.alive));
    let is_braked = |name: &str| {
        let on = |w: &&expiry_core::WatcherStatus| w.machine.as_deref() == Some(name);
        status.watchers.iter().find(on).expect("it beats").braked
    };
    assert!(is_braked("wrong") && !is_braked("machine"));
    running.stop().await;
    braked.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_watcher_whose_clock_goes_wrong_hands_its_routers_over() {
    let database = TestClock::default();
    let world = World::with_clocks(&database, database.on_machine("first"));
    let router = world.router("r1").await;
    let first = world.start();
    sleep(SECOND).await;
    let second = world.start_on(&database.on_machine("second"));
    world
        .subscriber(&router, 1, 10 * SECOND, Admission::Account)
        .await;
    sleep(SECOND).await;

    world.clock.step_wall(TimeDelta::minutes(3));
    let (lag, _) = world.cut(15 * SECOND).await;

    assert!(lag < SECOND, "lag {lag:?}");
    assert_eq!(world.events.count(is_owned), 2);
    assert_eq!(world.events.count(is_braked), 1);
    first.stop().await;
    second.stop().await;
}

#[rstest]
#[case::when_a_heartbeat_is_due(1_000)]
#[case::right_after_a_heartbeat(3_600)]
#[tokio::test(start_paused = true)]
async fn r10_a_database_whose_clock_jumps_ahead_cuts_nobody_early(#[case] after_ms: u64) {
    let database = TestClock::default().on_machine("database");
    let world = World::with_clocks(&database, database.on_machine("machine"));
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 30 * MINUTE, Admission::Account)
        .await;
    let running = world.start();
    sleep(Duration::from_millis(after_ms)).await;

    database.step_wall(TimeDelta::hours(1));
    change_something(&world, &router).await;
    sleep(MINUTE).await;

    assert_nobody_was_written_to(&world, router.id);
    assert_eq!(world.events.count(is_braked), 1);
    database.step_wall(TimeDelta::hours(-1));
    sleep(2 * MINUTE).await;
    assert_eq!(world.events.count(is_unbraked), 1, "by itself");
    assert!(world.can_move(router.id, 1));
    let status = world.store.status(9).await.expect("status");
    assert_eq!((status.owed_cuts, status.live_subscribers), (0, 2));

    let (lag, _) = world.cut(30 * MINUTE).await;
    assert!(lag < SECOND, "and at the right time: {lag:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_clock_that_jumps_with_the_database_cuts_nobody_early() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 30 * MINUTE, Admission::Account)
        .await;
    let running = world.start();
    sleep(SECOND).await;

    world.clock.step_wall(TimeDelta::hours(1));
    change_something(&world, &router).await;
    sleep(MINUTE).await;

    assert_nobody_was_written_to(&world, router.id);
    assert_eq!(world.store.rows(), [], "nothing is planned by such a clock");
    world.clock.step_wall(TimeDelta::hours(-1));
    sleep(5 * MINUTE).await;
    assert_eq!(
        world.events.count(is_unbraked),
        0,
        "the kernel does not know yet"
    );
    world.clock.synchronise(Some(true));
    sleep(5 * SECOND).await;
    assert_eq!(world.events.count(is_unbraked), 1);

    let (lag, _) = world.cut(30 * MINUTE).await;
    assert!(lag < SECOND, "lag {lag:?}");
    running.stop().await;
}

#[rstest]
#[case(Flight::Look)]
#[case(Flight::Block)]
#[tokio::test(start_paused = true)]
async fn r10_a_jump_in_the_middle_of_a_cut_ends_it_before_the_next_write(#[case] during: Flight) {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let clock = world.clock.clone();
    let mut jumped = false;
    world.gateway.on_flight(router.id, move |flight, _| {
        if flight == during && !std::mem::replace(&mut jumped, true) {
            clock.step_wall(TimeDelta::seconds(-30));
        }
    });
    let running = world.start();

    sleep(20 * SECOND).await;

    let wrote = |f: &&Flight| matches!(f, Flight::Block | Flight::Drop | Flight::Unblock);
    let flights = world.gateway.flights(router.id);
    let written: Vec<_> = flights.iter().filter(wrote).collect();
    let expected = [Flight::Block];
    assert!(
        written
            .iter()
            .copied()
            .eq(expected.iter().filter(|f| **f == during)),
        "{flights:?}"
    );
    assert_eq!(world.events.count(is_cut), 0);
    world.clock.step_wall(TimeDelta::seconds(30));
    sleep(5 * SECOND).await;
    world.store.release_brakes().await.expect("released");
    world.cut(10 * SECOND).await;
    assert!(!world.can_move(router.id, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_machine_that_slept_has_not_jumped() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 30 * MINUTE, Admission::Account)
        .await;
    let running = world.start();
    sleep(SECOND).await;

    world.clock.suspend(Duration::from_hours(1));
    world.cut(MINUTE).await;

    assert_eq!(world.events.count(is_braked), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_small_step_and_a_slow_correction_are_no_jump() {
    let world = World::new();
    world.router("r1").await;
    let running = world.start();
    for _ in 0..20 {
        sleep(10 * SECOND).await;
        world.clock.step_wall(TimeDelta::milliseconds(2_400));
    }
    sleep(10 * SECOND).await;

    assert_eq!(world.events.count(is_braked), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_single_check_sees_a_jump_between_two_runs() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 30 * MINUTE, Admission::Account)
        .await;
    assert_eq!(world.once().await.brakes, []);
    sleep(MINUTE).await;

    world.clock.step_wall(TimeDelta::hours(1));
    let report = world.once().await;

    assert!(matches!(
        report.brakes[..],
        [Brake::Clock {
            jumped_ms: Some(3_600_000),
            ..
        }]
    ));
    assert_eq!(
        (report.owed, report.confirmed, report.still_owed),
        (1, 0, 1)
    );
    assert_nobody_was_written_to(&world, router.id);
    world.clock.synchronise(Some(true));
    sleep(MINUTE).await;
    let report = world.once().await;
    assert_eq!(
        (report.brakes, report.confirmed),
        (vec![], 1),
        "it is right, says the kernel"
    );
}

#[tokio::test(start_paused = true)]
async fn r10_a_machine_that_starts_with_an_older_clock_is_braked() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    sleep(2 * SECOND).await;
    assert_eq!(world.once().await.confirmed, 1);

    world.clock.reboot();
    world.clock.step_wall(TimeDelta::days(-1));
    let report = world.once().await;

    assert_eq!(report.brakes.len(), 1, "{report:?}");
    assert_eq!(world.store.rows().len(), 1, "who is cut stays cut");
    world.clock.step_wall(TimeDelta::days(1));
    world.store.release_brakes().await.expect("released");
    world.clock.reboot();
    assert_eq!(
        world.once().await.brakes,
        [],
        "after a release as after a start"
    );
}

#[tokio::test(start_paused = true)]
async fn r10_a_release_goes_on_at_once_although_the_clocks_differ() {
    let world = World::new();
    let wrong = world.clock.on_machine("wrong");
    wrong.step_wall(TimeDelta::seconds(7));
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    let running = world.start_on(&wrong);
    sleep(10 * SECOND).await;
    assert!(world.can_move(router.id, 1));

    world.store.release_brakes().await.expect("released");
    world.events.wait_for(SECOND, 1, is_cut).await;

    sleep(10 * MINUTE).await;
    assert_eq!(world.events.count(is_braked), 1, "not again");

    world.clock.step_wall(TimeDelta::seconds(-60));
    world.events.wait_for(10 * SECOND, 2, is_braked).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_braked_watcher_stops_in_good_order() {
    let world = World::new();
    let wrong = world.clock.on_machine("wrong");
    wrong.step_wall(TimeDelta::seconds(7));
    world.router("r1").await;
    let running = world.start_on(&wrong);
    sleep(SECOND).await;

    running.stop().await;

    assert_eq!(world.store.status(0).await.expect("status").watchers, []);
}

#[tokio::test(start_paused = true)]
async fn r10_a_change_that_ends_too_many_cuts_nobody_until_it_is_released() {
    let world = World::new();
    let router = world.router("r1").await;
    let mut all = Vec::new();
    for number in 1..=10 {
        let made = world.subscriber(&router, number, Duration::from_hours(9), Admission::Account);
        all.push(made.await.id);
    }
    let config = WatcherConfig {
        share_limit: 20,
        ..WatcherConfig::default()
    };
    let with_limit = world.watcher_with(Arc::clone(&world.gateway) as _, config);
    let running = World::start_watcher(with_limit);
    sleep(SECOND).await;
    let without_limit = world.start_on(&world.clock.on_machine("another"));
    let added = world.router("r2").await;
    sleep(SECOND).await;

    for id in &all[..3] {
        let change = AccessChange::Revoke;
        world
            .store
            .change_access(*id, change)
            .await
            .expect("revoked");
    }
    sleep(10 * MINUTE).await;

    assert_nobody_was_written_to(&world, router.id);
    assert_nobody_was_written_to(&world, added.id);
    let status = world.store.status(0).await.expect("status");
    assert!(status.routers.iter().all(|router| router.owner.is_none()));
    assert!(status.watchers.iter().all(|watcher| watcher.braked));
    assert_eq!(status.owed_cuts, 3);
    let report = world.once().await;
    assert!(matches!(report.brakes[..], [Brake::Share { ended: 3, .. }]));
    assert_eq!(report.still_owed, 3);

    world.store.release_brakes().await.expect("released");
    world.events.wait_for(5 * SECOND, 3, is_cut).await;
    running.stop().await;
    without_limit.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_access_that_ends_with_time_is_cut_whatever_the_limit() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 1..=10 {
        world
            .subscriber(&router, number, 5 * SECOND, Admission::Account)
            .await;
    }
    let config = WatcherConfig {
        share_limit: 1,
        ..WatcherConfig::default()
    };
    let running = World::start_watcher(world.watcher_with(Arc::clone(&world.gateway) as _, config));

    world.events.wait_for(10 * SECOND, 10, is_cut).await;

    running.stop().await;
}

/// Any change wakes the watchers, and has them read everything anew.
async fn change_something(world: &World, router: &Router) {
    world
        .subscriber(router, 9, Duration::from_hours(9), Admission::Account)
        .await;
}

#[track_caller]
fn assert_nobody_was_written_to(world: &World, router: RouterId) {
    let wrote = |f: &&Flight| matches!(f, Flight::Block | Flight::Drop | Flight::Unblock);
    let flights = world.gateway.flights(router);
    assert_eq!(flights.iter().find(wrote), None, "{flights:?}");
}

fn is_owned(event: &Event) -> bool {
    matches!(event, Event::Owned { .. })
}

fn is_braked(event: &Event) -> bool {
    matches!(event, Event::Braked { .. })
}

fn is_unbraked(event: &Event) -> bool {
    matches!(event, Event::BrakeEnded { .. })
}
