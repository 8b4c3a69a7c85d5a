//! What is true, in a form that is much simpler than the engine: who may be online, by the
//! database's clock; what the operator last did by hand; and what was written to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use expiry_core::{
    Clock, Clocks, Fence, MacAddr, MachineState, Ownership, RouterId, Subscriber, SubscriberId,
    TenantId, Username, WatcherId, Work,
    testing::{TestClock, gateway::Hotspot},
};
use tokio::time::Instant;

use crate::{
    orders::{Orders, Target, Way, targets, ways},
    owners::Owners,
    ports::lock,
    watching::Watching,
};

/// A payment that lands so shortly before a write may come too late to stop it: it is undone.
pub(crate) const SLACK: Duration = Duration::from_millis(600);

/// An operator and a watcher may write to one row at about the same time, and later looks of the
/// watcher are at its own work: no one can tell who was first.
const AT_ONCE: Duration = Duration::from_secs(45);

pub(crate) struct Truth {
    pub(crate) began: Instant,
    database: TestClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whose each router is.
    routers: BTreeMap<RouterId, Option<TenantId>>,
    /// Everybody, with the moment since when they are live.
    subscribers: Vec<(Subscriber, Option<Instant>)>,
    /// All names that were ever known: rows of who was removed are nobody else's.
    names: BTreeSet<(Option<TenantId>, Username)>,
    /// How often each router started.
    starts: BTreeMap<RouterId, u32>,
    watchers: BTreeMap<usize, Watching>,
    /// Which watcher has an id.
    ids: BTreeMap<WatcherId, usize>,
    owners: Owners,
    frozen: BTreeMap<usize, Instant>,
    /// When each watcher was last set going again.
    thawed: BTreeMap<usize, Instant>,
    /// When each watcher last began to read each router.
    reads: BTreeMap<(usize, RouterId), Instant>,
    in_hand: Vec<InHand>,
    /// Ways in that a watcher opened which had been frozen since it decided to.
    given_back_late: BTreeSet<(RouterId, Way)>,
    /// When each watcher last committed what it was about to write on each router.
    intents: BTreeMap<(usize, RouterId), Instant>,
    /// When the database was last put back.
    put_back: Option<Instant>,
    /// Ways in that we have closed, and the database knows nothing of that.
    forgotten: BTreeSet<(RouterId, Way)>,
    /// Changes have ended more than they may.
    too_many: Option<Share>,
    violations: Vec<String>,
    lines: Vec<String>,
}

/// A watcher's write to a way in.
struct InHand {
    watcher: usize,
    router: RouterId,
    way: Way,
    /// Whether it is to be closed.
    closes: bool,
    decided: Instant,
    /// When it was written, and its answer reached the watcher. Until then the watcher itself does
    /// not know whether it was, and looks again when it comes to know.
    until: Option<Instant>,
}

/// Whether the store must have noticed that changes ended more than they may.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Nobody has asked for anything since.
    Unseen,
    Seen,
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

    pub(crate) fn router(&self, router: RouterId, tenant: Option<TenantId>) {
        lock(&self.state).routers.insert(router, tenant);
    }

    pub(crate) fn start_of(&self, router: RouterId) -> u32 {
        *lock(&self.state).starts.entry(router).or_default()
    }

    /// A router lost all connections, and may use its ids for other rows.
    pub(crate) fn restarted(&self, router: RouterId) {
        *lock(&self.state).starts.entry(router).or_default() += 1;
    }

    pub(crate) fn watcher(&self, number: usize, clock: TestClock) {
        let watching = Watching::new(clock);
        lock(&self.state).watchers.insert(number, watching);
    }

    pub(crate) fn stepped(&self, number: usize) {
        if let Some(watching) = lock(&self.state).watchers.get_mut(&number) {
            watching.stepped();
        }
    }

    pub(crate) fn slept(&self, number: usize, time: Duration) {
        if let Some(watching) = lock(&self.state).watchers.get_mut(&number) {
            watching.slept(time);
        }
    }

    /// A watcher's clock was read, and the store knows.
    pub(crate) fn looked(&self, number: usize, clocks: &Clocks) {
        if let Some(watching) = lock(&self.state).watchers.get_mut(&number) {
            watching.looked(clocks);
        }
    }

    pub(crate) fn database_stepped(&self) {
        lock(&self.state).owners.forget_beats();
    }

    /// Somebody accepts everything as it is.
    pub(crate) fn released(&self) {
        let mut state = lock(&self.state);
        state.too_many = None;
        for watching in state.watchers.values_mut() {
            watching.release();
        }
    }

    /// Changes have ended more than they may.
    pub(crate) fn too_many_ended(&self) {
        lock(&self.state).too_many.get_or_insert(Share::Unseen);
    }

    /// Something is about to happen.
    pub(crate) fn goes_on(&self) {
        self.compare_clocks();
        let now = self.database.wall();
        let mut state = lock(&self.state);
        // A clock that is set back now makes them live anew.
        for (subscriber, live) in &mut state.subscribers {
            *live = live.filter(|_| subscriber.access.is_live(now));
        }
        state.too_many = state.too_many.filter(|share| *share == Share::Seen);
    }

    /// Work was handed out.
    pub(crate) fn handed_out(&self, work: &Work) {
        let mut state = lock(&self.state);
        if state.too_many.is_none() || !state.owners.are_alive() {
            return;
        }
        state.too_many = Some(Share::Seen);
        drop(state);
        if !work.tasks.is_empty() {
            self.violate("work is handed out although changes ended too many (R10)");
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

    /// Tells whether somebody was frozen within the last seconds, and may write late.
    pub(crate) fn may_be_late(&self) -> bool {
        let state = lock(&self.state);
        let mut thawed = state.thawed.values();
        !state.frozen.is_empty() || thawed.any(|at| at.elapsed() < Duration::from_secs(20))
    }

    pub(crate) fn claimed(&self, number: usize, watcher: WatcherId, owned: &[Ownership]) {
        let broken = {
            let mut state = lock(&self.state);
            state.ids.insert(watcher, number);
            state.too_many = state.too_many.map(|_| Share::Seen);
            state.owners.claimed(watcher, owned)
        };
        for what in broken {
            self.violate(what);
        }
    }

    pub(crate) fn gave_up(&self, watcher: WatcherId) {
        lock(&self.state).owners.released(watcher);
    }

    /// A watcher is done with a router.
    pub(crate) fn let_go(&self, fence: &Fence) {
        let mut state = lock(&self.state);
        if state.owners.may_record(fence) {
            state.owners.disowned(fence.router);
        }
    }

    /// Returns which watcher owns a router.
    pub(crate) fn owner(&self, router: RouterId) -> Option<usize> {
        let state = lock(&self.state);
        let (id, _) = state.owners.owner(router)?;
        state.ids.get(&id).copied()
    }

    pub(crate) fn disowned(&self, router: RouterId) {
        lock(&self.state).owners.disowned(router);
    }

    /// Holds what was recorded against who may record.
    pub(crate) fn recorded(&self, fence: &Fence, what: &str) {
        if !lock(&self.state).owners.may_record(fence) {
            let router = fence.router;
            self.violate(format!("{what} of r{router} by who does not own it (R8)"));
        }
    }

    /// Takes in what the clocks show.
    pub(crate) fn compare_clocks(&self) {
        let now = self.database.wall();
        for watching in lock(&self.state).watchers.values_mut() {
            watching.compare(now);
        }
    }

    /// Takes in what was bought, and what the clocks show, after anything happened.
    pub(crate) fn update(&self, subscribers: Vec<Subscriber>) {
        self.compare_clocks();
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
        let names = subscribers.iter();
        let names = names.map(|one| (one.tenant, one.username.clone()));
        state.names.extend(names);
        state.subscribers = subscribers
            .into_iter()
            .map(|subscriber| {
                let is_live = subscriber.access.is_live(now);
                let live = is_live.then(|| since(&subscriber).unwrap_or_else(Instant::now));
                (subscriber, live)
            })
            .collect();
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
        let ways = ways(hotspot, order);
        if let Orders::Unblock(_) = order {
            let given: Vec<_> = ways.iter().map(Way::to_string).collect();
            let given = given.join(", ");
            self.tell(format!("w{watcher} gives back on r{router}: {given}"));
            let mut state = lock(&self.state);
            let thawed = state.thawed.get(&watcher);
            if thawed.is_some_and(|at| *at >= decided) {
                let late = ways.iter().map(|way| (router, way.clone()));
                state.given_back_late.extend(late);
            }
        }
        if let Orders::Block(_) = order {
            let mut state = lock(&self.state);
            let intent = state.intents.get(&(watcher, router)).copied();
            if intent < state.put_back {
                // It was committed, and forgotten before it was written.
                let ways = ways.iter().map(|way| (router, way.clone()));
                state.forgotten.extend(ways);
            }
        }
        let closes = matches!(order, Orders::Block(_));
        let in_hand = ways.into_iter().map(|way| InHand {
            watcher,
            router,
            way,
            closes,
            decided,
            until: None,
        });
        lock(&self.state).in_hand.extend(in_hand);
        let targets = targets(hotspot, order);
        if targets.is_empty() {
            return;
        }
        for target in targets.iter().filter(|target| target.is_strangers()) {
            self.violate(format!("{} is taken from a stranger (R1)", target.what));
        }
        let names: Vec<_> = targets.iter().map(|target| target.what.as_str()).collect();
        self.tell(format!(
            "w{watcher} writes to r{router}: {}",
            names.join(", ")
        ));
        self.compare_clocks();
        let (brake, was_frozen, other) = {
            let state = lock(&self.state);
            let watching = state.watchers.get(&watcher);
            let brake = watching.and_then(|one| one.brake_at(decided));
            let thawed = state.thawed.get(&watcher);
            let owner = state.owners.owner(router);
            let owner = owner.filter(|(_, since)| *since + SLACK < decided);
            let number = owner.and_then(|(id, _)| state.ids.get(&id).copied());
            let other = number.filter(|number| *number != watcher);
            (brake, thawed.is_some_and(|at| *at >= decided), other)
        };
        if let Some(other) = other.filter(|_| !was_frozen) {
            self.violate(format!(
                "w{watcher} cuts on r{router}, which is w{other}'s (R8)"
            ));
        }
        if let Some(why) = brake {
            self.violate(format!("w{watcher} cuts although {why} (R10)"));
        }
        for target in targets {
            let Some((who, since)) = self.live_owner(router, &target) else {
                continue;
            };
            if was_frozen {
                self.tell(format!("a late write of a frozen watcher hits {who}"));
            } else if decided.saturating_duration_since(since) > SLACK {
                let what = target.what;
                self.violate(format!("{what} of {who}, who has paid, is taken (R1)"));
            }
        }
    }

    /// Returns the live subscriber who explains a row, and since when.
    fn live_owner(&self, router: RouterId, target: &Target) -> Option<(String, Instant)> {
        let now = self.database.wall();
        let state = lock(&self.state);
        let tenant = state.routers.get(&router).copied().flatten();
        let mut live = state.subscribers.iter().filter(|(subscriber, _)| {
            let is_in_scope =
                subscriber.tenant == tenant && subscriber.router.is_none_or(|at| at == router);
            is_in_scope && subscriber.access.is_live(now)
        });
        let login = target.login.as_deref();
        let found =
            live.find(|(subscriber, _)| state.explains(tenant, subscriber, login, target.mac));
        found.map(|(subscriber, since)| {
            let since = since.unwrap_or_else(Instant::now);
            (subscriber.username.to_string(), since)
        })
    }

    /// A watcher begins to read a router.
    pub(crate) fn reads(&self, watcher: usize, router: RouterId) {
        let now = Instant::now();
        lock(&self.state).reads.insert((watcher, router), now);
    }

    /// Holds a confirmed cut against what the router does: a device that moves bytes since before it
    /// was read for the last time was there to be seen.
    pub(crate) fn confirmed(
        &self,
        watcher: usize,
        router: RouterId,
        hotspot: &Hotspot,
        subscriber: SubscriberId,
    ) {
        let on = lock(&self.state).seen_moving(watcher, router, hotspot, subscriber);
        if let Some((mac, cut)) = on
            && cut.access.has_ended(self.database.wall())
        {
            self.violate(format!(
                "a cut on r{router} is confirmed while {mac} moves bytes (R2)"
            ));
        }
    }

    /// The database was put back to what it was, and these own routers there.
    pub(crate) fn put_back(&self, owners: &[Fence], machines: Vec<Option<MachineState>>) {
        let mut state = lock(&self.state);
        state.put_back = Some(Instant::now());
        state.owners.put_back(owners);
        state.too_many = None;
        // What is on the wire was committed, and may be written yet.
        let on_the_wire = state.in_hand.iter().filter(|one| {
            let is_recent = one.decided.elapsed() < Duration::from_mins(1);
            one.closes && one.until.is_none() && is_recent
        });
        let on_the_wire = on_the_wire.map(|one| (one.router, one.way.clone()));
        let on_the_wire: Vec<_> = on_the_wire.collect();
        state.forgotten.extend(on_the_wire);
        for (watching, machine) in state.watchers.values_mut().zip(machines) {
            watching.put_back(machine);
        }
    }

    /// What a watcher is about to write is committed.
    pub(crate) fn intended(&self, router: RouterId, watcher: usize) {
        let now = Instant::now();
        lock(&self.state).intents.insert((watcher, router), now);
    }

    /// A way in is closed, and the database knows not that it was us.
    pub(crate) fn forgotten(&self, router: RouterId, way: Way) {
        lock(&self.state).forgotten.insert((router, way));
    }

    /// The operator opened a way in.
    pub(crate) fn remembered(&self, router: RouterId, way: &Way) {
        lock(&self.state).forgotten.remove(&(router, way.clone()));
    }

    pub(crate) fn is_forgotten(&self, router: RouterId, way: &Way) -> bool {
        lock(&self.state).forgotten.contains(&(router, way.clone()))
    }

    pub(crate) fn was_given_back_late(&self, router: RouterId, way: &Way) -> bool {
        let state = lock(&self.state);
        state.given_back_late.contains(&(router, way.clone()))
    }

    /// The answer to what a watcher wrote reached it.
    pub(crate) fn answered(&self, watcher: usize, router: RouterId) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let mut written = state.in_hand.iter_mut();
        let its = written
            .by_ref()
            .filter(|one| one.watcher == watcher && one.router == router && one.until.is_none());
        its.for_each(|one| one.until = Some(now));
    }

    /// Tells whether a watcher had a way in in hand at about this moment.
    pub(crate) fn was_in_hand(&self, router: RouterId, way: &Way, when: Instant) -> bool {
        let state = lock(&self.state);
        let mut in_hand = state.in_hand.iter();
        in_hand.any(|one| {
            let is_it = one.router == router && one.way == *way;
            let until = one.until.unwrap_or_else(Instant::now);
            is_it && one.decided < when + AT_ONCE && until + AT_ONCE > when
        })
    }

    /// Returns everybody in the scope of a router.
    pub(crate) fn in_scope(&self, router: RouterId) -> Vec<Subscriber> {
        let state = lock(&self.state);
        let tenant = state.routers.get(&router).copied().flatten();
        let all = state.subscribers.iter().map(|(subscriber, _)| subscriber);
        let here = all.filter(|one| one.tenant == tenant);
        here.filter(|one| one.router.is_none_or(|at| at == router))
            .cloned()
            .collect()
    }

    /// Returns everybody of all tenants.
    pub(crate) fn subscribers(&self) -> Vec<Subscriber> {
        let state = lock(&self.state);
        let all = state.subscribers.iter();
        all.map(|(subscriber, _)| subscriber.clone()).collect()
    }
}

impl State {
    /// Returns a device of a subscriber that moved bytes already when a watcher last read a router.
    fn seen_moving(
        &self,
        watcher: usize,
        router: RouterId,
        hotspot: &Hotspot,
        subscriber: SubscriberId,
    ) -> Option<(MacAddr, Subscriber)> {
        let tenant = self.routers.get(&router).copied().flatten();
        let read = *self.reads.get(&(watcher, router))?;
        let all = self.subscribers.iter().map(|(subscriber, _)| subscriber);
        let mut named = all.filter(|one| one.id == subscriber && one.tenant == tenant);
        let owner = named.next()?;
        let mut moving = hotspot.hosts.values().filter_map(|host| host.mac);
        let mac = moving.find(|mac| {
            let mut actives = hotspot.actives.values();
            let active = actives.find(|active| active.mac == Some(*mac));
            let login = active.map(|active| active.user.as_str());
            let since = hotspot.moving_since(*mac);
            since.is_some_and(|since| since < read)
                && self.explains(tenant, owner, login, Some(*mac))
        })?;
        Some((mac, owner.clone()))
    }

    /// Tells whether a row is a subscriber's: by the login if anybody is called so, or else by the
    /// device.
    fn explains(
        &self,
        tenant: Option<TenantId>,
        subscriber: &Subscriber,
        login: Option<&str>,
        mac: Option<MacAddr>,
    ) -> bool {
        let is_somebodys = login.is_some_and(|login| {
            let mut known = self.names.iter().filter(|(of, _)| *of == tenant);
            known.any(|(_, name)| name.matches(login))
        });
        if is_somebodys {
            return login.is_some_and(|login| subscriber.username.matches(login));
        }
        let mac = login.and_then(MacAddr::from_login).or(mac);
        mac.is_some_and(|mac| subscriber.devices.contains(&mac))
    }
}
