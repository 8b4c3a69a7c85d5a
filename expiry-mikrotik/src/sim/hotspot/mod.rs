//! The hotspot: what it lets through, how devices come back, and when.
//!
//! A device that is on sends a packet in each packet interval. Only packets after a change can
//! have another fate than the one before, so only those are simulated: the cost follows what
//! changes, not what exists.

mod bindings;
mod find;
mod login;
mod neighbours;
mod record;
mod rows;
mod station;
mod table;
mod traffic;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use expiry_core::MacAddr;

pub(super) use self::{
    bindings::Bindings,
    login::Logout,
    neighbours::Neighbours,
    record::{Moment, Record},
    rows::{Active, Binding, Connection, Cookie, Host, Inert, Lease, Mac, Neighbour, User},
    station::Station,
    table::Table,
    users::Users,
};
use super::{LoginMethod, SimConfig, TrafficEvent};

/// What happens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// A device sends its next packet.
    Packet { station: usize },
    /// A login that was accepted becomes a session.
    Session { station: usize, by: LoginMethod },
    /// A session reaches its limit, unless it ended before.
    SessionEnd { active: u32, ends_at: Duration },
    /// A cookie expires, unless another row has its id meanwhile.
    CookieEnd { cookie: u32, expires_at: Duration },
    /// A device has been silent for long, unless it was switched on meanwhile.
    Silence { station: usize, since: Duration },
}

#[derive(Debug)]
pub(super) struct Hotspot {
    pub(super) config: SimConfig,
    pub(super) now: Duration,
    pub(super) users: Users,
    pub(super) bindings: Bindings,
    /// Under the client's IPv4 address as a number.
    pub(super) actives: Table<Active>,
    pub(super) hosts: Table<Host>,
    pub(super) cookies: Table<Cookie>,
    pub(super) connections: Table<Connection>,
    pub(super) leases: Table<Lease>,
    pub(super) neighbours: Neighbours,
    pub(super) stations: Vec<Station>,
    by_mac: BTreeMap<MacAddr, usize>,
    by_address: BTreeMap<Ipv4Addr, Vec<usize>>,
    by_name: BTreeMap<Vec<u8>, Vec<usize>>,
    sessions_of: BTreeMap<Vec<u8>, BTreeSet<u32>>,
    wakes: BTreeSet<(Duration, u64, Wake)>,
    wakes_made: u64,
    events: VecDeque<TrafficEvent>,
}

impl Hotspot {
    pub(super) fn new(config: SimConfig) -> Self {
        Self {
            config,
            now: Duration::ZERO,
            users: Users::default(),
            bindings: Bindings::default(),
            actives: Table::default(),
            hosts: Table::default(),
            cookies: Table::default(),
            connections: Table::default(),
            leases: Table::default(),
            neighbours: Neighbours::default(),
            stations: Vec::new(),
            by_mac: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_name: BTreeMap::new(),
            sessions_of: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wakes_made: 0,
            events: VecDeque::new(),
        }
    }

    /// When something happens next by itself.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.wakes.first().map(|(at, ..)| *at)
    }

    /// Lets everything happen that is due until `now`, in order.
    pub(super) fn advance(&mut self, now: Duration) {
        while self.next_wake().is_some_and(|at| at <= now)
            && let Some((at, _, wake)) = self.wakes.pop_first()
        {
            self.now = self.now.max(at);
            self.wake(wake);
        }
        self.now = self.now.max(now);
    }

    pub(super) fn poll_event(&mut self) -> Option<TrafficEvent> {
        self.events.pop_front()
    }

    /// Loses what a power cut loses: hosts, sessions, connections and the row numbers.
    pub(super) fn reboot(&mut self) {
        self.wakes.clear();
        self.hosts.clear();
        self.actives.clear();
        self.connections.clear();
        self.neighbours.forget_learned();
        self.sessions_of.clear();
        self.hosts.renumber();
        self.connections.renumber();
        self.users.renumber();
        self.bindings.renumber();
        self.cookies.renumber();
        for station in &mut self.stations {
            station.forget_rows();
        }
        let mut ends = Vec::new();
        for (cookie, row) in self.cookies.iter() {
            self.stations[row.station].keep_cookie(cookie, row.by_mac);
            ends.push((row.expires_at, cookie));
        }
        for (expires_at, cookie) in ends {
            self.schedule(expires_at, Wake::CookieEnd { cookie, expires_at });
        }
        for station in 0..self.stations.len() {
            self.refresh(station);
            self.touch(station);
        }
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Packet { station } => {
                self.stations[station].packet_at = None;
                self.packet(station);
            }
            Wake::Session { station, by } => {
                self.stations[station].logging_in = false;
                self.start_session(station, by, true);
                self.touch(station);
            }
            Wake::SessionEnd { active, ends_at } => {
                let session = self.actives.get(active);
                if session.is_some_and(|row| row.ends_at == Some(ends_at)) {
                    self.end_session(active, Logout::Limit);
                }
            }
            Wake::CookieEnd { cookie, expires_at } => {
                let row = self.cookies.get(cookie);
                if row.is_some_and(|row| row.expires_at == expires_at) {
                    self.remove_cookie(cookie);
                }
            }
            Wake::Silence { station, since } => {
                if self.stations[station].silent_since == Some(since) {
                    self.forget_silent(station);
                }
            }
        }
    }

    fn schedule(&mut self, at: Duration, wake: Wake) {
        self.wakes_made += 1;
        self.wakes.insert((at, self.wakes_made, wake));
    }
}
