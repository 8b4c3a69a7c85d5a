//! One simulation: a database, routers with their devices, and watchers, all real but for the
//! hardware, while a plan happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use expiry_core::{
    Access, Clock, Directory, NewRouter, NewSubscriber, NoEvents, RouterAddress, RouterId, Service,
    Subscriber, SubscriberId, TenantId,
    testing::{MemoryStore, SimGateway, TestClock, gateway::Admission},
    watcher::{WatchError, Watcher, WatcherConfig},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    orders::Way,
    past::Past,
    people::{PRINTER, STAFF, STAFF_ACCOUNT},
    plan::{Cast, Plan, at},
    ports::{Gate, Link, Weather, Wire},
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
    pub(crate) other: TenantId,
    pub(crate) routers: Vec<RouterId>,
    /// Which devices are in the range of which router.
    pub(crate) places: Vec<(RouterId, usize)>,
    pub(crate) clocks: Vec<TestClock>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) running: Vec<Option<Running>>,
    /// What the operator disabled by hand, and when.
    pub(crate) by_hand: BTreeMap<(RouterId, Way), Instant>,
    /// Whose account the operator has enabled: of who was removed long ago, it is a stranger's.
    pub(crate) let_in: BTreeSet<(RouterId, usize)>,
    /// The database as it was, if the plan puts it back.
    pub(crate) past: Option<Past>,
    starts: u64,
}

pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), WatchError>>,
}

impl World {
    pub(crate) async fn run(plan: &Plan) -> Arc<Truth> {
        let mut world = Self::new(plan.clone()).await;
        world.play().await;
        world.judge_watchers();
        world.truth
    }

    /// Has the plan happen, and judges its end; stops at the first violation.
    async fn play(&mut self) {
        for watcher in 0..self.plan.cast.watchers {
            self.start(watcher);
        }
        let began = Instant::now();
        for (when, step) in &self.plan.steps.clone() {
            sleep_until(began + at(*when)).await;
            self.truth.tell(format!("{step:?}"));
            self.truth.goes_on();
            self.take(step).await;
            self.update().await;
            if !self.truth.violations().is_empty() {
                return;
            }
        }
        self.past = None;
        self.calm_down().await;
        self.judge().await;
        if self.truth.violations().is_empty() {
            self.end_promptly().await;
        }
        if self.truth.violations().is_empty() {
            self.write_late().await;
        }
        if self.truth.violations().is_empty() {
            self.stop_beside_a_black_hole().await;
        }
        if self.truth.violations().is_empty() {
            self.lose_devices().await;
        }
    }

    /// No watcher ends that nobody ended.
    fn judge_watchers(&self) {
        for (number, running) in self.running.iter().enumerate() {
            let ended = running.as_ref().filter(|one| one.task.is_finished());
            if ended.is_some_and(|one| !one.stop.is_cancelled()) {
                self.truth
                    .violate(format!("w{number} has ended by itself (R8)"));
            }
        }
    }

    async fn new(plan: Plan) -> Self {
        let database = TestClock::default();
        let store = MemoryStore::new(Arc::new(database.clone()));
        let other = store.add_tenant("other", "Other").await.expect("a tenant");
        let truth = Truth::new(database.clone());
        let mut world = Self {
            past: Past::of(&plan, &store),
            store,
            other: other.id,
            gateway: Arc::new(SimGateway::new(Duration::from_millis(20))),
            weather: Arc::default(),
            routers: Vec::new(),
            places: Vec::new(),
            clocks: MACHINES.map(|name| database.on_machine(name)).to_vec(),
            gates: MACHINES.map(|_| Gate::default()).to_vec(),
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
    pub(crate) fn place(&mut self, router: RouterId, who: usize) {
        self.set_up(router, who);
        self.places.push((router, who));
    }

    /// Who is there beside subscribers.
    pub(crate) fn set_up_staff(&self, router: RouterId) {
        self.gateway.with(router, |hotspot| {
            hotspot.add_device(STAFF, STAFF_ACCOUNT, Admission::Account, true);
            hotspot.add_device(PRINTER, "printer", Admission::Bypass, true);
        });
    }

    pub(crate) fn set_up(&mut self, router: RouterId, who: usize) {
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

    pub(crate) async fn add_router(&mut self, tenant: Option<TenantId>) -> RouterId {
        let name = format!("r{}", self.routers.len() + 1);
        let address = RouterAddress {
            host: name.clone(),
            port: 8728,
            username: "expiry".into(),
        };
        let new = NewRouter {
            name,
            tenant,
            address,
            password: "secret".into(),
        };
        let router = self.store.add_router(&new).await.expect("a router");
        self.truth.router(router.id, tenant);
        self.forget_past();
        self.routers.push(router.id);
        self.set_up_staff(router.id);
        router.id
    }

    pub(crate) async fn add(&self, who: usize, seconds: u64) {
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

    pub(crate) fn start(&mut self, number: usize) {
        let is_running = |running: &Running| !running.task.is_finished();
        if self.running[number].as_ref().is_some_and(is_running) {
            return;
        }
        self.starts += 1;
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(self.starts);
        let gate = self.gates[number].clone();
        let link = Link {
            store: self.store.clone(),
            gateway: Arc::clone(&self.gateway),
            gate: gate.clone(),
            weather: Arc::clone(&self.weather),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            truth: Arc::clone(&self.truth),
            number,
        };
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
