use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use expiry_core::{BindingKind, MacAddr};

use super::{Binding, Hotspot, Table};

/// `/ip/hotspot/ip-binding`, in list order, by MAC.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    table: Table<Binding>,
    by_mac: BTreeMap<MacAddr, BTreeSet<u32>>,
    without_mac: BTreeSet<u32>,
}

impl Bindings {
    pub(crate) fn table(&self) -> &Table<Binding> {
        &self.table
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Binding> {
        self.table.get(id)
    }

    /// What the first row that fits does.
    pub(super) fn first_for(&self, mac: MacAddr, address: Ipv4Addr) -> Option<BindingKind> {
        let first = |ids: Option<&BTreeSet<u32>>| {
            let mut ids = ids.into_iter().flatten().copied();
            ids.find(|id| self.get(*id).is_some_and(|row| row.fits(mac, address)))
        };
        let of_mac = first(self.by_mac.get(&mac));
        let of_address = first(Some(&self.without_mac));
        let id = of_mac.into_iter().chain(of_address).min()?;
        self.get(id).map(|row| row.kind)
    }

    pub(super) fn ids_on(&self, mac: MacAddr) -> BTreeSet<u32> {
        self.by_mac.get(&mac).cloned().unwrap_or_default()
    }

    pub(super) fn renumber(&mut self) {
        self.table.renumber();
        self.by_mac.clear();
        self.without_mac.clear();
        let keys: Vec<_> = self
            .table
            .iter()
            .map(|(id, row)| (id, mac_of(row)))
            .collect();
        for (id, mac) in keys {
            self.ids_of(mac).insert(id);
        }
    }

    fn ids_of(&mut self, mac: Option<MacAddr>) -> &mut BTreeSet<u32> {
        match mac {
            Some(mac) => self.by_mac.entry(mac).or_default(),
            None => &mut self.without_mac,
        }
    }
}

fn mac_of(row: &Binding) -> Option<MacAddr> {
    row.mac.as_ref().map(|mac| mac.addr)
}

impl Hotspot {
    pub(crate) fn add_binding(&mut self, row: Binding) -> u32 {
        let mac = mac_of(&row);
        let id = self.bindings.table.insert(row);
        self.bindings.ids_of(mac).insert(id);
        self.binding_changed(mac);
        id
    }

    /// Puts `row` in the place of a row.
    pub(crate) fn set_binding(&mut self, id: u32, row: Binding) {
        let after = mac_of(&row);
        let Some(before) = self.bindings.table.remove(id).map(|row| mac_of(&row)) else {
            return;
        };
        self.bindings.ids_of(before).remove(&id);
        self.bindings.ids_of(after).insert(id);
        self.bindings.table.insert_at(id, row);
        self.binding_changed(before);
        self.binding_changed(after);
    }

    pub(crate) fn remove_binding(&mut self, id: u32) {
        let Some(mac) = self.bindings.table.remove(id).map(|row| mac_of(&row)) else {
            return;
        };
        self.bindings.ids_of(mac).remove(&id);
        self.binding_changed(mac);
    }

    fn binding_changed(&mut self, mac: Option<MacAddr>) {
        let stations = match mac {
            Some(mac) => self
                .by_mac
                .get(&mac)
                .copied()
                .into_iter()
                .collect::<Vec<_>>(),
            None => (0..self.stations.len()).collect(),
        };
        for station in stations {
            self.refresh(station);
            self.touch(station);
        }
    }
}
