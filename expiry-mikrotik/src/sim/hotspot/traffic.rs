use std::net::Ipv4Addr;

use expiry_core::{BindingKind, spelling::spell};

use super::{Connection, Hotspot, Station};
use crate::sim::{ClientId, TrafficEvent};

/// The router's own public address.
const WAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const BYTES_PER_PACKET: u128 = 1_500;

impl Hotspot {
    /// Whether a packet of the device would get through now.
    pub(crate) fn can_move(&self, station: usize) -> bool {
        let of = &self.stations[station];
        if self.is_open(station) || of.fasttrack && of.flows.iter().any(Option::is_some) {
            return true;
        }
        let is_evaluated = of.host.is_none() || !self.config.bypass_needs_new_host;
        is_evaluated && self.binding_of(station) == Some(BindingKind::Bypassed)
    }

    /// Bytes of the device that the router let through so far.
    pub(crate) fn bytes_moved(&self, station: usize) -> u64 {
        let of = &self.stations[station];
        let running = of.moving_since.map_or(0, |since| {
            let packets = self.now.saturating_sub(since).as_nanos() / self.packet_nanos();
            u64::try_from(packets * BYTES_PER_PACKET).unwrap_or(u64::MAX)
        });
        of.moved + running
    }

    /// Notes whether the device's traffic passes, and when that began or ended.
    pub(super) fn refresh(&mut self, station: usize) {
        let moving = self.stations[station].is_sending() && self.can_move(station);
        if moving == self.stations[station].moving_since.is_some() {
            return;
        }
        let moved = self.bytes_moved(station);
        let now = self.now;
        let of = &mut self.stations[station];
        of.moved = moved;
        of.moving_since = moving.then_some(now);
        self.events.push_back(TrafficEvent {
            client: ClientId(station),
            name: spell(&of.name),
            moving,
            at: now,
        });
    }

    /// The packets of each connection meet the firewall, unless the connection is fasttracked:
    /// they open it anew, or find it cut.
    pub(super) fn settle_flows(&mut self, station: usize) {
        let open = self.is_open(station);
        for flow in 0..self.stations[station].flows.len() {
            let of = &self.stations[station];
            let row = match of.flows[flow] {
                None if open => Some(self.connections.insert(connection(of, station, flow))),
                Some(id) if !open && !of.fasttrack => {
                    self.connections.remove(id);
                    None
                }
                unchanged => unchanged,
            };
            self.stations[station].flows[flow] = row;
        }
    }

    pub(crate) fn remove_connection(&mut self, id: u32) {
        let Some(row) = self.connections.remove(id) else {
            return;
        };
        self.stations[row.station].flows[row.flow] = None;
        self.refresh(row.station);
        self.touch(row.station);
    }

    fn packet_nanos(&self) -> u128 {
        self.config.packet_interval.as_nanos().max(1)
    }
}

/// Makes up a connection. Some are opened from outside, some have no ports, and those of a device
/// with a foreign address show either of its addresses.
fn connection(of: &Station, station: usize, flow: usize) -> Connection {
    let spread = station * 31 + flow;
    let number = |modulus: usize| u16::try_from(spread % modulus).unwrap_or_default();
    let without_ports = flow % 8 == 6;
    let address = if flow.is_multiple_of(2) {
        of.address
    } else {
        of.to_address
    };
    let local_port = 20_000 + number(40_000);
    let endpoint = |address: Ipv4Addr, port: u16| {
        if without_ports {
            address.to_string()
        } else {
            format!("{address}:{port}")
        }
    };
    let client = endpoint(address, local_port);
    let first_peer = u32::from(Ipv4Addr::new(203, 0, 113, 1));
    let peer = endpoint(Ipv4Addr::from(first_peer + u32::from(number(250))), 443);
    let public = endpoint(WAN, local_port);
    let from_outside = flow % 4 == 3;
    let (src, dst, reply_src, reply_dst) = if from_outside {
        (peer.clone(), public, client, peer)
    } else {
        (client, peer.clone(), peer, public)
    };
    Connection {
        station,
        flow,
        protocol: match (without_ports, from_outside) {
            (true, _) => "gre",
            (false, true) => "udp",
            (false, false) => "tcp",
        },
        fasttrack: of.fasttrack,
        src,
        dst,
        reply_src,
        reply_dst,
    }
}
