use std::time::Duration;

use expiry_core::{Directory, RouterChange, StatusStore};
use expiry_mikrotik::sim::{Fault, FaultRule, Link, Simulator};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, WAYS, World},
};

#[rstest]
#[case(Link::Refused)]
#[case(Link::BlackHole)]
#[case(Link::Filtered)]
#[tokio::test(start_paused = true)]
async fn r4_a_router_out_of_reach_delays_its_own_cuts_alone(#[case] link: Link) {
    let undisturbed = lags_of_the_healthy(Link::Up).await;
    let disturbed = lags_of_the_healthy(link).await;
    for (with, without) in disturbed.iter().zip(&undisturbed) {
        let more = with.saturating_sub(*without);
        assert!(
            more < Duration::from_millis(5),
            "{with:?}, without the outage {without:?}"
        );
    }
}

/// Subscribers of two routers end together, one after the other; the link of the first router is
/// as given for a minute. Returns the lags at the second.
async fn lags_of_the_healthy(link: Link) -> Vec<Duration> {
    let world = World::new();
    let dead = world.site("dead").await;
    let healthy = world.site("healthy").await;
    for number in 0..20 {
        let ends_in = DEADLINE + Duration::from_millis(731) * u32::from(number);
        let way = WAYS[usize::from(number) % WAYS.len()];
        world.person(&dead, number, way, ends_in).await;
        world.person(&healthy, number + 100, way, ends_in).await;
    }
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    dead.sim.set_link(link).await;
    if link == Link::Filtered {
        dead.with(Simulator::reboot);
    }

    let lags = world
        .events
        .wait_for_cuts(60 * SECOND, 20, is_cut_on(healthy.router.id))
        .await;
    world.reach(DEADLINE + 60 * SECOND).await;
    if link != Link::Up {
        assert_eq!(world.events.count(is_cut_on(dead.router.id)), 0);
        let status = world.store.status(5).await.expect("status");
        assert_eq!(status.owed_cuts, 20);
        dead.sim.up().await;
        let cuts = world
            .events
            .wait_for_cuts(10 * SECOND, 20, is_cut_on(dead.router.id))
            .await;
        assert!(cuts.iter().all(|(_, outage)| *outage), "{cuts:?}");
    }
    assert!(lags.iter().all(|(_, outage)| !outage), "{lags:?}");
    running.stop().await;
    lags.into_iter().map(|(lag, _)| lag).collect()
}

#[rstest]
#[case::a_minute(60 * SECOND, 5 * SECOND)]
#[case::hours(3 * 3600 * SECOND, 20 * SECOND)]
#[tokio::test(start_paused = true)]
async fn r4_what_is_owed_is_confirmed_soon_after_a_router_answers_again(
    #[case] outage: Duration,
    #[case] at_most: Duration,
    #[values(Link::Refused, Link::BlackHole)] link: Link,
) {
    // The router comes back at any moment between two tries.
    for step in 0..24 {
        let world = World::new();
        let site = world.site("hill").await;
        let person = world
            .person(&site, 1, crate::world::Way::Account, DEADLINE)
            .await;
        let running = world.start();
        world.reach(SHORTLY_BEFORE).await;
        site.sim.set_link(link).await;
        let back = DEADLINE + outage + SECOND.mul_f64(0.71) * step;
        world.reach(back).await;
        assert!(site.can_move(&person));

        site.sim.up().await;
        let cut = is_cut_on(site.router.id);
        world.events.wait_for_cuts(at_most, 1, cut).await;

        assert!(!site.can_move(&person));
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn r4_a_right_password_that_is_refused_once_costs_a_second() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world
        .person(&site, 1, crate::world::Way::Account, DEADLINE)
        .await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    site.with(|sim| {
        sim.refuse_logins(1);
        sim.inject(FaultRule::on("/ip", Fault::Close).once());
    });

    let cuts = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    assert!(!site.can_move(&person));
    assert!(cuts[0].0 < 3 * SECOND, "{cuts:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_wrong_password_is_not_hammered_and_a_changed_one_is_tried_at_once() {
    let world = World::new();
    let site = world.site("hill").await;
    world
        .person(&site, 1, crate::world::Way::Account, DEADLINE)
        .await;
    site.with(|sim| sim.configure(|config| config.password = "changed".into()));
    let running = world.start();
    world.reach(DEADLINE + 5 * 60 * SECOND).await;
    let refused = site.with(Simulator::take_stats).refused_logins;
    assert!((5..=8).contains(&refused), "{refused}");

    let change = RouterChange {
        password: Some("changed".into()),
        ..Default::default()
    };
    let changed = Directory::change_router(&*world.store, site.router.id, &change);
    changed.await.expect("it is there");
    world
        .events
        .wait_for_cuts(SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(SECOND).await;
    running.stop().await;
}
