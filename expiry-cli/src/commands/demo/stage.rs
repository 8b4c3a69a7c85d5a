//! Simulated routers, a database, and the subscribers in both.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use expiry_core::{
    Access, AccessChange, Clock, NewRouter, NewSubscriber, RouterAddress, RouterId, Service, Store,
    StoreError, Subscriber, SubscriberId, SystemClock,
};
use expiry_mikrotik::sim::{ClientId, LoginMethod, SimConfig, SimRouter, TrafficEvent};
use secrecy::SecretString;
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

use super::plan::{Actor, Plan};
use crate::error::CliError;

/// What a payment buys.
const BOUGHT: Duration = Duration::from_hours(24);
/// Time that is set aside to make one subscriber before the play starts.
const TO_MAKE_ONE: Duration = Duration::from_millis(5);

pub(super) struct Stage {
    pub(super) store: Arc<dyn Store>,
    /// When the play starts.
    pub(super) start: Instant,
    routers: Vec<SimRouter>,
    traffic: Vec<UnboundedReceiver<TrafficEvent>>,
    /// Of each actor.
    clients: Vec<(usize, ClientId)>,
    /// Of each actor.
    subscribers: Vec<SubscriberId>,
}

impl Stage {
    pub(super) async fn build(
        plan: &Plan,
        routers: usize,
        store: Arc<dyn Store>,
    ) -> Result<Self, CliError> {
        let lead = TO_MAKE_ONE * u32::try_from(plan.actors.len()).unwrap_or(u32::MAX);
        let opening = SystemClock.wall() + lead;
        let mut stage = Self {
            store,
            start: Instant::now() + lead,
            routers: Vec::new(),
            traffic: Vec::new(),
            clients: Vec::new(),
            subscribers: Vec::new(),
        };
        let mut ids = Vec::new();
        for index in 0..routers {
            ids.push(stage.add_router(index).await?);
        }
        for actor in &plan.actors {
            let access = Access::Until(opening + actor.ends);
            stage.add_actor(actor, ids[actor.router], access).await?;
        }
        Ok(stage)
    }

    async fn add_router(&mut self, index: usize) -> Result<RouterId, CliError> {
        let name = router_name(index);
        let password = SecretString::from(format!("{:032x}", rand::random::<u128>()));
        let config = SimConfig {
            identity: name.clone(),
            serial: Some(format!("DEMO{index:04}")),
            delay: Duration::from_micros(500),
            login_by: [
                LoginMethod::Cookie,
                LoginMethod::MacCookie,
                LoginMethod::Form,
            ]
            .into(),
            wall_clock_start: u64::try_from(SystemClock.wall().timestamp()).unwrap_or_default(),
            ..SimConfig::new("expiry", password.clone())
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let router = SimRouter::listen(address, config).await;
        let router = router.map_err(|source| CliError::Listen { address, source })?;
        let new = NewRouter {
            name,
            tenant: None,
            address: RouterAddress {
                host: router.addr().ip().to_string(),
                port: router.addr().port(),
                username: "expiry".into(),
            },
            password,
        };
        self.traffic.push(router.traffic());
        self.routers.push(router);
        Ok(self.store.add_router(&new).await?.id)
    }

    async fn add_actor(
        &mut self,
        actor: &Actor,
        router: RouterId,
        access: Access,
    ) -> Result<(), CliError> {
        let new = NewSubscriber {
            tenant: None,
            username: actor.username.clone(),
            service: Service::Hotspot,
            access,
            router: Some(router),
            devices: [actor.mac].into(),
        };
        self.subscribers
            .push(self.store.add_subscriber(&new).await?.id);
        let client = self.routers[actor.router].with(|sim| sim.add_client(actor.client()));
        self.clients.push((actor.router, client));
        Ok(())
    }

    pub(super) async fn pay(&self, actor: usize) -> Result<Subscriber, StoreError> {
        let id = self.subscribers[actor];
        self.store
            .change_access(id, AccessChange::Extend(BOUGHT))
            .await
    }

    pub(super) async fn cut_link(&self, router: usize) {
        self.routers[router].down().await;
    }

    pub(super) async fn mend_link(&self, router: usize) {
        self.routers[router].up().await;
    }

    pub(super) fn can_move_bytes(&self, actor: usize) -> bool {
        let (router, client) = self.clients[actor];
        self.routers[router].with(|sim| sim.client_can_move_bytes(client))
    }

    pub(super) fn could_log_in(&self, actor: usize) -> bool {
        let (router, client) = self.clients[actor];
        self.routers[router].with(|sim| sim.client_could_log_in(client))
    }

    /// Returns when traffic of each actor stopped, so far.
    pub(super) fn stops(&mut self) -> Vec<Vec<Instant>> {
        let mut stops = vec![Vec::new(); self.clients.len()];
        for (index, traffic) in self.traffic.iter_mut().enumerate() {
            let started = self.routers[index].started();
            while let Ok(event) = traffic.try_recv() {
                let of = |client: &(usize, ClientId)| *client == (index, event.client);
                if !event.moving
                    && let Some(actor) = self.clients.iter().position(of)
                {
                    stops[actor].push(started + event.at);
                }
            }
        }
        stops
    }
}

pub(super) fn router_name(index: usize) -> String {
    format!("demo-{}", index + 1)
}
