//! Names that cannot be read or typed, as routers hold them.

use expiry_core::{AccessChange, Directory};
use expiry_mikrotik::sim::ClientConfig;

use crate::{
    events::{is_cut_on, is_restored},
    world::{DEADLINE, SECOND, Way, World, client, mac},
};

/// Each is another name. They differ in bytes that are no text, that move a cursor, or that look
/// like the spelling of one.
const NAMES: [&str; 6] = [
    r"caf\xe9",
    r"caf\xe8",
    "café",
    r"\x1b[2Jcaf\xe9",
    r"caf\x5cxe9",
    r"caf\xe9\x20",
];

fn device(number: u16, name: &str) -> ClientConfig {
    ClientConfig {
        name: name.into(),
        ..client(number, Way::Fasttrack)
    }
}

#[tokio::test(start_paused = true)]
async fn r1_whatever_bytes_a_name_has_it_is_cut_and_restored_and_none_that_looks_alike() {
    for (cut, name) in NAMES.iter().enumerate() {
        let world = World::new();
        let site = world.site("hill").await;
        let mut people = Vec::new();
        for (number, other) in (0..).zip(NAMES) {
            let online = site.with(|sim| sim.add_client(device(number, other)));
            let ends_in = if other == *name {
                DEADLINE
            } else {
                DEADLINE * 100
            };
            let id = world.subscribe(&site, other, &[], ends_in).await;
            people.push((id, online));
        }
        let moving = |site: &crate::world::Site| {
            let moves = |(_, online): &(_, _)| site.with(|sim| sim.client_can_move_bytes(*online));
            people.iter().map(moves).collect::<Vec<_>>()
        };
        let running = world.start();
        world
            .events
            .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
            .await;
        let mut expected = vec![true; NAMES.len()];
        expected[cut] = false;
        assert_eq!(moving(&site), expected, "{name}");
        assert!(site.is_disabled(name));
        world.pay(people[cut].0).await;
        world.events.wait_for(20 * SECOND, 1, is_restored).await;
        assert!(!site.is_disabled(name));
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn r2_a_name_of_a_thousand_bytes_is_cut() {
    let world = World::new();
    let site = world.site("hill").await;
    let name = "n".repeat(1000);
    let online = site.with(|sim| sim.add_client(device(1, &name)));
    world.subscribe(&site, &name, &[], DEADLINE).await;
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(!site.with(|sim| sim.client_can_move_bytes(online)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_strays_are_named_in_the_spelling_by_which_they_are_entered() {
    let world = World::new();
    let site = world.site("hill").await;
    site.with(|sim| sim.add_client(device(1, r"caf\xe9\x1b[2J")));
    let running = world.start();
    world.reach(3 * SECOND).await;
    let strays = Directory::strays(&*world.store, site.router.id).await;
    let strays = strays.expect("strays").strays;
    let login = strays[0].presence.login.as_deref().expect("a session");
    assert_eq!(login, r"caf\xe9\x1b[2J");
    let id = world
        .subscribe(&site, login, &[mac(1)], 100 * DEADLINE)
        .await;
    let over = AccessChange::Revoke;
    let revoked = world.store.change_access(id, over).await;
    revoked.expect("a change");
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    running.stop().await;
}
