use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use expiry_core::MacAddr;

use super::{Mac, Neighbour, Table};

/// The ARP table: one entry for each address, found by its device and by its address.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    table: Table<Neighbour>,
    by_address: BTreeMap<Ipv4Addr, u32>,
    by_mac: BTreeMap<MacAddr, BTreeSet<u32>>,
}

impl Neighbours {
    pub(crate) fn table(&self) -> &Table<Neighbour> {
        &self.table
    }

    /// Returns the entries of a device.
    pub(crate) fn of(&self, mac: MacAddr) -> Vec<u32> {
        self.by_mac
            .get(&mac)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    /// Returns the entry of an address.
    pub(crate) fn at(&self, address: Ipv4Addr) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    /// Puts an entry in the place of the one that the address has.
    pub(crate) fn add(&mut self, row: Neighbour) -> u32 {
        if let Some(old) = self.at(row.address) {
            self.remove(old);
        }
        let (address, mac) = (row.address, row.mac.as_ref().map(|mac| mac.addr));
        let id = self.table.insert(row);
        self.by_address.insert(address, id);
        if let Some(mac) = mac {
            self.by_mac.entry(mac).or_default().insert(id);
        }
        id
    }

    /// A device sends from an address. A static entry stays.
    pub(crate) fn learn(&mut self, address: Ipv4Addr, mac: &Mac) {
        let old = self.at(address).and_then(|id| self.table.get(id));
        if old.is_none_or(|row| row.dynamic) {
            self.add(Neighbour {
                mac: Some(mac.clone()),
                address,
                dynamic: true,
                disabled: false,
            });
        }
    }

    /// Nothing was heard for long of a device at an address.
    pub(crate) fn forget(&mut self, address: Ipv4Addr, mac: MacAddr) {
        let Some(id) = self.at(address) else {
            return;
        };
        let of_it = |row: &Neighbour| row.mac.as_ref().is_some_and(|own| own.addr == mac);
        if self
            .table
            .get(id)
            .is_some_and(|row| row.dynamic && of_it(row))
        {
            self.remove(id);
        }
    }

    /// Nothing was heard of any device.
    pub(crate) fn forget_learned(&mut self) {
        for id in self.table.ids_where(|row| row.dynamic) {
            self.remove(id);
        }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        let Some(row) = self.table.remove(id) else {
            return;
        };
        self.by_address.remove(&row.address);
        if let Some(ids) = row.mac.and_then(|mac| self.by_mac.get_mut(&mac.addr)) {
            ids.remove(&id);
        }
    }
}
