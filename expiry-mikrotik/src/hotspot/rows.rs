use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use expiry_core::{
    ActiveRow, BindingKind, BindingRow, ConnectionRow, CookieRow, HolderRow, HostRow, RowId,
    Sighting, UserRow,
};

use super::{Table, fields};
use crate::wire::Sentence;

/// Gathers the rows of one flight.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    users: Rows<UserRow>,
    actives: Rows<ActiveRow>,
    hosts: Rows<HostRow>,
    cookies: Rows<CookieRow>,
    bindings: Rows<BindingRow>,
    connections: Vec<TrackedConnection>,
    holders: Vec<HolderRow>,
}

impl Collector {
    /// Takes a row of `table`. One without an id is skipped: it was going when it was printed.
    pub(crate) fn take(&mut self, table: Table, row: &Sentence) {
        let Some(id) = fields::id(row) else {
            return;
        };
        match table {
            Table::Users => self.users.put(id.clone(), user(id, row)),
            Table::Actives => self.actives.put(id.clone(), active(id, row)),
            Table::Hosts => self.hosts.put(id.clone(), host(id, row)),
            Table::Cookies => self.cookies.put(id.clone(), cookie(id, row)),
            Table::Bindings => self.bindings.put(id.clone(), binding(id, row)),
            Table::Connections => self.connections.push(TrackedConnection::read(id, row)),
            Table::Leases => self.holders.extend(leases(row)),
            Table::Arp => self.holders.extend(neighbour(row)),
        }
    }

    /// Adds the rows of a later answer.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.users.absorb(later.users);
        self.actives.absorb(later.actives);
        self.hosts.absorb(later.hosts);
        self.cookies.absorb(later.cookies);
        self.bindings.absorb(later.bindings);
        self.connections.extend(later.connections);
        self.holders.extend(later.holders);
    }

    /// Returns all rows, of the connections only those with one of `addresses` in them or an
    /// address that a session or host of the same flight shows.
    pub(crate) fn finish(self, addresses: &BTreeSet<IpAddr>) -> Sighting {
        let actives = self.actives.rows;
        let hosts = self.hosts.rows;
        let mut wanted = BTreeSet::new();
        if !self.connections.is_empty() {
            wanted.extend(addresses);
            wanted.extend(actives.iter().filter_map(|row| row.address));
            wanted.extend(hosts.iter().filter_map(|row| row.address));
            wanted.extend(hosts.iter().filter_map(|row| row.to_address));
        }
        let mut connections = Rows::default();
        for row in self.connections {
            if row.addresses().any(|address| wanted.contains(&address)) {
                connections.put(row.id.clone(), ConnectionRow::from(row));
            }
        }
        Sighting {
            users: self.users.rows,
            actives,
            hosts,
            cookies: self.cookies.rows,
            bindings: self.bindings.rows,
            connections: connections.rows,
            broken_off: Vec::new(),
            holders: self.holders,
        }
    }
}

/// Rows in the order they came, one for each id. The last reading of an id stands: a session's id
/// is its address, which may have gone to another user between two sentences.
#[derive(Debug)]
struct Rows<T> {
    rows: Vec<T>,
    places: BTreeMap<RowId, usize>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<T> Rows<T> {
    fn put(&mut self, id: RowId, row: T) {
        let place = *self.places.entry(id).or_insert(self.rows.len());
        match self.rows.get_mut(place) {
            Some(old) => *old = row,
            None => self.rows.push(row),
        }
    }

    fn absorb(&mut self, later: Self) {
        let mut ids: Vec<_> = later.places.into_iter().collect();
        ids.sort_unstable_by_key(|(_, place)| *place);
        for ((id, _), row) in ids.into_iter().zip(later.rows) {
            self.put(id, row);
        }
    }
}

/// A connection, kept small: there may be a hundred thousand before they can be filtered.
#[derive(Debug)]
struct TrackedConnection {
    id: RowId,
    addresses: [Option<IpAddr>; 4],
    fasttrack: bool,
}

impl TrackedConnection {
    fn read(id: RowId, row: &Sentence) -> Self {
        const COLUMNS: [&str; 4] = [
            "src-address",
            "dst-address",
            "reply-src-address",
            "reply-dst-address",
        ];
        Self {
            id,
            addresses: COLUMNS.map(|column| fields::address(row, column)),
            fasttrack: fields::flag(row, "fasttrack") || fields::flag(row, "hw-offload"),
        }
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.into_iter().flatten()
    }
}

impl From<TrackedConnection> for ConnectionRow {
    fn from(row: TrackedConnection) -> Self {
        Self {
            addresses: row.addresses().collect(),
            id: row.id,
            fasttrack: row.fasttrack,
        }
    }
}

fn user(id: RowId, row: &Sentence) -> UserRow {
    UserRow {
        id,
        name: fields::text(row, "name"),
        server: fields::some_text(row, "server"),
        disabled: fields::flag(row, "disabled"),
    }
}

fn active(id: RowId, row: &Sentence) -> ActiveRow {
    ActiveRow {
        id,
        user: fields::text(row, "user"),
        mac: fields::mac(row, "mac-address"),
        address: fields::address(row, "address"),
        login_by: fields::some_text(row, "login-by"),
        radius: fields::flag(row, "radius"),
        uptime: fields::duration(row, "uptime"),
    }
}

fn host(id: RowId, row: &Sentence) -> HostRow {
    HostRow {
        id,
        mac: fields::mac(row, "mac-address"),
        address: fields::address(row, "address"),
        to_address: fields::address(row, "to-address"),
        authorized: fields::flag(row, "authorized"),
        bypassed: fields::flag(row, "bypassed"),
    }
}

fn cookie(id: RowId, row: &Sentence) -> CookieRow {
    CookieRow {
        id,
        user: fields::text(row, "user"),
        mac: fields::mac(row, "mac-address"),
    }
}

fn binding(id: RowId, row: &Sentence) -> BindingRow {
    BindingRow {
        id,
        mac: fields::mac(row, "mac-address"),
        address: fields::some_text(row, "address"),
        to_address: fields::some_text(row, "to-address"),
        server: fields::some_text(row, "server"),
        kind: binding_kind(row),
        comment: fields::some_text(row, "comment"),
        disabled: fields::flag(row, "disabled"),
    }
}

/// Returns the address that a lease holds, and the one that is in use: a lease may hold a pool. One
/// that is disabled holds nothing.
fn leases(row: &Sentence) -> Vec<HolderRow> {
    if fields::flag(row, "disabled") {
        return Vec::new();
    }
    let mac = fields::mac(row, "active-mac-address").or_else(|| fields::mac(row, "mac-address"));
    let held = fields::address(row, "address");
    let used = fields::address(row, "active-address").filter(|used| Some(*used) != held);
    let addresses = held.into_iter().chain(used);
    addresses
        .map(|address| HolderRow { mac, address })
        .collect()
}

/// Returns what an entry says of who has its address. Without a MAC nobody answered for it; one that
/// is disabled, or whose interface is gone, is not used.
fn neighbour(row: &Sentence) -> Option<HolderRow> {
    if fields::flag(row, "disabled") || fields::flag(row, "invalid") {
        return None;
    }
    Some(HolderRow {
        mac: Some(fields::mac(row, "mac-address")?),
        address: fields::address(row, "address")?,
    })
}

/// The kind stands in `type`, or in flags where `type` is not printed.
fn binding_kind(row: &Sentence) -> BindingKind {
    match row.get("type") {
        Some(b"bypassed") => BindingKind::Bypassed,
        Some(b"blocked") => BindingKind::Blocked,
        Some(b"regular") => BindingKind::Regular,
        _ if fields::flag(row, "blocked") => BindingKind::Blocked,
        _ if fields::flag(row, "bypassed") => BindingKind::Bypassed,
        _ => BindingKind::Regular,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn row(fields: &[(&str, &str)]) -> Sentence {
        let row = Sentence::new("!re");
        fields
            .iter()
            .fold(row, |row, (name, value)| row.attribute(name, value))
    }

    fn ids(rows: &[ConnectionRow]) -> Vec<&str> {
        rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn connections_of_hosts_and_sessions_of_the_same_answer_are_kept_and_no_others() {
        let mut collector = Collector::default();
        let connections = [
            ("*1", "10.5.50.1:5", "1.1.1.1:443"),
            ("*2", "10.5.50.2:5", "1.1.1.1:443"),
            ("*3", "10.5.50.3:5", "1.1.1.1:443"),
            ("*4", "10.5.50.4", "1.1.1.1"),
            ("*5", "10.5.50.11:5", "1.1.1.1:443"),
        ];
        for (id, from, to) in connections {
            let fields = [(".id", id), ("src-address", from), ("dst-address", to)];
            collector.take(Table::Connections, &row(&fields));
        }
        let active = [(".id", "*A"), ("user", "a"), ("address", "10.5.50.1")];
        collector.take(Table::Actives, &row(&active));
        let host = [
            (".id", "*B"),
            ("address", "192.168.1.9"),
            ("to-address", "10.5.50.2"),
        ];
        collector.take(Table::Hosts, &row(&host));
        let asked = ["10.5.50.4".parse().expect("an address")].into();
        let seen = collector.finish(&asked);
        assert_eq!(ids(&seen.connections), ["*1", "*2", "*4"]);
    }

    #[test]
    fn all_four_addresses_of_a_connection_count() {
        let asked: BTreeSet<IpAddr> = ["10.5.50.4".parse().expect("an address")].into();
        for column in [
            "src-address",
            "dst-address",
            "reply-src-address",
            "reply-dst-address",
        ] {
            let mut collector = Collector::default();
            let fields = [
                (".id", "*1"),
                (column, "10.5.50.4:80"),
                ("fasttrack", "true"),
            ];
            collector.take(Table::Connections, &row(&fields));
            let seen = collector.finish(&asked);
            assert_eq!(seen.connections.len(), 1, "{column}");
            assert_eq!(seen.connections[0].addresses, asked);
            assert!(seen.connections[0].fasttrack);
        }
    }

    #[test]
    fn a_row_that_two_sentences_return_is_there_once_as_it_was_last() {
        let mut collector = Collector::default();
        for user in ["a", "b"] {
            let fields = [(".id", "*C0A80A08"), ("user", user)];
            collector.take(Table::Actives, &row(&fields));
        }
        collector.take(Table::Actives, &row(&[(".id", "*C0A80A09"), ("user", "c")]));
        let seen = collector.finish(&BTreeSet::new());
        let users: Vec<_> = seen.actives.iter().map(|row| row.user.as_str()).collect();
        assert_eq!(users, ["b", "c"]);
    }

    #[test]
    fn a_row_without_id_is_skipped_and_missing_fields_are_unset() {
        let mut collector = Collector::default();
        for table in [
            Table::Users,
            Table::Actives,
            Table::Hosts,
            Table::Cookies,
            Table::Bindings,
        ] {
            collector.take(table, &row(&[]));
            collector.take(table, &row(&[(".id", "")]));
            collector.take(table, &row(&[(".id", "*1")]));
        }
        let seen = collector.finish(&BTreeSet::new());
        assert_eq!(seen.users.len(), 1);
        assert_eq!(seen.actives[0].mac, None);
        assert!(!seen.hosts[0].authorized && !seen.hosts[0].bypassed);
        assert_eq!(seen.cookies[0].user, "");
        assert_eq!(seen.bindings[0].kind, BindingKind::Regular);
    }

    #[rstest]
    #[case(&[("mac-address", "02:00:00:00:00:01"), ("address", "10.5.50.7")], &["10.5.50.7"])]
    #[case(&[("mac-address", "02:00:00:00:00:01"), ("address", "pool1"),
             ("active-address", "10.5.50.8")], &["10.5.50.8"])]
    #[case(&[("active-mac-address", "02:00:00:00:00:01"), ("address", "10.5.50.7"),
             ("active-address", "10.5.50.7")], &["10.5.50.7"])]
    #[case(&[("mac-address", "02:00:00:00:00:01"), ("address", "10.5.50.7"),
             ("disabled", "true")], &[])]
    fn a_lease_names_the_address_of_its_device(
        #[case] fields: &[(&str, &str)],
        #[case] expected: &[&str],
    ) {
        let found = leases(&row(fields));
        let addresses: Vec<_> = found.iter().map(|row| row.address.to_string()).collect();
        assert_eq!(addresses, expected);
        assert!(found.iter().all(|row| row.mac.is_some()));
    }

    #[rstest]
    #[case(&[], true)]
    #[case(&[("complete", "true"), ("dynamic", "true"), ("published", "false")], true)]
    #[case(&[("disabled", "true")], false)]
    #[case(&[("invalid", "true")], false)]
    #[case(&[("mac-address", "")], false)]
    #[case(&[("mac-address", "00:00:00:00:00:00")], false)]
    #[case(&[("address", "")], false)]
    fn r1_an_arp_entry_that_is_in_use_names_the_device_of_its_address(
        #[case] fields: &[(&str, &str)],
        #[case] is_used: bool,
    ) {
        // The first of two attributes of a name counts.
        let whole = [
            ("mac-address", "02:00:00:00:00:01"),
            ("address", "10.5.50.7"),
        ];
        let found = neighbour(&row(&[fields, &whole].concat()));
        let expected = HolderRow {
            mac: "02:00:00:00:00:01".parse().ok(),
            address: "10.5.50.7".parse().expect("an address"),
        };
        assert_eq!(found, is_used.then_some(expected));
    }

    #[rstest]
    #[case(&[("type", "bypassed")], BindingKind::Bypassed)]
    #[case(&[("type", "blocked")], BindingKind::Blocked)]
    #[case(&[("type", "regular")], BindingKind::Regular)]
    #[case(&[("bypassed", "true")], BindingKind::Bypassed)]
    #[case(&[("blocked", "true")], BindingKind::Blocked)]
    #[case(&[("bypassed", "false")], BindingKind::Regular)]
    fn a_binding_says_its_kind_in_type_or_flags(
        #[case] fields: &[(&str, &str)],
        #[case] expected: BindingKind,
    ) {
        assert_eq!(binding_kind(&row(fields)), expected);
    }
}
