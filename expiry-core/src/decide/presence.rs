use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::way_in::way_in_of_session;
use crate::{
    ActiveRow, BindingRow, HostRow, Known, Live, MacAddr, Presence, PresenceKind, Reconciliation,
    Sighting, UndoKey, WayIn,
};

/// A presence, and the names and MACs that explain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// What was seen.
    pub presence: Presence,
    /// Whose it is, whoever has them. Empty: nobody's.
    pub keys: BTreeSet<UndoKey>,
}

/// Says of everything that a router lets through whose it is, in the way of [`Claim`](super::Claim):
/// a session is its user's, and a device's only if the user is its MAC, or `T-` and the MAC. A
/// binding is its MAC's and, with `comments`, also that of the name that its comment equals; one of
/// a single address is that of the device that passes there. A bypassed host is of the session on
/// its MAC and address, else of the binding on its MAC, else of its MAC; in the first two cases it
/// is no presence of its own.
pub fn attribute(seen: Sighting, comments: bool) -> Vec<Attribution> {
    let Passing { bound, others } = Passing::of(&seen);
    let bindings = seen.bindings.iter().filter(|row| row.lets_pass());
    let mut found: Vec<_> = others.iter().map(|row| host(row, &seen.bindings)).collect();
    found.extend(bindings.map(|row| {
        let on: Vec<_> = match row.mac {
            Some(mac) => bound.get(&mac).into_iter().flatten().copied().collect(),
            None => others
                .iter()
                .filter(|host| covers(row, host))
                .copied()
                .collect(),
        };
        binding(row, &on, comments)
    }));
    found.extend(seen.actives.into_iter().map(session));
    found
}

/// Returns the devices that pass by nothing but an address's binding whose comment names a live
/// access, each alone on its address: by option they are that access's.
pub(super) fn lent_by_address(live: &Live, seen: &Sighting) -> BTreeSet<MacAddr> {
    let others = Passing::of(seen).others;
    let lent = seen.bindings.iter().filter(|row| {
        let name = row.comment.as_deref().and_then(|name| name.parse().ok());
        row.mac.is_none() && row.lets_pass() && name.is_some_and(|name| live.names.contains(&name))
    });
    lent.filter_map(|row| only_device(row, &others)).collect()
}

/// Returns the device that passes by nothing but a binding of an address, alone there.
pub(super) fn device_passing_by(binding: &BindingRow, seen: &Sighting) -> Option<MacAddr> {
    only_device(binding, &Passing::of(seen).others)
}

/// The bypassed hosts that no session carries.
struct Passing<'a> {
    /// Those with a binding of their MAC, by MAC.
    bound: BTreeMap<MacAddr, Vec<&'a HostRow>>,
    others: Vec<&'a HostRow>,
}

impl<'a> Passing<'a> {
    fn of(seen: &'a Sighting) -> Self {
        let carriers = Carriers::new(&seen.actives);
        let bindings = seen.bindings.iter().filter(|row| row.lets_pass());
        let macs = bindings.filter_map(|row| Some((row.mac?, Vec::new())));
        let mut bound: BTreeMap<_, Vec<_>> = macs.collect();
        let mut others = Vec::new();
        for row in seen.hosts.iter().filter(|row| row.bypassed) {
            if carriers.carry(row) {
                continue;
            }
            match row.mac.and_then(|mac| bound.get_mut(&mac)) {
                Some(on) => on.push(row),
                None => others.push(row),
            }
        }
        Self { bound, others }
    }
}

/// Returns the device that passes by a binding of one address, if no other does.
fn only_device(binding: &BindingRow, hosts: &[&HostRow]) -> Option<MacAddr> {
    binding.only_address()?;
    let on = hosts.iter().filter(|host| covers(binding, host));
    let devices: BTreeSet<_> = on.filter_map(|host| host.mac).collect();
    devices.first().filter(|_| devices.len() == 1).copied()
}

/// Returns all names and MACs that explain anything, to ask who has them.
pub fn keys_of(attributions: &[Attribution]) -> BTreeSet<UndoKey> {
    let keys = attributions.iter().flat_map(|found| &found.keys);
    keys.cloned().collect()
}

/// Sorts out what to record. What a live access explains is right as it is. What an ended one
/// explains is owed a cut. The rest is strays.
pub fn sort_out(attributions: Vec<Attribution>, known: &Known, pace: Duration) -> Reconciliation {
    // By option a binding is its comment's, and so is the device that passes by it.
    let lent = attributions.iter().filter(|found| {
        found.presence.kind == PresenceKind::Binding && !found.keys.is_disjoint(&known.live)
    });
    let lent: BTreeSet<_> = lent
        .flat_map(|found| &found.keys)
        .filter(|key| matches!(key, UndoKey::Mac(_)) && !known.live.contains(key))
        .cloned()
        .collect();
    let mut on = BTreeMap::new();
    let mut strays = Vec::new();
    for Attribution { presence, keys } in attributions {
        if !keys.is_disjoint(&known.live) || !keys.is_disjoint(&lent) {
            continue;
        }
        let mut ended = keys.intersection(&known.ended).peekable();
        if ended.peek().is_none() {
            strays.push(presence);
            continue;
        }
        for key in ended {
            let way_in: &mut Option<WayIn> = on.entry(key.clone()).or_default();
            *way_in = way_in.or(presence.online.then_some(presence.way_in));
        }
    }
    strays.sort_by(|a, b| a.identity().cmp(&b.identity()));
    strays.dedup_by(|a, b| a.identity() == b.identity());
    Reconciliation {
        on,
        strays,
        pace,
        is_partial: false,
    }
}

fn session(row: ActiveRow) -> Attribution {
    let name = row.user.parse().ok().map(UndoKey::Name);
    let device = MacAddr::from_login(&row.user).map(UndoKey::Mac);
    Attribution {
        keys: name.into_iter().chain(device).collect(),
        presence: Presence {
            kind: PresenceKind::Session,
            mac: row.mac,
            address: row.address.map(|address| address.to_string()),
            way_in: way_in_of_session(&row),
            online: true,
            comment: None,
            login: Some(row.user),
        },
    }
}

fn host(row: &HostRow, bindings: &[BindingRow]) -> Attribution {
    let by_address = bindings
        .iter()
        .filter(|by| by.lets_pass() && covers(by, row));
    let by_address: Vec<_> = by_address.collect();
    let is_shared = by_address.iter().all(|by| by.only_address().is_none());
    Attribution {
        keys: row.mac.map(UndoKey::Mac).into_iter().collect(),
        presence: Presence {
            kind: PresenceKind::Host,
            login: None,
            mac: row.mac,
            address: row.address.map(|address| address.to_string()),
            way_in: if is_shared && !by_address.is_empty() {
                WayIn::SharedBypass
            } else {
                WayIn::Bypass
            },
            online: true,
            comment: None,
        },
    }
}

/// Takes a binding and the hosts that pass by it.
fn binding(row: &BindingRow, on: &[&HostRow], comments: bool) -> Attribution {
    let name = row.comment.as_deref().filter(|_| comments);
    let name = name.and_then(|name| name.parse().ok()).map(UndoKey::Name);
    let is_one = row.mac.is_some() || row.only_address().is_some();
    let device = row.mac.or_else(|| only_device(row, on));
    let used = on.last().filter(|_| row.mac.is_some());
    let used = used.and_then(|host| host.address);
    let place = || match row.mac {
        Some(_) => row.address.clone(),
        None => row.address.clone().or_else(|| row.to_address.clone()),
    };
    Attribution {
        keys: device.map(UndoKey::Mac).into_iter().chain(name).collect(),
        presence: Presence {
            kind: PresenceKind::Binding,
            login: None,
            mac: row.mac,
            address: used.map(|address| address.to_string()).or_else(place),
            way_in: if is_one {
                WayIn::Bypass
            } else {
                WayIn::SharedBypass
            },
            online: !on.is_empty(),
            comment: row.comment.clone(),
        },
    }
}

/// Tells whether a host passes by a binding of its address.
fn covers(binding: &BindingRow, host: &HostRow) -> bool {
    let mut at = host.address.into_iter().chain(host.to_address);
    at.any(|address| binding.covers(address))
}

/// Where sessions are, to be asked for each of many hosts. A session without MAC or address is on
/// any.
struct Carriers(BTreeSet<(Option<IpAddr>, Option<MacAddr>)>);

impl Carriers {
    fn new(actives: &[ActiveRow]) -> Self {
        Self(actives.iter().map(|row| (row.address, row.mac)).collect())
    }

    /// Tells whether a session is on the host.
    fn carry(&self, host: &HostRow) -> bool {
        let places = [
            Some(None),
            host.address.map(Some),
            host.to_address.map(Some),
        ];
        let mut places = places.into_iter().flatten();
        places.any(|address| {
            if let Some(mac) = host.mac {
                self.0.contains(&(address, None)) || self.0.contains(&(address, Some(mac)))
            } else {
                let mut from = self.0.range((address, None)..);
                from.next().is_some_and(|(at, _)| *at == address)
            }
        })
    }
}
