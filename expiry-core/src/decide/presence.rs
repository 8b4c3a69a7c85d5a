use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::way_in::way_in_of_session;
use crate::{
    ActiveRow, BindingRow, HostRow, Known, MacAddr, Presence, PresenceKind, Reconciliation,
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
/// binding is its MAC's and, with `comments`, also that of the name that its comment equals. A
/// bypassed host is of the session on its MAC and address, else of the binding on its MAC, else of
/// its MAC; in the first two cases it is no presence of its own.
pub fn attribute(seen: Sighting, comments: bool) -> Vec<Attribution> {
    let carriers = Carriers::new(&seen.actives);
    let bindings: Vec<_> = seen
        .bindings
        .into_iter()
        .filter(BindingRow::lets_pass)
        .collect();
    let mut bound: BTreeMap<MacAddr, Option<HostRow>> = bindings
        .iter()
        .filter_map(|row| Some((row.mac?, None)))
        .collect();
    let mut found = Vec::new();
    for row in seen.hosts.into_iter().filter(|row| row.bypassed) {
        if carriers.carry(&row) {
            continue;
        }
        match row.mac.and_then(|mac| bound.get_mut(&mac)) {
            Some(on) => *on = Some(row),
            None => found.push(host(&row)),
        }
    }
    found.extend(seen.actives.into_iter().map(session));
    found.extend(bindings.into_iter().map(|row| {
        let on = row.mac.and_then(|mac| bound.get(&mac)?.as_ref());
        binding(row, on, comments)
    }));
    found
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
        .filter_map(|found| found.presence.mac.map(UndoKey::Mac))
        .filter(|mac| !known.live.contains(mac))
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

fn host(row: &HostRow) -> Attribution {
    Attribution {
        keys: row.mac.map(UndoKey::Mac).into_iter().collect(),
        presence: Presence {
            kind: PresenceKind::Host,
            login: None,
            mac: row.mac,
            address: row.address.map(|address| address.to_string()),
            way_in: WayIn::Bypass,
            online: true,
            comment: None,
        },
    }
}

fn binding(row: BindingRow, on: Option<&HostRow>, comments: bool) -> Attribution {
    let name = row.comment.as_deref().filter(|_| comments);
    let name = name.and_then(|name| name.parse().ok()).map(UndoKey::Name);
    Attribution {
        keys: row.mac.map(UndoKey::Mac).into_iter().chain(name).collect(),
        presence: Presence {
            kind: PresenceKind::Binding,
            login: None,
            mac: row.mac,
            address: on
                .and_then(|host| host.address)
                .map(|address| address.to_string())
                .or(row.address),
            way_in: WayIn::Bypass,
            online: on.is_some(),
            comment: row.comment,
        },
    }
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
