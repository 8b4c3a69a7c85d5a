use std::{collections::BTreeSet, net::IpAddr};

use super::bench::{
    Binding, Device, Entry, GatewayBench, cut_but_connections, look, mac, ok, online, query, sorted,
};
use crate::{BindingKind, MacAddr, Query, Sighting};

const NAME: &str = "255700000001";

pub async fn r1_accounts_are_found_in_both_spellings_and_those_that_are_off_say_so(
    bench: &dyn GatewayBench,
) {
    bench.add_user(NAME, false);
    bench.add_user("+255700000001", true);
    bench.add_user("255700000002", false);

    let seen = look(bench, &query(Some(NAME), &[])).await;

    let found = [("+255700000001".into(), true), (NAME.into(), false)];
    assert_eq!(users(&seen), found);
}

pub async fn r1_accounts_named_like_a_device_are_found_in_every_spelling(bench: &dyn GatewayBench) {
    let spellings: Vec<_> = mac(1).spellings().collect();
    for spelling in &spellings {
        bench.add_user(spelling, false);
    }
    bench.add_user(&mac(2).to_string(), false);

    let seen = look(bench, &query(None, &[mac(1)])).await;

    let names = users(&seen).into_iter().map(|(name, _)| name);
    assert_eq!(sorted(names), sorted(spellings));
}

pub async fn r1_nothing_is_found_by_a_part_of_a_name(bench: &dyn GatewayBench) {
    let others = [
        "2557000000012",
        "55700000001",
        "x255700000001",
        "++255700000001",
    ];
    for (last, other) in (1..).zip(others) {
        online(bench, Device::new(mac(last), Entry::Account(other))).await;
        let kind = BindingKind::Bypassed;
        let (mac, comment, disabled) = (mac(last + 100), other, false);
        bench.add_binding(Binding {
            mac,
            kind,
            comment,
            disabled,
        });
    }

    let everything = Query {
        comments: true,
        connections: true,
        ..query(Some(NAME), &[])
    };
    assert_eq!(look(bench, &everything).await, Sighting::default());
}

pub async fn bindings_are_found_by_device_with_their_kind_and_comment_disabled_or_not(
    bench: &dyn GatewayBench,
) {
    let rows = [
        (mac(1), BindingKind::Bypassed, "paid", false),
        (mac(1), BindingKind::Bypassed, "old", true),
        (mac(1), BindingKind::Blocked, "banned", true),
        (mac(1), BindingKind::Regular, "fixed", false),
        (mac(2), BindingKind::Bypassed, "other", false),
    ];
    for (mac, kind, comment, disabled) in rows {
        bench.add_binding(Binding {
            mac,
            kind,
            comment,
            disabled,
        });
    }

    let seen = look(bench, &query(None, &[mac(1)])).await;

    let found = seen.bindings.iter().map(|row| {
        let comment = row.comment.as_deref().expect("all have one");
        (
            row.mac.expect("all have one"),
            row.kind,
            comment,
            row.disabled,
        )
    });
    assert_eq!(sorted(found), sorted(rows[..4].iter().copied()));
}

pub async fn r1_bindings_are_found_by_comment_only_when_asked_and_only_as_a_whole(
    bench: &dyn GatewayBench,
) {
    let comments = ["255700000001", "+255700000001", "255700000001 paid", "x"];
    for (last, comment) in (1..).zip(comments) {
        bench.add_binding(Binding {
            mac: mac(last),
            kind: BindingKind::Bypassed,
            comment,
            disabled: false,
        });
    }

    let mut query = query(Some(NAME), &[]);
    assert_eq!(look(bench, &query).await.bindings, []);
    query.comments = true;
    let seen = look(bench, &query).await;

    let found = seen.bindings.iter().filter_map(|row| row.mac);
    assert_eq!(sorted(found), [mac(1), mac(2)]);
}

pub async fn a_name_shows_its_account_session_and_cookie(bench: &dyn GatewayBench) {
    let address = two_online(bench).await;

    let seen = look(bench, &query(Some(NAME), &[])).await;

    assert_eq!(users(&seen), [(NAME.into(), false)]);
    assert_one_session(&seen, address);
    let cookies: Vec<_> = seen
        .cookies
        .iter()
        .map(|row| (row.user.as_str(), row.mac))
        .collect();
    assert_eq!(cookies, [(NAME, Some(mac(1)))]);
    assert_eq!(seen.bindings, []);
}

pub async fn a_device_shows_its_session_host_and_cookie(bench: &dyn GatewayBench) {
    let address = two_online(bench).await;

    let seen = look(bench, &query(None, &[mac(1)])).await;

    assert_one_session(&seen, address);
    assert_one_host(&seen, address);
    let cookies: Vec<_> = seen.cookies.iter().map(|row| row.mac).collect();
    assert_eq!(cookies, [Some(mac(1))]);
    assert_eq!((users(&seen).len(), seen.bindings.len()), (0, 0));
}

pub async fn a_station_shows_its_session_and_host_alone(bench: &dyn GatewayBench) {
    let address = two_online(bench).await;
    let stations = BTreeSet::from([mac(1)]);

    let seen = look(
        bench,
        &Query {
            stations,
            ..Query::default()
        },
    )
    .await;

    assert_one_session(&seen, address);
    assert_one_host(&seen, address);
    let rest = Sighting {
        actives: vec![],
        hosts: vec![],
        ..seen
    };
    assert_eq!(rest, Sighting::default());
}

pub async fn an_address_shows_its_session_and_host(bench: &dyn GatewayBench) {
    let address = two_online(bench).await;
    let addresses = BTreeSet::from([address]);

    let seen = look(
        bench,
        &Query {
            addresses,
            ..Query::default()
        },
    )
    .await;

    assert_one_session(&seen, address);
    assert_one_host(&seen, address);
}

pub async fn a_bypassed_device_shows_a_host_that_passes_and_no_session(bench: &dyn GatewayBench) {
    let address = online(bench, Device::new(mac(1), Entry::Bypass)).await;

    let seen = look(bench, &query(None, &[mac(1)])).await;

    assert_eq!(seen.actives, []);
    let hosts: Vec<_> = seen
        .hosts
        .iter()
        .map(|row| (row.mac, row.address, row.authorized, row.bypassed))
        .collect();
    assert_eq!(hosts, [(Some(mac(1)), Some(address), false, true)]);
    assert_eq!(seen.bindings.len(), 1);
}

pub async fn r7_connections_are_read_only_when_asked(bench: &dyn GatewayBench) {
    two_online(bench).await;
    assert_eq!(
        look(bench, &query(Some(NAME), &[mac(1)])).await.connections,
        []
    );
}

pub async fn connections_come_with_the_rows_of_their_device_and_nobody_elses(
    bench: &dyn GatewayBench,
) {
    let address = two_online(bench).await;
    let query = Query {
        connections: true,
        ..query(None, &[mac(1)])
    };

    let seen = look(bench, &query).await;

    assert_eq!(seen.connections.len(), 1);
    assert!(seen.connections[0].addresses.contains(&address));
    assert!(!seen.connections[0].fasttrack);
}

pub async fn connections_come_for_an_address_that_shows_nothing_else(bench: &dyn GatewayBench) {
    let device = Device {
        fasttrack: true,
        ..Device::new(mac(1), Entry::Account(NAME))
    };
    let address = online(bench, device).await;
    let (found, _) = cut_but_connections(bench, Some(NAME), &[mac(1)]).await;
    let query = Query {
        addresses: found.addresses,
        connections: true,
        ..Query::default()
    };

    let seen = look(bench, &query).await;

    assert_eq!(seen.actives, []);
    let rows: Vec<_> = seen.connections.iter().collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].addresses.contains(&address) && rows[0].fasttrack);
}

pub async fn bindings_without_a_device_are_found_by_address_and_all_of_them_only_when_asked(
    bench: &dyn GatewayBench,
) {
    for addresses in ["10.9.0.7", "10.9.0.8", "10.9.1.0/24", "10.9.0.10-10.9.0.12"] {
        bench.add_address_binding(addresses);
    }
    bench.add_binding(Binding {
        mac: mac(2),
        kind: BindingKind::Bypassed,
        comment: "other",
        disabled: false,
    });
    let found = |seen: Sighting| {
        let rows = seen.bindings.into_iter();
        sorted(rows.map(|row| (row.mac, row.address.unwrap_or_default())))
    };

    let of_name = found(look(bench, &query(Some(NAME), &[mac(1)])).await);
    let by_address = Query {
        addresses: ["10.9.0.7".parse().expect("an address")].into(),
        ..query(None, &[mac(1)])
    };
    let by_address = found(look(bench, &by_address).await);
    let all = Query {
        bypasses: true,
        ..query(None, &[mac(1)])
    };
    let all = found(look(bench, &all).await);

    assert_eq!(of_name, []);
    assert_eq!(by_address, [(None, "10.9.0.7".to_owned())]);
    let expected = ["10.9.0.10-10.9.0.12", "10.9.0.7", "10.9.0.8", "10.9.1.0/24"];
    assert_eq!(all, expected.map(|text| (None, text.to_owned())));
}

pub async fn holders_are_found_by_device_and_address_only_when_asked(bench: &dyn GatewayBench) {
    let address = |last| IpAddr::from([10, 9, 0, last]);
    for last in 1..=3 {
        bench.add_lease(mac(last), address(last));
        bench.add_neighbour(mac(last + 10), address(last));
        bench.add_neighbour(mac(last), address(last + 20));
    }
    let asked = |holders| Query {
        addresses: [address(2)].into(),
        holders,
        ..query(None, &[mac(1)])
    };

    let without = look(bench, &asked(false)).await;
    let with = look(bench, &asked(true)).await;

    assert_eq!(without.holders, []);
    let found = with.holders.iter().map(|row| (row.mac, row.address));
    let expected = [(1, 1), (1, 21), (2, 2), (12, 2)];
    let expected = expected.map(|(device, last)| (Some(mac(device)), address(last)));
    assert_eq!(sorted(found), expected);
}

pub async fn a_look_for_nothing_shows_nothing(bench: &dyn GatewayBench) {
    two_online(bench).await;
    assert_eq!(look(bench, &Query::default()).await, Sighting::default());
}

pub async fn r9_all_that_a_router_lets_through_is_read_for_reconcile(bench: &dyn GatewayBench) {
    two_online(bench).await;
    online(bench, Device::new(mac(3), Entry::Bypass)).await;
    for (number, kind, disabled) in [
        (4, BindingKind::Blocked, false),
        (5, BindingKind::Bypassed, true),
        (6, BindingKind::Regular, false),
        (7, BindingKind::Bypassed, false),
    ] {
        bench.add_binding(Binding {
            mac: mac(number),
            kind,
            comment: "printer",
            disabled,
        });
    }

    let seen = ok(bench.gateway().sessions(&bench.login()).await);

    let of = |macs: Vec<Option<MacAddr>>| sorted(macs.into_iter().flatten());
    let actives = seen.actives.iter().map(|row| row.mac).collect();
    let hosts = seen.hosts.iter().map(|row| row.mac).collect();
    let bindings = seen.bindings.iter().map(|row| row.mac).collect();
    assert_eq!(of(actives), [mac(1), mac(2)]);
    assert_eq!(of(hosts), [mac(3)]);
    assert_eq!(of(bindings), [mac(3), mac(7)]);
    let comments = seen.bindings.iter().map(|row| row.comment.as_deref());
    assert!(
        comments
            .into_iter()
            .any(|comment| comment == Some("printer"))
    );
}

/// Brings [`NAME`] online on the first device and somebody else on the second. Returns the address
/// of the first.
async fn two_online(bench: &dyn GatewayBench) -> IpAddr {
    let address = online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    online(bench, Device::new(mac(2), Entry::Account("other"))).await;
    address
}

fn users(seen: &Sighting) -> Vec<(String, bool)> {
    sorted(
        seen.users
            .iter()
            .map(|row| (row.name.clone(), row.disabled)),
    )
}

#[track_caller]
fn assert_one_session(seen: &Sighting, address: IpAddr) {
    let sessions: Vec<_> = seen
        .actives
        .iter()
        .map(|row| (row.user.as_str(), row.mac, row.address, row.radius))
        .collect();
    assert_eq!(sessions, [(NAME, Some(mac(1)), Some(address), false)]);
}

#[track_caller]
fn assert_one_host(seen: &Sighting, address: IpAddr) {
    let hosts: Vec<_> = seen
        .hosts
        .iter()
        .map(|row| (row.mac, row.address, row.authorized, row.bypassed))
        .collect();
    assert_eq!(hosts, [(Some(mac(1)), Some(address), true, false)]);
}
