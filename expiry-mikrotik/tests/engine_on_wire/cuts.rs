use std::time::Duration;

use expiry_mikrotik::sim::{ClientConfig, SimConfig, Simulator};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, SHORTLY_BEFORE, Site, WAYS, Way, World, client, config, mac, name},
};

/// A look: accounts, cookies, bindings, bindings without a MAC, sessions, hosts; the first one leases
/// and ARP entries, too. The flight of the block reads sessions and hosts again. Connection tables and removals of
/// connections are counted apart.
const READS: u64 = 8 + 2 + 6;

#[rstest]
// Account, two cookies; session, host.
#[case(Way::Account, 3 + 2)]
#[case(Way::Plus, 3 + 2)]
#[case(Way::Fasttrack, 3 + 2)]
#[case(Way::MacLogin, 3 + 2)]
// Binding; host.
#[case(Way::Bypass, 1 + 1)]
#[case(Way::BypassFasttrack, 1 + 1)]
#[tokio::test(start_paused = true)]
async fn r5_a_cut_is_made_at_the_deadline_with_no_more_commands_than_it_needs(
    #[case] way: Way,
    #[case] writes: u64,
) {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, way, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    assert_eq!(site.with(Simulator::take_stats).logins, 1);
    assert!(site.can_move(&person));

    let cuts = world
        .events
        .wait_for_cuts(5 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    let stopped = site.stopped(&world, person.client).expect("it is off");
    let (lag, outage) = cuts[0];
    assert!(
        stopped >= DEADLINE && stopped <= DEADLINE + lag,
        "{stopped:?}"
    );
    assert!(lag < Duration::from_millis(30) && !outage, "{lag:?}");
    assert!(!site.can_move(&person) && !site.could_log_in(&person));
    let stats = site.with(Simulator::take_stats);
    let removed = stats.commands["/ip/firewall/connection/remove"];
    assert_eq!((removed, stats.connection_prints()), (3, 2));
    assert_eq!(
        stats.commands_in_all() - removed,
        READS + writes,
        "{stats:?}"
    );
    assert_eq!((stats.connects, stats.logins), (0, 0));

    sleep(15 * SECOND).await;
    let stats = site.with(Simulator::take_stats);
    assert_eq!(
        stats.commands_in_all(),
        3 * 6,
        "three looks, which prove the line, too: {stats:?}"
    );
    assert_eq!((stats.connects, stats.connection_prints()), (0, 0));
    assert_eq!(site.stopped(&world, person.client), Some(stopped));
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 1);
    running.stop().await;
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn r1_nobody_is_cut_early_and_nobody_with_access_ever(#[values(0, 1, 20)] delay_ms: u64) {
    let world = World::new();
    let config = SimConfig {
        delay: Duration::from_millis(delay_ms),
        ..config("hill")
    };
    let site = world.site_with(config).await;
    let mut ending = Vec::new();
    for number in 0..20 {
        let ends_in = DEADLINE + Duration::from_millis(37) * u32::from(number);
        let way = WAYS[usize::from(number) % 6];
        ending.push((ends_in, world.person(&site, number, way, ends_in).await));
        world.person(&site, number + 100, way, DEADLINE * 100).await;
    }
    let running = world.start();

    world
        .events
        .wait_for_cuts(60 * SECOND, 20, is_cut_on(site.router.id))
        .await;

    for (ends_in, person) in &ending {
        let stopped = site.stopped(&world, person.client).expect("it is off");
        assert!(stopped >= *ends_in, "{person:?} at {stopped:?}");
    }
    let stops = site.traffic(&world).into_iter().filter(|event| !event.2);
    let others: Vec<_> = stops
        .filter(|(_, client, _)| ending.iter().all(|(_, person)| person.client != *client))
        .collect();
    assert_eq!(others, []);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r6_every_device_and_every_account_of_a_subscriber_goes() {
    let world = World::new();
    let site = world.site("hill").await;
    let clients: Vec<_> = (1..)
        .zip(WAYS)
        .map(|(number, way)| {
            let mut device = client(number, way);
            if matches!(way, Way::Account | Way::Fasttrack) {
                device.name = name(1);
            }
            site.with(|sim| {
                sim.configure(|config| config.shared_users = None);
                sim.add_client(device)
            })
        })
        .collect();
    let macs: Vec<_> = (1..).zip(WAYS).map(|(number, _)| mac(number)).collect();
    // The third device is known by nothing but the name that it is logged in with.
    let known: Vec<_> = macs.into_iter().filter(|of| *of != mac(3)).collect();
    world.subscribe(&site, &name(1), &known, DEADLINE).await;
    // The account with a `+` is another subscriber's, who has access.
    world.subscribe(&site, &name(2), &[], DEADLINE * 100).await;
    let running = world.start();

    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;

    let moving = clients
        .iter()
        .map(|client| site.with(|sim| sim.client_can_move_bytes(*client)));
    assert_eq!(
        moving.collect::<Vec<_>>(),
        [false, true, false, false, false, false]
    );
    running.stop().await;
}

/// The router still shows a device on an address that another device uses by now.
#[tokio::test(start_paused = true)]
async fn r1_the_connections_of_whoever_shares_an_address_stay() {
    let world = World::new();
    let site = world.site("hill").await;
    let address = Some([10, 5, 50, 7].into());
    let [payer, ending] = [(1, Way::Account), (2, Way::Bypass)].map(|(number, way)| {
        let client = ClientConfig {
            address,
            ..client(number, way)
        };
        site.with(|sim| sim.add_client(client))
    });
    let flows = |site: &Site| {
        let rows = site.with(|sim| sim.table("/ip/firewall/connection"));
        let ids = rows.into_iter().map(|row| row[".id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(flows(&site), ["*1", "*2", "*3", "*4", "*5", "*6"]);
    world
        .subscribe(&site, &name(1), &[mac(1)], DEADLINE * 100)
        .await;
    world.subscribe(&site, &name(2), &[mac(2)], DEADLINE).await;
    let running = world.start();

    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(20 * SECOND).await;

    assert!(!site.with(|sim| sim.client_can_move_bytes(ending)));
    assert!(site.with(|sim| sim.client_can_move_bytes(payer)));
    assert_eq!(
        flows(&site),
        ["*1", "*2", "*3"],
        "none was removed and opened anew"
    );
    running.stop().await;
}
