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
        let bindings: Vec<_> = seen
            .bindings
            .iter()
            .filter(|r| claim.binding(r))
            .cloned()
            .collect();
        let hosts = seen.hosts.iter().filter(|r| claim.host(r, seen)).cloned();
        let (open_hosts, closed_hosts): (Vec<_>, Vec<_>) =
            hosts.partition(|row| row.authorized || row.bypassed);
        let addresses = claim.addresses(seen, known);
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
        format!("still there after the cut: {}", parts.join(", "))
    }
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
/// one of them later.
pub fn undo_of(claim: &Claim<'_>, seen: &Sighting) -> Vec<Undo> {
    let mut found: BTreeMap<UndoKey, Undo> = BTreeMap::new();
    let mut put = |key: UndoKey, item| {
        let undo = found.entry(key.clone());
        let undo = undo.or_insert_with(|| Undo::new(key, Vec::new()));
        undo.items.push(item);
    };
    let users = seen.users.iter().filter(|row| !row.disabled);
    for row in users.filter(|row| claim.user(row)) {
        let by_name = claim.name().filter(|name| name.matches(&row.name));
        let by_mac = || row.name.parse().ok().map(UndoKey::Mac);
        if let Some(key) = by_name.cloned().map(UndoKey::Name).or_else(by_mac) {
            put(key, UndoItem::from(row));
        }
    }
    for row in seen.bindings.iter().filter(|row| claim.binding(row)) {
        let by_comment = claim.name().filter(|_| claim.binding_by_comment(row));
        let by_mac = || row.mac.map(UndoKey::Mac);
        if let Some(key) = by_comment.cloned().map(UndoKey::Name).or_else(by_mac) {
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

fn ordered(ids: BTreeSet<RowId>) -> Vec<RowId> {
    ids.into_iter().collect()
}
