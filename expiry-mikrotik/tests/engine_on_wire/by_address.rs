//! Bypass bindings that fit an address, and flows of devices whose host is forgotten.

use std::net::Ipv4Addr;

use expiry_core::{BindingKind, Directory, Event, StatusStore, WayIn};
use expiry_mikrotik::sim::{Access, ClientConfig, ClientId};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::{is_cut_on, is_restored},
    world::{DEADLINE, Person, SECOND, Site, Way, World, client, config, mac, name},
};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 5, 50, 7);

/// A device at [`ADDRESS`] whose account was disabled long ago: what lets it pass is a binding.
fn device(number: u16, address: Ipv4Addr) -> ClientConfig {
    ClientConfig {
        address: Some(address),
        access: Access::Account,
        ..client(number, Way::Fasttrack)
    }
}

fn bind(site: &Site, addresses: &str) {
    let words = [
        "/ip/hotspot/ip-binding/add".into(),
        format!("=address={addresses}"),
        "=type=bypassed".into(),
        "=comment=till".into(),
    ];
    site.with(|sim| sim.operate(words)).expect("valid values");
}

fn lease(site: &Site, number: u16, address: Ipv4Addr) {
    give(site, "/ip/dhcp-server/lease", number, address);
}

fn arp(site: &Site, number: u16, address: Ipv4Addr) {
    give(site, "/ip/arp", number, address);
}

fn give(site: &Site, menu: &str, number: u16, address: Ipv4Addr) {
    let words = [
        format!("{menu}/add"),
        format!("=mac-address={}", mac(number)),
        format!("=address={address}"),
    ];
    site.with(|sim| sim.operate(words)).expect("valid values");
}

/// Brings a device online that has nothing but the bindings there are.
async fn bypassed(world: &World, site: &Site, number: u16, address: Ipv4Addr) -> Person {
    let client = site.with(|sim| {
        let client = sim.add_client(device(number, address));
        sim.remove_user(&name(number)).expect("it is there");
        sim.kick(&name(number));
        sim.remove_cookies(&name(number));
        sim.remove_hosts(mac(number));
        client
    });
    let id = world
        .subscribe(site, &name(number), &[mac(number)], DEADLINE)
        .await;
    Person { id, client }
}

fn moves(site: &Site, client: ClientId) -> bool {
    site.with(|sim| sim.client_can_move_bytes(client))
}

fn bindings_off(site: &Site) -> Vec<bool> {
    let rows = site.with(|sim| sim.table("/ip/hotspot/ip-binding"));
    rows.iter().map(|row| row["disabled"] == "true").collect()
}

#[rstest]
#[case("10.5.50.7")]
#[case("10.5.50.7-10.5.50.7")]
#[case("10.5.50.7/32")]
#[tokio::test(start_paused = true)]
async fn r6_who_passes_by_the_binding_of_its_address_is_cut_and_restored(#[case] addresses: &str) {
    let world = World::new();
    let site = world.site("hill").await;
    bind(&site, addresses);
    let person = bypassed(&world, &site, 1, ADDRESS).await;
    let running = world.start();
    world.reach(5 * SECOND).await;
    assert!(moves(&site, person.client));

    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(40 * SECOND).await;

    assert!(!moves(&site, person.client));
    assert_eq!(bindings_off(&site), [true]);
    let returned = |event: &Event| matches!(event, Event::Returned { .. });
    assert_eq!(world.events.count(returned), 0);
    world.pay(person.id).await;
    world.events.wait_for(20 * SECOND, 1, is_restored).await;
    sleep(SECOND).await;
    assert_eq!(bindings_off(&site), [false]);
    assert!(moves(&site, person.client));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_who_passes_by_a_binding_of_many_addresses_is_not_confirmed_off_and_the_binding_is_named()
 {
    let world = World::new();
    let site = world.site("hill").await;
    bind(&site, "10.5.50.0/24");
    let person = bypassed(&world, &site, 1, ADDRESS).await;
    sleep(SECOND).await;
    let running = world.start();
    world.reach(DEADLINE + 60 * SECOND).await;

    assert!(moves(&site, person.client));
    assert_eq!(bindings_off(&site), [false]);
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 0);
    let status = world.store.status(10).await.expect("status");
    let owed = &status.owed[0];
    let error = owed.last_error.as_deref().expect("an error");
    let told =
        "it passes by the binding for 10.5.50.0/24 (comment \"till\"), which covers others too";
    assert!(error.contains(told), "{error}");
    assert!(owed.online && !owed.cannot_hold);
    let strays = Directory::strays(&*world.store, site.router.id).await;
    let strays = strays.expect("strays").strays;
    let binding = &strays[0].presence;
    assert_eq!(binding.address.as_deref(), Some("10.5.50.0/24"));
    assert!(binding.online && binding.way_in == WayIn::SharedBypass);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r1_the_binding_of_an_address_that_somebody_with_access_has_now_stays() {
    let world = World::new();
    let site = world.site("hill").await;
    bind(&site, "10.5.50.7");
    lease(&site, 1, ADDRESS);
    let payer = site.with(|sim| {
        let client = sim.add_client(device(2, ADDRESS));
        sim.remove_hosts(mac(2));
        client
    });
    world
        .subscribe(&site, &name(2), &[mac(2)], 100 * DEADLINE)
        .await;
    site.with(|sim| sim.add_user(&name(1), "x")).expect("new");
    world.subscribe(&site, &name(1), &[mac(1)], DEADLINE).await;
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(20 * SECOND).await;
    assert_eq!(bindings_off(&site), [false]);
    assert!(moves(&site, payer));
    let flows = site.with(|sim| sim.table("/ip/firewall/connection"));
    let ids: Vec<_> = flows.iter().map(|row| row[".id"].as_str()).collect();
    assert_eq!(ids, ["*1", "*2", "*3"], "none was removed");
    running.stop().await;
}

/// How the address of a sleeping device is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Lease,
    Arp,
    Binding,
    EarlierReading,
}

#[rstest]
#[case(Known::Lease)]
#[case(Known::Arp)]
#[case(Known::Binding)]
#[case(Known::EarlierReading)]
#[tokio::test(start_paused = true)]
async fn r6_the_flows_of_a_device_whose_host_is_forgotten_are_purged(#[case] known: Known) {
    let world = World::new();
    let sleeps = 150 * SECOND;
    let site = world.site("hill").await;
    let sleeper = site.with(|sim| {
        let sleeper = sim.add_client(ClientConfig {
            address: Some(ADDRESS),
            ..client(1, Way::BypassFasttrack)
        });
        if known == Known::Binding {
            sim.remove_bindings(mac(1));
        }
        sleeper
    });
    match known {
        Known::Lease => lease(&site, 1, ADDRESS),
        Known::Binding => {
            let words = [
                "/ip/hotspot/ip-binding/add".into(),
                format!("=mac-address={}", mac(1)),
                format!("=address={ADDRESS}"),
                "=type=bypassed".into(),
            ];
            site.with(|sim| sim.operate(words)).expect("valid values");
        }
        Known::Arp | Known::EarlierReading => {}
    }
    world.subscribe(&site, &name(1), &[mac(1)], sleeps).await;
    let early = known == Known::EarlierReading;
    let mut running = early.then(|| world.start());
    world.reach(10 * SECOND).await;
    site.with(|sim| sim.set_client_on(sleeper, false));
    world.reach(149 * SECOND).await;
    assert!(site.with(|sim| sim.table("/ip/hotspot/host").is_empty()));
    if known == Known::Arp {
        arp(&site, 1, ADDRESS);
    }
    let flows = |site: &Site| site.with(|sim| sim.table("/ip/firewall/connection").len());
    assert_eq!(flows(&site), 3);
    let running = running.take().unwrap_or_else(|| world.start());

    world
        .events
        .wait_for_cuts(40 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    assert_eq!(flows(&site), 0);
    site.with(|sim| sim.set_client_on(sleeper, true));
    sleep(SECOND).await;
    assert!(!moves(&site, sleeper));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r1_the_flows_of_an_address_that_the_router_knows_of_another_device_stay() {
    let world = World::new();
    let site = world.site("hill").await;
    let payer = site.with(|sim| {
        let payer = sim.add_client(ClientConfig {
            address: Some(ADDRESS),
            ..client(2, Way::BypassFasttrack)
        });
        sim.set_client_on(payer, false);
        sim.add_binding(mac(1), BindingKind::Bypassed, "paid");
        payer
    });
    for number in [1, 2] {
        let ends = DEADLINE * u32::from(number) * 15;
        let devices = [mac(number)];
        world.subscribe(&site, &name(number), &devices, ends).await;
    }
    world.reach(149 * SECOND).await;
    assert!(site.with(|sim| sim.table("/ip/hotspot/host").is_empty()));
    lease(&site, 1, ADDRESS);
    arp(&site, 2, ADDRESS);
    let running = world.start();
    world
        .events
        .wait_for_cuts(40 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert_eq!(bindings_off(&site), [false, true]);
    let flows = site.with(|sim| sim.table("/ip/firewall/connection").len());
    assert_eq!(flows, 3);
    site.with(|sim| sim.set_client_on(payer, true));
    assert!(moves(&site, payer));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_router_without_a_dhcp_server_is_cut_all_the_same() {
    let world = World::new();
    let config = expiry_mikrotik::sim::SimConfig {
        dhcp_server: false,
        ..config("hill")
    };
    let site = world.site_with(config).await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    let cuts = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(cuts[0].0 < SECOND, "{cuts:?}");
    assert!(!site.can_move(&person));
    running.stop().await;
}
