use std::{sync::Arc, time::Duration};

use expiry_core::{
    Event, WayIn,
    testing::gateway::{Admission, Flight},
};
use tokio::time::sleep;

use crate::world::{FLIGHT, World, is_cut, username};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn r5_a_cut_is_four_flights_at_the_deadline() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 10 * SECOND, Admission::Account)
        .await;
    let running = world.start();

    let (lag, outage) = world.cut(20 * SECOND).await;

    assert!(
        lag >= 4 * FLIGHT && lag < 4 * FLIGHT + Duration::from_millis(5),
        "lag {lag:?}"
    );
    assert!(!outage);
    let flights = world.gateway.flights(router.id);
    assert_eq!(
        flights,
        [
            Flight::Probe,
            Flight::Sessions,
            Flight::Look,
            Flight::Block,
            Flight::Drop,
            Flight::Look
        ]
    );
    assert!(!world.can_move(router.id, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r1_nobody_is_cut_before_the_deadline() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 10 * SECOND, Admission::Account)
        .await;
    world
        .subscriber(&router, 2, 10 * SECOND, Admission::Bypass)
        .await;
    let running = world.start();

    sleep(Duration::from_millis(9_998)).await;
    assert!(world.can_move(router.id, 1) && world.can_move(router.id, 2));
    sleep(SECOND).await;
    assert!(!world.can_move(router.id, 1) && !world.can_move(router.id, 2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r6_cookies_bypasses_and_fasttracked_flows_do_not_survive() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 1..=8 {
        let by = if number <= 4 {
            Admission::Account
        } else {
            Admission::Bypass
        };
        world.subscriber(&router, number, 5 * SECOND, by).await;
    }
    let running = world.start();

    world.events.wait_for(20 * SECOND, 8, is_cut).await;

    for number in 1..=8 {
        assert!(!world.can_move(router.id, number), "subscriber {number}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_confirmed_cut_is_looked_at_three_times_more() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;
    let before = world.gateway.flights(router.id).len();

    sleep(15 * SECOND).await;

    let looks = &world.gateway.flights(router.id)[before..];
    assert_eq!(looks, [Flight::Look, Flight::Look, Flight::Look]);
    assert!(
        world
            .store
            .rows()
            .iter()
            .all(|row| row.progress.verify_at.is_none())
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_who_is_back_at_a_later_look_is_cut_again() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;

    world.gateway.with(router.id, |hotspot| {
        hotspot.add_user("02:00:00:00:01:01", false)
    });
    assert!(world.can_move(router.id, 1), "it comes in by its MAC");
    let is_return = |e: &Event| {
        matches!(
            e,
            Event::Returned {
                way_in: WayIn::MacLogin,
                ..
            }
        )
    };
    world.events.wait_for(5 * SECOND, 1, is_return).await;
    sleep(SECOND / 2).await;

    assert!(!world.can_move(router.id, 1));
    assert_eq!(
        world.events.count(is_cut),
        1,
        "one confirmation has a lag, whatever came back"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_after_three_returns_it_cannot_hold_and_is_cut_at_sweep_pace() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .gateway
        .with(router.id, |hotspot| hotspot.trial = true);
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();

    sleep(60 * SECOND).await;
    let before = drops(&world, router.id);
    sleep(Duration::from_mins(5)).await;
    let cuts = drops(&world, router.id) - before;
    assert!((1..=75).contains(&cuts), "{cuts} cuts in five minutes");
    let of_task = |e: &Event| matches!(e, Event::Returned { .. } | Event::Unconfirmed { .. });
    let told = world.events.count(of_task);
    assert!((1..=6).contains(&told), "told {told} times what is known");
    running.stop().await;
}

fn drops(world: &World, router: expiry_core::RouterId) -> usize {
    world
        .gateway
        .flights(router)
        .iter()
        .filter(|flight| **flight == Flight::Drop)
        .count()
}

#[tokio::test(start_paused = true)]
async fn r5_a_connection_that_appears_between_the_reads_is_removed_and_read_again() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 2, 5 * SECOND, Admission::Account)
        .await;
    let template = world
        .gateway
        .with(router.id, |h| h.connections.values().next().cloned());
    let template = template.expect("the device is online");
    let mut planted = false;
    world.gateway.on_flight(router.id, move |flight, hotspot| {
        if flight == Flight::Drop && !planted {
            planted = true;
            let id = expiry_core::RowId::new("*FFFF").expect("not empty");
            let row = expiry_core::ConnectionRow {
                id: id.clone(),
                ..template.clone()
            };
            hotspot.connections.insert(id, row);
        }
    });
    let running = world.start();

    world.cut(20 * SECOND).await;

    assert!(!world.can_move(router.id, 2));
    let flights = world.gateway.flights(router.id);
    assert_eq!(
        flights[4..],
        [Flight::Drop, Flight::Look, Flight::Drop, Flight::Look]
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_flights_end_and_the_routers_go() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    let stop = running.stop.clone();
    world.gateway.on_flight(router.id, move |flight, _| {
        if flight == Flight::Block {
            stop.cancel();
        }
    });

    Arc::new(running).stop.cancelled().await;
    world.cut(SECOND).await;
    sleep(SECOND).await;

    assert!(!world.can_move(router.id, 1));
    let status = expiry_core::StatusStore::status(&*world.store, 10)
        .await
        .expect("status");
    assert_eq!(status.watchers, []);
    assert_eq!(status.routers[0].owner, None);
    assert!(world.is_disabled(router.id, &username(1)));
}

#[tokio::test(start_paused = true)]
async fn r1_by_option_a_device_that_somebody_live_lets_pass_is_not_its_old_owners() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Bypass)
        .await;
    world
        .subscriber(&router, 2, 1_000 * SECOND, Admission::Account)
        .await;
    world.gateway.with(router.id, |hotspot| {
        for row in hotspot.bindings.values_mut() {
            row.comment = Some(username(2));
        }
    });
    let config = expiry_core::watcher::WatcherConfig {
        comments: true,
        ..Default::default()
    };
    let gateway = Arc::clone(&world.gateway) as _;
    let running = World::start_watcher(world.watcher_with(gateway, config));

    world.cut(20 * SECOND).await;
    sleep(20 * SECOND).await;

    assert!(world.can_move(router.id, 1), "the second pays for it");
    let flights = world.gateway.flights(router.id);
    assert!(!flights.contains(&Flight::Drop), "{flights:?}");
    running.stop().await;
}
