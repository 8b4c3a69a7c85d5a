//! Subscribers who have registered no device: only the session tells which device is theirs.

use expiry_core::Directory;
use expiry_mikrotik::sim::{ClientConfig, ClientId, Fault, FaultRule, Trap};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, Site, World, mac, name},
};

/// A phone with fasttracked flows. A silent one shows nothing of itself once its session is gone.
async fn phone(world: &World, site: &Site, knocks: bool) -> ClientId {
    let config = ClientConfig {
        connections: 3,
        fasttrack: true,
        persistent: knocks,
        ..ClientConfig::new(name(1), mac(1))
    };
    let phone = site.with(|sim| sim.add_client(config));
    world.subscribe(site, &name(1), &[], DEADLINE).await;
    phone
}

#[rstest]
#[case::silent(false)]
#[case::knocking(true)]
#[tokio::test(start_paused = true)]
async fn r2_r6_a_cut_that_breaks_anywhere_leaves_no_flow_behind(#[case] knocks: bool) {
    for fault in [Fault::LoseAnswer, Fault::Close] {
        for position in 0.. {
            let world = World::new();
            let site = world.site("tower").await;
            let phone = phone(&world, &site, knocks).await;
            let running = world.start();
            world.reach(SHORTLY_BEFORE).await;
            let before = site.commands();
            site.with(|sim| sim.inject(FaultRule::on("", fault.clone()).after(position).once()));

            let cuts = world
                .events
                .wait_for_cuts(60 * SECOND, 1, is_cut_on(site.router.id))
                .await;
            let commands = site.commands() - before;

            assert_eq!(cuts.len(), 1);
            assert!(
                !site.with(|sim| sim.client_can_move_bytes(phone)),
                "{fault:?} at {position}: confirmed while bytes flow"
            );
            running.stop().await;
            if commands < position {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r6_a_router_that_cannot_show_its_connections_drops_the_session_all_the_same() {
    let world = World::new();
    let site = world.site("tower").await;
    let phone = phone(&world, &site, true).await;
    site.with(|sim| {
        sim.configure(|config| config.fasttrack_rule = false);
        let refuse = Fault::Refuse(Trap::new("action timed out"));
        sim.inject(FaultRule::on("/ip/firewall/connection/print", refuse));
        sim.kick(&name(1));
    });
    sleep(SECOND).await;
    let running = world.start();
    world.reach(DEADLINE + 5 * SECOND).await;

    assert!(
        site.with(|sim| sim.table("/ip/hotspot/active").is_empty()),
        "the session is gone"
    );
    assert_eq!(
        world.events.count(is_cut_on(site.router.id)),
        0,
        "but nothing is confirmed"
    );
    site.with(expiry_mikrotik::sim::Simulator::clear_faults);
    world
        .events
        .wait_for_cuts(10 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(!site.with(|sim| sim.client_can_move_bytes(phone)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r3_what_an_earlier_cut_undid_is_the_operators_business_since() {
    let world = World::new();
    let site = world.site("tower").await;
    let id = world.subscribe(&site, &name(1), &[mac(1)], DEADLINE).await;
    site.with(|sim| {
        sim.add_user(&name(1), "x").expect("a new name");
        sim.add_binding(mac(1), expiry_core::BindingKind::Bypassed, "paid");
    });
    let running = world.start();
    world
        .events
        .wait_for_cuts(60 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    world.pay(id).await;
    sleep(20 * SECOND).await;
    assert_eq!(
        site.with(|sim| sim.bindings_disabled(mac(1))),
        [false],
        "restored"
    );

    site.with(|sim| sim.set_bindings_disabled(mac(1), true));
    let revoke = expiry_core::AccessChange::Revoke;
    world
        .store
        .change_access(id, revoke)
        .await
        .expect("revoked");
    world
        .events
        .wait_for_cuts(60 * SECOND, 2, is_cut_on(site.router.id))
        .await;
    world.pay(id).await;
    sleep(30 * SECOND).await;

    assert_eq!(
        site.with(|sim| sim.bindings_disabled(mac(1))),
        [true],
        "the operator's choice"
    );
    assert!(!site.is_disabled(&name(1)));
    running.stop().await;
}
