//! Simulated routers, an embedded database, and the watcher between them.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, Event, MacAddr, NewRouter, NewSubscriber, Router, RouterAddress, RouterId, Service,
    Store, SystemClock,
    testing::Recorder,
    watcher::{WatchError, Watcher, WatcherConfig},
};
use expiry_mikrotik::{
    GatewayConfig, MikrotikGateway,
    sim::{ClientConfig, SimConfig, SimRouter, TrafficEvent},
};
use expiry_store::StoreConfig;
use tempfile::TempDir;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "bench";

/// Serial work of a router for each command.
pub(crate) const WORK: Duration = Duration::from_micros(500);

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) events: Arc<Recorder>,
    _directory: TempDir,
}

pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) sim: SimRouter,
    traffic: UnboundedReceiver<TrafficEvent>,
}

pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), WatchError>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}/expiry.db", directory.path().display());
        let config = StoreConfig::parse(&url).expect("a URL");
        Self {
            store: expiry_store::open(&config).await.expect("a store"),
            events: Arc::default(),
            _directory: directory,
        }
    }

    pub(crate) async fn site(&self, name: &str) -> Site {
        let sim = SimRouter::listen("127.0.0.1:0", sim_config(name))
            .await
            .expect("a port");
        let new = NewRouter {
            name: name.into(),
            tenant: None,
            address: RouterAddress {
                host: "127.0.0.1".into(),
                port: sim.addr().port(),
                username: "expiry".into(),
            },
            password: PASSWORD.into(),
        };
        Site {
            router: self.store.add_router(&new).await.expect("a router"),
            traffic: sim.traffic(),
            sim,
        }
    }

    /// A subscriber of one site with one device online there.
    pub(crate) async fn person(&self, site: &Site, number: u32, end: DateTime<Utc>) {
        let config = client(number);
        let new = NewSubscriber {
            tenant: None,
            username: config.name.parse().expect("a name"),
            service: Service::Hotspot,
            access: Access::Until(end),
            router: Some(site.router.id),
            devices: [config.mac].into(),
        };
        self.store.add_subscriber(&new).await.expect("a subscriber");
        site.sim.with(|sim| sim.add_client(config));
    }

    pub(crate) async fn now(&self) -> DateTime<Utc> {
        self.store.now().await.expect("a clock")
    }

    pub(crate) fn watch(&self, config: WatcherConfig) -> Running {
        let gateway = MikrotikGateway::new(GatewayConfig::default());
        let watcher = Watcher::new(
            Arc::clone(&self.store) as _,
            Arc::new(gateway),
            Arc::new(SystemClock),
            Arc::clone(&self.events) as _,
            config,
        );
        let stop = CancellationToken::new();
        let token = stop.clone();
        Running {
            stop,
            task: tokio::spawn(watcher.run(token)),
        }
    }

    /// Waits until the watcher serves so many routers.
    pub(crate) async fn reached(&self, routers: usize) {
        let reached = |event: &Event| matches!(event, Event::RouterReached { .. });
        self.events
            .wait_for(Duration::from_secs(10), routers, reached)
            .await;
    }
}

impl Site {
    /// When traffic of each device stopped for the last time, counted from `since`.
    pub(crate) fn stops(&mut self, since: tokio::time::Instant) -> Vec<Duration> {
        let started = self.sim.started();
        let mut stops = std::collections::BTreeMap::new();
        while let Ok(event) = self.traffic.try_recv() {
            if event.moving {
                stops.remove(&event.client);
            } else {
                let at = (started + event.at).saturating_duration_since(since);
                stops.insert(event.client, at);
            }
        }
        stops.into_values().collect()
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = self.task.await.expect("no panic");
        ended.expect("a clean stop");
    }
}

pub(crate) fn is_cut_on(router: RouterId) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Cut { router: on, .. } if *on == router)
}

pub(crate) fn sim_config(name: &str) -> SimConfig {
    SimConfig {
        identity: name.into(),
        serial: Some(format!("BENCH-{name}")),
        delay: WORK,
        ..SimConfig::new("expiry", PASSWORD.into())
    }
}

/// One device with one cookie and two connections, that comes back as soon as it can.
pub(crate) fn client(number: u32) -> ClientConfig {
    let [_, high, middle, low] = number.to_be_bytes();
    ClientConfig {
        with_cookie: true,
        persistent: true,
        connections: 2,
        fasttrack: true,
        ..ClientConfig::new(
            format!("2557{number:08}"),
            MacAddr::new([2, 0, 0, high, middle, low]),
        )
    }
}
