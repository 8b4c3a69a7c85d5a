//! Routers that are slow, or silent on a connection that looks well.

use std::time::Duration;

use expiry_core::{Event, StatusStore};
use expiry_mikrotik::sim::{Fault, FaultRule, Simulator};
use rstest::rstest;
use tokio::time::{Instant, sleep};

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, Way, World},
};

#[tokio::test(start_paused = true)]
async fn r4_a_cut_is_made_beside_a_connection_that_is_half_open() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Fasttrack, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    site.with(Simulator::go_half_open);

    let cuts = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    assert!(cuts[0].0 < 5 * SECOND, "{cuts:?}");
    assert!(!site.can_move(&person));
    let lost = |e: &Event| matches!(e, Event::RouterLost { .. });
    assert_eq!(world.events.count(lost), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_status_says_what_is_waited_for_and_a_stop_does_not_wait_for_it() {
    let world = World::new();
    let site = world.site("hill").await;
    world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    let silent = FaultRule::on("/login", Fault::Silence);
    site.with(|sim| {
        sim.inject(silent);
        sim.go_half_open();
    });
    world.reach(DEADLINE + 5 * SECOND).await;
    let status = world.store.status(9).await.expect("status");
    let told = status.routers[0].last_error.clone().unwrap_or_default();
    assert!(told.contains("no answer to a question"), "{told}");
    assert_eq!(status.routers[0].down_since, None, "it is not given up");

    let stopped = Instant::now();
    running.stop().await;
    assert!(stopped.elapsed() < SECOND, "{:?}", stopped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r4_a_login_of_eight_seconds_costs_its_time_and_is_begun_once() {
    let world = World::new();
    let site = world.site("hill").await;
    let slow = Fault::Stall(8 * SECOND);
    site.with(|sim| sim.inject(FaultRule::on("/login", slow)));
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();

    let cuts = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    assert!(cuts[0].0 < SECOND, "{cuts:?}");
    assert!(!site.can_move(&person));
    let logins = site.with(|sim| sim.stats().logins);
    assert_eq!(logins, 1);
    running.stop().await;
}

#[rstest]
#[case::two(2)]
#[case::six(6)]
#[tokio::test(start_paused = true)]
async fn r4_somebody_is_cut_on_a_router_that_takes_seconds_for_each_command(#[case] seconds: u64) {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let healthy = world.site("healthy").await;
    world.person(&healthy, 2, Way::Account, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    site.with(|sim| sim.configure(|config| config.delay = Duration::from_secs(seconds)));

    let cuts = world
        .events
        .wait_for_cuts(5 * SECOND, 1, is_cut_on(healthy.router.id))
        .await;
    assert!(cuts[0].0 < SECOND, "one router never hurts another");
    let cut = is_cut_on(site.router.id);
    let lags = world.events.wait_for_cuts(400 * SECOND, 1, cut).await;
    assert!(!site.can_move(&person));
    println!("{lags:?}");

    let connects = site.with(|sim| sim.stats().connects);
    assert!(connects <= 6, "{connects}");
    sleep(SECOND).await;
    running.stop().await;
}
