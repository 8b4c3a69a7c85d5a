use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use tokio::time::Instant;

use crate::{
    ActiveRow, BindingKind, BindingRow, ConnectionRow, CookieRow, HolderRow, HostRow, MacAddr,
    Query, RowId, Sighting, UserRow,
};

/// How a simulated device is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// By its account: form, and then cookie.
    Account,
    /// By a bypass binding of its MAC.
    Bypass,
}

/// The hotspot of one simulated router: the tables, and the devices that use them.
///
/// Devices are persistent: whenever something changes, each tries every way back in. The tables
/// are what a gateway sees; [`Hotspot::can_move`] is the truth.
#[derive(Clone, Debug, Default)]
pub struct Hotspot {
    next_id: u32,
    /// Accounts by row id.
    pub users: BTreeMap<RowId, UserRow>,
    /// Bindings by row id.
    pub bindings: BTreeMap<RowId, BindingRow>,
    /// Cookies by row id.
    pub cookies: BTreeMap<RowId, CookieRow>,
    /// Sessions by row id.
    pub actives: BTreeMap<RowId, ActiveRow>,
    /// Hosts by row id.
    pub hosts: BTreeMap<RowId, HostRow>,
    /// Tracked connections by row id.
    pub connections: BTreeMap<RowId, ConnectionRow>,
    /// DHCP leases and ARP entries.
    pub holders: Vec<HolderRow>,
    devices: BTreeMap<MacAddr, Device>,
    /// Since when each device that can move bytes could without a break, by which login.
    moving: BTreeMap<MacAddr, (Option<String>, Instant)>,
    /// Whether devices that are refused otherwise get a trial session.
    pub trial: bool,
    /// Rows that the router refuses to change or remove, whatever table they are of.
    pub stuck: BTreeSet<RowId>,
}

#[derive(Clone, Debug)]
struct Device {
    account: String,
    address: IpAddr,
    fasttrack: bool,
    present: bool,
    /// The router forgot its host, and not its connections.
    asleep: bool,
}

impl Hotspot {
    /// Adds an account.
    pub fn add_user(&mut self, name: &str, disabled: bool) -> RowId {
        let id = self.fresh_id();
        let row = UserRow {
            id: id.clone(),
            name: name.into(),
            server: None,
            disabled,
        };
        self.users.insert(id.clone(), row);
        self.admit();
        id
    }

    /// Adds a bypass binding.
    pub fn add_binding(&mut self, mac: MacAddr, comment: &str, disabled: bool) -> RowId {
        let id = self.fresh_id();
        let row = BindingRow {
            id: id.clone(),
            mac: Some(mac),
            address: None,
            to_address: None,
            server: None,
            kind: BindingKind::Bypassed,
            comment: Some(comment.into()),
            disabled,
        };
        self.bindings.insert(id.clone(), row);
        self.admit();
        id
    }

    /// Adds a bypass binding for an address, a range of them or a network.
    pub fn add_address_binding(&mut self, addresses: &str, comment: &str) -> RowId {
        let id = self.fresh_id();
        let row = BindingRow {
            id: id.clone(),
            mac: None,
            address: Some(addresses.into()),
            to_address: None,
            server: None,
            kind: BindingKind::Bypassed,
            comment: Some(comment.into()),
            disabled: false,
        };
        self.bindings.insert(id.clone(), row);
        self.admit();
        id
    }

    /// Brings a device into range, with the account or binding it comes in by.
    pub fn add_device(&mut self, mac: MacAddr, account: &str, by: Admission, fasttrack: bool) {
        match by {
            Admission::Account if !self.users.values().any(|row| row.name == account) => {
                self.add_user(account, false);
            }
            Admission::Account => {}
            Admission::Bypass => drop(self.add_binding(mac, account, false)),
        }
        let [.., a, b] = mac.octets();
        let address = IpAddr::V4(Ipv4Addr::new(10, 5, a, b));
        let device = Device {
            account: account.into(),
            address,
            fasttrack,
            present: true,
            asleep: false,
        };
        self.devices.insert(mac, device);
        self.admit();
    }

    /// Tells whether a device can move bytes through the router now.
    pub fn can_move(&self, mac: MacAddr) -> bool {
        let Some(device) = self.devices.get(&mac) else {
            return false;
        };
        self.hosts
            .values()
            .any(|row| row.mac == Some(mac) && (row.authorized || row.bypassed))
            || self
                .connections
                .values()
                .any(|row| row.fasttrack && row.addresses.contains(&device.address))
    }

    /// Returns since when a device can move bytes without a break and by the same login; `None` if
    /// it cannot.
    pub fn moving_since(&self, mac: MacAddr) -> Option<Instant> {
        self.moving.get(&mac).map(|(_, since)| *since)
    }

    /// Returns the address of a device.
    pub fn address_of(&self, mac: MacAddr) -> Option<IpAddr> {
        self.devices.get(&mac).map(|device| device.address)
    }

    /// Has a device say nothing for so long that its session and host are gone. Its tracked
    /// connections stay. Or wakes it.
    pub fn set_asleep(&mut self, mac: MacAddr, asleep: bool) {
        if let Some(device) = self.devices.get_mut(&mac) {
            device.asleep = asleep;
        }
        self.admit();
    }

    /// Takes a device out of range, or back.
    pub fn set_present(&mut self, mac: MacAddr, present: bool) {
        if let Some(device) = self.devices.get_mut(&mac) {
            device.present = present;
        }
        self.admit();
    }

    /// Gives every row a new id, as a reboot does.
    pub fn renumber(&mut self) {
        let users: Vec<_> = std::mem::take(&mut self.users).into_values().collect();
        for mut row in users {
            row.id = self.fresh_id();
            self.users.insert(row.id.clone(), row);
        }
        let bindings: Vec<_> = std::mem::take(&mut self.bindings).into_values().collect();
        for mut row in bindings {
            row.id = self.fresh_id();
            self.bindings.insert(row.id.clone(), row);
        }
    }

    /// Starts anew: sessions, hosts and connections are gone, and ids that named one row may name
    /// another.
    pub fn reboot(&mut self) {
        self.next_id = 0;
        self.actives.clear();
        self.hosts.clear();
        self.connections.clear();
        let bindings = std::mem::take(&mut self.bindings).into_values();
        for mut row in bindings.collect::<Vec<_>>() {
            row.id = self.fresh_id();
            self.bindings.insert(row.id.clone(), row);
        }
        let cookies = std::mem::take(&mut self.cookies).into_values();
        for mut row in cookies.collect::<Vec<_>>() {
            row.id = self.fresh_id();
            self.cookies.insert(row.id.clone(), row);
        }
        let users = std::mem::take(&mut self.users).into_values();
        for mut row in users.collect::<Vec<_>>().into_iter().rev() {
            row.id = self.fresh_id();
            self.users.insert(row.id.clone(), row);
        }
        self.admit();
    }

    /// Enables or disables an account, as the operator does by hand.
    pub fn set_user_disabled(&mut self, name: &str, disabled: bool) {
        for row in self.users.values_mut().filter(|row| row.name == name) {
            row.disabled = disabled;
        }
        self.admit();
    }

    /// Enables or disables the bindings of a device, as the operator does by hand.
    pub fn set_binding_disabled(&mut self, mac: MacAddr, disabled: bool) {
        let rows = self.bindings.values_mut();
        for row in rows.filter(|row| row.mac == Some(mac)) {
            row.disabled = disabled;
        }
        self.admit();
    }

    /// Lets a login through that was under way when its account was checked: a device that has no
    /// session gets one, whatever has become of the account since.
    pub fn come_through(&mut self, mac: MacAddr, account: &str) {
        let device = self.devices.get(&mac).filter(|device| device.present);
        let Some(device) = device.cloned() else {
            return;
        };
        if self.actives.values().any(|row| row.mac == Some(mac)) {
            return;
        }
        self.log_in(mac, &device, account, "http-chap");
        for host in self.hosts.values_mut().filter(|row| row.mac == Some(mac)) {
            host.authorized = true;
        }
        self.admit();
    }

    pub(super) fn disable_user(&mut self, id: &RowId, disabled: bool) {
        if self.stuck.contains(id) {
            return;
        }
        if let Some(row) = self.users.get_mut(id) {
            row.disabled = disabled;
        }
        self.admit();
    }

    pub(super) fn disable_binding(&mut self, id: &RowId, disabled: bool) {
        if self.stuck.contains(id) {
            return;
        }
        if let Some(row) = self.bindings.get_mut(id) {
            row.disabled = disabled;
        }
        self.admit();
    }

    pub(super) fn remove_cookie(&mut self, id: &RowId) {
        if self.stuck.contains(id) {
            return;
        }
        self.cookies.remove(id);
    }

    pub(super) fn remove_active(&mut self, id: &RowId) {
        if self.stuck.contains(id) {
            return;
        }
        if let Some(active) = self.actives.remove(id) {
            let host = self.hosts.values_mut().find(|row| row.mac == active.mac);
            if let Some(host) = host {
                host.authorized = false;
            }
            self.end_tracked(active.address);
        }
        self.admit();
    }

    pub(super) fn remove_host(&mut self, id: &RowId) {
        if self.stuck.contains(id) {
            return;
        }
        if let Some(host) = self.hosts.remove(id) {
            self.actives.retain(|_, row| row.mac != host.mac);
            self.end_tracked(host.address);
        }
        self.admit();
    }

    pub(super) fn remove_connection(&mut self, id: &RowId) {
        if self.stuck.contains(id) {
            return;
        }
        self.connections.remove(id);
        self.admit();
    }

    pub(super) fn read(&self, query: &Query) -> Sighting {
        let login = |name: &str| {
            query.names.iter().any(|n| n.matches(name))
                || MacAddr::from_login(name).is_some_and(|mac| query.macs.contains(&mac))
        };
        let near = |mac: Option<MacAddr>, address: Option<IpAddr>| {
            mac.is_some_and(|mac| query.macs.contains(&mac) || query.stations.contains(&mac))
                || address.is_some_and(|address| query.addresses.contains(&address))
        };
        let mut seen = Sighting {
            users: select(&self.users, |row| login(&row.name)),
            actives: select(&self.actives, |row| {
                login(&row.user) || near(row.mac, row.address)
            }),
            hosts: select(&self.hosts, |row| near(row.mac, row.address)),
            cookies: select(&self.cookies, |row| {
                login(&row.user) || row.mac.is_some_and(|mac| query.macs.contains(&mac))
            }),
            bindings: select(&self.bindings, |row| {
                let is_by_address = row.mac.is_none() && row.kind == BindingKind::Bypassed;
                let address = row.address.as_deref().and_then(|text| text.parse().ok());
                is_by_address && query.bypasses
                    || address.is_some_and(|address| query.addresses.contains(&address))
                    || row.mac.is_some_and(|mac| {
                        query.macs.contains(&mac) || query.stations.contains(&mac)
                    })
                    || query.comments
                        && row
                            .comment
                            .as_deref()
                            .is_some_and(|c| query.names.iter().any(|name| name.matches(c)))
            }),
            connections: Vec::new(),
            holders: Vec::new(),
            broken_off: Vec::new(),
        };
        if query.holders {
            let of_query = |row: &&HolderRow| {
                row.mac.is_some_and(|mac| query.macs.contains(&mac))
                    || query.addresses.contains(&row.address)
            };
            seen.holders = self.holders.iter().filter(of_query).copied().collect();
        }
        if query.connections {
            let shown = seen.actives.iter().filter_map(|row| row.address);
            let hosts = seen
                .hosts
                .iter()
                .flat_map(|row| row.address.into_iter().chain(row.to_address));
            let addresses: BTreeSet<_> = query
                .addresses
                .iter()
                .copied()
                .chain(shown)
                .chain(hosts)
                .collect();
            seen.connections = select(&self.connections, |row| {
                !row.addresses.is_disjoint(&addresses)
            });
        }
        seen
    }

    pub(super) fn read_sessions(&self) -> Sighting {
        Sighting {
            actives: self.actives.values().cloned().collect(),
            hosts: select(&self.hosts, |row| row.bypassed),
            bindings: select(&self.bindings, |row| {
                row.kind == BindingKind::Bypassed && !row.disabled
            }),
            ..Sighting::default()
        }
    }

    /// Lets every device in that has a way in.
    fn admit(&mut self) {
        let devices: Vec<_> = self
            .devices
            .iter()
            .map(|(mac, d)| (*mac, d.clone()))
            .collect();
        for (mac, device) in devices {
            if device.present && !device.asleep {
                self.admit_one(mac, &device);
            } else {
                self.actives.retain(|_, row| row.mac != Some(mac));
                self.hosts.retain(|_, row| row.mac != Some(mac));
                if !device.present {
                    self.connections
                        .retain(|_, row| !row.addresses.contains(&device.address));
                }
            }
            self.note_moving(mac);
        }
    }

    fn note_moving(&mut self, mac: MacAddr) {
        if !self.can_move(mac) {
            self.moving.remove(&mac);
            return;
        }
        let mut actives = self.actives.values();
        let active = actives.find(|row| row.mac == Some(mac));
        let login = active.map(|row| row.user.clone());
        let known = self.moving.get(&mac);
        if known.is_none_or(|(by, _)| *by != login) {
            self.moving.insert(mac, (login, Instant::now()));
        }
    }

    fn admit_one(&mut self, mac: MacAddr, device: &Device) {
        let host = match self.hosts.values().find(|row| row.mac == Some(mac)) {
            Some(host) => host.id.clone(),
            None => self.add_host(mac, device.address),
        };
        let online = self
            .hosts
            .get(&host)
            .is_some_and(|row| row.authorized || row.bypassed);
        if !online {
            let user = self.login_of(mac, device);
            if let Some((user, login_by)) = user {
                self.log_in(mac, device, &user, login_by);
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.authorized = true;
                }
            }
        }
        let online = self
            .hosts
            .get(&host)
            .is_some_and(|row| row.authorized || row.bypassed);
        let tracked = self
            .connections
            .values()
            .any(|row| row.addresses.contains(&device.address));
        if online && !tracked {
            let id = self.fresh_id();
            let server = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));
            let addresses = BTreeSet::from([device.address, server]);
            let row = ConnectionRow {
                id: id.clone(),
                addresses,
                fasttrack: device.fasttrack,
            };
            self.connections.insert(id, row);
        }
    }

    fn add_host(&mut self, mac: MacAddr, address: IpAddr) -> RowId {
        let id = self.fresh_id();
        let binding = self
            .bindings
            .values()
            .find(|row| !row.disabled && (row.mac == Some(mac) || row.covers(address)));
        let row = HostRow {
            id: id.clone(),
            mac: Some(mac),
            address: Some(address),
            to_address: Some(address),
            authorized: false,
            bypassed: binding.is_some_and(|row| row.kind == BindingKind::Bypassed),
        };
        self.hosts.insert(id.clone(), row);
        id
    }

    fn login_of(&self, mac: MacAddr, device: &Device) -> Option<(String, &'static str)> {
        let enabled = |name: &str| {
            self.users
                .values()
                .any(|row| row.name == name && !row.disabled)
        };
        let cookie = self
            .cookies
            .values()
            .find(|row| row.mac == Some(mac) && enabled(&row.user));
        if let Some(cookie) = cookie {
            return Some((cookie.user.clone(), "cookie"));
        }
        if enabled(&mac.to_string()) {
            return Some((mac.to_string(), "mac"));
        }
        if enabled(&device.account) {
            return Some((device.account.clone(), "http-chap"));
        }
        self.trial.then(|| (format!("T-{mac}"), "trial"))
    }

    fn log_in(&mut self, mac: MacAddr, device: &Device, user: &str, login_by: &str) {
        let id = self.fresh_id();
        let row = ActiveRow {
            id: id.clone(),
            user: user.into(),
            mac: Some(mac),
            address: Some(device.address),
            login_by: Some(login_by.into()),
            radius: false,
            uptime: None,
        };
        self.actives.insert(id, row);
        if login_by == "http-chap" {
            let id = self.fresh_id();
            let cookie = CookieRow {
                id: id.clone(),
                user: user.into(),
                mac: Some(mac),
            };
            self.cookies.insert(id, cookie);
        }
    }

    fn end_tracked(&mut self, address: Option<IpAddr>) {
        let stuck = &self.stuck;
        let ends = |row: &ConnectionRow| {
            !row.fasttrack
                && !stuck.contains(&row.id)
                && address.is_some_and(|address| row.addresses.contains(&address))
        };
        self.connections.retain(|_, row| !ends(row));
    }

    fn fresh_id(&mut self) -> RowId {
        self.next_id += 1;
        RowId::new(format!("*{:X}", self.next_id)).expect("an id is never empty")
    }
}

fn select<T: Clone>(table: &BTreeMap<RowId, T>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    table.values().filter(|row| wanted(row)).cloned().collect()
}
