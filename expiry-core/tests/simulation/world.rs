//! One simulation: a database, routers with their devices, and watchers, all real but for the
//! hardware, while a plan happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use expiry_core::{
    Access, AccessChange, BrakeStore, Clock, Directory, EnforcementStore, NewRouter, NewSubscriber,
    NoEvents, RouterAddress, RouterChange, RouterId, Service, Subscriber, SubscriberId, TenantId,
    UndoKey,
    testing::{
        MemoryStore, SimGateway, TestClock,
        gateway::{self, Admission, Hotspot},
    },
    watcher::{WatchError, Watcher, WatcherConfig},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    orders::Way,
    plan::{Cast, Fault, Plan, Step, at},
    ports::{Gate, Link, Weather, Wire, lock},
    truth::Truth,
};

const MACHINES: [&str; 3] = ["m0", "m1", "m2"];

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) truth: Arc<Truth>,
    pub(crate) database: TestClock,
    pub(crate) store: MemoryStore,
    pub(crate) gateway: Arc<SimGateway>,
    pub(crate) weather: Arc<Mutex<Weather>>,
    /// The second tenant.
    other: TenantId,
    pub(crate) routers: Vec<RouterId>,
    /// Which devices are in the range of which router.
    pub(crate) places: Vec<(RouterId, usize)>,
    pub(crate) clocks: Vec<TestClock>,
    gates: Vec<Gate>,
    running: Vec<Option<Running>>,
    /// What the operator disabled by hand, and when.
    pub(crate) by_hand: BTreeMap<(RouterId, Way), Instant>,
    /// Whose account the operator has enabled: of who was removed long ago, it is a stranger's.
    pub(crate) let_in: BTreeSet<(RouterId, usize)>,
    starts: u64,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), WatchError>>,
}

impl World {
    pub(crate) async fn run(plan: &Plan) -> Arc<Truth> {
        let mut world = Self::new(plan.clone()).await;
        for watcher in 0..plan.cast.watchers {
            world.start(watcher);
        }
        let began = Instant::now();
        for (when, step) in &plan.steps {
            sleep_until(began + at(*when)).await;
            world.truth.tell(format!("{step:?}"));
            world.truth.goes_on();
            world.take(step).await;
            world.update().await;
            if !world.truth.violations().is_empty() {
                return world.truth;
            }
        }
        world.calm_down().await;
        world.judge().await;
        if world.truth.violations().is_empty() {
            world.end_promptly().await;
        }
        world.truth
    }

    async fn new(plan: Plan) -> Self {
        let database = TestClock::default();
        let store = MemoryStore::new(Arc::new(database.clone()));
        let other = store.add_tenant("other", "Other").await.expect("a tenant");
        let truth = Truth::new(database.clone());
        let mut world = Self {
            store,
            other: other.id,
            gateway: Arc::new(SimGateway::new(Duration::from_millis(20))),
            weather: Arc::default(),
            routers: Vec::new(),
            places: Vec::new(),
            clocks: MACHINES.map(|name| database.on_machine(name)).to_vec(),
            gates: MACHINES.map(|_| Gate::new()).to_vec(),
            running: MACHINES.map(|_| None).into(),
            by_hand: BTreeMap::new(),
            let_in: BTreeSet::new(),
            starts: 0,
            plan,
            truth,
            database,
        };
        for number in 0..world.plan.cast.boxes() {
            let is_others = number >= world.plan.cast.routers;
            world.add_router(is_others.then_some(world.other)).await;
        }
        for who in 0..world.plan.cast.people() {
            let home = world.home_of(who);
            world.place(home, who);
            world.add(who, 5 + 7 * who as u64).await;
        }
        if world.plan.cast.routers > 1 {
            // Somebody roams.
            world.place(world.routers[1], 0);
        }
        for (number, clock) in world.clocks.iter().enumerate() {
            clock.synchronise(Some(true));
            world.truth.watcher(number, clock.clone());
        }
        world.update().await;
        world
    }

    /// Brings a device into the range of a router on which it has its account.
    fn place(&mut self, router: RouterId, who: usize) {
        self.set_up(router, who);
        self.places.push((router, who));
    }

    fn set_up(&mut self, router: RouterId, who: usize) {
        let cast = &self.plan.cast;
        let (mac, account) = (cast.mac(who), cast.account(who));
        let fasttrack = who % 2 == 1;
        self.gateway.with(router, |hotspot| {
            hotspot.add_device(mac, &account, Admission::Account, fasttrack);
        });
    }

    /// The router that somebody is usually at.
    fn home_of(&self, who: usize) -> RouterId {
        let Cast { routers, .. } = self.plan.cast;
        let number = if self.plan.cast.is_twin(who) {
            routers
        } else {
            who % routers
        };
        self.routers[number]
    }

    pub(crate) fn is_in_scope(&self, router: RouterId, who: usize) -> bool {
        self.tenant_of(router) == self.tenant(who)
            && (!is_bound(who) || self.home_of(who) == router)
    }

    fn tenant(&self, who: usize) -> Option<TenantId> {
        self.plan.cast.is_twin(who).then_some(self.other)
    }

    pub(crate) fn tenant_of(&self, router: RouterId) -> Option<TenantId> {
        let place = self.routers.iter().position(|at| *at == router);
        let is_others = place == Some(self.plan.cast.routers) && self.plan.cast.twins > 0;
        is_others.then_some(self.other)
    }

    async fn add_router(&mut self, tenant: Option<TenantId>) -> RouterId {
        let name = format!("r{}", self.routers.len() + 1);
        let address = RouterAddress {
            host: name.clone(),
            port: 8728,
            username: "expiry".into(),
            password: "secret".into(),
        };
        let new = NewRouter {
            name,
            tenant,
            address,
        };
        let router = self.store.add_router(&new).await.expect("a router");
        self.truth.router(router.id, tenant);
        self.routers.push(router.id);
        router.id
    }

    async fn add(&self, who: usize, seconds: u64) {
        let home = self.home_of(who);
        let new = NewSubscriber {
            tenant: self.tenant(who),
            username: self.plan.cast.name(who),
            service: Service::Hotspot,
            access: Access::Until(self.database.wall() + Duration::from_secs(seconds)),
            router: is_bound(who).then_some(home),
            devices: [self.plan.cast.mac(who)].into(),
        };
        // The name or the device may be somebody's.
        let _ = self.store.add_subscriber(&new).await;
    }

    pub(crate) async fn found(&self, who: usize) -> Option<Subscriber> {
        let name = self.plan.cast.name(who);
        let found = self.store.subscriber(self.tenant(who), &name).await;
        found.expect("the directory is always there")
    }

    async fn change(&self, who: usize, change: AccessChange) {
        if let Some(found) = self.found(who).await {
            let changed = self.store.change_access(found.id, change).await;
            changed.expect("access can be changed");
        }
    }

    pub(crate) async fn take(&mut self, step: &Step) {
        match *step {
            Step::Pay(who, seconds) => {
                let by = AccessChange::Extend(Duration::from_secs(seconds));
                self.change(who, by).await;
            }
            Step::End(who, seconds) => {
                let end = self.database.wall() + TimeDelta::seconds(seconds);
                self.change(who, AccessChange::Set(Access::Until(end)))
                    .await;
            }
            Step::Revoke(who) => self.change(who, AccessChange::Revoke).await,
            Step::Forever(who) => self.change(who, AccessChange::Set(Access::Forever)).await,
            Step::AllEnd => self.all_end().await,
            Step::Remove(who) => {
                if let Some(found) = self.found(who).await {
                    let removed = self.store.remove_subscriber(found.id).await;
                    removed.expect("it can be removed");
                }
            }
            Step::Add(who, seconds) => self.add(who, seconds).await,
            Step::Move(from, to) => {
                self.device(from, from, false).await;
                self.device(to, from, true).await;
            }
            Step::RemoveDevice(who, device) => self.device(who, device, false).await,
            Step::AddDevice(who, device) => self.device(who, device, true).await,
            Step::Present(who, present) => self.present(who, present),
            Step::AddRouter => self.new_router().await,
            Step::DatabaseDown(down) => lock(&self.weather).down = down,
            Step::LoseAnswers(percent) => lock(&self.weather).lost_answers = percent,
            Step::Slow(most) => lock(&self.weather).latency = at(most),
            Step::SetDatabase(seconds) => {
                self.database.step_wall(TimeDelta::seconds(seconds));
                self.truth.database_stepped();
            }
            Step::ReleaseBrakes => {
                let released = self.store.release_brakes().await;
                released.expect("they can be released");
                self.truth.released();
            }
            Step::Prune => self.prune().await,
            Step::ByHand(router, ..)
            | Step::Bypass(router, ..)
            | Step::MacAccount(router, ..)
            | Step::Trial(router, _)
            | Step::Router(router, _)
            | Step::Delay(router, _)
            | Step::Restart(router)
            | Step::Enable(router, _)
            | Step::Swap(router)
            | Step::Accept(router)
            | Step::Readdress(router) => {
                if let Some(&router) = self.routers.get(router) {
                    self.take_at(router, step).await;
                }
            }
            Step::Kill(watcher)
            | Step::Start(watcher)
            | Step::Stop(watcher)
            | Step::Freeze(watcher, _)
            | Step::SetClock(watcher, _)
            | Step::Drift(watcher, _)
            | Step::Suspend(watcher, _) => self.take_on(watcher, step),
        }
    }

    /// What happens to a router.
    async fn take_at(&mut self, router: RouterId, step: &Step) {
        let cast = &self.plan.cast;
        match *step {
            Step::ByHand(_, who, enabled) => {
                let account = Way::Account(cast.account(who));
                self.set_by_hand(router, account, enabled);
                if enabled {
                    let who = self.plan.cast.like(who);
                    self.let_in.insert((router, who));
                }
            }
            Step::Bypass(_, who, enabled) => {
                self.set_by_hand(router, Way::Binding(cast.mac(who)), enabled);
            }
            Step::MacAccount(_, who, enabled) => {
                let account = Way::Account(cast.mac(who).to_string());
                self.set_by_hand(router, account, enabled);
            }
            Step::Trial(_, trial) => self.gateway.with(router, |hotspot| hotspot.trial = trial),
            Step::Router(_, fault) => self.fault(router, fault),
            Step::Delay(_, by) => self.gateway.set_delay(router, at(by)),
            Step::Restart(_) => {
                self.truth.restarted(router);
                self.gateway.restart(router);
            }
            Step::Enable(_, enabled) => self.enable(router, enabled).await,
            Step::Swap(_) => self.swap(router).await,
            Step::Accept(_) => self.accept(router).await,
            Step::Readdress(_) => self.readdress(router).await,
            _ => {}
        }
    }

    /// What happens to a watcher and its machine.
    fn take_on(&mut self, watcher: usize, step: &Step) {
        match *step {
            Step::Kill(_) => {
                if let Some(running) = self.running[watcher].take() {
                    running.task.abort();
                }
                self.freeze(watcher, false);
            }
            Step::Start(_) => self.start(watcher),
            Step::Stop(_) => {
                if let Some(running) = &self.running[watcher] {
                    running.stop.cancel();
                }
            }
            Step::Freeze(_, frozen) => self.freeze(watcher, frozen),
            Step::SetClock(_, seconds) => {
                self.clocks[watcher].step_wall(TimeDelta::seconds(seconds));
                self.truth.stepped(watcher, seconds);
            }
            Step::Drift(_, per_mille) => self.clocks[watcher].drift(per_mille),
            Step::Suspend(_, seconds) => {
                self.clocks[watcher].suspend(Duration::from_secs(seconds));
            }
            _ => {}
        }
    }

    async fn all_end(&self) {
        let now = self.database.wall();
        let end = AccessChange::Set(Access::Until(now));
        let all = self.truth.subscribers();
        let routers = self.store.routers().await.expect("the routers");
        let is_owed = |one: &&Subscriber| {
            let mut routers = routers.iter().filter(|router| router.enabled);
            one.access.is_live(now)
                && routers.any(|router| {
                    router.tenant == one.tenant && one.router.is_none_or(|at| at == router.id)
                })
        };
        let ended = all.iter().filter(is_owed).count();
        for who in 0..self.plan.cast.people() {
            self.change(who, end).await;
        }
        let limit = self.plan.cast.share_limit as usize;
        if limit < 100 && ended * 100 > all.len() * limit {
            self.truth.too_many_ended();
        }
    }

    async fn device(&self, who: usize, device: usize, added: bool) {
        let Some(found) = self.found(who).await else {
            return;
        };
        let mac = self.plan.cast.mac(device);
        // It may be there already, or be somebody else's.
        let _ = if added {
            self.store.add_device(found.id, mac).await
        } else {
            self.store.remove_device(found.id, mac).await
        };
    }

    pub(crate) fn present(&self, who: usize, present: bool) {
        let mac = self.plan.cast.mac(who);
        let at = self.places.iter().filter(|(_, of)| *of == who);
        for (router, _) in at {
            self.gateway
                .with(*router, |hotspot| hotspot.set_present(mac, present));
        }
    }

    /// What is disabled already stays whose it is.
    fn set_by_hand(&mut self, router: RouterId, way: Way, enabled: bool) {
        let was_disabled = self.gateway.with(router, |hotspot| {
            let was_disabled = way.is_disabled(hotspot);
            way.set(hotspot, enabled);
            was_disabled
        });
        if enabled {
            self.by_hand.remove(&(router, way));
        } else if was_disabled == Some(false) && !self.is_to_be_undone(router, &way) {
            self.by_hand.insert((router, way), Instant::now());
        }
    }

    fn is_to_be_undone(&self, router: RouterId, way: &Way) -> bool {
        let key = match way {
            Way::Binding(mac) => UndoKey::Mac(*mac),
            Way::Account(name) => match name.parse() {
                Ok(mac) => UndoKey::Mac(mac),
                Err(_) => UndoKey::Name(name.parse().expect("a name")),
            },
        };
        let mut undo = self.store.undo_rows().into_iter();
        undo.any(|row| row.open && row.router == router && row.undo.key == key)
    }

    pub(crate) fn fault(&self, router: RouterId, fault: Fault) {
        let fault = match fault {
            Fault::None => gateway::Fault::None,
            Fault::Down => gateway::Fault::Down,
            Fault::BlackHole => gateway::Fault::BlackHole,
            Fault::LostAnswers => gateway::Fault::LostAnswers,
            Fault::Login => gateway::Fault::Login,
            Fault::NoPermission => gateway::Fault::NoPermission,
            Fault::Unreadable => gateway::Fault::Unreadable,
        };
        self.gateway.set_fault(router, fault);
    }

    pub(crate) async fn enable(&self, router: RouterId, enabled: bool) {
        let change = RouterChange {
            enabled: Some(enabled),
            ..RouterChange::default()
        };
        let changed = self.store.change_router(router, &change).await;
        changed.expect("a router can be switched");
        if !enabled {
            self.truth.disowned(router);
        }
    }

    /// One more router, in whose range some of the devices are, too.
    async fn new_router(&mut self) {
        let cast = self.plan.cast.clone();
        if self.routers.len() > cast.boxes() {
            return;
        }
        let router = self.add_router(None).await;
        for who in (0..cast.subscribers).step_by(2) {
            self.place(router, who);
        }
        self.know_strangers(router).await;
    }

    /// The operator puts another box in a router's place, set up like the first.
    async fn swap(&mut self, router: RouterId) {
        self.truth.restarted(router);
        self.gateway.swap(router, Hotspot::default());
        let places = self.places.clone();
        for (_, who) in places.into_iter().filter(|(at, _)| *at == router) {
            self.set_up(router, who);
        }
        self.by_hand.retain(|(at, _), _| *at != router);
        self.know_strangers(router).await;
    }

    /// On a new box the accounts of who was removed are strangers'.
    async fn know_strangers(&mut self, router: RouterId) {
        for (at, who) in self.places.clone() {
            if at == router && self.found(who).await.is_none() {
                self.let_in.insert((router, self.plan.cast.like(who)));
            }
        }
    }

    pub(crate) async fn accept(&self, router: RouterId) {
        self.truth.disowned(router);
        let accepted = self.store.accept_router(router).await;
        accepted.expect("a router can be accepted");
    }

    async fn readdress(&self, router: RouterId) {
        let routers = self.store.routers().await.expect("the routers");
        let known = routers.into_iter().find(|one| one.id == router);
        let change = RouterChange {
            host: known.map(|one| format!("{}x", one.address.host)),
            ..RouterChange::default()
        };
        self.truth.disowned(router);
        let changed = self.store.change_router(router, &change).await;
        changed.expect("a router can be moved");
    }

    /// What is pruned is kept for longer than anybody is frozen.
    async fn prune(&self) {
        if !self.truth.may_be_late() {
            let pruned = self.store.prune(Duration::from_secs(1), 500).await;
            pruned.expect("the store is there");
        }
    }

    pub(crate) fn freeze(&self, watcher: usize, frozen: bool) {
        self.truth.freeze(watcher, frozen);
        self.gates[watcher].set(frozen);
    }

    pub(crate) fn start(&mut self, number: usize) {
        let is_running = |running: &Running| !running.task.is_finished();
        if self.running[number].as_ref().is_some_and(is_running) {
            return;
        }
        self.starts += 1;
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(self.starts);
        let gate = self.gates[number].clone();
        let link = Link::new(
            self.store.clone(),
            gate.clone(),
            Arc::clone(&self.weather),
            seed,
            (number, Arc::clone(&self.truth)),
        );
        let wire = Wire {
            gateway: Arc::clone(&self.gateway),
            gate,
            truth: Arc::clone(&self.truth),
            number,
            connected: Mutex::default(),
        };
        let config = WatcherConfig {
            share_limit: self.plan.cast.share_limit,
            seed,
            ..WatcherConfig::default()
        };
        let watcher = Watcher::new(
            Arc::new(link),
            Arc::new(wire),
            Arc::new(self.clocks[number].clone()),
            Arc::new(NoEvents),
            config,
        );
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(watcher.run(token));
        self.running[number] = Some(Running { stop, task });
    }

    pub(crate) async fn update(&self) {
        let mut all = Vec::new();
        for tenant in [None, Some(self.other)] {
            let some = self.store.subscribers(tenant, SubscriberId(0), 100).await;
            all.extend(some.expect("the directory is always there"));
        }
        self.truth.update(all);
        self.judge_by_hand();
    }

    /// What the operator disabled stays disabled.
    fn judge_by_hand(&self) {
        for ((router, way), when) in &self.by_hand {
            let is_disabled = self
                .gateway
                .with(*router, |hotspot| way.is_disabled(hotspot));
            if is_disabled == Some(false) && !self.truth.was_in_hand(*router, way, *when) {
                self.truth.violate(format!(
                    "{way}, disabled by hand on r{router}, is enabled (R3)"
                ));
            }
        }
    }
}

/// Tells whether somebody may be online on one router only.
fn is_bound(who: usize) -> bool {
    who % 3 == 2
}
