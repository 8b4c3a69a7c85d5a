use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use expiry_core::{
    BlockOrder, DropOrder, GatewayError, Query, Refusal, Router, RouterFacts, RouterGateway,
    RouterId, RouterLogin, Sighting, UnblockOrder, testing::SimGateway,
};
use tokio::time::{Instant, sleep};

/// A gateway through which whole routers are read slowly, or not at all, and which knows when.
pub(crate) struct Reading {
    inner: Arc<SimGateway>,
    takes: Duration,
    fails: Mutex<Option<GatewayError>>,
    begun: Mutex<Vec<(RouterId, Instant)>>,
}

impl Reading {
    pub(crate) fn new(inner: &Arc<SimGateway>, takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            takes,
            fails: Mutex::default(),
            begun: Mutex::default(),
        })
    }

    /// Lets all readings fail from now on, or none.
    pub(crate) fn fail(&self, with: Option<GatewayError>) {
        *self.fails.lock().unwrap_or_else(PoisonError::into_inner) = with;
    }

    /// Returns when readings of a router began.
    pub(crate) fn begun(&self, router: RouterId) -> Vec<Instant> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let of_router = begun.iter().filter(|(id, _)| *id == router);
        of_router.map(|(_, at)| *at).collect()
    }
}

#[async_trait]
impl RouterGateway for Reading {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        self.inner.look(login, query).await
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        self.inner.block(router, order, query).await
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.inner.drop_rows(router, order).await
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.inner.unblock(router, order).await
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        let now = (login.router.id, Instant::now());
        let fails = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.push(now);
            let fails = self.fails.lock().unwrap_or_else(PoisonError::into_inner);
            fails.clone()
        };
        sleep(self.takes).await;
        match fails {
            Some(error) => Err(error),
            None => self.inner.sessions(login).await,
        }
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        self.inner.probe(login).await
    }

    async fn close(&self, router: RouterId) {
        self.inner.close(router).await;
    }
}
