use std::{collections::BTreeSet, sync::Arc, time::Duration};

use expiry_core::{
    Access, AccessChange, Clock, Directory, Event, MacAddr, NewRouter, NewSubscriber, Router,
    RouterAddress, RouterGateway, RouterId, Service, Subscriber, SubscriberId,
    testing::{MemoryStore, Recorder, SimGateway, TestClock, gateway::Admission},
    watcher::{OnceReport, WatchError, Watcher, WatcherConfig},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The time that one flight takes.
pub(crate) const FLIGHT: Duration = Duration::from_millis(10);

/// A store, routers, devices, and a record of what watchers did.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) gateway: Arc<SimGateway>,
    pub(crate) events: Arc<Recorder>,
}

/// A running watcher.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), WatchError>>,
}

impl World {
    /// The store's clock is that of the watchers' machine.
    pub(crate) fn new() -> Self {
        let clock = TestClock::default();
        Self::with_clocks(&clock.clone(), clock)
    }

    /// The store's clock is another machine's.
    pub(crate) fn with_clocks(store: &TestClock, clock: TestClock) -> Self {
        Self {
            store: Arc::new(MemoryStore::new(Arc::new(store.clone()))),
            gateway: Arc::new(SimGateway::new(FLIGHT)),
            events: Arc::default(),
            clock,
        }
    }

    pub(crate) async fn router(&self, name: &str) -> Router {
        let address = RouterAddress {
            host: name.into(),
            port: 8728,
            username: "expiry".into(),
        };
        let new = NewRouter {
            name: name.into(),
            tenant: None,
            address,
            password: "secret".into(),
        };
        self.store.add_router(&new).await.expect("a router")
    }

    /// A subscriber with one device in range of `router`, let in by `by`.
    pub(crate) async fn subscriber(
        &self,
        router: &Router,
        number: u8,
        ends_in: Duration,
        by: Admission,
    ) -> Subscriber {
        let username = username(number);
        self.gateway.with(router.id, |hotspot| {
            hotspot.add_device(mac(number), &username, by, number.is_multiple_of(2));
        });
        let new = NewSubscriber {
            tenant: None,
            username: username.parse().expect("a username"),
            service: Service::Hotspot,
            access: Access::Until(self.clock.wall() + ends_in),
            router: Some(router.id),
            devices: BTreeSet::from([mac(number)]),
        };
        self.store.add_subscriber(&new).await.expect("a subscriber")
    }

    /// Waits for the first confirmed cut; returns its lag and whether it counts as an outage's.
    pub(crate) async fn cut(&self, patience: Duration) -> (Duration, bool) {
        self.events.wait_for_cuts(patience, 1, is_cut).await[0]
    }

    pub(crate) async fn pay(&self, subscriber: SubscriberId) {
        let change = AccessChange::Extend(Duration::from_hours(1));
        self.store
            .change_access(subscriber, change)
            .await
            .expect("a payment");
    }

    pub(crate) fn watcher(&self) -> Watcher {
        self.watcher_with(Arc::clone(&self.gateway) as _, WatcherConfig::default())
    }

    pub(crate) fn watcher_with(
        &self,
        gateway: Arc<dyn RouterGateway>,
        config: WatcherConfig,
    ) -> Watcher {
        let store = Arc::clone(&self.store) as _;
        let events = Arc::clone(&self.events) as _;
        Watcher::new(store, gateway, Arc::new(self.clock.clone()), events, config)
    }

    /// Starts a watcher on another machine.
    pub(crate) fn start_on(&self, clock: &TestClock) -> Running {
        let store = Arc::clone(&self.store) as _;
        let gateway = Arc::clone(&self.gateway) as _;
        let events = Arc::clone(&self.events) as _;
        let config = WatcherConfig::default();
        let clock = Arc::new(clock.clone());
        Self::start_watcher(Watcher::new(store, gateway, clock, events, config))
    }

    /// Has a watcher do everything once.
    pub(crate) async fn once(&self) -> OnceReport {
        let stop = CancellationToken::new();
        self.watcher().run_once(stop).await.expect("a check")
    }

    pub(crate) fn start(&self) -> Running {
        Self::start_watcher(self.watcher())
    }

    pub(crate) fn start_watcher(watcher: Watcher) -> Running {
        let stop = CancellationToken::new();
        let token = stop.clone();
        Running {
            stop,
            task: tokio::spawn(async move { watcher.run(token).await }),
        }
    }

    pub(crate) fn can_move(&self, router: RouterId, number: u8) -> bool {
        self.gateway
            .with(router, |hotspot| hotspot.can_move(mac(number)))
    }

    pub(crate) fn is_disabled(&self, router: RouterId, name: &str) -> bool {
        self.gateway.with(router, |hotspot| {
            hotspot
                .users
                .values()
                .find(|row| row.name == name)
                .expect("an account")
                .disabled
        })
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean stop");
    }
}

pub(crate) fn mac(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 1, number])
}

pub(crate) fn username(number: u8) -> String {
    format!("2557000000{number:02}")
}

pub(crate) fn is_cut(event: &Event) -> bool {
    matches!(event, Event::Cut { .. })
}

pub(crate) fn is_restored(event: &Event) -> bool {
    matches!(event, Event::Restored { .. })
}
