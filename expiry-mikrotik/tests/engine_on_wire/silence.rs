//! A router that gives no answer to one menu, while it answers all others at once.

use std::time::Duration;

use expiry_core::{Event, StatusStore};
use expiry_mikrotik::sim::{ClientConfig, Fault, FaultRule, Simulator};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, Site, Way, World, client, mac, name},
};

fn hang(site: &Site, table: &'static str, heeds_cancel: bool) {
    let hang = Fault::Hang { heeds_cancel };
    site.with(|sim| sim.inject(FaultRule::on(table, hang)));
}

fn lost(world: &World) -> usize {
    let lost = |event: &Event| matches!(event, Event::RouterLost { .. });
    world.events.count(lost)
}

async fn told(world: &World) -> String {
    let status = world.store.status(9).await.expect("status");
    let errors = status
        .owed
        .iter()
        .filter_map(|owed| owed.last_error.clone());
    errors.collect()
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn r4_a_menu_that_only_helps_holds_up_no_cut_and_is_left_alone_for_a_while(
    #[values("/ip/dhcp-server/lease/print", "/ip/arp/print")] table: &'static str,
    #[values(true, false)] heeds_cancel: bool,
) {
    let world = World::new();
    let site = world.site("struck").await;
    let first = world.person(&site, 1, Way::Account, DEADLINE).await;
    let second = world.person(&site, 2, Way::Fasttrack, 3 * DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    hang(&site, table, heeds_cancel);

    let cuts = world
        .events
        .wait_for_cuts(25 * SECOND, 2, is_cut_on(site.router.id))
        .await;

    assert!(cuts[0].0 < 5 * SECOND, "{cuts:?}");
    assert!(cuts[1].0 < SECOND, "{cuts:?}");
    assert!(!site.can_move(&first) && !site.can_move(&second));
    assert_eq!(lost(&world), 0);
    let asked = site.with(|sim| sim.stats().commands.get(table).copied());
    assert_eq!(asked, None, "it is never done");
    running.stop().await;
}

#[rstest]
#[case("/ip/hotspot/user/print", false)]
#[case("/ip/hotspot/cookie/print", true)]
#[case("/ip/hotspot/ip-binding/print", true)]
#[case("/ip/firewall/connection/print", true)]
#[tokio::test(start_paused = true)]
async fn r2_what_the_other_menus_show_is_cut_and_the_silent_one_is_named(
    #[case] table: &'static str,
    #[case] is_shown: bool,
    #[values(true, false)] heeds_cancel: bool,
) {
    let world = World::new();
    let site = world.site("struck").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    hang(&site, table, heeds_cancel);
    world.reach(DEADLINE + 10 * SECOND).await;
    assert!(!is_shown || !site.can_move(&person));
    world.reach(DEADLINE + 60 * SECOND).await;

    assert_eq!(world.events.count(is_cut_on(site.router.id)), 0);
    let told = told(&world).await;
    assert!(told.contains(table) && told.contains("no answer"), "{told}");
    assert_eq!(lost(&world), 0);

    site.with(Simulator::clear_faults);
    world
        .events
        .wait_for_cuts(40 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(!site.can_move(&person));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_device_whose_address_only_the_silent_menu_tells_is_not_confirmed_off() {
    let world = World::new();
    let site = world.site("struck").await;
    site.with(|sim| {
        let sleeper = sim.add_client(ClientConfig {
            address: Some([10, 5, 50, 7].into()),
            ..client(1, Way::BypassFasttrack)
        });
        sim.set_client_on(sleeper, false);
    });
    let ends = 150 * SECOND;
    world.subscribe(&site, &name(1), &[mac(1)], ends).await;
    let other = [mac(2)];
    site.with(|sim| sim.add_user(&name(2), "x")).expect("new");
    world.subscribe(&site, &name(2), &other, ends).await;
    world.reach(149 * SECOND).await;
    hang(&site, "/ip/arp/print", true);
    site.with(|sim| {
        let entry = ["/ip/arp/add", "=address=10.5.50.7"].map(str::to_owned);
        let entry = entry
            .into_iter()
            .chain([format!("=mac-address={}", mac(1))]);
        sim.operate(entry).expect("valid values");
    });
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(30 * SECOND).await;

    let told = told(&world).await;
    assert!(told.contains("/ip/arp/print"), "{told}");
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 1);
    let flows = |site: &Site| site.with(|sim| sim.table("/ip/firewall/connection").len());
    assert_eq!(flows(&site), 3);

    site.with(Simulator::clear_faults);
    world
        .events
        .wait_for_cuts(Duration::from_mins(12), 2, is_cut_on(site.router.id))
        .await;
    assert_eq!(flows(&site), 0);
    running.stop().await;
}
