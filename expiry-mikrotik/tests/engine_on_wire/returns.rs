use std::time::Duration;

use expiry_core::{Event, StatusStore, WayIn};
use expiry_mikrotik::sim::{Fault, FaultRule, LoginMethod, SimConfig, Simulator};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::{has_returned, is_cut_on},
    world::{DEADLINE, SECOND, Site, Way, World, config, mac, name},
};

/// The password was checked before the account was disabled; the session appears in the middle of
/// the cut, or after it.
#[tokio::test(start_paused = true)]
async fn r2_a_login_under_way_while_its_account_is_disabled_is_cut_too() {
    let mut later = 0;
    for latency in (2..60).chain([500, 900, 2_500, 8_000]) {
        let world = World::new();
        let site = world.site("hill").await;
        let person = world.person(&site, 1, Way::Account, DEADLINE).await;
        let running = world.start();
        world.reach(Duration::from_millis(9_988)).await;
        site.with(|sim| {
            sim.configure(|config| config.login_latency = Duration::from_millis(latency));
            sim.kick(&name(1));
        });

        world
            .events
            .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
            .await;
        world.reach(DEADLINE + 20 * SECOND).await;

        assert!(!site.can_move(&person), "login takes {latency} ms");
        let stopped = site.stopped(&world, person.client).expect("it is off");
        assert!(stopped < DEADLINE + 11 * SECOND, "{stopped:?}");
        assert_eq!(world.events.count(is_cut_on(site.router.id)), 1);
        later += world
            .events
            .count(|event| matches!(event, Event::Returned { .. }));
        running.stop().await;
    }
    assert!(later > 0, "none of the logins ended after the read-back");
}

#[tokio::test(start_paused = true)]
async fn r6_a_mac_cookie_lets_nobody_back() {
    let world = World::new();
    let config = SimConfig {
        login_by: [LoginMethod::MacCookie].into(),
        ..config("hill")
    };
    let site = world.site_with(config).await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    site.with(|sim| sim.remove_hosts(mac(1)));
    world.reach(SECOND).await;
    assert!(site.can_move(&person), "it is back by its MAC cookie");
    let running = world.start();

    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(20 * SECOND).await;

    assert!(!site.can_move(&person));
    let cookies = site.with(|sim| sim.table("/ip/hotspot/cookie"));
    assert!(cookies.is_empty(), "{cookies:?}");
    assert_eq!(world.events.count(has_returned(WayIn::Cookie)), 0);
    running.stop().await;
}

#[rstest]
#[case::back_after_the_read_back(300)]
#[case::back_before_the_read_back_at_times(0)]
#[tokio::test(start_paused = true)]
async fn r2_a_trial_cannot_be_held_off_which_is_said_and_not_fought(#[case] latency: u64) {
    let world = World::new();
    let site = site_with_trials(&world, latency, 0).await;
    world.person(&site, 1, Way::Account, DEADLINE).await;
    let bystander = world.person(&site, 2, Way::Account, DEADLINE * 100).await;
    let running = world.start();

    world.reach(DEADLINE + 5 * 60 * SECOND).await;
    let before = kicks(&site);
    world.reach(DEADLINE + 10 * 60 * SECOND).await;

    let kicks = kicks(&site) - before;
    assert!(
        (5..=10).contains(&kicks),
        "{kicks} in five minutes, a sweep is half a minute"
    );
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.owed_cuts, 1);
    let progress = &world.store.rows()[0].progress;
    assert!(progress.cannot_hold());
    assert_eq!(progress.way_in, Some(WayIn::Trial));
    assert!(site.can_move(&bystander));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_who_is_back_before_every_read_back_cannot_be_held_either() {
    let world = World::new();
    let site = site_with_trials(&world, 0, 5).await;
    world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();

    world.reach(DEADLINE + 5 * 60 * SECOND).await;
    let before = kicks(&site);
    world.reach(DEADLINE + 10 * 60 * SECOND).await;

    assert_eq!(world.events.count(is_cut_on(site.router.id)), 0);
    let status = world.store.status(10).await.expect("status");
    assert!(status.owed[0].online);
    assert!(status.owed[0].cannot_hold);
    assert_eq!(status.owed[0].way_in, Some(WayIn::Trial));
    let kicks = kicks(&site) - before;
    assert!(
        (9..=11).contains(&kicks),
        "{kicks} in five minutes, one in 30 s at most"
    );
    running.stop().await;
}

/// A router that gives everybody a trial. Its logins take `latency` and its commands `delay`, in
/// milliseconds.
async fn site_with_trials(world: &World, latency: u64, delay: u64) -> Site {
    let config = SimConfig {
        login_by: [LoginMethod::Form, LoginMethod::Trial].into(),
        trial_limit: Duration::from_hours(10),
        login_latency: Duration::from_millis(latency),
        delay: Duration::from_millis(delay),
        ..config("hill")
    };
    world.site_with(config).await
}

fn kicks(site: &Site) -> u64 {
    let removals = |sim: &mut Simulator| {
        let commands = &sim.stats().commands;
        commands.get("/ip/hotspot/active/remove").copied()
    };
    site.with(removals).unwrap_or_default()
}

/// The router answers as if it had removed the session, and did not.
#[tokio::test(start_paused = true)]
async fn r2_a_session_that_is_not_removed_is_no_return_and_is_cut_soon() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Fasttrack, DEADLINE).await;
    let running = world.start();
    world.reach(crate::world::SHORTLY_BEFORE).await;
    for menu in ["/ip/hotspot/active/remove", "/ip/hotspot/host/remove"] {
        site.with(|sim| sim.inject(FaultRule::on(menu, Fault::Ignore).times(3)));
    }
    world.reach(DEADLINE + SECOND / 2).await;
    let status = world.store.status(9).await.expect("status");
    assert!(status.owed[0].online && !status.owed[0].cannot_hold);

    let cuts = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    assert!(!site.can_move(&person));
    assert!(cuts[0].0 < 7 * SECOND, "{cuts:?}");
    let returned = |event: &Event| matches!(event, Event::Returned { .. });
    assert_eq!(world.events.count(returned), 0);
    running.stop().await;
}
