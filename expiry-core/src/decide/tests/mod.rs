mod by_address;
mod presence;

use std::{collections::BTreeSet, net::IpAddr};

use chrono::DateTime;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    ActiveRow, BindingKind, BindingRow, BrokenOff, ConnectionRow, CookieRow, HolderRow, HostRow,
    Live, MacAddr, Progress, Revision, RowId, RowKind, Sighting, Task, TaskId, Undo, UndoItem,
    UndoKey, UserRow, Username, Want,
};

fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

fn name(text: &str) -> Username {
    text.parse().expect("a username")
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 5, 50, last])
}

fn id(n: usize) -> RowId {
    RowId::new(format!("*{n:X}")).expect("not empty")
}

fn task(username: Option<&str>, macs: &[MacAddr]) -> Task {
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
    Task {
        id: TaskId(1),
        want: Want::Cut,
        revision: Revision(1),
        username: username.map(name),
        macs: macs.iter().copied().collect(),
        due_at: now,
        backlog: false,
        progress: Progress::owed(now),
        trace: crate::Trace::default(),
        undo: Vec::new(),
    }
}

fn live(names: &[&str], macs: &[MacAddr]) -> Live {
    Live {
        names: names.iter().map(|n| name(n)).collect(),
        macs: macs.iter().copied().collect(),
    }
}

fn user(n: usize, name: &str) -> UserRow {
    UserRow {
        id: id(n),
        name: name.into(),
        server: None,
        disabled: false,
    }
}

fn active(n: usize, user: &str, mac: MacAddr, address: IpAddr) -> ActiveRow {
    ActiveRow {
        id: id(n),
        user: user.into(),
        mac: Some(mac),
        address: Some(address),
        login_by: None,
        radius: false,
        uptime: None,
    }
}

fn host(n: usize, mac: MacAddr, address: IpAddr) -> HostRow {
    HostRow {
        id: id(n),
        mac: Some(mac),
        address: Some(address),
        to_address: Some(address),
        authorized: true,
        bypassed: false,
    }
}

fn bypass(n: usize, mac: MacAddr, comment: &str) -> BindingRow {
    BindingRow {
        id: id(n),
        mac: Some(mac),
        address: None,
        to_address: None,
        server: None,
        kind: BindingKind::Bypassed,
        comment: Some(comment.into()),
        disabled: false,
    }
}

fn connection(n: usize, addresses: &[IpAddr]) -> ConnectionRow {
    ConnectionRow {
        id: id(n),
        addresses: addresses.iter().copied().collect(),
        fasttrack: false,
    }
}

fn find(task: &Task, live: &Live, seen: &Sighting) -> Leftovers {
    Leftovers::find(&Claim::new(task, live, false), seen, &BTreeSet::new())
}

#[test]
fn r6_every_kind_of_row_of_the_target_is_found() {
    let seen = Sighting {
        users: vec![user(1, "+255700"), user(2, "02-00-00-00-00-01")],
        actives: vec![
            active(3, "255700", mac(9), ip(9)),
            active(4, "T-02:00:00:00:00:01", mac(1), ip(1)),
        ],
        hosts: vec![host(5, mac(9), ip(9)), host(6, mac(1), ip(1))],
        cookies: vec![
            CookieRow {
                id: id(7),
                user: "255700".into(),
                mac: None,
            },
            CookieRow {
                id: id(8),
                user: "voucher".into(),
                mac: Some(mac(1)),
            },
        ],
        bindings: vec![bypass(9, mac(1), "anything")],
        connections: vec![connection(10, &[ip(9), ip(200)]), connection(11, &[ip(1)])],
        holders: vec![],
        broken_off: Vec::new(),
    };
    let left = find(&task(Some("255700"), &[mac(1)]), &live(&[], &[]), &seen);
    let block = block_order([&left]);
    let drop = drop_order([&left]);
    assert_eq!(block.users.len(), 2);
    assert_eq!(block.cookies.len(), 2);
    assert_eq!(block.bindings.len(), 1);
    assert_eq!(drop.actives.len(), 2);
    assert_eq!(drop.hosts.len(), 2);
    assert_eq!(drop.connections.len(), 2);
}

#[test]
fn r1_a_session_of_somebody_else_on_the_device_is_not_the_targets() {
    let seen = Sighting {
        actives: vec![active(1, "staff", mac(1), ip(1))],
        hosts: vec![host(2, mac(1), ip(1))],
        connections: vec![connection(3, &[ip(1)])],
        ..Sighting::default()
    };
    let left = find(&task(Some("a"), &[mac(1)]), &live(&[], &[]), &seen);
    assert!(left.is_clear() && !left.is_present());
}

#[test]
fn r1_a_session_on_a_live_subscribers_device_belongs_to_its_user() {
    let seen = Sighting {
        actives: vec![active(1, "ended", mac(1), ip(1))],
        hosts: vec![host(2, mac(1), ip(1))],
        connections: vec![connection(3, &[ip(1)])],
        ..Sighting::default()
    };
    let left = find(&task(Some("ended"), &[]), &live(&[], &[mac(1)]), &seen);
    assert_eq!(
        (
            left.actives.len(),
            left.open_hosts.len(),
            left.connections.len()
        ),
        (1, 1, 1)
    );
}

#[test]
fn r1_connections_of_an_address_that_moved_on_are_not_the_targets() {
    let seen = Sighting {
        actives: vec![active(1, "payer", mac(2), ip(1))],
        hosts: vec![host(2, mac(2), ip(1))],
        connections: vec![connection(3, &[ip(1)])],
        ..Sighting::default()
    };
    let task = task(Some("ended"), &[mac(1)]);
    let live = live(&["payer"], &[mac(2)]);
    let claim = Claim::new(&task, &live, false);
    let left = Leftovers::find(&claim, &seen, &BTreeSet::from([ip(1)]));
    assert!(left.is_clear());
}

#[test]
fn r1_a_device_that_is_seen_again_under_a_binding_of_its_own_is_not_the_targets() {
    let mut bypassed = host(1, mac(9), ip(9));
    bypassed.bypassed = true;
    let mut seen = Sighting {
        hosts: vec![bypassed],
        bindings: vec![bypass(2, mac(9), "the printer")],
        ..Sighting::default()
    };
    let mut of_phone = task(Some("255700"), &[]);
    of_phone.trace.stations.insert(mac(9));
    assert!(find(&of_phone, &live(&[], &[]), &seen).is_clear());

    seen.bindings[0].disabled = true;
    let left = find(&of_phone, &live(&[], &[]), &seen);
    assert_eq!(
        left.open_hosts, seen.hosts,
        "its binding was disabled with the cut"
    );
}

#[test]
fn r1_comments_count_only_by_option_and_only_as_a_whole() {
    let seen = Sighting {
        bindings: vec![
            bypass(1, mac(7), "john"),
            bypass(2, mac(8), "john2"),
            bypass(3, mac(9), "john"),
        ],
        ..Sighting::default()
    };
    let task = task(Some("john"), &[]);
    let live = live(&[], &[mac(9)]);
    let bindings = |comments| {
        let claim = Claim::new(&task, &live, comments);
        let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
        left.bindings
            .into_iter()
            .map(|row| row.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(bindings(false), []);
    assert_eq!(bindings(true), [id(1)]);
}

#[test]
fn r3_of_rows_that_look_alike_only_as_many_as_were_enabled_are_enabled() {
    let (mut ours, mut operators) = (bypass(1, mac(1), "x"), bypass(2, mac(1), "x"));
    ours.disabled = true;
    operators.disabled = true;
    let undo = Undo::new(UndoKey::Mac(mac(1)), vec![UndoItem::from(&ours)]);
    let task = Task {
        want: Want::Restore,
        undo: vec![undo],
        ..task(Some("a"), &[mac(1)])
    };
    let mut seen = Sighting {
        bindings: vec![ours, operators],
        ..Sighting::default()
    };
    assert_eq!(plan_restore(&task, &seen).order.bindings, [id(1)]);
    seen.bindings[0].disabled = false;
    assert!(plan_restore(&task, &seen).order.is_empty());
}

#[test]
fn r3_what_was_disabled_before_us_is_in_no_undo() {
    let off = UserRow {
        disabled: true,
        ..user(1, "a")
    };
    let seen = Sighting {
        users: vec![off, user(2, "+a")],
        ..Sighting::default()
    };
    let (task, live) = (task(Some("a"), &[]), live(&[], &[]));
    let claim = Claim::new(&task, &live, false);
    let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
    assert_eq!(undo_of(&claim, &seen, &left), []);
}

fn logins() -> impl Strategy<Value = String> {
    let names = ["1", "+1", "12", "john", "john2", "staff"].map(String::from);
    let macs = (1..=3).flat_map(|n| [mac(n).to_string(), format!("T-{}", mac(n))]);
    select(names.into_iter().chain(macs).collect::<Vec<_>>())
}

fn macs() -> impl Strategy<Value = MacAddr> {
    (1..=3u8).prop_map(mac)
}

/// The MAC and the addresses of a binding: at least one of them.
fn places() -> impl Strategy<Value = (Option<MacAddr>, Option<String>)> {
    let addresses = [
        "10.5.50.1",
        "10.5.50.2",
        "10.5.50.3",
        "10.5.50.1-10.5.50.3",
        "10.5.50.0/24",
    ];
    let addresses = || select(addresses.map(String::from).to_vec());
    prop_oneof![
        (macs(), option::of(addresses())).prop_map(|(mac, addresses)| (Some(mac), addresses)),
        addresses().prop_map(|addresses| (None, Some(addresses))),
    ]
}

fn ips() -> impl Strategy<Value = IpAddr> {
    (1..=4u8).prop_map(ip)
}

prop_compose! {
    fn sightings()(
        users in vec((logins(), any::<bool>()), 0..5),
        actives in vec((logins(), macs(), ips()), 0..5),
        hosts in vec((macs(), ips(), any::<bool>(), any::<bool>()), 0..5),
        cookies in vec((logins(), option::of(macs())), 0..5),
        bindings in vec((places(), logins(), any::<bool>()), 0..5),
        holders in vec((option::of(macs()), ips()), 0..3),
        connections in vec(vec(ips(), 1..3), 0..5),
    ) -> Sighting {
        let on = |n: usize| id(n + 1);
        Sighting {
            users: users.into_iter().enumerate().map(|(n, (name, disabled))| UserRow {
                id: on(n), name, server: None, disabled,
            }).collect(),
            actives: actives.into_iter().enumerate()
                .map(|(n, (user, mac, ip))| active(n + 1, &user, mac, ip)).collect(),
            hosts: hosts.into_iter().enumerate().map(|(n, (mac, ip, authorized, bypassed))| {
                HostRow { authorized, bypassed, ..host(n + 1, mac, ip) }
            }).collect(),
            cookies: cookies.into_iter().enumerate().map(|(n, (user, mac))| CookieRow {
                id: on(n), user, mac,
            }).collect(),
            bindings: bindings.into_iter().enumerate().map(|(n, (place, comment, disabled))| {
                BindingRow { mac: place.0, address: place.1, disabled, ..bypass(n + 1, mac(1), &comment) }
            }).collect(),
            holders: holders.into_iter().map(|(mac, address)| HolderRow { mac, address }).collect(),
            connections: connections.into_iter().enumerate()
                .map(|(n, addresses)| connection(n + 1, &addresses)).collect(),
            broken_off: Vec::new(),
        }
    }
}

fn is_on_address(active: &ActiveRow, host: &HostRow) -> bool {
    active.mac == host.mac && active.address == host.address
}

fn owned_by(login: &str, live: &Live) -> bool {
    live.names.iter().any(|name| name.matches(login))
        || MacAddr::from_login(login).is_some_and(|mac| live.macs.contains(&mac))
}

proptest! {
    #[test]
    fn r1_nothing_that_a_live_access_explains_is_touched(
        seen in sightings(),
        username in option::of(select(vec!["1", "12", "john"])),
        macs in vec(macs(), 0..3),
        live_names in vec(select(vec!["1", "12", "john", "john2"]), 0..3),
        live_macs in vec((1..=3u8).prop_map(mac), 0..3),
        comments: bool,
    ) {
        let task = task(username, &macs);
        let mut live = live(&live_names, &live_macs);
        if comments {
            live = with_lent_devices(live, &seen);
        }
        let left = Leftovers::find(&Claim::new(&task, &live, comments), &seen, &BTreeSet::new());

        for row in &left.users {
            prop_assert!(!owned_by(&row.name, &live), "{row:?}");
        }
        for row in &left.cookies {
            prop_assert!(!owned_by(&row.user, &live), "{row:?}");
        }
        for row in &left.actives {
            prop_assert!(!owned_by(&row.user, &live), "{row:?}");
        }
        for row in &left.bindings {
            prop_assert!(row.mac.is_none_or(|mac| !live.macs.contains(&mac)), "{row:?}");
            let comment = row.comment.as_deref().expect("made with one");
            prop_assert!(!comments || !live.names.iter().any(|name| name.matches(comment)));
            let named = task.username.as_ref();
            let by_comment = comments && named.is_some_and(|name| name.matches(comment));
            prop_assert!(row.mac.is_some() || by_comment || row.only_address().is_some(), "{row:?}");
        }
        let live_sessions: Vec<_> =
            seen.actives.iter().filter(|row| owned_by(&row.user, &live)).collect();
        for row in left.open_hosts.iter().chain(&left.closed_hosts) {
            let carried = live_sessions.iter().any(|a| a.mac == row.mac && a.address == row.address);
            prop_assert!(!carried, "{row:?}");
            let explained = row.mac.is_some_and(|mac| live.macs.contains(&mac));
            let ours = left.actives.iter().any(|a| a.mac == row.mac && a.address == row.address);
            prop_assert!(!explained || ours, "{row:?}");
        }
        for address in &left.addresses {
            prop_assert!(live_sessions.iter().all(|row| row.address != Some(*address)));
            let of_live = seen.hosts.iter().filter(|row| {
                let ours = |a: &ActiveRow| is_on_address(a, row);
                row.mac.is_some_and(|mac| live.macs.contains(&mac)) && !left.actives.iter().any(ours)
            });
            prop_assert!(of_live.into_iter().all(|row| row.address != Some(*address)));
        }
    }

    #[test]
    fn r3_what_a_cut_disables_is_exactly_what_its_undo_enables(
        seen in sightings(),
        macs in vec(macs(), 0..3),
        comments: bool,
    ) {
        let mut cut = task(Some("john"), &macs);
        let live = live(&[], &[]);
        let claim = Claim::new(&cut, &live, comments);
        let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
        let order = block_order([&left]);
        cut.undo = undo_of(&claim, &seen, &left);

        let mut after = seen.clone();
        for row in &mut after.users {
            row.disabled |= order.users.contains(&row.id);
        }
        for row in &mut after.bindings {
            row.disabled |= order.bindings.contains(&row.id);
        }
        let restore = plan_restore(&cut, &after).order;
        prop_assert_eq!(restore.users.len(), order.users.len());
        prop_assert_eq!(restore.bindings.len(), order.bindings.len());
        let disabled_before = |id: &RowId| seen.users.iter().any(|r| r.id == *id && r.disabled);
        if seen.users.iter().map(|r| &r.name).collect::<BTreeSet<_>>().len() == seen.users.len() {
            prop_assert!(restore.users.iter().all(|id| !disabled_before(id)));
        }

        // Even when ours are gone, what looks otherwise and was disabled before us stays so.
        let ours: Vec<_> = cut.undo.iter().flat_map(|undo| &undo.items).cloned().collect();
        after.users.retain(|row| !ours.contains(&UndoItem::from(row)));
        after.bindings.retain(|row| !ours.contains(&UndoItem::from(row)));
        let restore = plan_restore(&cut, &after).order;
        prop_assert!(restore.is_empty(), "{:?}", restore);
    }
}
