//! Finding rows by a value without looking at all of them. Each answer holds every row that has the
//! value, and maybe others.

use std::net::Ipv4Addr;

use expiry_core::MacAddr;

use super::{Hotspot, Station};

/// A value as a query words it, read.
fn parse<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Hotspot {
    pub(crate) fn find_users(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        (column == "name").then(|| self.users.named(value).map(|(id, _)| id).collect())
    }

    pub(crate) fn find_actives(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        if column == "user" {
            return Some(self.sessions_of(value).into_iter().collect());
        }
        self.rows_of(column, value, |station| [station.active, None])
    }

    pub(crate) fn find_hosts(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        self.rows_of(column, value, |station| [station.host, None])
    }

    pub(crate) fn find_cookies(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        let cookies = |station: &Station| [station.cookie, station.mac_cookie];
        if column == "user" {
            let stations = self.by_name.get(value).into_iter().flatten();
            return Some(
                stations
                    .flat_map(|at| cookies(&self.stations[*at]))
                    .flatten()
                    .collect(),
            );
        }
        (column == "mac-address").then(|| self.rows_of(column, value, cookies))?
    }

    pub(crate) fn find_bindings(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        let mac = parse::<MacAddr>(value);
        let ids = || mac.map(|mac| self.bindings.ids_on(mac)).unwrap_or_default();
        (column == "mac-address").then(|| ids().into_iter().collect())
    }

    pub(crate) fn find_neighbours(&self, column: &str, value: &[u8]) -> Option<Vec<u32>> {
        let of = |mac| self.neighbours.of(mac);
        let at = |address| self.neighbours.at(address).into_iter().collect();
        match column {
            "mac-address" => Some(parse(value).map(of).unwrap_or_default()),
            "address" => Some(parse(value).map(at).unwrap_or_default()),
            _ => None,
        }
    }

    /// The rows of the devices with a MAC or an address.
    fn rows_of(
        &self,
        column: &str,
        value: &[u8],
        rows: impl Fn(&Station) -> [Option<u32>; 2],
    ) -> Option<Vec<u32>> {
        let stations: &[usize] = match column {
            "mac-address" => {
                let station = parse::<MacAddr>(value).and_then(|mac| self.by_mac.get(&mac));
                station.map(std::slice::from_ref).unwrap_or_default()
            }
            "address" | "to-address" => {
                let stations = parse::<Ipv4Addr>(value).and_then(|ip| self.by_address.get(&ip));
                stations.map(Vec::as_slice).unwrap_or_default()
            }
            _ => return None,
        };
        let rows = stations.iter().flat_map(|at| rows(&self.stations[*at]));
        Some(rows.flatten().collect())
    }
}
