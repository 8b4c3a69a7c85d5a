//! What was seen on a router, row by row, and what was asked to be seen.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{MacAddr, Username};

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

/// A row of `/ip/dhcp-server/lease`: the address that a device gets, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The device; a client may show another identity instead.
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
    /// DHCP leases that are in force.
    pub leases: Vec<LeaseRow>,
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
    /// Sessions, hosts, bindings and (if asked) leases and connections on these addresses.
    /// Connections of addresses that hosts and sessions of the same answer show are included.
    pub addresses: BTreeSet<IpAddr>,
    /// Also bindings whose comment equals one of `names`.
    pub comments: bool,
    /// Whether to read the connection table.
    pub connections: bool,
    /// Whether to read all bypass bindings without a MAC, disabled or not: whose they are, their
    /// address tells.
    pub bypasses: bool,
    /// Whether to read the DHCP leases of `macs` and on `addresses`. A router without a DHCP server
    /// has none.
    pub leases: bool,
}
