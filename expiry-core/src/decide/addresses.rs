//! Which addresses are a target's: those by which its tracked connections and its bindings without
//! a MAC are known.

use std::{collections::BTreeSet, net::IpAddr};

use super::Claim;
use crate::{BindingRow, RowKind, Sighting, Task};

impl Claim<'_> {
    /// Returns the addresses that only the target uses: those of its sessions and hosts, those that
    /// its bindings, leases and ARP entries name, and those in `known` from earlier readings. Who has
    /// a session or host on an address now owns it; a lease, an ARP entry, or a binding of a MAC, that
    /// gives it to somebody else takes it from a target that is not there. A device that was only seen
    /// under the target is nobody else. Where leases or ARP entries are missing from the reading, one
    /// of them may have said whose an address is: then they give none.
    pub fn addresses(&self, seen: &Sighting, known: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let (mut here, mut others_here) = (BTreeSet::new(), BTreeSet::new());
        for row in &seen.actives {
            let side = if self.active(row) {
                &mut here
            } else {
                &mut others_here
            };
            side.extend(row.address);
        }
        for row in &seen.hosts {
            let side = if self.host(row, seen) {
                &mut here
            } else {
                &mut others_here
            };
            side.extend(row.address.into_iter().chain(row.to_address));
        }
        let (mut away, mut others) = (known.clone(), BTreeSet::new());
        let all_holders = !seen.lacks(RowKind::Holder);
        for row in &seen.holders {
            if !self.has_device(row.mac) {
                if !self.has_station(row.mac) {
                    others.insert(row.address);
                }
            } else if all_holders {
                away.insert(row.address);
            }
        }
        let bindings = seen.bindings.iter();
        for row in bindings.filter(|row| row.mac.is_some() && row.lets_pass()) {
            let side = if self.has_device(row.mac) {
                &mut away
            } else {
                &mut others
            };
            side.extend(row.named_addresses());
        }
        here.extend(away.difference(&others));
        here.retain(|address| !others_here.contains(address));
        here
    }
}

/// Returns the addresses that a reading says to be of the devices of `tasks`, and that nobody shows
/// on: whether they are somebody else's by now tells only a reading that asks for them. Bindings of
/// an address are given up only after such a reading, too.
pub fn addresses_to_ask_for<'a>(
    tasks: impl IntoIterator<Item = &'a Task>,
    seen: &Sighting,
) -> BTreeSet<IpAddr> {
    let macs: BTreeSet<_> = tasks.into_iter().flat_map(|task| &task.macs).collect();
    let of_devices = |mac| macs.contains(&mac);
    let held = seen.holders.iter();
    let held = held.filter(|row| row.mac.is_some_and(of_devices));
    let mut named: BTreeSet<_> = held.map(|row| row.address).collect();
    let bound = seen.bindings.iter();
    let bound = bound.filter(|row| row.mac.is_some_and(of_devices));
    named.extend(bound.flat_map(BindingRow::named_addresses));
    let hosts = seen.hosts.iter();
    let hosts = hosts.flat_map(|row| row.address.into_iter().chain(row.to_address));
    let sessions = seen.actives.iter().filter_map(|row| row.address);
    let shown: BTreeSet<_> = hosts.chain(sessions).collect();
    let by_address = seen.bindings.iter();
    let by_address = by_address.filter(|row| row.mac.is_none() && row.lets_pass());
    let at_stake: BTreeSet<_> = by_address.filter_map(BindingRow::only_address).collect();
    named.retain(|address| !shown.contains(address));
    named.extend(at_stake.intersection(&shown));
    named
}
