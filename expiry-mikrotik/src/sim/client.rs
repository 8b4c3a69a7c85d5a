use std::{net::Ipv4Addr, time::Duration};

use expiry_core::MacAddr;

/// A simulated device, in the order in which devices were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) usize);

/// How a device is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// By an account: `/ip/hotspot/user`, logged in with the form.
    #[default]
    Account,
    /// By an `/ip/hotspot/ip-binding` of type `bypassed` on its MAC.
    Bypass,
}

/// A device behind the router.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the device"
)]
pub struct ClientConfig {
    /// The account's name on the router, or the comment of the binding, in its spelling.
    pub name: String,
    /// The device's MAC. Two devices must not have the same.
    pub mac: MacAddr,
    /// Its address; `None` takes the next free one in 10.5.0.0/16.
    pub address: Option<Ipv4Addr>,
    /// What the hotspot translates the address to, for a device with a foreign address.
    pub to_address: Option<Ipv4Addr>,
    /// How it is let through.
    pub access: Access,
    /// Whether its browser holds an HTTP cookie.
    pub with_cookie: bool,
    /// Whether the router holds a MAC cookie of it.
    pub mac_cookie: bool,
    /// Whether it tries to come back as soon as it is off, in every way that is offered: cookie,
    /// form with the stored password, trial. Logins that the router does by itself (MAC cookie,
    /// MAC login) do not depend on this.
    pub persistent: bool,
    /// How many connections it keeps open.
    pub connections: usize,
    /// Whether its connections are fasttracked: they pass until their rows are removed.
    pub fasttrack: bool,
}

impl ClientConfig {
    /// A device with an account of that name and one plain connection.
    pub fn new(name: impl Into<String>, mac: MacAddr) -> Self {
        Self {
            name: name.into(),
            mac,
            address: None,
            to_address: None,
            access: Access::Account,
            with_cookie: false,
            mac_cookie: false,
            persistent: false,
            connections: 1,
            fasttrack: false,
        }
    }
}

/// A device's traffic began or stopped to pass the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficEvent {
    /// The device.
    pub client: ClientId,
    /// Its account, or the comment of its binding.
    pub name: String,
    /// Whether it passes from now on.
    pub moving: bool,
    /// When, on the simulation's clock.
    pub at: Duration,
}
