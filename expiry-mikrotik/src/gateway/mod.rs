//! The gateway: flights over one warm connection for each router, and another beside one that is
//! silent.

mod config;
mod flight;
mod line;
mod listen;
mod race;
mod slot;
#[cfg(test)]
mod tests;
mod tolerance;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use expiry_core::{
    BlockOrder, DropOrder, GatewayError, Query, Refusal, Router, RouterFacts, RouterGateway,
    RouterId, RouterLogin, Sighting, Survey, UnblockOrder, Waiting,
};

pub use self::config::GatewayConfig;
use self::{flight::Flight, slot::Slot};
use crate::{gauge::Gauge, hotspot};

/// Talks to MikroTik routers over their API service.
///
/// Calls for one router wait for each other; calls for different routers do not.
#[derive(Debug)]
pub struct MikrotikGateway {
    config: GatewayConfig,
    places: Mutex<BTreeMap<RouterId, Place>>,
}

/// A router's slot, and what is told of it while it is in use.
#[derive(Clone, Debug)]
struct Place {
    slot: Arc<tokio::sync::Mutex<Slot>>,
    gauge: Arc<Gauge>,
}

impl MikrotikGateway {
    /// Makes a gateway without any connection.
    pub fn new(config: GatewayConfig) -> Self {
        Self {
            config,
            places: Mutex::default(),
        }
    }

    fn slot(&self, router: RouterId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut places = self.places();
        let place = places.entry(router).or_insert_with(|| {
            let gauge = Arc::new(Gauge::default());
            let slot = Slot::new(&self.config.connection, Arc::clone(&gauge));
            Place {
                slot: Arc::new(tokio::sync::Mutex::new(slot)),
                gauge,
            }
        });
        Arc::clone(&place.slot)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<RouterId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(
        &self,
        login: &RouterLogin,
        flight: Flight<'_>,
    ) -> Result<Sighting, GatewayError> {
        let slot = self.slot(login.router.id);
        let mut slot = slot.lock().await;
        let (seen, _) = slot.fly_or_dial(&self.config, login, &flight).await?;
        Ok(seen)
    }

    async fn write(
        &self,
        router: &Router,
        flight: Flight<'_>,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        let slot = self.slot(router.id);
        let mut slot = slot.lock().await;
        slot.fly(&self.config, router, &flight).await
    }
}

#[async_trait]
impl RouterGateway for MikrotikGateway {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        let flight = Flight {
            writes: Vec::new(),
            reads: hotspot::matching(query),
            addresses: &query.addresses,
        };
        self.read(login, flight).await
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        let flight = Flight {
            writes: hotspot::block(order),
            reads: hotspot::matching_sessions(query),
            addresses: &query.addresses,
        };
        self.write(router, flight).await
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        let flight = Flight {
            writes: hotspot::drop_rows(order),
            reads: Vec::new(),
            addresses: &BTreeSet::new(),
        };
        let (_, refusals) = self.write(router, flight).await?;
        Ok(refusals)
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        let flight = Flight {
            writes: hotspot::unblock(order),
            reads: Vec::new(),
            addresses: &BTreeSet::new(),
        };
        let (_, refusals) = self.write(router, flight).await?;
        Ok(refusals)
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        let flight = Flight {
            writes: Vec::new(),
            reads: hotspot::all_sessions(),
            addresses: &BTreeSet::new(),
        };
        self.read(login, flight).await
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        let slot = self.slot(login.router.id);
        let mut slot = slot.lock().await;
        slot.probe(&self.config, login).await
    }

    async fn survey(&self, login: &RouterLogin) -> Result<Survey, GatewayError> {
        let slot = self.slot(login.router.id);
        let mut slot = slot.lock().await;
        slot.survey(&self.config, login).await
    }

    async fn close(&self, router: RouterId) {
        let slot = self.slot(router);
        slot.lock().await.close();
    }

    fn waiting(&self, router: RouterId) -> Option<Waiting> {
        self.places().get(&router)?.gauge.waiting()
    }

    async fn dialled(&self, router: RouterId) -> u64 {
        self.slot(router).lock().await.dialled()
    }

    async fn hung_up(&self, router: RouterId) {
        let slot = self.slot(router);
        slot.lock().await.hung_up().await;
    }
}
