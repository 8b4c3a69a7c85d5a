use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{Known, Presence, PresenceKind, Reconciliation, WayIn, decide::attribution::is_on};

const PACE: Duration = Duration::from_secs(30);

fn by_name(text: &str) -> UndoKey {
    UndoKey::Name(name(text))
}

fn known(live: &[UndoKey], ended: &[UndoKey]) -> Known {
    Known {
        live: live.iter().cloned().collect(),
        ended: ended.iter().cloned().collect(),
    }
}

fn reconcile(seen: &Sighting, known: &Known) -> Reconciliation {
    sort_out(attribute(seen.clone(), false), known, PACE)
}

fn bypassed_host(n: usize, mac: MacAddr, address: IpAddr) -> HostRow {
    HostRow {
        authorized: false,
        bypassed: true,
        ..host(n, mac, address)
    }
}

fn logged_in(n: usize, user: &str, mac: MacAddr, by: &str) -> ActiveRow {
    ActiveRow {
        login_by: Some(by.into()),
        ..active(n, user, mac, ip(1))
    }
}

#[test]
fn r9_staff_printers_and_unknown_trials_are_strays_and_say_how_they_were_let_in() {
    let seen = Sighting {
        actives: vec![
            logged_in(1, "staff", mac(1), "http-chap"),
            logged_in(2, "T-02:00:00:00:00:02", mac(2), "trial"),
            logged_in(3, "live", mac(3), "cookie"),
        ],
        hosts: vec![
            bypassed_host(4, mac(4), ip(4)),
            bypassed_host(5, mac(5), ip(5)),
        ],
        bindings: vec![bypass(6, mac(4), "printer"), bypass(7, mac(6), "till")],
        ..Sighting::default()
    };
    let Reconciliation { on, strays, .. } = reconcile(&seen, &known(&[by_name("live")], &[]));
    assert_eq!(on, BTreeMap::new());
    let of = |stray: &Presence| (stray.kind, stray.mac, stray.address.clone(), stray.way_in);
    let at = |n: u8| Some(ip(n).to_string());
    let expected = [
        (PresenceKind::Session, Some(mac(2)), at(1), WayIn::Trial),
        (PresenceKind::Session, Some(mac(1)), at(1), WayIn::Account),
        (PresenceKind::Host, Some(mac(5)), at(5), WayIn::Bypass),
        (PresenceKind::Binding, Some(mac(4)), at(4), WayIn::Bypass),
        (PresenceKind::Binding, Some(mac(6)), None, WayIn::Bypass),
    ];
    assert_eq!(strays.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(strays[1].login.as_deref(), Some("staff"));
    assert_eq!(strays[3].comment.as_deref(), Some("printer"));
    let online: Vec<_> = strays.iter().map(|stray| stray.online).collect();
    assert_eq!(online, [true, true, true, true, false]);
}

#[test]
fn r1_a_session_is_its_users_and_a_devices_only_if_the_user_is_its_mac() {
    let ended = known(&[], &[UndoKey::Mac(mac(1)), by_name("a")]);
    for (user, expected) in [
        ("staff", vec![]),
        ("ab", vec![]),
        ("02-00-00-00-00-01", vec![UndoKey::Mac(mac(1))]),
        ("T-02:00:00:00:00:01", vec![UndoKey::Mac(mac(1))]),
        ("a", vec![by_name("a")]),
    ] {
        let seen = Sighting {
            actives: vec![active(1, user, mac(1), ip(1))],
            hosts: vec![bypassed_host(2, mac(1), ip(1))],
            ..Sighting::default()
        };
        let found = reconcile(&seen, &ended);
        assert_eq!(found.on.into_keys().collect::<Vec<_>>(), expected, "{user}");
        let strays = usize::from(expected.is_empty());
        assert_eq!(
            found.strays.len(),
            strays,
            "the host is the session's: {user}"
        );
    }
}

#[test]
fn r1_by_option_a_binding_and_its_device_are_also_the_comments() {
    let seen = Sighting {
        hosts: vec![bypassed_host(1, mac(1), ip(1))],
        bindings: vec![bypass(2, mac(1), "john")],
        ..Sighting::default()
    };
    let device = UndoKey::Mac(mac(1));
    let owed = |comments, known: &Known| {
        let found = sort_out(attribute(seen.clone(), comments), known, PACE);
        (found.on.into_keys().collect::<Vec<_>>(), found.strays.len())
    };
    let john = known(&[], &[by_name("john")]);
    assert_eq!(owed(false, &john), (vec![], 1));
    assert_eq!(owed(true, &john), (vec![by_name("john")], 0));
    let device_ended = known(&[by_name("john")], std::slice::from_ref(&device));
    assert_eq!(owed(false, &device_ended), (vec![device.clone()], 0));
    assert_eq!(owed(true, &device_ended), (vec![], 0), "john has paid");
}

#[test]
fn what_is_switched_off_or_lets_nobody_pass_is_no_presence() {
    let off = BindingRow {
        disabled: true,
        ..bypass(1, mac(1), "a")
    };
    let regular = BindingRow {
        kind: BindingKind::Regular,
        ..bypass(2, mac(2), "a")
    };
    let seen = Sighting {
        hosts: vec![host(3, mac(3), ip(3))],
        bindings: vec![off, regular],
        ..Sighting::default()
    };
    assert_eq!(attribute(seen, true), []);
}

#[test]
fn r9_one_device_with_several_rows_is_one_stray() {
    let seen = Sighting {
        actives: vec![
            active(1, "staff", mac(1), ip(1)),
            active(2, "staff", mac(1), ip(2)),
        ],
        bindings: vec![bypass(3, mac(2), "a"), bypass(4, mac(2), "b")],
        ..Sighting::default()
    };
    assert_eq!(reconcile(&seen, &Known::default()).strays.len(), 2);
}

prop_compose! {
    /// A reading as reconcile makes it: sessions, bypassed hosts and bindings.
    fn readings()(mut seen in sightings(), places in vec((option::of(macs()), option::of(ips())), 9))
        -> Sighting
    {
        seen.hosts.retain(|row| row.bypassed);
        let mut places = places.into_iter();
        for row in &mut seen.actives {
            if let Some((mac, address)) = places.next() {
                row.mac = row.mac.and(mac);
                row.address = row.address.and(address);
            }
        }
        for row in &mut seen.hosts {
            if let Some((mac, _)) = places.next() {
                row.mac = mac;
            }
        }
        Sighting {
            users: vec![],
            cookies: vec![],
            connections: vec![],
            holders: vec![],
            ..seen
        }
    }
}

const NAMES: [&str; 4] = ["1", "12", "john", "john2"];

prop_compose! {
    /// Up to two ended targets, each by a name or a device, and who is live.
    fn casts()(
        names in Just(NAMES.to_vec()).prop_shuffle(),
        devices in Just(vec![1u8, 2, 3]).prop_shuffle(),
        live in (0..3usize, 0..3usize),
        ended in (0..3usize, 0..2usize),
    ) -> (Live, Vec<Task>) {
        let mut names = names.into_iter();
        let mut devices = devices.into_iter().map(mac);
        let live = Live {
            names: names.by_ref().take(live.0).map(name).collect(),
            macs: devices.by_ref().take(live.1).collect(),
        };
        let by_name = names.take(ended.0).map(|name| task(Some(name), &[]));
        let mut ended_tasks: Vec<_> = by_name.collect();
        ended_tasks.extend(devices.take(ended.1).map(|mac| task(None, &[mac])));
        (live, ended_tasks)
    }
}

fn keys_of_task(task: &Task) -> Vec<UndoKey> {
    crate::undo_keys(task.username.as_ref(), &task.macs)
}

proptest! {
    #[test]
    fn r9_who_is_owed_again_is_exactly_who_a_look_finds(
        seen in readings(),
        (live, ended) in casts(),
        comments: bool,
    ) {
        let known = Known {
            live: crate::undo_keys(None, &live.macs).into_iter()
                .chain(live.names.iter().cloned().map(UndoKey::Name)).collect(),
            ended: ended.iter().flat_map(keys_of_task).collect(),
        };
        let found = sort_out(attribute(seen.clone(), comments), &known, PACE);

        let lent = if comments { with_lent_devices(live.clone(), &seen) } else { live.clone() };
        for task in &ended {
            let claim = Claim::new(task, &lent, comments);
            let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
            let owed: Vec<_> =
                keys_of_task(task).iter().filter_map(|key| found.on.get(key).copied()).collect();
            let is_left = !left.bindings.is_empty() || left.is_online();
            prop_assert_eq!(!owed.is_empty(), is_left, "{:?} {:?}", task, left);
            let is_online = owed.iter().any(Option::is_some);
            prop_assert!(is_online || !left.is_online(), "{:?} {:?}", task, left);
        }
        for stray in &found.strays {
            let touched = |task: &Task| {
                let claim = Claim::new(task, &lent, comments);
                let left = Leftovers::find(&claim, &seen, &BTreeSet::new());
                left.actives.iter().any(|row| stray.login.as_ref() == Some(&row.user))
            };
            prop_assert!(stray.kind != PresenceKind::Session || !ended.iter().any(touched));
        }
        for key in found.on.keys() {
            prop_assert!(!known.live.contains(key));
        }
    }

    #[test]
    fn r9_nothing_that_passes_is_left_out(seen in readings(), comments: bool) {
        let found = sort_out(attribute(seen.clone(), comments), &Known::default(), PACE);
        prop_assert!(found.on.is_empty());
        let has = |kind, login: Option<&String>, mac| {
            found.strays.iter().any(|stray| {
                stray.kind == kind && stray.login.as_ref() == login && stray.mac == mac
            })
        };
        for row in &seen.actives {
            prop_assert!(has(PresenceKind::Session, Some(&row.user), row.mac));
        }
        for row in seen.bindings.iter().filter(|row| row.lets_pass()) {
            prop_assert!(has(PresenceKind::Binding, None, row.mac));
        }
        for row in &seen.hosts {
            let carried = seen.actives.iter().any(|active| is_on(active, row));
            let bound = row.mac.is_some() && has(PresenceKind::Binding, None, row.mac);
            prop_assert_eq!(has(PresenceKind::Host, None, row.mac), !carried && !bound
                || seen.hosts.iter().any(|twin| {
                    twin.mac == row.mac && !bound
                        && !seen.actives.iter().any(|active| is_on(active, twin))
                }));
        }
    }
}
