//! One simulation: a database, routers with their devices, and watchers, all real but for the
//! hardware, while a plan happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use expiry_core::{
    Access, AccessChange, BrakeStore, Clock, Directory, MacAddr, NewRouter, NewSubscriber,
    NoEvents, RouterAddress, RouterChange, RouterId, Service, StatusStore, Subscriber,
    SubscriberId, UndoKey, Username,
    testing::{
        MemoryStore, SimGateway, TestClock,
        gateway::{self, Admission},
    },
    watcher::{WatchError, Watcher, WatcherConfig},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    plan::{Fault, Plan, Step, at},
    ports::{Gate, Link, Weather, Wire, lock},
    truth::Truth,
};

/// After this long without trouble everything must be as it should: time for the longest wait, the
/// brake's minute, and a reading of each router.
const CALM: Duration = Duration::from_mins(12);

pub(crate) const NAMES: [&str; 6] = ["255700000001", "255700000002", "joe", "joe1", "jo", "JOE"];
const MACHINES: [&str; 3] = ["m0", "m1", "m2"];

pub(crate) struct World {
    plan: Plan,
    truth: Arc<Truth>,
    database: TestClock,
    store: MemoryStore,
    gateway: Arc<SimGateway>,
    weather: Arc<Mutex<Weather>>,
    routers: Vec<RouterId>,
    clocks: Vec<TestClock>,
    gates: Vec<Gate>,
    running: Vec<Option<Running>>,
    /// What the operator disabled by hand, and when.
    by_hand: BTreeMap<(RouterId, usize), Instant>,
    /// Whose account the operator has enabled: of who was removed long ago, it is a stranger's.
    let_in: BTreeSet<(RouterId, usize)>,
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
            world.take(step).await;
            world.update().await;
            if !world.truth.violations().is_empty() {
                return world.truth;
            }
        }
        world.calm_down().await;
        world.judge().await;
        world.truth
    }

    async fn new(plan: Plan) -> Self {
        let database = TestClock::default();
        let truth = Truth::new(database.clone());
        let mut world = Self {
            store: MemoryStore::new(Arc::new(database.clone())),
            gateway: Arc::new(SimGateway::new(Duration::from_millis(20))),
            weather: Arc::default(),
            routers: Vec::new(),
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
        for number in 0..world.plan.cast.routers {
            let name = format!("r{}", number + 1);
            let address = RouterAddress {
                host: name.clone(),
                port: 8728,
                username: "expiry".into(),
                password: "secret".into(),
            };
            let new = NewRouter {
                name,
                tenant: None,
                address,
            };
            let router = world.store.add_router(&new).await.expect("a router");
            world.routers.push(router.id);
        }
        for who in 0..world.plan.cast.subscribers {
            let at = world.home_of(who);
            world.gateway.with(at, |hotspot| {
                hotspot.add_device(mac(who), &account(who), Admission::Account, who % 2 == 1);
            });
            world.add(who, 5 + 7 * who as u64).await;
        }
        for (number, clock) in world.clocks.iter().enumerate() {
            clock.synchronise(Some(true));
            world.truth.watcher(number, clock.clone());
        }
        world.update().await;
        world
    }

    /// Each device is in range of one router.
    fn home_of(&self, who: usize) -> RouterId {
        self.routers[who % self.routers.len()]
    }

    async fn add(&self, who: usize, seconds: u64) {
        let new = NewSubscriber {
            tenant: None,
            username: username(NAMES[who]),
            service: Service::Hotspot,
            access: Access::Until(self.database.wall() + Duration::from_secs(seconds)),
            router: (who % 3 == 2).then(|| self.home_of(who)),
            devices: [mac(who)].into(),
        };
        // The name or the device may be somebody's.
        let _ = self.store.add_subscriber(&new).await;
    }

    async fn found(&self, who: usize) -> Option<Subscriber> {
        let name = username(NAMES[who]);
        let found = self.store.subscriber(None, &name).await;
        found.expect("the directory is always there")
    }

    async fn change(&self, who: usize, change: AccessChange) {
        if let Some(found) = self.found(who).await {
            let changed = self.store.change_access(found.id, change).await;
            changed.expect("access can be changed");
        }
    }

    async fn take(&mut self, step: &Step) {
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
            Step::AllEnd => {
                let end = AccessChange::Set(Access::Until(self.database.wall()));
                for who in 0..self.plan.cast.subscribers {
                    self.change(who, end).await;
                }
            }
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
            Step::Present(who, present) => {
                let home = self.home_of(who);
                self.gateway
                    .with(home, |hotspot| hotspot.set_present(mac(who), present));
            }
            Step::ByHand(router, who, enabled) => self.by_hand(router, who, enabled),
            Step::Bypass(router, who) => {
                let at = self.routers[router];
                self.gateway.with(at, |hotspot| {
                    let mut bindings = hotspot.bindings.values();
                    if !bindings.any(|row| row.mac == Some(mac(who))) {
                        hotspot.add_binding(mac(who), "by hand", false);
                    }
                });
            }
            Step::Trial(router, trial) => {
                let at = self.routers[router];
                self.gateway.with(at, |hotspot| hotspot.trial = trial);
            }
            Step::Router(router, fault) => self.fault(self.routers[router], fault),
            Step::Restart(router) => {
                let at = self.routers[router];
                self.truth.restarted(at);
                self.gateway.with(at, gateway::Hotspot::reboot);
            }
            Step::Enable(router, enabled) => self.enable(self.routers[router], enabled).await,
            Step::DatabaseDown(down) => lock(&self.weather).down = down,
            Step::LoseAnswers(percent) => lock(&self.weather).lost_answers = percent,
            Step::Slow(most) => lock(&self.weather).latency = at(most),
            Step::Kill(watcher) => {
                if let Some(running) = self.running[watcher].take() {
                    running.task.abort();
                }
                self.freeze(watcher, false);
            }
            Step::Start(watcher) => self.start(watcher),
            Step::Stop(watcher) => {
                if let Some(running) = &self.running[watcher] {
                    running.stop.cancel();
                }
            }
            Step::Freeze(watcher, frozen) => self.freeze(watcher, frozen),
            Step::SetClock(watcher, seconds) => {
                self.clocks[watcher].step_wall(TimeDelta::seconds(seconds));
            }
            Step::SetDatabase(seconds) => {
                self.database.step_wall(TimeDelta::seconds(seconds));
            }
            Step::Suspend(watcher, seconds) => {
                self.clocks[watcher].suspend(Duration::from_secs(seconds));
            }
            Step::ReleaseBrakes => {
                let released = self.store.release_brakes().await;
                released.expect("they can be released");
                self.truth.tolerate();
            }
        }
    }

    async fn device(&self, who: usize, device: usize, added: bool) {
        let Some(found) = self.found(who).await else {
            return;
        };
        // It may be there already, or be somebody else's.
        let _ = if added {
            self.store.add_device(found.id, mac(device)).await
        } else {
            self.store.remove_device(found.id, mac(device)).await
        };
    }

    /// What is disabled already stays whose it is.
    fn by_hand(&mut self, router: usize, who: usize, enabled: bool) {
        let at = self.routers[router];
        let name = account(who);
        let changed = self.gateway.with(at, |hotspot| {
            let mut users = hotspot.users.values();
            let differs = users.any(|row| row.name == name && row.disabled == enabled);
            if differs {
                hotspot.set_user_disabled(&name, !enabled);
            }
            differs
        });
        if enabled {
            self.by_hand.remove(&(at, who));
            self.let_in.insert((at, who));
        } else if changed && !self.is_to_be_undone(at, who) {
            self.by_hand.insert((at, who), Instant::now());
        }
    }

    fn is_to_be_undone(&self, router: RouterId, who: usize) -> bool {
        let key = UndoKey::Name(username(NAMES[who]));
        let mut undo = self.store.undo_rows().into_iter();
        undo.any(|row| row.open && row.router == router && row.undo.key == key)
    }

    fn fault(&self, router: RouterId, fault: Fault) {
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

    async fn enable(&self, router: RouterId, enabled: bool) {
        let change = RouterChange {
            enabled: Some(enabled),
            ..RouterChange::default()
        };
        let changed = self.store.change_router(router, &change).await;
        changed.expect("a router can be switched");
    }

    fn freeze(&self, watcher: usize, frozen: bool) {
        self.truth.freeze(watcher, frozen);
        self.gates[watcher].set(frozen);
    }

    fn start(&mut self, number: usize) {
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
        );
        let wire = Wire {
            gateway: Arc::clone(&self.gateway),
            gate,
            truth: Arc::clone(&self.truth),
            number,
            connected: Mutex::default(),
        };
        let config = WatcherConfig {
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

    async fn update(&self) {
        let all = self.store.subscribers(None, SubscriberId(0), 100).await;
        self.truth
            .update(all.expect("the directory is always there"));
    }

    /// Mends everything, lets some pay, and waits.
    async fn calm_down(&mut self) {
        self.truth.tell("all is mended");
        *lock(&self.weather) = Weather::default();
        for router in self.routers.clone() {
            self.fault(router, Fault::None);
            self.enable(router, true).await;
            self.gateway.with(router, |hotspot| hotspot.trial = false);
        }
        for who in 0..self.plan.cast.subscribers {
            self.take(&Step::Present(who, true)).await;
        }
        for number in 0..self.plan.cast.watchers {
            self.freeze(number, false);
            let off = self.database.wall() - self.clocks[number].wall();
            self.clocks[number].step_wall(off);
        }
        self.update().await;
        sleep(Duration::from_secs(30)).await;
        self.take(&Step::ReleaseBrakes).await;
        for number in 0..self.plan.cast.watchers {
            self.start(number);
        }
        for who in (0..self.plan.cast.subscribers).step_by(2) {
            self.take(&Step::Pay(who, 7_200)).await;
        }
        self.update().await;
        sleep(CALM).await;
        self.update().await;
    }

    /// Everybody must be where their access says.
    async fn judge(&self) {
        let status = self.store.status(100).await.expect("the status");
        for item in &status.owed {
            let what = format!("{:?} of {} on {}", item.want, item.username, item.router);
            let why = item.last_error.as_deref().unwrap_or("not tried");
            self.truth
                .violate(format!("{what} is owed still: {why} (R2, R3)"));
        }
        let now = self.database.wall();
        let subscribers = self.truth.subscribers();
        for (who, name) in NAMES.iter().enumerate().take(self.plan.cast.subscribers) {
            let home = self.home_of(who);
            let (can_move, login, is_disabled) = self.gateway.with(home, |hotspot| {
                let active = hotspot
                    .actives
                    .values()
                    .find(|row| row.mac == Some(mac(who)));
                let login = active.map(|row| row.user.clone());
                let mut users = hotspot.users.values();
                let is_disabled = users.any(|row| row.name == account(who) && row.disabled);
                (hotspot.can_move(mac(who)), login, is_disabled)
            });
            let login = login.as_deref();
            let is_named = login.is_some_and(|login| {
                let mut names = NAMES.iter();
                names.any(|name| username(name).matches(login))
            });
            let of_login = login
                .and_then(MacAddr::from_login)
                .unwrap_or_else(|| mac(who));
            let mut all = subscribers.iter();
            let owner = all.find(|one| match login {
                Some(login) if is_named => one.username.matches(login),
                _ => one.devices.contains(&of_login),
            });
            let is_removed = owner.is_none() && is_named && !self.let_in.contains(&(home, who));
            let has_ended = owner.is_some_and(|owner| {
                let is_in_scope = owner.router.is_none_or(|at| at == home);
                is_in_scope && owner.access.has_ended(now)
            });
            if can_move && (has_ended || is_removed) {
                let by = login.unwrap_or("a bypass");
                self.truth
                    .violate(format!("device {} is on by {by} (R2)", mac(who)));
            }
            let own = subscribers
                .iter()
                .find(|one| one.username.as_str() == *name);
            let is_live = own.is_some_and(|own| own.access.is_live(now));
            let by_hand = self.by_hand.get(&(home, who));
            if is_live && is_disabled && by_hand.is_none() {
                self.truth
                    .violate(format!("{name} has paid and stays disabled (R3)"));
            }
        }
        for (&(router, who), &when) in &self.by_hand {
            let is_disabled = self.gateway.with(router, |hotspot| {
                let mut users = hotspot.users.values();
                users.any(|row| row.name == account(who) && row.disabled)
            });
            if !is_disabled && !self.truth.was_in_hand(router, &account(who), when) {
                let name = NAMES[who];
                self.truth.violate(format!(
                    "{name}, disabled by hand on {router}, is enabled (R3)"
                ));
            }
        }
    }
}

fn username(name: &str) -> Username {
    name.parse().expect("a name")
}

pub(crate) fn mac(number: usize) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, u8::try_from(number).expect("few")])
}

/// The account of a subscriber, as the operator spelled it.
fn account(who: usize) -> String {
    let name = NAMES[who];
    if who == 1 {
        format!("+{name}")
    } else {
        name.into()
    }
}
