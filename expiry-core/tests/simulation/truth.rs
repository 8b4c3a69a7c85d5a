//! What is true, in a form that is much simpler than the engine: who may be online, by the
//! database's clock; what the operator last did by hand; and what was written to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use expiry_core::{
    Clock, MacAddr, RouterId, Subscriber, Username,
    brake::AGREED_FOR,
    testing::{TestClock, gateway::Hotspot},
};
use tokio::time::Instant;

use crate::ports::{Orders, lock};

/// A payment that lands so shortly before a write may come too late to stop it: it is undone.
pub(crate) const SLACK: Duration = Duration::from_millis(600);

/// An operator and a watcher may write to one row at about the same time, and later looks of the
/// watcher are at its own work: no one can tell who was first.
const AT_ONCE: Duration = Duration::from_secs(45);

/// How far a clock may be off, and for how long a heartbeat may not have seen it.
const TOLERANCE: Duration = Duration::from_secs(5);
const UNSEEN: Duration = Duration::from_secs(4);

pub(crate) struct Truth {
    pub(crate) began: Instant,
    database: TestClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Everybody, with the moment since when they are live.
    subscribers: Vec<(Subscriber, Option<Instant>)>,
    /// All names that were ever known: rows of who was removed are nobody else's.
    names: BTreeSet<Username>,
    /// How often each router started.
    starts: BTreeMap<RouterId, u32>,
    /// The clock of each watcher, and since when it is off.
    watchers: BTreeMap<usize, Watching>,
    frozen: BTreeMap<usize, Instant>,
    /// When each watcher was last set going again.
    thawed: BTreeMap<usize, Instant>,
    /// From when to when watchers had accounts in hand.
    in_hand: Vec<(RouterId, String, Instant, Instant)>,
    violations: Vec<String>,
    lines: Vec<String>,
}

struct Watching {
    clock: TestClock,
    off: Option<Instant>,
    agrees: Option<Instant>,
    /// Somebody looked at the difference and released the brake: it may last until the clocks have
    /// agreed for long enough.
    tolerated: bool,
}

impl Truth {
    pub(crate) fn new(database: TestClock) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            database,
            state: Mutex::default(),
        })
    }

    pub(crate) fn tell(&self, line: impl AsRef<str>) {
        let at = self.began.elapsed().as_secs_f64();
        let line = format!("{at:9.3} {}", line.as_ref());
        lock(&self.state).lines.push(line);
    }

    pub(crate) fn violate(&self, what: impl AsRef<str>) {
        let at = self.began.elapsed().as_secs_f64();
        let line = format!("{at:9.3} VIOLATION {}", what.as_ref());
        let mut state = lock(&self.state);
        state.lines.push(line.clone());
        state.violations.push(line);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.state).violations.clone()
    }

    pub(crate) fn timeline(&self) -> Vec<String> {
        lock(&self.state).lines.clone()
    }

    pub(crate) fn start_of(&self, router: RouterId) -> u32 {
        *lock(&self.state).starts.entry(router).or_default()
    }

    /// A router lost all connections, and may use its ids for other rows.
    pub(crate) fn restarted(&self, router: RouterId) {
        *lock(&self.state).starts.entry(router).or_default() += 1;
    }

    pub(crate) fn watcher(&self, number: usize, clock: TestClock) {
        let watching = Watching {
            clock,
            off: None,
            agrees: None,
            tolerated: false,
        };
        lock(&self.state).watchers.insert(number, watching);
    }

    /// Somebody accepts the clocks as they are.
    pub(crate) fn tolerate(&self) {
        for watching in lock(&self.state).watchers.values_mut() {
            watching.tolerated = true;
        }
    }

    pub(crate) fn freeze(&self, number: usize, frozen: bool) {
        let mut state = lock(&self.state);
        if frozen {
            state.frozen.insert(number, Instant::now());
        } else if state.frozen.remove(&number).is_some() {
            state.thawed.insert(number, Instant::now());
        }
    }

    /// Takes in what was bought, and what the clocks show, after anything happened.
    pub(crate) fn update(&self, subscribers: Vec<Subscriber>) {
        let now = self.database.wall();
        let mut state = lock(&self.state);
        let before = std::mem::take(&mut state.subscribers);
        let since = |subscriber: &Subscriber| {
            let known = before.iter().find(|(known, _)| known.id == subscriber.id);
            let was_same = |known: &Subscriber| {
                let is_unbroken = known.access.is_live(now);
                let is_same = known.router == subscriber.router;
                is_unbroken && is_same && known.devices == subscriber.devices
            };
            known
                .filter(|(known, _)| was_same(known))
                .and_then(|(_, since)| *since)
        };
        let names = subscribers.iter().map(|one| one.username.clone());
        state.names.extend(names);
        state.subscribers = subscribers
            .into_iter()
            .map(|subscriber| {
                let is_live = subscriber.access.is_live(now);
                let live = is_live.then(|| since(&subscriber).unwrap_or_else(Instant::now));
                (subscriber, live)
            })
            .collect();
        for watching in state.watchers.values_mut() {
            let apart = watching.clock.wall() - now;
            if apart.abs().to_std().unwrap_or_default() > TOLERANCE {
                watching.off.get_or_insert_with(Instant::now);
                let agreed = watching.agrees.take();
                watching.tolerated &= agreed.is_none_or(|since| since.elapsed() < AGREED_FOR);
            } else {
                watching.off = None;
                watching.agrees.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Holds an order against what is true at the moment when it reaches the router.
    pub(crate) fn judge(
        &self,
        watcher: usize,
        router: RouterId,
        hotspot: &Hotspot,
        order: &Orders<'_>,
        decided: Instant,
    ) {
        let now = Instant::now();
        let accounts = accounts(hotspot, order);
        let in_hand = accounts.map(|name| (router, name.to_owned(), decided, now));
        lock(&self.state).in_hand.extend(in_hand);
        let targets = targets(hotspot, order);
        if targets.is_empty() {
            return;
        }
        let names: Vec<_> = targets.iter().map(|(what, ..)| what.as_str()).collect();
        self.tell(format!(
            "w{watcher} writes to r{router}: {}",
            names.join(", ")
        ));
        let (off, was_frozen) = {
            let state = lock(&self.state);
            let watching = state.watchers.get(&watcher);
            let off = watching
                .filter(|one| !one.tolerated)
                .and_then(|one| one.off);
            let thawed = state.thawed.get(&watcher);
            (off, thawed.is_some_and(|at| *at >= decided))
        };
        if let Some(off) = off
            && decided.saturating_duration_since(off) > UNSEEN
        {
            self.violate(format!("w{watcher} cuts although its clock is off (R10)"));
        }
        for (what, login, mac) in targets {
            let Some((who, since)) = self.live_owner(router, login.as_deref(), mac) else {
                continue;
            };
            if was_frozen {
                self.tell(format!("a late write of a frozen watcher hits {who}"));
            } else if decided.saturating_duration_since(since) > SLACK {
                self.violate(format!("{what} of {who}, who has paid, is taken (R1)"));
            }
        }
    }

    /// Returns the live subscriber who explains a row, and since when.
    fn live_owner(
        &self,
        router: RouterId,
        login: Option<&str>,
        mac: Option<MacAddr>,
    ) -> Option<(String, Instant)> {
        let now = self.database.wall();
        let state = lock(&self.state);
        let mut live = state.subscribers.iter().filter(|(subscriber, _)| {
            subscriber.access.is_live(now) && subscriber.router.is_none_or(|at| at == router)
        });
        let named =
            |subscriber: &Subscriber| login.is_some_and(|login| subscriber.username.matches(login));
        let owns = |subscriber: &Subscriber| {
            let by_login = login.and_then(MacAddr::from_login);
            by_login
                .or(mac)
                .is_some_and(|mac| subscriber.devices.contains(&mac))
        };
        let is_somebodys =
            login.is_some_and(|login| state.names.iter().any(|name| name.matches(login)));
        let found =
            live.find(|(subscriber, _)| named(subscriber) || !is_somebodys && owns(subscriber));
        found.map(|(subscriber, since)| {
            let since = since.unwrap_or_else(Instant::now);
            (subscriber.username.to_string(), since)
        })
    }

    /// Tells whether a watcher had an account in hand at about this moment.
    pub(crate) fn was_in_hand(&self, router: RouterId, account: &str, when: Instant) -> bool {
        let state = lock(&self.state);
        let mut in_hand = state.in_hand.iter();
        in_hand.any(|(at, name, from, to)| {
            *at == router && name == account && *from < when + AT_ONCE && *to + AT_ONCE > when
        })
    }

    pub(crate) fn subscribers(&self) -> Vec<Subscriber> {
        let state = lock(&self.state);
        let all = state.subscribers.iter();
        all.map(|(subscriber, _)| subscriber.clone()).collect()
    }
}

/// Returns the accounts that an order enables or disables.
fn accounts<'a>(hotspot: &'a Hotspot, order: &'a Orders<'_>) -> impl Iterator<Item = &'a str> {
    let ids = match order {
        Orders::Block(block) => block.users.as_slice(),
        Orders::Unblock(unblock) => unblock.users.as_slice(),
        Orders::Drop(_) => &[],
    };
    let rows = ids.iter().filter_map(|id| hotspot.users.get(id));
    rows.map(|row| row.name.as_str())
}

type Target = (String, Option<String>, Option<MacAddr>);

/// Returns what an order takes from whom: a description, the login and the MAC that explain it.
fn targets(hotspot: &Hotspot, order: &Orders<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    match order {
        Orders::Block(block) => {
            for row in block.users.iter().filter_map(|id| hotspot.users.get(id)) {
                if !row.disabled {
                    targets.push((
                        format!("account {}", row.name),
                        Some(row.name.clone()),
                        None,
                    ));
                }
            }
            for row in block
                .cookies
                .iter()
                .filter_map(|id| hotspot.cookies.get(id))
            {
                targets.push((
                    format!("cookie of {}", row.user),
                    Some(row.user.clone()),
                    row.mac,
                ));
            }
            for row in block
                .bindings
                .iter()
                .filter_map(|id| hotspot.bindings.get(id))
            {
                if !row.disabled {
                    let of = row.mac.map(|mac| mac.to_string()).unwrap_or_default();
                    targets.push((format!("binding of {of}"), None, row.mac));
                }
            }
        }
        Orders::Drop(drop) => {
            for row in drop.actives.iter().filter_map(|id| hotspot.actives.get(id)) {
                targets.push((
                    format!("session of {}", row.user),
                    Some(row.user.clone()),
                    row.mac,
                ));
            }
            for row in drop.hosts.iter().filter_map(|id| hotspot.hosts.get(id)) {
                let mut actives = hotspot.actives.values();
                let active = actives.find(|active| active.mac == row.mac);
                let login = active.map(|active| active.user.clone());
                let of = row.mac.map(|mac| mac.to_string()).unwrap_or_default();
                let moves = row.authorized || row.bypassed;
                if moves {
                    targets.push((format!("host {of}"), login, row.mac));
                }
            }
        }
        Orders::Unblock(_) => {}
    }
    targets
}
