use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use expiry_core::{BindingKind, MacAddr, spelling::bytes_of};

use super::{Binding, Cookie, Host, Hotspot, Logout, Mac, User, Wake};
use crate::sim::{Access, ClientConfig, LoginMethod};

/// A device: what it is, and which rows of the router are about it.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) name: Vec<u8>,
    pub(crate) mac: MacAddr,
    pub(crate) address: Ipv4Addr,
    pub(crate) to_address: Ipv4Addr,
    pub(super) access: Access,
    /// What it types into the form.
    pub(super) password: Vec<u8>,
    pub(super) persistent: bool,
    pub(super) fasttrack: bool,
    pub(super) host: Option<u32>,
    pub(super) active: Option<u32>,
    pub(super) cookie: Option<u32>,
    pub(super) mac_cookie: Option<u32>,
    /// The row of each connection it keeps open.
    pub(super) flows: Vec<Option<u32>>,
    /// Since when it is switched off.
    pub(super) silent_since: Option<Duration>,
    pub(super) packet_at: Option<Duration>,
    pub(super) logging_in: bool,
    pub(super) trial_used: Duration,
    pub(super) moving_since: Option<Duration>,
    pub(super) moved: u64,
}

impl Station {
    pub(super) fn is_sending(&self) -> bool {
        self.silent_since.is_none()
    }

    pub(super) fn keep_cookie(&mut self, id: u32, mac_cookie: bool) {
        if mac_cookie {
            self.mac_cookie = Some(id);
        } else {
            self.cookie = Some(id);
        }
    }

    pub(super) fn forget_rows(&mut self) {
        self.host = None;
        self.active = None;
        self.cookie = None;
        self.mac_cookie = None;
        self.flows.fill(None);
        self.packet_at = None;
        self.logging_in = false;
    }
}

impl Hotspot {
    /// Adds a device that is on and, if the router lets it, online.
    pub(crate) fn add_station(&mut self, config: ClientConfig) -> usize {
        let index = self.stations.len();
        let address = config.address.unwrap_or_else(|| {
            let offset = u32::try_from(index % 65_000).unwrap_or_default();
            Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 5, 0, 2)) + offset)
        });
        let password = self.provide_access(&config);
        let account = config.name;
        let name = bytes_of(&account);
        self.stations.push(Station {
            name: name.clone(),
            mac: config.mac,
            address,
            to_address: config.to_address.unwrap_or(address),
            access: config.access,
            password,
            persistent: config.persistent,
            fasttrack: config.fasttrack,
            host: None,
            active: None,
            cookie: None,
            mac_cookie: None,
            flows: vec![None; config.connections],
            silent_since: None,
            packet_at: None,
            logging_in: false,
            trial_used: Duration::ZERO,
            moving_since: None,
            moved: 0,
        });
        self.by_mac.insert(config.mac, index);
        let of = &self.stations[index];
        for address in BTreeSet::from([of.address, of.to_address]) {
            self.by_address.entry(address).or_default().push(index);
        }
        self.by_name.entry(name).or_default().push(index);
        self.see_host(index);
        if config.access == Access::Account && self.may_log_in(index) && !self.is_open(index) {
            self.start_session(index, LoginMethod::Form, false);
        }
        if config.with_cookie {
            self.give_cookie(index, false);
        }
        if config.mac_cookie {
            self.give_cookie(index, true);
        }
        self.packet(index);
        index
    }

    /// Switches a device on or off.
    pub(crate) fn set_sending(&mut self, station: usize, on: bool) {
        if self.stations[station].is_sending() == on {
            return;
        }
        let since = self.now;
        self.stations[station].silent_since = (!on).then_some(since);
        if !on {
            let at = since + self.config.keepalive_timeout;
            self.schedule(at, Wake::Silence { station, since });
        }
        self.refresh(station);
        self.touch(station);
    }

    /// A device that has been silent for too long loses its session and its host row.
    pub(super) fn forget_silent(&mut self, station: usize) {
        if let Some(active) = self.stations[station].active {
            self.end_session(active, Logout::Silence);
        }
        if let Some(host) = self.stations[station].host.take() {
            self.hosts.remove(host);
        }
        let of = &self.stations[station];
        self.neighbours.forget(of.address, of.mac);
    }

    /// The next packet of a device comes in. Its fate may have changed since the last one.
    pub(super) fn packet(&mut self, station: usize) {
        if !self.stations[station].is_sending() {
            return;
        }
        if self.stations[station].host.is_none() {
            self.see_host(station);
        } else if !self.is_open(station) && !self.config.bypass_needs_new_host {
            self.apply_binding(station);
        }
        if !self.is_open(station) && self.stations[station].persistent {
            self.come_back(station);
        }
        self.settle_flows(station);
        self.refresh(station);
    }

    /// Something that concerns a device has changed: its next packet is looked at.
    pub(super) fn touch(&mut self, station: usize) {
        let interval = self.config.packet_interval.as_nanos().max(1);
        let of = &mut self.stations[station];
        if of.packet_at.is_some() || !of.is_sending() {
            return;
        }
        // Devices do not send in step: each has its own place within the interval.
        let phase = u128::from(of.mac.octets()[5]) * 7_919_000 % interval;
        let sent = (self.now.as_nanos() + interval - phase) / interval;
        let nanos = u64::try_from(sent * interval + phase).unwrap_or(u64::MAX);
        let at = Duration::from_nanos(nanos);
        of.packet_at = Some(at);
        self.schedule(at, Wake::Packet { station });
    }

    pub(super) fn touch_named(&mut self, name: &[u8]) {
        for station in self.by_name.get(name).cloned().unwrap_or_default() {
            self.touch(station);
        }
    }

    /// Whether the hotspot lets the device's packets through, by its host row.
    pub(super) fn is_open(&self, station: usize) -> bool {
        let host = self.stations[station]
            .host
            .and_then(|id| self.hosts.get(id));
        host.is_some_and(|host| host.authorized || host.bypassed)
    }

    /// What the first binding that fits does to the device.
    pub(super) fn binding_of(&self, station: usize) -> Option<BindingKind> {
        let of = &self.stations[station];
        self.bindings.first_for(of.mac, of.address)
    }

    /// Removes a host row. Its session ends with it; the next packet is that of a new device.
    pub(crate) fn remove_host(&mut self, id: u32) {
        let Some(host) = self.hosts.remove(id) else {
            return;
        };
        let station = host.station;
        self.stations[station].host = None;
        if let Some(active) = self.stations[station].active {
            self.end_session(active, Logout::Host);
        }
        self.refresh(station);
        self.touch(station);
    }

    fn see_host(&mut self, station: usize) {
        let of = &self.stations[station];
        let host = Host {
            mac: Mac::from(of.mac),
            address: of.address,
            to_address: of.to_address,
            authorized: false,
            bypassed: false,
            blocked: false,
            since: self.now,
            station,
        };
        self.neighbours.learn(host.address, &host.mac);
        self.stations[station].host = Some(self.hosts.insert(host));
        self.apply_binding(station);
        let host = self.stations[station]
            .host
            .and_then(|id| self.hosts.get(id));
        if host.is_some_and(|host| !host.bypassed && !host.blocked) {
            self.log_in_unasked(station);
        }
    }

    fn apply_binding(&mut self, station: usize) {
        let kind = self.binding_of(station);
        let id = self.stations[station].host;
        if let Some(host) = id.and_then(|id| self.hosts.get_mut(id)) {
            host.bypassed = kind == Some(BindingKind::Bypassed);
            host.blocked = kind == Some(BindingKind::Blocked);
        }
    }

    /// Makes the account or the binding that a device needs, unless there is one. Returns the
    /// account's password.
    fn provide_access(&mut self, config: &ClientConfig) -> Vec<u8> {
        let name = bytes_of(&config.name);
        let name = name.as_slice();
        match config.access {
            Access::Account => {
                if let Some((_, user)) = self.users.named(name).next() {
                    return user.password.clone();
                }
                let password = [b"pw-", name].concat();
                self.add_user(User {
                    name: name.to_vec(),
                    password: password.clone(),
                    ..User::default()
                });
                password
            }
            Access::Bypass => {
                let of_mac = |row: &Binding| row.mac.as_ref().is_some_and(|m| m.addr == config.mac);
                if self.bindings.table().first_where(of_mac).is_none() {
                    self.add_binding(Binding {
                        mac: Some(Mac::from(config.mac)),
                        range: None,
                        range_text: Vec::new(),
                        kind: BindingKind::Bypassed,
                        disabled: false,
                        inert: [("comment", name.to_vec())].into(),
                    });
                }
                Vec::new()
            }
        }
    }

    pub(super) fn give_cookie(&mut self, station: usize, mac_cookie: bool) {
        let of = &self.stations[station];
        let held = if mac_cookie { of.mac_cookie } else { of.cookie };
        let cookie = Cookie {
            user: of.name.clone(),
            mac: Mac::from(of.mac),
            by_mac: mac_cookie,
            expires_at: self.now + self.config.cookie_lifetime,
            station,
        };
        if let Some(held) = held {
            self.cookies.remove(held);
        }
        let expires_at = cookie.expires_at;
        let cookie = self.cookies.insert(cookie);
        self.stations[station].keep_cookie(cookie, mac_cookie);
        self.schedule(expires_at, Wake::CookieEnd { cookie, expires_at });
    }

    pub(crate) fn remove_cookie(&mut self, id: u32) {
        let Some(cookie) = self.cookies.remove(id) else {
            return;
        };
        let of = &mut self.stations[cookie.station];
        for held in [&mut of.cookie, &mut of.mac_cookie] {
            *held = held.filter(|held| *held != id);
        }
    }
}
