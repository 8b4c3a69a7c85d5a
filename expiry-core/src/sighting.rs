//! What was seen on a router, row by row, and what was asked to be seen.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Cause, MacAddr, Step, Trouble, Username};

/// A router's own id of a row, such as `*A`. Good only on the connection it was read from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowId(String);

impl RowId {
    /// Takes an id as read from a router; an empty one names no row.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        (!id.is_empty()).then_some(Self(id))
    }

    /// Returns the id as the router wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of a row. An id names a row of one kind only: other kinds use the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// A local account.
    Account,
    /// An authenticated session.
    Session,
    /// A device that was seen.
    Host,
    /// A re-login token.
    Cookie,
    /// An IP binding.
    Binding,
    /// A tracked connection.
    Connection,
    /// A DHCP lease or an ARP entry.
    Holder,
}

/// A row of `/ip/hotspot/user`: a local account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Row id.
    pub id: RowId,
    /// Account name.
    pub name: String,
    /// The hotspot server it is limited to; a name may stand once for each.
    pub server: Option<String>,
    /// Whether it is refused at login.
    pub disabled: bool,
}

/// A row of `/ip/hotspot/active`: an authenticated session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveRow {
    /// Row id. The hexadecimal client address: it comes back with the next user of the address.
    pub id: RowId,
    /// Whose session it is.
    pub user: String,
    /// The device.
    pub mac: Option<MacAddr>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// How it was let in: `cookie`, `http-chap`, `mac`, `trial`, …
    pub login_by: Option<String>,
    /// Whether RADIUS let it in.
    pub radius: bool,
    /// How long it lasts, in whole seconds.
    pub uptime: Option<Duration>,
}

impl ActiveRow {
    /// Tells whether this may still be the session that an earlier reading showed, rather than a
    /// new one of the same user: the id says nothing, it is the address.
    pub fn continues(&self, earlier: &Self) -> bool {
        let is_younger = self.uptime.zip(earlier.uptime).is_some_and(|(a, b)| a < b);
        self.user == earlier.user
            && self.mac == earlier.mac
            && self.address == earlier.address
            && !is_younger
    }

    /// Tells whether the session and the host show the same device at the same address.
    fn is_surely_on(&self, host: &HostRow) -> bool {
        let on_address = self.address == host.address || self.address == host.to_address;
        self.mac.is_some() && self.mac == host.mac && self.address.is_some() && on_address
    }
}

/// A row of `/ip/hotspot/host`: a device that was seen, logged in or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Row id.
    pub id: RowId,
    /// The device.
    pub mac: Option<MacAddr>,
    /// The address it uses.
    pub address: Option<IpAddr>,
    /// The address it is translated to.
    pub to_address: Option<IpAddr>,
    /// Whether a session carries it.
    pub authorized: bool,
    /// Whether a binding lets it pass without a session.
    pub bypassed: bool,
}

/// A row of `/ip/hotspot/cookie`: a token that logs a device in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieRow {
    /// Row id.
    pub id: RowId,
    /// The account it logs in.
    pub user: String,
    /// The device it was given to.
    pub mac: Option<MacAddr>,
}

/// What an IP binding does to the devices it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingKind {
    /// Only fixes the address.
    Regular,
    /// Lets them pass without login.
    Bypassed,
    /// Drops all they send.
    Blocked,
}

/// A row of `/ip/hotspot/ip-binding`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRow {
    /// Row id.
    pub id: RowId,
    /// The device it fits.
    pub mac: Option<MacAddr>,
    /// The address or range it fits, as printed.
    pub address: Option<String>,
    /// The address it translates to, as printed.
    pub to_address: Option<String>,
    /// The hotspot server it is limited to.
    pub server: Option<String>,
    /// What it does.
    pub kind: BindingKind,
    /// The operator's comment.
    pub comment: Option<String>,
    /// Whether it is switched off.
    pub disabled: bool,
}

impl BindingRow {
    /// Tells whether it lets anybody pass.
    pub fn lets_pass(&self) -> bool {
        self.kind == BindingKind::Bypassed && !self.disabled
    }
}

/// A row of `/ip/firewall/connection` with at least one asked address in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Row id.
    pub id: RowId,
    /// All addresses of the row, without ports.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether its packets skip the firewall, and so the hotspot.
    pub fasttrack: bool,
}

/// A row of `/ip/dhcp-server/lease` or `/ip/arp`: which device gets, or has, an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderRow {
    /// The device; a DHCP client may show another identity instead.
    pub mac: Option<MacAddr>,
    /// Its address.
    pub address: IpAddr,
}

/// Rows of one router, read together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Accounts.
    pub users: Vec<UserRow>,
    /// Sessions.
    pub actives: Vec<ActiveRow>,
    /// Devices seen.
    pub hosts: Vec<HostRow>,
    /// Re-login tokens.
    pub cookies: Vec<CookieRow>,
    /// Bindings.
    pub bindings: Vec<BindingRow>,
    /// Tracked connections.
    pub connections: Vec<ConnectionRow>,
    /// DHCP leases and ARP entries that are in force.
    pub holders: Vec<HolderRow>,
    /// The answers that broke off: rows of these kinds may be missing.
    pub broken_off: Vec<BrokenOff>,
}

impl Sighting {
    /// Notes that answers broke off, and leaves out the rows that may be somebody else's by a row
    /// that is missing (R1): a host belongs to the session on it, or to the binding by which it
    /// passes, and a connection to whoever has its addresses.
    pub fn break_off(&mut self, answers: impl IntoIterator<Item = BrokenOff>) {
        self.broken_off.extend(answers);
        let (sessions, bindings) = (self.lacks(RowKind::Session), self.lacks(RowKind::Binding));
        if sessions {
            let actives = &self.actives;
            self.hosts
                .retain(|host| actives.iter().any(|active| active.is_surely_on(host)));
        }
        if bindings {
            let bindings = &self.bindings;
            let is_bound = |host: &HostRow| bindings.iter().any(|row| row.mac == host.mac);
            self.hosts.retain(|host| !host.bypassed || is_bound(host));
        }
        if sessions || bindings || self.lacks(RowKind::Host) {
            let of_actives = self.actives.iter().filter_map(|row| row.address);
            let of_hosts = self
                .hosts
                .iter()
                .flat_map(|row| [row.address, row.to_address]);
            let shown: BTreeSet<_> = of_actives.chain(of_hosts.flatten()).collect();
            self.connections
                .retain(|row| !row.addresses.is_disjoint(&shown));
        }
    }

    /// Tells whether rows of this kind may be missing.
    pub fn lacks(&self, kind: RowKind) -> bool {
        self.broken_off.iter().any(|answer| answer.kind == kind)
    }

    /// Says which answers broke off; `None` if all came to their end. Only then may the absence of
    /// a row count for anything.
    pub fn gap(&self) -> Option<String> {
        let answers = self.broken_off.iter().map(ToString::to_string);
        let answers: BTreeSet<_> = answers.collect();
        let all: Vec<_> = answers.into_iter().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Says which answers broke off, and what the first of them means.
    pub fn trouble(&self) -> Option<Trouble> {
        let BrokenOff {
            command, message, ..
        } = self.broken_off.first()?;
        Some(Trouble {
            cause: Cause::of_trap(Step::Read, command, message),
            seen: self.gap()?,
        })
    }
}

/// An answer that the router ended with an error, after some of its rows or none, however often it
/// was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenOff {
    /// What its rows are.
    pub kind: RowKind,
    /// The command.
    pub command: String,
    /// What the router said.
    pub message: String,
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command, message, ..
        } = self;
        write!(
            f,
            "the router broke off its answer to `{command}`: {message}"
        )
    }
}

/// Which rows to read. A row that fits any of the criteria of its table comes back; others may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a table that is read or not, by itself"
)]
pub struct Query {
    /// Accounts, sessions and cookies under these names, in every spelling.
    pub names: BTreeSet<Username>,
    /// Everything of these devices: accounts and sessions named like them, sessions, hosts,
    /// cookies and bindings on them.
    pub macs: BTreeSet<MacAddr>,
    /// Sessions, hosts and bindings on these devices.
    pub stations: BTreeSet<MacAddr>,
    /// Sessions, hosts, bindings and (if asked) holders and connections on these addresses.
    /// Connections of addresses that hosts and sessions of the same answer show are included.
    pub addresses: BTreeSet<IpAddr>,
    /// Also bindings whose comment equals one of `names`.
    pub comments: bool,
    /// Whether to read the connection table.
    pub connections: bool,
    /// Whether to read all bypass bindings without a MAC, disabled or not: whose they are, their
    /// address tells.
    pub bypasses: bool,
    /// Whether to read the DHCP leases and ARP entries of `macs` and on `addresses`. A router that
    /// has no such menu, or does not show it, has none.
    pub holders: bool,
}
