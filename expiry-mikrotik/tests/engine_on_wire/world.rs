use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use expiry_core::{
    Access, AccessChange, Clock, Directory, MacAddr, NewRouter, NewSubscriber, Router,
    RouterAddress, Service, SubscriberId,
    testing::{MemoryStore, TestClock},
    watcher::{WatchError, Watcher, WatcherConfig},
};
use expiry_mikrotik::{
    Dialer, GatewayConfig, MikrotikGateway, Stream,
    sim::{
        Access as Entry, ClientConfig, ClientId, LoginMethod, SimConfig, SimRouter, Simulator,
        TrafficEvent,
    },
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use expiry_core::testing::Recorder;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// When access ends in most tests, counted from the start.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A moment before [`DEADLINE`].
pub(crate) const SHORTLY_BEFORE: Duration = Duration::from_secs(9);

/// A store, a gateway to any number of sites, and a record of what watchers did.
pub(crate) struct World {
    pub(crate) origin: Instant,
    pub(crate) clock: TestClock,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) events: Arc<Recorder>,
    gateway: Arc<MikrotikGateway>,
    switchboard: Switchboard,
}

/// A router: what the store knows of it, and what it really does.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) sim: Arc<SimRouter>,
    traffic: Mutex<(UnboundedReceiver<TrafficEvent>, Vec<TrafficEvent>)>,
}

/// A running watcher.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), WatchError>>,
}

/// How a device comes in. All have every cookie that they can have and never give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Account,
    /// By an account that the router spells with a `+`.
    Plus,
    Fasttrack,
    Bypass,
    BypassFasttrack,
    MacLogin,
}

pub(crate) const WAYS: [Way; 6] = [
    Way::Account,
    Way::Plus,
    Way::Fasttrack,
    Way::Bypass,
    Way::BypassFasttrack,
    Way::MacLogin,
];

/// A subscriber with one device in range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) id: SubscriberId,
    pub(crate) client: ClientId,
}

impl World {
    pub(crate) fn new() -> Self {
        let origin = Instant::now();
        let clock = TestClock::default();
        let switchboard = Switchboard::default();
        let config = GatewayConfig {
            dialer: Arc::new(switchboard.clone()),
            ..GatewayConfig::default()
        };
        Self {
            origin,
            store: Arc::new(MemoryStore::new(Arc::new(clock.clone()))),
            gateway: Arc::new(MikrotikGateway::new(config)),
            switchboard,
            events: Arc::default(),
            clock,
        }
    }

    pub(crate) async fn site(&self, name: &str) -> Site {
        self.site_with(config(name)).await
    }

    pub(crate) async fn site_with(&self, config: SimConfig) -> Site {
        let new = NewRouter {
            name: config.identity.clone(),
            tenant: None,
            address: RouterAddress {
                host: config.identity.clone(),
                port: 8728,
                username: "expiry".into(),
            },
            password: "secret".into(),
        };
        let sim = Arc::new(SimRouter::offline(config));
        let traffic = Mutex::new((sim.traffic(), Vec::new()));
        self.switchboard.connect(&new.name, &sim);
        let router = self.store.add_router(&new).await.expect("a router");
        Site {
            router,
            sim,
            traffic,
        }
    }

    /// A subscriber of one site with one device that is online there.
    pub(crate) async fn person(
        &self,
        site: &Site,
        number: u16,
        way: Way,
        ends_in: Duration,
    ) -> Person {
        let client = site.sim.with(|sim| sim.add_client(client(number, way)));
        let id = self
            .subscribe(site, &name(number), &[mac(number)], ends_in)
            .await;
        Person { id, client }
    }

    pub(crate) async fn subscribe(
        &self,
        site: &Site,
        name: &str,
        macs: &[MacAddr],
        ends_in: Duration,
    ) -> SubscriberId {
        let new = NewSubscriber {
            tenant: None,
            username: name.parse().expect("a username"),
            service: Service::Hotspot,
            access: Access::Until(self.clock.wall() + ends_in),
            router: Some(site.router.id),
            devices: macs.iter().copied().collect::<BTreeSet<_>>(),
        };
        let made = self.store.add_subscriber(&new).await;
        made.expect("a subscriber").id
    }

    pub(crate) async fn pay(&self, subscriber: SubscriberId) {
        pay(&self.store, subscriber).await;
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(WatcherConfig::default())
    }

    pub(crate) fn start_with(&self, config: WatcherConfig) -> Running {
        let watcher = Watcher::new(
            Arc::clone(&self.store) as _,
            Arc::clone(&self.gateway) as _,
            Arc::new(self.clock.clone()),
            Arc::clone(&self.events) as _,
            config,
        );
        let stop = CancellationToken::new();
        let token = stop.clone();
        Running {
            stop,
            task: tokio::spawn(async move { watcher.run(token).await }),
        }
    }

    /// Sleeps until this long after the start.
    pub(crate) async fn reach(&self, after: Duration) {
        tokio::time::sleep_until(self.origin + after).await;
    }

    /// Whether anything is open: a cut or restore, a look, an undo row.
    pub(crate) fn undone(&self) -> usize {
        let undo = self.store.undo_rows();
        undo.iter().filter(|row| row.open).count()
    }
}

pub(crate) async fn pay(store: &MemoryStore, subscriber: SubscriberId) {
    let change = AccessChange::Extend(Duration::from_hours(1));
    let paid = store.change_access(subscriber, change).await;
    paid.expect("a payment");
}

impl Site {
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Simulator) -> R) -> R {
        self.sim.with(act)
    }

    pub(crate) fn can_move(&self, person: &Person) -> bool {
        self.with(|sim| sim.client_can_move_bytes(person.client))
    }

    pub(crate) fn could_log_in(&self, person: &Person) -> bool {
        self.with(|sim| sim.client_could_log_in(person.client))
    }

    /// All beginnings and ends of traffic so far, by the time since the world's start.
    pub(crate) fn traffic(&self, world: &World) -> Vec<(Duration, ClientId, bool)> {
        self.with(|_| ());
        let mut traffic = self.traffic.lock().expect("no panic");
        let (news, known) = &mut *traffic;
        while let Ok(event) = news.try_recv() {
            known.push(event);
        }
        let started = self.sim.started().duration_since(world.origin);
        let all = known.iter();
        all.map(|event| (started + event.at, event.client, event.moving))
            .collect()
    }

    /// When the traffic of a device stopped for the last time.
    pub(crate) fn stopped(&self, world: &World, client: ClientId) -> Option<Duration> {
        let traffic = self.traffic(world);
        let last = traffic.into_iter().rfind(|(_, of, _)| *of == client)?;
        (!last.2).then_some(last.0)
    }

    pub(crate) fn is_disabled(&self, name: &str) -> bool {
        let users = self.with(|sim| sim.users());
        let user = users.iter().find(|user| user.name == name);
        user.expect("an account").disabled
    }

    /// Commands done so far.
    pub(crate) fn commands(&self) -> u64 {
        self.with(|sim| sim.stats().commands.values().sum())
    }

    /// Waits until the router has done so many commands.
    pub(crate) async fn done(&self, commands: u64) {
        while self.commands() < commands {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean stop");
    }
}

/// A router that offers every login but trials, and takes half a millisecond for a command.
pub(crate) fn config(name: &str) -> SimConfig {
    let methods = [
        LoginMethod::Cookie,
        LoginMethod::Form,
        LoginMethod::Mac,
        LoginMethod::MacCookie,
    ];
    SimConfig {
        identity: name.into(),
        serial: Some(format!("SERIAL-{name}")),
        login_by: methods.into(),
        delay: Duration::from_micros(500),
        ..SimConfig::new("expiry", "secret".into())
    }
}

pub(crate) fn mac(number: u16) -> MacAddr {
    let [high, low] = number.to_be_bytes();
    MacAddr::new([2, 0, 0, 0xAB, high, low])
}

pub(crate) fn name(number: u16) -> String {
    format!("2557000{number:05}")
}

pub(crate) fn client(number: u16, way: Way) -> ClientConfig {
    let account = match way {
        Way::MacLogin => mac(number).to_string(),
        Way::Plus => format!("+{}", name(number)),
        Way::Account | Way::Fasttrack | Way::Bypass | Way::BypassFasttrack => name(number),
    };
    let by_account = !matches!(way, Way::Bypass | Way::BypassFasttrack);
    ClientConfig {
        access: if by_account {
            Entry::Account
        } else {
            Entry::Bypass
        },
        with_cookie: by_account,
        mac_cookie: by_account,
        persistent: true,
        connections: 3,
        fasttrack: matches!(way, Way::Fasttrack | Way::BypassFasttrack),
        ..ClientConfig::new(account, mac(number))
    }
}

/// Streams in memory to simulated routers, by host name.
#[derive(Clone, Debug, Default)]
struct Switchboard(Arc<Mutex<BTreeMap<String, Arc<SimRouter>>>>);

impl Switchboard {
    fn connect(&self, host: &str, router: &Arc<SimRouter>) {
        let mut routers = self.0.lock().expect("no panic");
        routers.insert(host.into(), Arc::clone(router));
    }
}

#[async_trait]
impl Dialer for Switchboard {
    async fn dial(&self, address: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        let found = {
            let routers = self.0.lock().expect("no panic");
            routers.get(&address.host).cloned()
        };
        let router = found.ok_or(io::ErrorKind::HostUnreachable)?;
        router.dial(address).await
    }
}
