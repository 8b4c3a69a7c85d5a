use std::time::Duration;

use expiry_core::{
    Event,
    testing::gateway::{Admission, Flight},
};

use crate::world::{FLIGHT, World, is_cut};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn r7_all_cuts_due_together_on_a_router_share_their_flights() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 0..100 {
        world
            .subscriber(&router, number, 5 * SECOND, Admission::Account)
            .await;
    }
    let running = world.start();

    world.events.wait_for(20 * SECOND, 100, is_cut).await;

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
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_fresh_deadline_does_not_wait_for_a_paced_backlog() {
    let world = World::new();
    let late = world.router("r1").await;
    for number in 0..130 {
        world
            .subscriber(&late, number, Duration::ZERO, Admission::Account)
            .await;
    }
    tokio::time::advance(Duration::from_hours(1)).await;
    world
        .subscriber(&late, 201, SECOND / 2, Admission::Account)
        .await;
    let running = world.start();

    let fresh = |e: &Event| matches!(e, Event::Cut { username: Some(name), .. } if name.as_str().ends_with("201"));
    let cuts = world.events.wait_for(20 * SECOND, 1, fresh).await;

    let Event::Cut { waited, .. } = &cuts[0] else {
        unreachable!("matched")
    };
    let lag = waited.span;
    assert!(lag < 12 * FLIGHT, "lag {lag:?}");
    world.events.wait_for(60 * SECOND, 131, is_cut).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_cuts_that_were_due_when_first_seen_are_paced() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 0..=200 {
        world
            .subscriber(&router, number, Duration::ZERO, Admission::Account)
            .await;
    }
    tokio::time::advance(Duration::from_hours(1)).await;
    let running = world.start();

    let start = tokio::time::Instant::now();
    for (second, most) in [(1, 64), (2, 128), (3, 192), (5, 201)] {
        let before = second * SECOND * 9 / 10;
        tokio::time::sleep_until(start + before).await;
        let cuts = world.events.count(is_cut);
        assert_eq!(cuts, most, "in second {second}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_watcher_that_was_away_for_a_moment_has_no_backlog() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 0..130 {
        world
            .subscriber(&router, number, SECOND, Admission::Account)
            .await;
    }
    tokio::time::sleep(20 * SECOND).await;
    let running = world.start();

    world.events.wait_for(SECOND, 130, is_cut).await;

    running.stop().await;
}
