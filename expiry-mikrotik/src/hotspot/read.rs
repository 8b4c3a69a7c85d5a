use std::{collections::BTreeSet, net::IpAddr};

use expiry_core::{MacAddr, Query, RowKind, Username};

use crate::wire::Sentence;

/// An equality of a condition, byte by byte: names have no charset.
type Term = Vec<u8>;

/// A longer condition is spread over several sentences.
const TERMS_PER_SENTENCE: usize = 100;

/// The columns of bindings that are only reported.
const PASSING_BINDINGS: &str =
    ".id,mac-address,address,to-address,type,comment,disabled,bypassed,blocked";

/// A table that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Users,
    Actives,
    Hosts,
    Cookies,
    Bindings,
    Connections,
    Leases,
    Arp,
}

impl Table {
    fn print(self) -> Sentence {
        Sentence::new(self.command()).attribute(".proplist", self.columns())
    }

    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Users => "/ip/hotspot/user/print",
            Self::Actives => "/ip/hotspot/active/print",
            Self::Hosts => "/ip/hotspot/host/print",
            Self::Cookies => "/ip/hotspot/cookie/print",
            Self::Bindings => "/ip/hotspot/ip-binding/print",
            Self::Connections => "/ip/firewall/connection/print",
            Self::Leases => "/ip/dhcp-server/lease/print",
            Self::Arp => "/ip/arp/print",
        }
    }

    pub(crate) fn kind(self) -> RowKind {
        match self {
            Self::Users => RowKind::Account,
            Self::Actives => RowKind::Session,
            Self::Hosts => RowKind::Host,
            Self::Cookies => RowKind::Cookie,
            Self::Bindings => RowKind::Binding,
            Self::Connections => RowKind::Connection,
            Self::Leases | Self::Arp => RowKind::Holder,
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Users => ".id,name,server,disabled",
            Self::Actives => ".id,user,mac-address,address,login-by,radius,uptime",
            Self::Hosts => ".id,mac-address,address,to-address,authorized,bypassed",
            Self::Cookies => ".id,user,mac-address",
            Self::Bindings => {
                ".id,mac-address,address,to-address,server,type,comment,disabled,bypassed,blocked"
            }
            Self::Connections => {
                ".id,src-address,dst-address,reply-src-address,reply-dst-address,fasttrack,hw-offload"
            }
            Self::Leases => ".id,mac-address,active-mac-address,address,active-address,disabled",
            Self::Arp => ".id,mac-address,address,disabled,invalid",
        }
    }
}

/// One print command.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) table: Table,
    pub(crate) command: Sentence,
}

/// Reads all rows that fit `query`, in every table for which it has criteria.
pub(crate) fn matching(query: &Query) -> Vec<Read> {
    let mut reads = select(Table::Users, &users(query));
    reads.extend(select(Table::Cookies, &cookies(query)));
    reads.extend(select(Table::Bindings, &bindings(query)));
    if query.bypasses {
        reads.push(bypasses_by_address());
    }
    if query.holders {
        reads.extend(select(Table::Leases, &leases(query)));
        reads.extend(select(Table::Arp, &neighbours(query)));
    }
    reads.extend(matching_sessions(query));
    reads
}

/// Reads the sessions, hosts and (if asked) connections that fit `query`. The connection table
/// comes last: it is by far the slowest.
pub(crate) fn matching_sessions(query: &Query) -> Vec<Read> {
    let mut reads = select(Table::Actives, &actives(query));
    reads.extend(select(Table::Hosts, &hosts(query)));
    if query.connections && !reads.is_empty() {
        // Ports stand in the address columns and queries know no prefix match, so the router
        // cannot choose the rows.
        reads.push(Read {
            table: Table::Connections,
            command: Table::Connections.print(),
        });
    }
    reads
}

/// Reads all sessions, bypassed hosts and enabled bypass bindings. Bindings that were disabled are
/// many after a while. A flag that is false may be left out.
pub(crate) fn all_sessions() -> Vec<Read> {
    let bindings = bypasses(PASSING_BINDINGS)
        .query("disabled=true")
        .query("#!&");
    let hosts = Table::Hosts.print().query("bypassed=true");
    [
        (Table::Actives, Table::Actives.print()),
        (Table::Hosts, hosts),
        (Table::Bindings, bindings),
    ]
    .map(|(table, command)| Read { table, command })
    .into()
}

/// Reads the bypass bindings without a MAC, disabled or not. They are few, and which addresses a
/// range has no query can ask.
fn bypasses_by_address() -> Read {
    let command = bypasses(Table::Bindings.columns())
        .query("-mac-address")
        .query("mac-address=00:00:00:00:00:00")
        .query("#|")
        .query("#&");
    Read {
        table: Table::Bindings,
        command,
    }
}

/// Their kind stands in `type` or in a flag.
fn bypasses(columns: &str) -> Sentence {
    Sentence::new(Table::Bindings.command())
        .attribute(".proplist", columns)
        .query("type=bypassed")
        .query("bypassed=true")
        .query("#|")
}

fn select(table: Table, terms: &BTreeSet<Term>) -> Vec<Read> {
    let terms: Vec<_> = terms.iter().collect();
    let any_of = |terms: &[&Term]| {
        let mut command = table.print();
        for (at, term) in terms.iter().enumerate() {
            command = command.query(term);
            if at > 0 {
                command = command.query("#|");
            }
        }
        Read { table, command }
    };
    terms.chunks(TERMS_PER_SENTENCE).map(any_of).collect()
}

fn users(query: &Query) -> BTreeSet<Term> {
    let by_mac = query.macs.iter().flat_map(|mac| mac.spellings());
    names(query)
        .chain(by_mac.map(String::into_bytes))
        .map(|name| term("name", name))
        .collect()
}

fn actives(query: &Query) -> BTreeSet<Term> {
    let by_address = query.addresses.iter().map(|ip| at("address", *ip));
    let mut terms = logins(query);
    terms.extend(devices(query.macs.union(&query.stations)));
    terms.extend(by_address);
    terms
}

fn hosts(query: &Query) -> BTreeSet<Term> {
    let mut terms: BTreeSet<_> = devices(query.macs.union(&query.stations)).collect();
    for ip in &query.addresses {
        terms.insert(at("address", *ip));
        terms.insert(at("to-address", *ip));
    }
    terms
}

fn cookies(query: &Query) -> BTreeSet<Term> {
    let mut terms = logins(query);
    terms.extend(devices(&query.macs));
    terms
}

fn bindings(query: &Query) -> BTreeSet<Term> {
    let mut terms: BTreeSet<_> = devices(query.macs.union(&query.stations)).collect();
    terms.extend(query.addresses.iter().map(|ip| at("address", *ip)));
    if query.comments {
        terms.extend(names(query).map(|name| term("comment", name)));
    }
    terms
}

/// A static lease holds an address for its MAC; one that is bound shows who has it.
fn leases(query: &Query) -> BTreeSet<Term> {
    let mut terms: BTreeSet<_> = devices(&query.macs).collect();
    let active = |mac: &MacAddr| term("active-mac-address", mac.to_string());
    terms.extend(query.macs.iter().map(active));
    for ip in &query.addresses {
        terms.insert(at("address", *ip));
        terms.insert(at("active-address", *ip));
    }
    terms
}

fn neighbours(query: &Query) -> BTreeSet<Term> {
    let mut terms: BTreeSet<_> = devices(&query.macs).collect();
    terms.extend(query.addresses.iter().map(|ip| at("address", *ip)));
    terms
}

/// The names of sessions and cookies: the asked ones, and those that MAC logins and trials get.
fn logins(query: &Query) -> BTreeSet<Term> {
    let of_mac = |mac: &MacAddr| mac.spellings().chain([format!("T-{mac}")]);
    names(query)
        .chain(query.macs.iter().flat_map(of_mac).map(String::into_bytes))
        .map(|login| term("user", login))
        .collect()
}

fn names(query: &Query) -> impl Iterator<Item = Vec<u8>> {
    query.names.iter().flat_map(Username::on_router)
}

fn devices<'a>(macs: impl IntoIterator<Item = &'a MacAddr>) -> impl Iterator<Item = Term> {
    let macs = macs.into_iter();
    macs.map(|mac| term("mac-address", mac.to_string()))
}

fn at(column: &str, address: IpAddr) -> Term {
    term(column, address.to_string())
}

fn term(column: &str, value: impl AsRef<[u8]>) -> Term {
    [column.as_bytes(), b"=", value.as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Query {
        Query {
            names: ["255700000001".parse().expect("a name")].into(),
            macs: ["AA:BB:CC:DD:EE:0F".parse().expect("a MAC")].into(),
            stations: ["02:00:00:00:00:01".parse().expect("a MAC")].into(),
            addresses: ["10.5.50.7".parse().expect("an address")].into(),
            comments: false,
            connections: false,
            bypasses: false,
            holders: false,
        }
    }

    fn terms(reads: &[Read], table: Table) -> Vec<String> {
        let of_table = reads.iter().filter(|read| read.table == table);
        let queries = of_table.flat_map(|read| read.command.queries());
        queries
            .filter(|word| *word != b"#|")
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    #[test]
    fn r1_every_spelling_of_names_and_devices_is_asked_for() {
        let reads = matching(&query());
        let users = [
            "name=+255700000001",
            "name=255700000001",
            "name=AA-BB-CC-DD-EE-0F",
            "name=AA:BB:CC:DD:EE:0F",
            "name=AABBCCDDEE0F",
            "name=aa-bb-cc-dd-ee-0f",
            "name=aa:bb:cc:dd:ee:0f",
            "name=aabbccddee0f",
        ];
        assert_eq!(terms(&reads, Table::Users), users);
        let cookies = [
            "mac-address=AA:BB:CC:DD:EE:0F",
            "user=+255700000001",
            "user=255700000001",
            "user=AA-BB-CC-DD-EE-0F",
            "user=AA:BB:CC:DD:EE:0F",
            "user=AABBCCDDEE0F",
            "user=T-AA:BB:CC:DD:EE:0F",
            "user=aa-bb-cc-dd-ee-0f",
            "user=aa:bb:cc:dd:ee:0f",
            "user=aabbccddee0f",
        ];
        assert_eq!(terms(&reads, Table::Cookies), cookies);
        let elsewhere = ["address=10.5.50.7", "mac-address=02:00:00:00:00:01"];
        let actives: BTreeSet<_> = cookies.into_iter().chain(elsewhere).collect();
        let asked = terms(&reads, Table::Actives);
        assert_eq!(
            asked.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            actives
        );
        let hosts = [
            "address=10.5.50.7",
            "mac-address=02:00:00:00:00:01",
            "mac-address=AA:BB:CC:DD:EE:0F",
            "to-address=10.5.50.7",
        ];
        assert_eq!(terms(&reads, Table::Hosts), hosts);
        let bindings = [
            "address=10.5.50.7",
            "mac-address=02:00:00:00:00:01",
            "mac-address=AA:BB:CC:DD:EE:0F",
        ];
        assert_eq!(terms(&reads, Table::Bindings), bindings);
        assert!(terms(&reads, Table::Leases).is_empty());
        assert!(terms(&reads, Table::Arp).is_empty());
        let reads = matching(&Query {
            holders: true,
            ..query()
        });
        let leases = [
            "active-address=10.5.50.7",
            "active-mac-address=AA:BB:CC:DD:EE:0F",
            "address=10.5.50.7",
            "mac-address=AA:BB:CC:DD:EE:0F",
        ];
        assert_eq!(terms(&reads, Table::Leases), leases);
        let entries = ["address=10.5.50.7", "mac-address=AA:BB:CC:DD:EE:0F"];
        assert_eq!(terms(&reads, Table::Arp), entries);
    }

    #[test]
    fn r1_names_go_to_the_router_byte_by_byte() {
        let name: Username = r"caf\xe9\x1b".parse().expect("a name");
        let query = Query {
            names: [name].into(),
            comments: true,
            ..Query::default()
        };
        for (table, term) in [
            (Table::Users, b"name=caf\xe9\x1b".as_slice()),
            (Table::Actives, b"user=caf\xe9\x1b"),
            (Table::Cookies, b"user=caf\xe9\x1b"),
            (Table::Bindings, b"comment=caf\xe9\x1b"),
        ] {
            let reads = matching(&query);
            let read = reads.iter().find(|read| read.table == table);
            let read = read.expect("it is asked for");
            assert_eq!(read.command.queries().next(), Some(term));
        }
    }

    #[test]
    fn bindings_are_found_by_comment_only_when_asked() {
        let mut query = query();
        query.macs.clear();
        query.stations.clear();
        query.addresses.clear();
        assert!(terms(&matching(&query), Table::Bindings).is_empty());
        query.comments = true;
        let by_comment = ["comment=+255700000001", "comment=255700000001"];
        assert_eq!(terms(&matching(&query), Table::Bindings), by_comment);
    }

    #[test]
    fn r7_nothing_is_read_without_criteria() {
        let nothing = Query {
            connections: true,
            comments: true,
            ..Query::default()
        };
        assert!(matching(&nothing).is_empty());
        let stations = Query {
            stations: query().stations,
            ..Query::default()
        };
        let tables: Vec<_> = matching(&stations).iter().map(|read| read.table).collect();
        assert_eq!(tables, [Table::Bindings, Table::Actives, Table::Hosts]);
    }

    #[test]
    fn r7_only_the_connection_table_is_printed_whole() {
        let query = Query {
            connections: true,
            ..query()
        };
        let reads = matching(&query);
        assert_eq!(
            reads.last().map(|read| read.table),
            Some(Table::Connections)
        );
        for read in reads {
            let whole = read.command.queries().next().is_none();
            assert_eq!(whole, read.table == Table::Connections);
            assert!(read.command.get(".proplist").is_some());
        }
    }

    #[test]
    fn r7_bypasses_without_a_mac_are_read_by_one_command_however_many_are_asked_about() {
        let query = Query {
            bypasses: true,
            ..query()
        };
        let whole = |query: &Query| {
            let reads = matching(query).into_iter();
            let of_bindings = reads.filter(|read| read.table == Table::Bindings);
            let words: Vec<Vec<_>> = of_bindings
                .map(|read| read.command.queries().map(<[u8]>::to_vec).collect())
                .collect();
            words
        };
        let words = whole(&query);
        assert_eq!(words.len(), 2);
        assert!(words[1].contains(&b"-mac-address".to_vec()));
        let nobody = Query {
            bypasses: true,
            ..Query::default()
        };
        assert_eq!(whole(&nobody), words[1..]);
    }

    #[test]
    fn long_conditions_are_spread_over_sentences() {
        let names = (0..250).map(|n| format!("name-{n:03}").parse().expect("a name"));
        let query = Query {
            names: names.collect(),
            ..Query::default()
        };
        let reads = matching(&query);
        let users: Vec<_> = reads.iter().filter(|r| r.table == Table::Users).collect();
        assert_eq!(users.len(), 3);
        assert_eq!(terms(&reads, Table::Users).len(), 250);
        for read in users {
            let ors = read.command.queries().filter(|word| *word == b"#|").count();
            assert_eq!(read.command.queries().count(), 2 * ors + 1);
        }
    }
}
