use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    ClientConfig, ClientId, FaultRule, Link, SimConfig, SimStats, TrafficEvent, hotspot::Hotspot,
    random::Random, session::Session,
};
use crate::wire::Sentence;

/// An API connection to a simulated router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

/// A router with its hotspot, the devices behind it and the clients of its API. No I/O, no clock:
/// whoever drives it passes bytes and time.
///
/// Time is the span since the simulation began. [`advance`](Self::advance) to the present before
/// anything else, and again when [`next_event`](Self::next_event) says.
#[derive(Debug)]
pub struct Simulator {
    pub(super) hotspot: Hotspot,
    pub(super) booted_at: Duration,
    pub(super) sessions: BTreeMap<ConnId, Session>,
    connections_made: u64,
    jobs: VecDeque<Job>,
    /// When the router is through with the first job.
    done_at: Option<Duration>,
    pub(super) stalled_until: Duration,
    pub(super) link: Link,
    pub(super) rules: Vec<FaultRule>,
    pub(super) logins_to_refuse: u64,
    pub(super) random: Random,
    pub(super) stats: SimStats,
    ready: BTreeSet<ConnId>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) conn: ConnId,
    pub(super) command: Sentence,
    /// Whether a stall has struck it, which happens but once.
    pub(super) stalled: bool,
}

impl Simulator {
    /// Starts a router without accounts and devices.
    pub fn new(config: SimConfig) -> Self {
        Self {
            random: Random::seeded(config.seed),
            hotspot: Hotspot::new(config),
            booted_at: Duration::ZERO,
            sessions: BTreeMap::new(),
            connections_made: 0,
            jobs: VecDeque::new(),
            done_at: None,
            stalled_until: Duration::ZERO,
            link: Link::Up,
            rules: Vec::new(),
            logins_to_refuse: 0,
            stats: SimStats::default(),
            ready: BTreeSet::new(),
        }
    }

    /// Returns the present on the simulation's clock.
    pub fn now(&self) -> Duration {
        self.hotspot.now
    }

    /// Lets everything happen that is due until `now`. Time does not go back.
    pub fn advance(&mut self, now: Duration) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            self.hotspot.advance(at);
            if self.done_at.is_some_and(|done| done <= at)
                && let Some(job) = self.jobs.pop_front()
            {
                self.done_at = None;
                self.start(job);
                self.work();
            }
        }
        self.hotspot.advance(now);
    }

    /// Returns when something happens next by itself.
    pub fn next_event(&self) -> Option<Duration> {
        self.hotspot
            .next_wake()
            .into_iter()
            .chain(self.done_at)
            .min()
    }

    /// Opens an API connection. `None`: it is refused.
    pub fn connect(&mut self) -> Option<ConnId> {
        if self.link == Link::Refused {
            return None;
        }
        self.connections_made += 1;
        self.stats.connects += 1;
        let conn = ConnId(self.connections_made);
        let mut session = Session::default();
        let is_full = self.sessions.len() >= self.hotspot.config.max_sessions;
        if self.link == Link::Filtered || is_full {
            session.close();
            self.ready.insert(conn);
        } else if self.link == Link::BlackHole {
            session.fall_silent();
        }
        self.sessions.insert(conn, session);
        Some(conn)
    }

    /// Takes bytes from a client.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.stats.bytes_in += u64::try_from(bytes.len()).unwrap_or_default();
        let mut input = bytes;
        loop {
            let Some(session) = self.sessions.get_mut(&conn).filter(|found| found.listens()) else {
                return;
            };
            match session.decoder.decode(&mut input) {
                Ok(Some(command)) if command.command() == b"/cancel" => {
                    self.cancel(conn, &command);
                }
                Ok(Some(command)) => {
                    self.jobs.push_back(Job {
                        conn,
                        command,
                        stalled: false,
                    });
                    self.work();
                }
                Ok(None) => return,
                Err(_) => {
                    session.close();
                    self.ready.insert(conn);
                }
            }
        }
    }

    /// Takes the bytes that are on their way to a client.
    pub fn transmit(&mut self, conn: ConnId) -> Vec<u8> {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Vec::new();
        };
        let bytes = session.outbox.drain(&mut self.random);
        self.stats.bytes_out += u64::try_from(bytes.len()).unwrap_or_default();
        bytes
    }

    /// Tells whether the router closes a connection, once all its bytes are transmitted.
    pub fn is_closing(&self, conn: ConnId) -> bool {
        self.sessions.get(&conn).is_none_or(Session::is_closing)
    }

    /// Forgets a connection: the client closed it, or the router did and the client knows. What
    /// the client sent before is still done.
    pub fn close(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.abandon();
        }
        self.ready.remove(&conn);
        self.forget_abandoned(conn);
    }

    /// Returns a connection that has bytes to transmit or closes, each once.
    pub fn poll_ready(&mut self) -> Option<ConnId> {
        self.ready.pop_first()
    }

    /// Adds a device. It is on, and online if its access allows. The account or binding it needs
    /// is made if there is none.
    pub fn add_client(&mut self, config: ClientConfig) -> ClientId {
        ClientId(self.hotspot.add_station(config))
    }

    /// Tells whether a packet of the device would get through now. This is the truth about a cut.
    pub fn client_can_move_bytes(&self, client: ClientId) -> bool {
        self.hotspot.can_move(client.0)
    }

    /// Tells whether the device has a right to pass: its account, an account named like its MAC
    /// (if such logins are offered) or a binding would let it in. Trials are not counted.
    pub fn client_could_log_in(&self, client: ClientId) -> bool {
        self.hotspot.could_log_in(client.0)
    }

    /// Returns how many bytes of the device the router let through so far.
    pub fn bytes_moved(&self, client: ClientId) -> u64 {
        self.hotspot.bytes_moved(client.0)
    }

    /// Returns the next beginning or end of a device's traffic, in order of time.
    pub fn poll_traffic(&mut self) -> Option<TrafficEvent> {
        self.hotspot.poll_event()
    }

    /// Returns what clients of the API cost so far.
    pub fn stats(&self) -> &SimStats {
        &self.stats
    }

    /// Starts the next jobs: the router does one after the other.
    pub(super) fn work(&mut self) {
        while self.done_at.is_none() && !self.jobs.is_empty() {
            let now = self.hotspot.now;
            let done_at = now.max(self.stalled_until) + self.hotspot.config.delay;
            if done_at > now {
                self.done_at = Some(done_at);
            } else if let Some(job) = self.jobs.pop_front() {
                self.start(job);
            }
        }
    }

    fn start(&mut self, job: Job) {
        let conn = job.conn;
        self.run(job);
        self.forget_abandoned(conn);
    }

    fn forget_abandoned(&mut self, conn: ConnId) {
        let is_abandoned = self.sessions.get(&conn).is_some_and(Session::is_abandoned);
        if is_abandoned && self.jobs.iter().all(|job| job.conn != conn) {
            self.sessions.remove(&conn);
        }
    }

    /// Whether all jobs that wait will be done within `time`, and there are some.
    pub(super) fn is_through_within(&self, time: Duration) -> bool {
        let jobs = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let work = self.hotspot.config.delay.saturating_mul(jobs);
        self.done_at.is_some_and(|at| at <= self.hotspot.now + time) && work <= time
    }

    pub(super) fn retry_later(&mut self, job: Job) {
        self.jobs.push_front(job);
    }

    /// Takes a job out that waits under a tag.
    pub(super) fn take_job(&mut self, conn: ConnId, tag: Option<&[u8]>) -> Option<Job> {
        let fits = |job: &Job| {
            job.conn == conn && tag.is_none_or(|tag| job.command.get_tag() == Some(tag))
        };
        let at = self.jobs.iter().position(fits)?;
        if at == 0 {
            self.done_at = None;
        }
        self.jobs.remove(at)
    }

    pub(super) fn set_ready(&mut self, conn: ConnId) {
        self.ready.insert(conn);
    }
}
