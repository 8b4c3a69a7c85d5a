//! The rows of the hotspot's tables and of the connection table.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use expiry_core::{BindingKind, MacAddr};

use crate::sim::LoginMethod;

/// A device's MAC with the text that is printed and compared.
#[derive(Clone, Debug)]
pub(crate) struct Mac {
    pub(crate) addr: MacAddr,
    pub(crate) text: String,
}

impl From<MacAddr> for Mac {
    fn from(addr: MacAddr) -> Self {
        Self {
            addr,
            text: addr.to_string(),
        }
    }
}

/// Attributes that are kept and printed but mean nothing to the engine.
pub(crate) type Inert = BTreeMap<&'static str, Vec<u8>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) name: Vec<u8>,
    pub(crate) password: Vec<u8>,
    pub(crate) disabled: bool,
    /// The only device that may log in.
    pub(crate) mac: Option<Mac>,
    pub(crate) limit_uptime: Option<Duration>,
    /// Connected time of ended sessions.
    pub(crate) uptime: Duration,
    pub(crate) inert: Inert,
}

#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) user: Vec<u8>,
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) by: LoginMethod,
    pub(crate) since: Duration,
    pub(crate) ends_at: Option<Duration>,
    pub(crate) station: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) to_address: Ipv4Addr,
    pub(crate) authorized: bool,
    pub(crate) bypassed: bool,
    pub(crate) blocked: bool,
    pub(crate) since: Duration,
    pub(crate) station: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) user: Vec<u8>,
    pub(crate) mac: Mac,
    /// Whether the router itself logs the device in by it, without a browser.
    pub(crate) by_mac: bool,
    pub(crate) expires_at: Duration,
    pub(crate) station: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) mac: Option<Mac>,
    /// First and last address it fits.
    pub(crate) range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The range as it was written: an address, two, or a network.
    pub(crate) range_text: Vec<u8>,
    pub(crate) kind: BindingKind,
    pub(crate) disabled: bool,
    pub(crate) inert: Inert,
}

impl Binding {
    pub(crate) fn fits(&self, mac: MacAddr, address: Ipv4Addr) -> bool {
        let by_mac = self.mac.as_ref().is_none_or(|own| own.addr == mac);
        let by_address = self
            .range
            .is_none_or(|(first, last)| (first..=last).contains(&address));
        !self.disabled && by_mac && by_address && (self.mac.is_some() || self.range.is_some())
    }
}

/// An address that the DHCP server holds for a device.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) dynamic: bool,
}

/// An ARP entry. Without a MAC nobody answered for the address.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) mac: Option<Mac>,
    pub(crate) address: Ipv4Addr,
    pub(crate) dynamic: bool,
    pub(crate) disabled: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) station: usize,
    /// Which of the station's connections it is.
    pub(crate) flow: usize,
    pub(crate) protocol: &'static str,
    pub(crate) fasttrack: bool,
    /// Addresses with their ports, as printed: this table is large and printed whole.
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) reply_src: String,
    pub(crate) reply_dst: String,
}
