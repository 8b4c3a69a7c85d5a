use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::Claim;
use crate::{
    ActiveRow, BindingRow, BlockOrder, ConnectionRow, CookieRow, DropOrder, HostRow, MacAddr,
    RowId, Sighting, Trace, Undo, UndoItem, UndoKey, UserRow,
};

/// What a reading shows of a target that must not be online.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Enabled accounts.
    pub users: Vec<UserRow>,
    /// Cookies.
    pub cookies: Vec<CookieRow>,
    /// Enabled bypass bindings.
    pub bindings: Vec<BindingRow>,
    /// Enabled bypass bindings by which a host of the target passes, and which are not the target's
    /// alone. They are left as they are.
    pub shared: Vec<BindingRow>,
    /// Sessions.
    pub actives: Vec<ActiveRow>,
    /// Hosts that pass: authorized or bypassed.
    pub open_hosts: Vec<HostRow>,
    /// Hosts that are only seen. They are dropped with the rest, but are nothing left over.
    pub closed_hosts: Vec<HostRow>,
    /// Connections of addresses that only the target uses.
    pub connections: Vec<ConnectionRow>,
    /// Addresses that only the target uses.
    pub addresses: BTreeSet<IpAddr>,
    /// Devices under the target's sessions, hosts and bindings.
    pub stations: BTreeSet<MacAddr>,
}

impl Leftovers {
    /// Finds what is left. Addresses `known` from earlier readings count as the target's for as
    /// long as nobody else is seen on them.
    pub fn find(claim: &Claim<'_>, seen: &Sighting, known: &BTreeSet<IpAddr>) -> Self {
        let actives: Vec<_> = seen
            .actives
            .iter()
            .filter(|r| claim.active(r))
            .cloned()
            .collect();
        let addresses = claim.addresses(seen, known);
        let (passing, other): (Vec<_>, Vec<_>) = (seen.bindings.iter().filter(|r| r.lets_pass()))
            .cloned()
            .partition(|row| claim.binding(row, &addresses) && !claim.is_used_by_live(row, seen));
        let bindings: Vec<_> = passing;
        let hosts = seen.hosts.iter().filter(|r| claim.host(r, seen)).cloned();
        let (open_hosts, closed_hosts): (Vec<_>, Vec<_>) =
            hosts.partition(|row| row.authorized || row.bypassed);
        let under_hosts = open_hosts
            .iter()
            .chain(&closed_hosts)
            .filter_map(|row| row.mac);
        let under_rows = actives.iter().filter_map(|row| row.mac);
        let under_bindings = bindings.iter().filter_map(|row| row.mac);
        Self {
            users: seen
                .users
                .iter()
                .filter(|r| !r.disabled && claim.user(r))
                .cloned()
                .collect(),
            cookies: seen
                .cookies
                .iter()
                .filter(|r| claim.cookie(r))
                .cloned()
                .collect(),
            connections: seen
                .connections
                .iter()
                .filter(|row| !row.addresses.is_disjoint(&addresses))
                .cloned()
                .collect(),
            stations: under_rows
                .chain(under_bindings)
                .chain(under_hosts)
                .collect(),
            shared: shared(other, &open_hosts),
            bindings,
            actives,
            open_hosts,
            closed_hosts,
            addresses,
        }
    }

    /// Returns where the target was seen.
    pub fn trace(&self) -> Trace {
        Trace {
            addresses: self.addresses.clone(),
            stations: self.stations.clone(),
        }
    }

    /// Tells whether nothing of the target is left on the router.
    pub fn is_clear(&self) -> bool {
        self.ways_are_closed() && self.connections.is_empty()
    }

    /// Tells whether nothing but connections is left.
    pub fn ways_are_closed(&self) -> bool {
        self.users.is_empty()
            && self.cookies.is_empty()
            && self.bindings.is_empty()
            && !self.is_online()
    }

    /// Tells whether the target is online.
    pub fn is_online(&self) -> bool {
        !self.actives.is_empty() || !self.open_hosts.is_empty()
    }

    /// Tells whether the router shows the target's devices at all, so that it may still hold
    /// connections of theirs.
    pub fn is_present(&self) -> bool {
        self.is_online() || !self.closed_hosts.is_empty()
    }

    /// Says what is left, for the operator.
    pub fn describe(&self) -> String {
        let parts = [
            (self.users.len(), "enabled account"),
            (self.cookies.len(), "cookie"),
            (self.bindings.len(), "bypass binding"),
            (self.actives.len(), "session"),
            (self.open_hosts.len(), "host that passes"),
            (self.connections.len(), "connection"),
        ];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} × {what}"))
            .collect();
        let left = format!("still there after the cut: {}", parts.join(", "));
        match self.shared.first() {
            Some(row) => format!("{left}; {}", passes_by(row)),
            None => left,
        }
    }
}

/// Says by which binding a target passes that is not the target's, and what to do about it.
pub fn passes_by(row: &BindingRow) -> String {
    format!(
        "it passes by {}, which covers others too: narrow or disable it on the router",
        row.describe()
    )
}

/// Returns the bindings of an address or a range by which one of `hosts` passes. A binding of its
/// own MAC is nearer.
fn shared(mut bindings: Vec<BindingRow>, hosts: &[HostRow]) -> Vec<BindingRow> {
    bindings.retain(|row| {
        let passes = |host: &HostRow| {
            let mut at = host.address.into_iter().chain(host.to_address);
            host.bypassed && at.any(|address| row.covers(address))
        };
        hosts.iter().any(passes)
    });
    bindings
}

/// Returns what closes every way in, for all targets together.
pub fn block_order<'a>(left: impl IntoIterator<Item = &'a Leftovers>) -> BlockOrder {
    let mut users = BTreeSet::new();
    let mut cookies = BTreeSet::new();
    let mut bindings = BTreeSet::new();
    for left in left {
        users.extend(left.users.iter().map(|row| row.id.clone()));
        cookies.extend(left.cookies.iter().map(|row| row.id.clone()));
        bindings.extend(left.bindings.iter().map(|row| row.id.clone()));
    }
    BlockOrder {
        users: ordered(users),
        cookies: ordered(cookies),
        bindings: ordered(bindings),
    }
}

/// Returns what ends the sessions and flows, for all targets together.
pub fn drop_order<'a>(left: impl IntoIterator<Item = &'a Leftovers>) -> DropOrder {
    let mut actives = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    let mut connections = BTreeSet::new();
    for left in left {
        actives.extend(left.actives.iter().map(|row| row.id.clone()));
        let seen = left.open_hosts.iter().chain(&left.closed_hosts);
        hosts.extend(seen.map(|row| row.id.clone()));
        connections.extend(left.connections.iter().map(|row| row.id.clone()));
    }
    DropOrder {
        actives: ordered(actives),
        hosts: ordered(hosts),
        connections: ordered(connections),
    }
}

/// Returns what has to be undone if access comes back: each enabled account and binding, under
/// the name or MAC that it belongs to, and beside them the disabled rows that could be taken for
/// one of them later. `left` is what the same reading shows of the target.
pub fn undo_of(claim: &Claim<'_>, seen: &Sighting, left: &Leftovers) -> Vec<Undo> {
    let mut found: BTreeMap<UndoKey, Undo> = BTreeMap::new();
    let mut put = |key: UndoKey, item| {
        let undo = found.entry(key.clone());
        let undo = undo.or_insert_with(|| Undo::new(key, Vec::new()));
        undo.items.push(item);
    };
    for row in &left.users {
        let by_name = claim.name().filter(|name| name.matches(&row.name));
        let by_mac = || row.name.parse().ok().map(UndoKey::Mac);
        if let Some(key) = by_name.cloned().map(UndoKey::Name).or_else(by_mac) {
            put(key, UndoItem::from(row));
        }
    }
    for row in &left.bindings {
        if let Some(key) = key_of_binding(claim, seen, row) {
            put(key, UndoItem::from(row));
        }
    }
    let users = seen.users.iter().filter(|row| row.disabled);
    let bindings = seen.bindings.iter().filter(|row| row.disabled);
    let disabled: Vec<_> = users
        .map(UndoItem::from)
        .chain(bindings.map(UndoItem::from))
        .collect();
    for undo in found.values_mut() {
        let alike = |row: &&UndoItem| undo.items.iter().any(|item| item.may_be_same_row(row));
        undo.stay = disabled.iter().filter(alike).cloned().collect();
    }
    found.into_values().collect()
}

/// Returns under which name or MAC a binding is to be enabled again. That of an address is the
/// device's that has the address, wherever it goes; the name's if no such device is known.
fn key_of_binding(claim: &Claim<'_>, seen: &Sighting, row: &BindingRow) -> Option<UndoKey> {
    let name = || claim.name().cloned().map(UndoKey::Name);
    if claim.binding_by_comment(row) {
        return name();
    }
    let at_it = |address| claim.device_at(address, seen);
    let mac = row.mac.or_else(|| row.only_address().and_then(at_it));
    let any = || claim.first_device().map(UndoKey::Mac);
    mac.map(UndoKey::Mac).or_else(name).or_else(any)
}

fn ordered(ids: BTreeSet<RowId>) -> Vec<RowId> {
    ids.into_iter().collect()
}
