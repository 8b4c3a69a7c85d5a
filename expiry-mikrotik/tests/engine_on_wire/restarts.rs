//! Routers that restart, with what a backup brings back.

use std::time::Duration;

use expiry_core::Event;
use expiry_mikrotik::sim::Simulator;
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, Way, World, mac, name},
};

/// How the router is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// It resets its connections.
    Reset,
    /// It is not even noticed: what it had is gone, and its old connections lead nowhere.
    HalfOpen,
}

#[rstest]
#[case::a_moment(Duration::from_millis(100))]
#[case::a_short_one(Duration::from_millis(2_500))]
#[case::a_longer_one(8 * SECOND)]
#[tokio::test(start_paused = true)]
async fn r9_a_restart_with_a_restored_backup_is_noticed_and_what_is_back_is_cut(
    #[case] away_for: Duration,
    #[values(Away::Reset, Away::HalfOpen)] away: Away,
) {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let bypassed = world.person(&site, 2, Way::Bypass, DEADLINE).await;
    let running = world.start();
    let cuts = is_cut_on(site.router.id);
    world.events.wait_for_cuts(20 * SECOND, 2, cuts).await;
    // All looks are over, and nothing is owed.
    world.reach(DEADLINE + 60 * SECOND).await;
    assert!(!site.can_move(&person) && !site.can_move(&bypassed));

    match away {
        Away::Reset => site.sim.down().await,
        Away::HalfOpen => site.with(Simulator::go_half_open),
    }
    sleep(away_for).await;
    site.with(|sim| {
        sim.reboot();
        sim.set_user_disabled(&name(1), false).expect("it is there");
        sim.set_bindings_disabled(mac(2), false);
    });
    site.sim.up().await;

    let restarted = |e: &Event| matches!(e, Event::RouterRestarted { .. });
    let soon = match away {
        Away::Reset => 5 * SECOND,
        Away::HalfOpen => 30 * SECOND,
    };
    world.events.wait_for(soon, 1, restarted).await;
    sleep(5 * SECOND).await;
    assert!(!site.can_move(&person) && !site.can_move(&bypassed));
    assert!(!site.could_log_in(&person) && !site.could_log_in(&bypassed));
    sleep(60 * SECOND).await;
    assert_eq!(world.events.count(restarted), 1, "once is enough");
    running.stop().await;
}
