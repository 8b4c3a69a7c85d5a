//! What a flight of writes does, and to whom.

use std::fmt;

use expiry_core::{BlockOrder, DropOrder, MacAddr, UnblockOrder, testing::gateway::Hotspot};

use crate::people::{PRINTER, STAFF, STAFF_ACCOUNT};

/// What is written in one flight.
pub(crate) enum Orders<'a> {
    Block(&'a BlockOrder),
    Drop(&'a DropOrder),
    Unblock(&'a UnblockOrder),
}

/// A way in that can be switched off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Account(String),
    Binding(MacAddr),
}

impl Way {
    /// Tells whether it is switched off. `None`: there is no such way.
    pub(crate) fn is_disabled(&self, hotspot: &Hotspot) -> Option<bool> {
        match self {
            Self::Account(name) => {
                let mut rows = hotspot.users.values();
                rows.find(|row| row.name == *name).map(|row| row.disabled)
            }
            Self::Binding(mac) => {
                let mut rows = hotspot.bindings.values();
                rows.find(|row| row.mac == Some(*mac))
                    .map(|row| row.disabled)
            }
        }
    }

    /// Switches it on or off by hand; makes one that is on if there is none.
    pub(crate) fn set(&self, hotspot: &mut Hotspot, enabled: bool) {
        match (self, self.is_disabled(hotspot)) {
            (Self::Account(name), None) if enabled => drop(hotspot.add_user(name, false)),
            (Self::Binding(mac), None) if enabled => {
                drop(hotspot.add_binding(*mac, "by hand", false));
            }
            (_, None) => {}
            (Self::Account(name), Some(_)) => hotspot.set_user_disabled(name, !enabled),
            (Self::Binding(mac), Some(_)) => hotspot.set_binding_disabled(*mac, !enabled),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account {name}"),
            Self::Binding(mac) => write!(f, "binding of {mac}"),
        }
    }
}

/// What an order takes from somebody.
pub(crate) struct Target {
    pub(crate) what: String,
    /// The login that explains it.
    pub(crate) login: Option<String>,
    /// The device that explains it, if no login does.
    pub(crate) mac: Option<MacAddr>,
}

/// Returns the ways in that an order switches on or off.
pub(crate) fn ways(hotspot: &Hotspot, order: &Orders<'_>) -> Vec<Way> {
    let (users, bindings) = match order {
        Orders::Block(block) => (&block.users, &block.bindings),
        Orders::Unblock(unblock) => (&unblock.users, &unblock.bindings),
        Orders::Drop(_) => return Vec::new(),
    };
    let users = users.iter().filter_map(|id| hotspot.users.get(id));
    let users = users.map(|row| Way::Account(row.name.clone()));
    let bindings = bindings.iter().filter_map(|id| hotspot.bindings.get(id));
    users
        .chain(bindings.filter_map(|row| row.mac.map(Way::Binding)))
        .collect()
}

/// Returns what an order takes.
pub(crate) fn targets(hotspot: &Hotspot, order: &Orders<'_>) -> Vec<Target> {
    match order {
        Orders::Block(block) => blocked(hotspot, block),
        Orders::Drop(drop) => dropped(hotspot, drop),
        Orders::Unblock(_) => Vec::new(),
    }
}

fn blocked(hotspot: &Hotspot, block: &BlockOrder) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in block.users.iter().filter_map(|id| hotspot.users.get(id)) {
        if !row.disabled {
            let what = format!("account {}", row.name);
            targets.push(Target::of_login(what, &row.name, None));
        }
    }
    let cookies = block.cookies.iter();
    for row in cookies.filter_map(|id| hotspot.cookies.get(id)) {
        let what = format!("cookie of {}", row.user);
        targets.push(Target::of_login(what, &row.user, row.mac));
    }
    let bindings = block.bindings.iter();
    for row in bindings.filter_map(|id| hotspot.bindings.get(id)) {
        if !row.disabled {
            targets.push(Target::of_device("binding", row.mac));
        }
    }
    targets
}

fn dropped(hotspot: &Hotspot, drop: &DropOrder) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in drop.actives.iter().filter_map(|id| hotspot.actives.get(id)) {
        let what = format!("session of {}", row.user);
        targets.push(Target::of_login(what, &row.user, row.mac));
    }
    let passing = |id| {
        hotspot
            .hosts
            .get(id)
            .filter(|row| row.authorized || row.bypassed)
    };
    for row in drop.hosts.iter().filter_map(passing) {
        targets.push(Target::on(hotspot, "host", row.mac));
    }
    let connections = drop.connections.iter();
    for row in connections.filter_map(|id| hotspot.connections.get(id)) {
        let mut hosts = hotspot.hosts.values();
        let host = hosts.find(|host| {
            let is_its = host.address.is_some_and(|at| row.addresses.contains(&at));
            is_its && (host.authorized || host.bypassed)
        });
        if let Some(host) = host {
            targets.push(Target::on(hotspot, "connection", host.mac));
        }
    }
    targets
}

impl Target {
    /// Tells whether it belongs to nobody who is known.
    pub(crate) fn is_strangers(&self) -> bool {
        self.login.as_deref() == Some(STAFF_ACCOUNT)
            || self.mac.is_some_and(|mac| [STAFF, PRINTER].contains(&mac))
    }

    fn of_login(what: String, login: &str, mac: Option<MacAddr>) -> Self {
        Self {
            what,
            login: Some(login.into()),
            mac,
        }
    }

    fn of_device(what: &str, mac: Option<MacAddr>) -> Self {
        let of = mac.map(|mac| mac.to_string()).unwrap_or_default();
        Self {
            what: format!("{what} of {of}"),
            login: None,
            mac,
        }
    }

    /// What a device that passes has is its session's, if it has one.
    fn on(hotspot: &Hotspot, what: &str, mac: Option<MacAddr>) -> Self {
        let mut actives = hotspot.actives.values();
        let active = actives.find(|active| active.mac == mac);
        Self {
            login: active.map(|active| active.user.clone()),
            ..Self::of_device(what, mac)
        }
    }
}
