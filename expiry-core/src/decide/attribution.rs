use std::{collections::BTreeSet, net::IpAddr};

use super::presence::{device_passing_by, lent_by_address};
use crate::{
    ActiveRow, BindingRow, CookieRow, HostRow, Live, MacAddr, Sighting, Task, UserRow, Username,
};

/// What one cut may touch: the target's name and MACs, less those that a live access owns.
///
/// Each kind of row has one owner. An account, session or cookie belongs to its user, and to a
/// device only if the user is that device's MAC, or `T-` and the MAC (a trial). A binding belongs
/// to its MAC; without one, to who alone has the one address that it fits. A host belongs to the session on its MAC and address, else to its MAC, else to the
/// target under whose session or binding the device was seen before, unless it passes by somebody
/// else's binding now. Names match exactly, never by substring.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    name: Option<&'a Username>,
    macs: BTreeSet<MacAddr>,
    stations: BTreeSet<MacAddr>,
    live: &'a Live,
    comments: bool,
}

impl<'a> Claim<'a> {
    /// States the claim of `task`. `live` must have been asked for all names and MACs of the task
    /// and of the rows it is applied to. With `comments`, a binding also belongs to the name that
    /// its comment equals, if no live access owns its MAC.
    pub fn new(task: &'a Task, live: &'a Live, comments: bool) -> Self {
        let name = task
            .username
            .as_ref()
            .filter(|name| !live.names.contains(name));
        let macs = task.macs.difference(&live.macs).copied().collect();
        let stations = task
            .trace
            .stations
            .difference(&live.macs)
            .copied()
            .collect();
        Self {
            name,
            macs,
            stations,
            live,
            comments,
        }
    }

    /// Tells whether nothing is claimed: a live access owns all that the task is about. Then no
    /// reading proves anything of a cut.
    pub fn is_void(&self) -> bool {
        self.name.is_none() && self.macs.is_empty()
    }

    /// Returns the claimed name.
    pub fn name(&self) -> Option<&'a Username> {
        self.name
    }

    /// Tells whether an account is the target's.
    pub fn user(&self, row: &UserRow) -> bool {
        self.login(&row.name, row.name.parse().ok())
    }

    /// Tells whether a session is the target's.
    pub fn active(&self, row: &ActiveRow) -> bool {
        self.login(&row.user, MacAddr::from_login(&row.user))
    }

    /// Tells whether a cookie logs the target in, or lets one of its devices in under a name that
    /// no live access owns.
    pub fn cookie(&self, row: &CookieRow) -> bool {
        let named = MacAddr::from_login(&row.user);
        self.login(&row.user, named)
            || row.mac.is_some_and(|mac| self.macs.contains(&mac))
                && !self.is_explained(&row.user, named)
    }

    /// Tells whether a binding is the target's and lets it pass. `addresses` are those that only the
    /// target uses. A binding that fits others, too, is nobody's.
    pub fn binding(&self, row: &BindingRow, addresses: &BTreeSet<IpAddr>) -> bool {
        if !row.lets_pass() {
            return false;
        }
        let by_address = || {
            row.mac.is_none()
                && row.only_address().is_some_and(|at| addresses.contains(&at))
                && !self.is_lent(row)
        };
        self.has_device(row.mac) || self.binding_by_comment(row) || by_address()
    }

    /// Tells whether a live access's device, and nobody else's, passes by a binding of an address: it
    /// stays then, whatever its comment says.
    pub(super) fn is_used_by_live(&self, row: &BindingRow, seen: &Sighting) -> bool {
        row.mac.is_none()
            && device_passing_by(row, seen).is_some_and(|mac| self.live.macs.contains(&mac))
    }

    /// Tells whether by its comment, which counts by option, a binding is a live access's.
    fn is_lent(&self, row: &BindingRow) -> bool {
        let name = row.comment.as_deref().and_then(|name| name.parse().ok());
        self.comments && name.is_some_and(|name| self.live.names.contains(&name))
    }

    /// Tells whether a binding is the target's by nothing but its comment.
    pub fn binding_by_comment(&self, row: &BindingRow) -> bool {
        self.comments
            && !row.mac.is_some_and(|mac| self.live.macs.contains(&mac))
            && row
                .comment
                .as_deref()
                .is_some_and(|comment| self.name.is_some_and(|name| name.matches(comment)))
    }

    /// Tells whether a host is the target's, given the sessions and bindings of the same reading.
    pub fn host(&self, row: &HostRow, seen: &Sighting) -> bool {
        let mut on_it = seen
            .actives
            .iter()
            .filter(|active| is_on(active, row))
            .peekable();
        if on_it.peek().is_some() {
            return on_it.all(|active| self.active(active));
        }
        let Some(mac) = row.mac else {
            return false;
        };
        self.macs.contains(&mac)
            || self.stations.contains(&mac) && !self.passes_otherwise(row, &seen.bindings)
    }

    /// Tells whether a host passes by a binding that is not the target's.
    fn passes_otherwise(&self, row: &HostRow, bindings: &[BindingRow]) -> bool {
        let of_it = |binding: &&BindingRow| binding.mac.is_some() && binding.mac == row.mac;
        let mut of_it = bindings.iter().filter(of_it);
        let none = BTreeSet::new();
        row.bypassed && of_it.any(|binding| binding.lets_pass() && !self.binding(binding, &none))
    }

    /// Tells whether a device is claimed.
    pub(super) fn has_device(&self, mac: Option<MacAddr>) -> bool {
        mac.is_some_and(|mac| self.macs.contains(&mac))
    }

    /// Tells whether a device was seen under the target before, and is nobody's who is live.
    pub(super) fn has_station(&self, mac: Option<MacAddr>) -> bool {
        mac.is_some_and(|mac| self.stations.contains(&mac))
    }

    /// Returns the claimed device that has an address, by its host, its lease or its ARP entry.
    pub(super) fn device_at(&self, address: IpAddr, seen: &Sighting) -> Option<MacAddr> {
        let hosts = seen.hosts.iter();
        let at_it =
            |row: &&HostRow| row.address == Some(address) || row.to_address == Some(address);
        let hosts = hosts.filter(at_it).map(|row| row.mac);
        let holders = seen.holders.iter().filter(|row| row.address == address);
        let mut macs = hosts.chain(holders.map(|row| row.mac));
        macs.find(|mac| self.has_device(*mac)).flatten()
    }

    /// Returns any claimed device.
    pub(super) fn first_device(&self) -> Option<MacAddr> {
        self.macs.first().copied()
    }

    fn login(&self, login: &str, named: Option<MacAddr>) -> bool {
        let by_name = self.name.is_some_and(|name| name.matches(login));
        let by_mac = named.is_some_and(|mac| self.macs.contains(&mac));
        (by_name || by_mac) && !self.is_explained(login, named)
    }

    fn is_explained(&self, login: &str, named: Option<MacAddr>) -> bool {
        named.is_some_and(|mac| self.live.macs.contains(&mac))
            || login
                .parse::<Username>()
                .is_ok_and(|name| self.live.names.contains(&name))
    }
}

/// Returns all names and MACs that stand in a reading, to ask which of them are live. With
/// `comments`, those of bindings may be names, too.
pub fn logins_and_devices(
    seen: &Sighting,
    comments: bool,
) -> (BTreeSet<Username>, BTreeSet<MacAddr>) {
    let mut names = BTreeSet::new();
    if comments {
        let comments = seen
            .bindings
            .iter()
            .filter_map(|row| row.comment.as_deref());
        names.extend(comments.filter_map(|comment| comment.parse::<Username>().ok()));
    }
    let mut macs = BTreeSet::new();
    let users = seen.users.iter().map(|row| &row.name);
    let actives = seen.actives.iter().map(|row| &row.user);
    let cookies = seen.cookies.iter().map(|row| &row.user);
    for login in users.chain(actives).chain(cookies) {
        names.extend(login.parse::<Username>());
        macs.extend(MacAddr::from_login(login));
    }
    macs.extend(seen.actives.iter().filter_map(|row| row.mac));
    macs.extend(seen.hosts.iter().filter_map(|row| row.mac));
    macs.extend(seen.cookies.iter().filter_map(|row| row.mac));
    macs.extend(seen.bindings.iter().filter_map(|row| row.mac));
    macs.extend(seen.holders.iter().filter_map(|row| row.mac));
    (names, macs)
}

/// Adds to what is live the devices that pass by a binding whose comment names a live access: by
/// option the binding is that access's, whoever has the MAC.
pub fn with_lent_devices(mut live: Live, seen: &Sighting) -> Live {
    let lent = seen.bindings.iter().filter(|row| {
        let comment = row.comment.as_deref().unwrap_or_default();
        row.lets_pass()
            && comment
                .parse::<Username>()
                .is_ok_and(|name| live.names.contains(&name))
    });
    let mut macs: BTreeSet<_> = lent.filter_map(|row| row.mac).collect();
    macs.extend(lent_by_address(&live, seen));
    live.macs.extend(macs);
    live
}

/// Tells whether a session carries a host.
pub(super) fn is_on(active: &ActiveRow, host: &HostRow) -> bool {
    let same_mac = active.mac.is_none() || host.mac.is_none() || active.mac == host.mac;
    let same_address = active.address.is_none()
        || active.address == host.address
        || active.address == host.to_address;
    same_mac && same_address
}
