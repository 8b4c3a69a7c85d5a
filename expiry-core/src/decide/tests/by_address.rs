//! Bindings that fit an address, and what tells whose an address is.

use super::*;
use crate::{Known, PresenceKind, WayIn};

fn at_address(n: usize, addresses: &str) -> BindingRow {
    BindingRow {
        mac: None,
        address: Some(addresses.into()),
        ..bypass(n, mac(1), "till")
    }
}

fn passing(n: usize, mac: MacAddr, address: IpAddr) -> HostRow {
    HostRow {
        authorized: false,
        bypassed: true,
        ..host(n, mac, address)
    }
}

fn holder(mac: MacAddr, address: IpAddr) -> HolderRow {
    HolderRow {
        mac: Some(mac),
        address,
    }
}

fn with_binding(addresses: &str) -> Sighting {
    Sighting {
        bindings: vec![at_address(9, addresses)],
        ..Sighting::default()
    }
}

#[test]
fn r6_the_binding_of_the_targets_own_address_is_the_targets() {
    let ended = task(Some("a"), &[mac(1)]);
    let by_host = Sighting {
        hosts: vec![passing(1, mac(1), ip(7))],
        ..with_binding("10.5.50.7")
    };
    let by_translation = Sighting {
        hosts: vec![HostRow {
            to_address: Some(ip(7)),
            ..passing(1, mac(1), ip(200))
        }],
        ..with_binding("10.5.50.7")
    };
    let by_session = Sighting {
        actives: vec![active(1, "a", mac(5), ip(7))],
        ..with_binding("10.5.50.7/32")
    };
    let by_holder = Sighting {
        holders: vec![holder(mac(1), ip(7))],
        ..with_binding("10.5.50.7-10.5.50.7")
    };
    let mut by_binding = with_binding("10.5.50.7");
    by_binding.bindings.push(BindingRow {
        address: Some("10.5.50.7".into()),
        ..bypass(8, mac(1), "")
    });
    for seen in [by_host, by_translation, by_session, by_holder, by_binding] {
        let left = find(&ended, &live(&[], &[]), &seen);
        assert!(left.bindings.contains(&seen.bindings[0]), "{seen:?}");
        assert!(left.addresses.contains(&ip(7)));
        assert_eq!(left.shared, []);
    }
    let claims = live(&[], &[]);
    let claim = Claim::new(&ended, &claims, false);
    let seen = with_binding("10.5.50.7");
    let left = Leftovers::find(&claim, &seen, &[ip(7)].into());
    assert_eq!(left.bindings, seen.bindings, "an earlier reading named it");
    assert_eq!(find(&ended, &claims, &seen).bindings, []);
}

#[test]
fn r1_a_binding_that_covers_others_too_is_left_and_named() {
    let ended = task(Some("a"), &[mac(1)]);
    for addresses in ["10.5.50.0/24", "10.5.50.7-10.5.50.8"] {
        let seen = Sighting {
            hosts: vec![passing(1, mac(1), ip(7))],
            ..with_binding(addresses)
        };
        let left = find(&ended, &live(&[], &[]), &seen);
        assert_eq!((&left.bindings, &left.shared), (&vec![], &seen.bindings));
        assert!(!left.is_clear());
        let told = left.describe();
        let expected = format!("passes by the binding for {addresses} (comment \"till\"), which");
        assert!(told.contains(&expected), "{told}");
        assert_eq!(suspected_way_in(&left), WayIn::SharedBypass);
    }
}

#[test]
fn r1_the_address_of_somebody_else_is_not_the_targets_whatever_names_it() {
    let ended = task(Some("a"), &[mac(1)]);
    let payer = live(&["b"], &[mac(2)]);
    let given = Sighting {
        holders: vec![holder(mac(1), ip(7))],
        ..with_binding("10.5.50.7")
    };
    let host_of_b = Sighting {
        hosts: vec![host(1, mac(2), ip(7))],
        ..given.clone()
    };
    let session_of_b = Sighting {
        actives: vec![active(1, "b", mac(2), ip(7))],
        ..given.clone()
    };
    let holder_of_b = Sighting {
        holders: vec![holder(mac(1), ip(7)), holder(mac(2), ip(7))],
        ..given.clone()
    };
    let mut binding_of_b = given.clone();
    binding_of_b.bindings.push(BindingRow {
        address: Some("10.5.50.7".into()),
        ..bypass(8, mac(2), "")
    });
    for mut seen in [host_of_b, session_of_b, holder_of_b, binding_of_b] {
        seen.connections = vec![connection(4, &[ip(7)])];
        let left = find(&ended, &payer, &seen);
        assert_eq!(left.bindings, [], "{seen:?}");
        assert_eq!(left.connections, [], "{seen:?}");
    }
}

#[test]
fn r1_whoever_is_on_an_address_has_it_whatever_a_lease_or_an_arp_entry_says() {
    let ended = task(None, &[mac(1)]);
    let seen = Sighting {
        hosts: vec![passing(1, mac(1), ip(7))],
        holders: vec![holder(mac(2), ip(7))],
        connections: vec![connection(4, &[ip(7)])],
        ..with_binding("10.5.50.7")
    };
    let left = find(&ended, &live(&[], &[mac(2)]), &seen);
    assert_eq!((left.bindings.len(), left.connections.len()), (1, 1));
}

#[test]
fn r1_by_option_the_comment_of_a_live_access_keeps_the_binding_of_an_address() {
    let ended = task(Some("a"), &[mac(1)]);
    let mut seen = Sighting {
        hosts: vec![passing(1, mac(1), ip(7))],
        ..with_binding("10.5.50.7")
    };
    seen.bindings[0].comment = Some("john".into());
    for (comments, is_taken) in [(false, true), (true, false)] {
        let mut john = live(&["john"], &[]);
        if comments {
            john = with_lent_devices(john, &seen);
        }
        let claim = Claim::new(&ended, &john, comments);
        let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
        assert_eq!(!left.bindings.is_empty(), is_taken);
        assert_eq!(!left.open_hosts.is_empty(), is_taken, "its device is lent");
    }
}

#[test]
fn r6_the_flows_of_a_device_that_sleeps_are_found_by_its_lease_or_arp_entry_and_its_binding() {
    let ended = task(Some("a"), &[mac(1)]);
    let flows = vec![connection(1, &[ip(7)]), connection(2, &[ip(8)])];
    let by_holder = Sighting {
        holders: vec![holder(mac(1), ip(7))],
        connections: flows.clone(),
        bindings: vec![bypass(3, mac(1), "paid")],
        ..Sighting::default()
    };
    let by_binding = Sighting {
        bindings: vec![BindingRow {
            address: Some("10.5.50.7".into()),
            ..bypass(3, mac(1), "paid")
        }],
        connections: flows,
        ..Sighting::default()
    };
    let by_translation = Sighting {
        bindings: vec![BindingRow {
            to_address: Some("10.5.50.7".into()),
            ..bypass(3, mac(1), "paid")
        }],
        ..by_binding.clone()
    };
    let by_both = Sighting {
        bindings: vec![BindingRow {
            address: Some("192.168.1.7".into()),
            to_address: Some("10.5.50.7".into()),
            ..bypass(3, mac(1), "paid")
        }],
        ..by_binding.clone()
    };
    let both = [ip(7), "192.168.1.7".parse().expect("an address")].into();
    assert_eq!(addresses_to_ask_for([&ended], &by_both), both);
    let left = find(&ended, &live(&[], &[]), &by_both);
    assert_eq!(left.connections, by_both.connections[..1]);
    for seen in [by_holder, by_binding, by_translation] {
        let left = find(&ended, &live(&[], &[]), &seen);
        assert_eq!(left.connections, seen.connections[..1]);
        assert!(!left.is_clear());
        assert_eq!(addresses_to_ask_for([&ended], &seen), [ip(7)].into());
    }
}

#[test]
fn r7_addresses_on_which_the_target_shows_are_not_asked_for_again() {
    let ended = task(Some("a"), &[mac(1)]);
    let seen = Sighting {
        hosts: vec![host(1, mac(1), ip(7))],
        holders: vec![holder(mac(1), ip(7))],
        ..with_binding("10.5.50.8")
    };
    assert_eq!(addresses_to_ask_for([&ended], &seen), BTreeSet::new());
    let at_stake = Sighting {
        bindings: vec![at_address(9, "10.5.50.7")],
        ..seen
    };
    assert_eq!(addresses_to_ask_for([&ended], &at_stake), [ip(7)].into());
}

#[test]
fn r3_the_binding_of_an_address_is_enabled_for_its_device_or_else_for_the_name() {
    let by_device = Sighting {
        hosts: vec![passing(1, mac(1), ip(7))],
        ..with_binding("10.5.50.7")
    };
    let by_name = Sighting {
        actives: vec![active(1, "a", mac(5), ip(7))],
        ..with_binding("10.5.50.7")
    };
    let mac_key = UndoKey::Mac(mac(1));
    let name_key = UndoKey::Name(name("a"));
    for (seen, key) in [(by_device, mac_key), (by_name, name_key)] {
        let mut ended = task(Some("a"), &[mac(1)]);
        let nobody = live(&[], &[]);
        let claim = Claim::new(&ended, &nobody, false);
        let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
        let undo = undo_of(&claim, &seen, &left);
        assert_eq!(undo.len(), 1);
        assert_eq!(undo[0].key, key);
        assert_eq!(undo[0].items[0].address(), Some(ip(7)));
        ended.undo = undo;
        let mut after = seen.clone();
        after.bindings[0].disabled = true;
        after.bindings.push(BindingRow {
            disabled: true,
            ..at_address(10, "10.5.50.8")
        });
        assert_eq!(plan_restore(&ended, &after).order.bindings, [id(9)]);
        for host in &mut after.hosts {
            host.bypassed = false;
        }
        let hosts: Vec<_> = after.hosts.iter().map(|row| row.id.clone()).collect();
        assert_eq!(hosts_to_renew(&ended, &after), hosts);
    }
}

fn sorted_out(seen: &Sighting, ended: &[UndoKey]) -> crate::Reconciliation {
    let known = Known {
        ended: ended.iter().cloned().collect(),
        ..Known::default()
    };
    let pace = std::time::Duration::from_secs(30);
    sort_out(attribute(seen.clone(), false), &known, pace)
}

#[test]
fn r9_a_binding_of_an_address_is_told_as_it_is_used() {
    let seen = Sighting {
        hosts: vec![passing(1, mac(1), ip(7)), passing(2, mac(2), ip(9))],
        bindings: vec![
            at_address(3, "10.5.50.7"),
            at_address(4, "10.5.50.8"),
            at_address(5, "10.5.50.9-10.5.50.20"),
        ],
        ..Sighting::default()
    };
    let strays = sorted_out(&seen, &[]).strays;
    let bindings = strays.iter().filter(|of| of.kind == PresenceKind::Binding);
    let found: Vec<_> = bindings
        .map(|of| {
            (
                of.address.as_deref().unwrap_or_default(),
                of.online,
                of.way_in,
            )
        })
        .collect();
    let expected = [
        ("10.5.50.7", true, WayIn::Bypass),
        ("10.5.50.8", false, WayIn::Bypass),
        ("10.5.50.9-10.5.50.20", true, WayIn::SharedBypass),
    ];
    assert_eq!(found, expected);
    let hosts = strays.iter().filter(|of| of.kind == PresenceKind::Host);
    let ways: Vec<_> = hosts.map(|of| (of.mac, of.way_in)).collect();
    let by = [
        (Some(mac(1)), WayIn::Bypass),
        (Some(mac(2)), WayIn::SharedBypass),
    ];
    assert_eq!(ways, by);

    let found = sorted_out(&seen, &[UndoKey::Mac(mac(1))]);
    assert_eq!(
        found.on.into_keys().collect::<Vec<_>>(),
        [UndoKey::Mac(mac(1))]
    );
    let is_told = |of: &crate::Presence| of.address.as_deref() == Some("10.5.50.7");
    assert!(!found.strays.iter().any(is_told), "it is the ended one's");
}

#[test]
fn r2_the_flows_of_a_device_that_was_seen_under_the_name_are_found_by_where_it_was() {
    let mut ended = task(Some("a"), &[]);
    ended.trace.stations.insert(mac(2));
    ended.trace.addresses.insert(ip(7));
    let seen = Sighting {
        holders: vec![holder(mac(2), ip(7))],
        connections: vec![connection(1, &[ip(7)])],
        ..Sighting::default()
    };
    let find = |live: &Live| {
        let claim = Claim::new(&ended, live, false);
        Leftovers::find(&claim, &seen, &ended.trace.addresses).connections
    };
    assert_eq!(find(&live(&[], &[])), seen.connections);
    // It is somebody's by now who has paid.
    assert_eq!(find(&live(&["b"], &[mac(2)])), []);
}

#[test]
fn r1_where_a_lease_may_be_missing_no_other_gives_an_address() {
    let ended = task(None, &[mac(1)]);
    let stale = Sighting {
        holders: vec![holder(mac(1), ip(7))],
        connections: vec![connection(4, &[ip(7)])],
        ..with_binding("10.5.50.7")
    };
    let found = |seen: &Sighting| find(&ended, &live(&[], &[]), seen);
    assert_eq!(found(&stale).connections, stale.connections);
    let mut partial = stale.clone();
    partial.broken_off.push(BrokenOff {
        kind: RowKind::Holder,
        command: "/ip/dhcp-server/lease/print".into(),
        message: "interrupted".into(),
    });
    let left = found(&partial);
    assert_eq!((left.bindings, left.connections), (vec![], vec![]));
}

#[test]
fn r1_by_option_the_binding_by_which_a_payer_passes_stays_whatever_its_comment_says() {
    let ended = task(Some("12"), &[]);
    let seen = Sighting {
        hosts: vec![passing(1, mac(2), ip(7))],
        bindings: vec![BindingRow {
            comment: Some("12".into()),
            ..at_address(9, "10.5.50.7")
        }],
        ..Sighting::default()
    };
    let found = |live: &Live| {
        let claim = Claim::new(&ended, live, true);
        Leftovers::find(&claim, &seen, &BTreeSet::new()).bindings
    };
    assert_eq!(found(&live(&[], &[mac(2)])), []);
    assert_eq!(found(&live(&[], &[])), seen.bindings);
}
