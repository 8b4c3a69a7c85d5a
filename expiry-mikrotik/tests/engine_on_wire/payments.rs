use std::{sync::Arc, time::Duration};

use expiry_core::Directory;
use expiry_mikrotik::sim::{Fault, FaultRule, LoginMethod, SimConfig, Simulator};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::{is_cut_on, is_restored},
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, Site, Way, World, client, config, mac, name, pay},
};

/// Slow enough that a payment can come between any two commands.
fn slow() -> SimConfig {
    SimConfig {
        delay: Duration::from_millis(4),
        ..config("hill")
    }
}

/// What an operator had switched off before.
fn switch_off_by_hand(site: &Site) {
    site.with(|sim| {
        let other = format!("+{}", name(1));
        sim.add_user(&other, "x").expect("a new name");
        sim.set_user_disabled(&other, true).expect("it is there");
    });
}

#[rstest]
#[case(Way::Account)]
#[case(Way::Bypass)]
#[case(Way::Fasttrack)]
#[tokio::test(start_paused = true)]
async fn r3_a_payment_after_any_command_of_a_cut_wins(#[case] way: Way) {
    let mut outcomes = [0, 0];
    for position in 0.. {
        let world = World::new();
        let site = world.site_with(slow()).await;
        switch_off_by_hand(&site);
        let person = world.person(&site, 1, way, DEADLINE).await;
        let running = world.start();
        world.reach(SHORTLY_BEFORE).await;
        let before = site.commands();
        let paid = {
            world.reach(DEADLINE).await;
            let looks = tokio::time::timeout(15 * SECOND, site.done(before + position)).await;
            pay(&world.store, person.id).await;
            looks.is_ok()
        };
        sleep(10 * SECOND).await;

        assert!(
            site.can_move(&person) && site.could_log_in(&person),
            "after {position}"
        );
        assert_eq!(world.undone(), 0, "after {position}");
        assert!(
            site.is_disabled(&format!("+{}", name(1))),
            "after {position}"
        );
        let cuts = world.events.count(is_cut_on(site.router.id));
        assert!(cuts <= 1);
        assert!(cuts == 0 || world.events.count(is_restored) == 1);
        outcomes[cuts] += 1;
        running.stop().await;
        if !paid {
            break;
        }
    }
    assert!(outcomes.iter().all(|count| *count >= 10), "{outcomes:?}");
}

/// The look takes eight commands and the block six.
#[rstest]
#[tokio::test(start_paused = true)]
async fn r3_a_payment_before_the_drop_leaves_the_session_alone(
    #[values(1, 7, 9, 11, 13)] position: u64,
) {
    let world = World::new();
    let site = world.site_with(slow()).await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    let before = site.commands();

    world.reach(DEADLINE).await;
    site.done(before + position).await;
    world.pay(person.id).await;
    sleep(5 * SECOND).await;

    assert_eq!(site.stopped(&world, person.client), None);
    assert!(!site.is_disabled(&name(1)));
    let stats = site.with(Simulator::take_stats);
    let wrote = |path: &String| !path.ends_with("/print");
    let wrote: Vec<_> = stats.commands.keys().filter(|path| wrote(path)).collect();
    if position < 8 {
        assert!(wrote.is_empty(), "{wrote:?}");
    } else {
        assert_eq!(wrote, ["/ip/hotspot/cookie/remove", "/ip/hotspot/user/set"]);
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r3_who_buys_the_name_or_the_device_gets_the_restore() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let bypassed = site.with(|sim| sim.add_client(client(2, Way::Bypass)));
    let store = Arc::clone(&world.store);
    store.add_device(person.id, mac(2)).await.expect("a device");
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(!site.with(|sim| sim.client_can_move_bytes(bypassed)));

    store
        .remove_subscriber(person.id)
        .await
        .expect("it is there");
    world
        .subscribe(&site, &name(77), &[mac(2)], DEADLINE * 10)
        .await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;
    sleep(SECOND).await;

    assert!(site.with(|sim| sim.client_can_move_bytes(bypassed)));
    assert!(!site.can_move(&person) && site.is_disabled(&name(1)));
    world.subscribe(&site, &name(1), &[], DEADLINE * 10).await;
    world.events.wait_for(5 * SECOND, 2, is_restored).await;
    assert!(!site.is_disabled(&name(1)));
    running.stop().await;
}

#[rstest]
#[case(Fault::LoseAnswer)]
#[case(Fault::Close)]
#[case(Fault::Silence)]
#[tokio::test(start_paused = true)]
async fn r3_a_restore_that_is_broken_off_anywhere_lets_the_device_in(
    #[case] fault: Fault,
    #[values(Way::Account, Way::Bypass)] way: Way,
) {
    for position in 0..16 {
        let world = World::new();
        let config = SimConfig {
            bypass_needs_new_host: true,
            ..config("hill")
        };
        let site = world.site_with(config).await;
        let person = world.person(&site, 1, way, DEADLINE).await;
        let running = world.start();
        world
            .events
            .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
            .await;
        world.reach(DEADLINE + 15 * SECOND).await;
        assert!(!site.can_move(&person));

        let rule = FaultRule::on("", fault.clone()).after(position).once();
        site.with(|sim| sim.inject(rule));
        world.pay(person.id).await;
        world.events.wait_for(20 * SECOND, 1, is_restored).await;
        sleep(SECOND).await;

        assert!(site.can_move(&person), "{fault:?} at {position}");
        assert_eq!(world.undone(), 0, "{fault:?} at {position}");
        running.stop().await;
    }
}

/// A router tries the MAC of a device once, when it first sees it; nothing else lets this one in.
#[tokio::test(start_paused = true)]
async fn r3_whoever_comes_in_by_mac_login_alone_is_online_again_after_a_payment() {
    let world = World::new();
    let config = SimConfig {
        login_by: [LoginMethod::Mac].into(),
        ..config("hill")
    };
    let site = world.site_with(config).await;
    let person = world.person(&site, 1, Way::MacLogin, DEADLINE).await;
    let running = world.start();
    let cut = is_cut_on(site.router.id);
    world.events.wait_for_cuts(20 * SECOND, 1, cut).await;
    world.reach(DEADLINE + 20 * SECOND).await;
    assert!(!site.can_move(&person));

    world.pay(person.id).await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;
    sleep(SECOND).await;

    assert!(site.can_move(&person));
    running.stop().await;
}

/// The operator's own ban of the same device, and ours, which the billing system rewrote.
#[tokio::test(start_paused = true)]
async fn r3_a_binding_that_was_edited_is_restored_and_the_operators_is_not() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Bypass, DEADLINE).await;
    let address = format!("=mac-address={}", mac(1));
    let disabled = |comment| {
        let add = "/ip/hotspot/ip-binding/add";
        [add, &address, "=type=bypassed", "=disabled=yes", comment].map(String::from)
    };
    let operate = |words: &[String]| site.with(|sim| sim.operate(words).expect("done"));
    operate(&disabled("=comment=banned by hand"));
    let running = world.start();
    let cut = is_cut_on(site.router.id);
    world.events.wait_for_cuts(20 * SECOND, 1, cut).await;
    let ours = site.with(|sim| sim.table("/ip/hotspot/ip-binding")[0][".id"].clone());
    let remove = [
        "/ip/hotspot/ip-binding/remove".into(),
        format!("=.id={ours}"),
    ];
    operate(&remove);
    operate(&disabled("=comment=written anew"));

    world.pay(person.id).await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;

    assert!(site.can_move(&person));
    assert_eq!(
        site.with(|sim| sim.bindings_disabled(mac(1))),
        [true, false]
    );
    running.stop().await;
}
