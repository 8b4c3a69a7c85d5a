use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::sim::{Access, ClientConfig, ClientId, LoginMethod, Simulator};
use proptest::prelude::*;

use super::{MAC, events, persistent, router, wait};

/// One thing that an operator may do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Disable(bool),
    Kick,
    RemoveCookies,
    DisableBindings(bool),
    RemoveHosts,
    RemoveConnections,
    Reboot,
    Switch(bool),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<bool>().prop_map(Act::Disable),
        Just(Act::Kick),
        Just(Act::RemoveCookies),
        any::<bool>().prop_map(Act::DisableBindings),
        Just(Act::RemoveHosts),
        Just(Act::RemoveConnections),
        Just(Act::Reboot),
        any::<bool>().prop_map(Act::Switch),
        (0_u64..300_000).prop_map(Act::Wait),
    ]
}

fn perform(sim: &mut Simulator, client: ClientId, act: Act) {
    match act {
        // A bypassed client has no account.
        Act::Disable(on) => drop(sim.set_user_disabled("alice", on)),
        Act::Kick => sim.kick("alice"),
        Act::RemoveCookies => sim.remove_cookies("alice"),
        Act::DisableBindings(on) => sim.set_bindings_disabled(MAC, on),
        Act::RemoveHosts => sim.remove_hosts(MAC),
        Act::RemoveConnections => sim.remove_connections(client),
        Act::Reboot => sim.reboot(),
        Act::Switch(on) => sim.set_client_on(client, on),
        Act::Wait(millis) => wait(sim, Duration::from_millis(millis)),
    }
}

fn any_client() -> impl Strategy<Value = ClientConfig> {
    (any::<[bool; 5]>(), 0_usize..4).prop_map(|(flags, connections)| ClientConfig {
        access: if flags[0] {
            Access::Bypass
        } else {
            Access::Account
        },
        with_cookie: flags[1],
        mac_cookie: flags[2],
        persistent: flags[3],
        fasttrack: flags[4],
        connections,
        ..ClientConfig::new("alice", MAC)
    })
}

fn all_methods() -> Vec<LoginMethod> {
    use LoginMethod::{Cookie, Form, Mac, MacCookie};
    vec![Cookie, Form, Mac, MacCookie]
}

const LOOKED_UP: &[(&str, &[&str])] = &[
    ("/ip/hotspot/user", &["name"]),
    ("/ip/hotspot/active", &["user", "mac-address", "address"]),
    (
        "/ip/hotspot/host",
        &["mac-address", "address", "to-address"],
    ),
    ("/ip/hotspot/cookie", &["user", "mac-address"]),
    ("/ip/hotspot/ip-binding", &["mac-address"]),
];

proptest! {
    /// Looking rows up and looking at all of them come to the same.
    #[test]
    fn a_row_is_found_by_each_of_its_values(
        acts in proptest::collection::vec(act(), 0..8),
        foreign: bool,
    ) {
        let mut sim = router(&all_methods());
        let client = sim.add_client(ClientConfig {
            to_address: foreign.then_some([10, 9, 9, 9].into()),
            with_cookie: true,
            mac_cookie: true,
            ..persistent()
        });
        sim.add_client(ClientConfig {
            access: Access::Bypass,
            ..ClientConfig::new("bob", MacAddr::new([2, 0, 0, 0, 0, 8]))
        });
        for act in acts {
            perform(&mut sim, client, act);
        }
        for (path, columns) in LOOKED_UP {
            for row in sim.table(path) {
                for column in *columns {
                    let print = format!("{path}/print");
                    let query = format!("?{column}={}", row[*column]);
                    let found = sim.operate([&print, &query]).expect("valid");
                    // Twice `not`: the same condition, which is not recognised as simple.
                    let all = sim.operate([&print, &query, "?#!!"]).expect("valid");
                    prop_assert!(found.contains(&row), "{query} in {path}");
                    prop_assert_eq!(found, all);
                }
            }
        }
    }

    /// Whatever happened before: the complete cut, in its order, ends the traffic for good.
    #[test]
    fn r6_the_complete_cut_holds_against_every_client(
        client in any_client(),
        before in proptest::collection::vec(act(), 0..12),
    ) {
        let mut sim = router(&all_methods());
        let client = sim.add_client(client);
        for act in before {
            perform(&mut sim, client, act);
        }
        perform(&mut sim, client, Act::Switch(true));
        for act in [
            Act::Disable(true),
            Act::RemoveCookies,
            Act::DisableBindings(true),
            Act::Kick,
            Act::RemoveHosts,
            Act::RemoveConnections,
        ] {
            perform(&mut sim, client, act);
        }
        prop_assert!(!sim.client_can_move_bytes(client));
        prop_assert!(!sim.client_could_log_in(client));
        let moved = sim.bytes_moved(client);
        wait(&mut sim, Duration::from_hours(2));
        prop_assert_eq!(sim.bytes_moved(client), moved);
    }

    /// Events, the flag and the count of bytes are three views of one truth, and the tables agree.
    #[test]
    fn every_view_of_the_traffic_agrees(
        client in any_client(),
        acts in proptest::collection::vec(act(), 0..20),
    ) {
        let mut sim = router(&all_methods());
        let config = client.clone();
        let client = sim.add_client(client);
        let mut moving = false;
        let mut on = true;
        for act in acts {
            if let Act::Switch(switched) = act {
                on = switched;
            }
            perform(&mut sim, client, act);
            for event in events(&mut sim) {
                prop_assert_ne!(event.moving, moving, "told twice");
                prop_assert!(event.at <= sim.now());
                moving = event.moving;
            }
            prop_assert_eq!(moving, on && sim.client_can_move_bytes(client));
            let hosts = sim.table("/ip/hotspot/host");
            let sessions = sim.table("/ip/hotspot/active").len();
            let authorized = hosts.iter().filter(|row| row["authorized"] == "true").count();
            prop_assert_eq!(sessions, authorized);
            prop_assert!(hosts.len() <= 1);
            prop_assert!(sim.table("/ip/firewall/connection").len() <= config.connections);
            // Nothing goes on by itself unless something is left to happen.
            let before = sim.bytes_moved(client);
            let second = Duration::from_secs(1);
            if sim.next_event().is_none_or(|at| at > sim.now() + second) {
                wait(&mut sim, second);
                prop_assert_eq!(sim.bytes_moved(client) > before, moving);
            }
        }
    }
}
