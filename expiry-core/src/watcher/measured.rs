use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

use super::{Shared, feed::log_store_failure};
use crate::{
    BlockOrder, DropOrder, GatewayError, Histogram, Query, Refusal, Router, RouterFacts,
    RouterGateway, RouterId, RouterLogin, Sighting, Survey, UnblockOrder, Waiting,
};

/// The time between two records of what was measured.
const PACE: Duration = Duration::from_secs(15);

/// How long the last record may take.
const LAST: Duration = Duration::from_secs(2);

/// A gateway that measures how long routers take to answer.
pub(super) struct Measured {
    gateway: Arc<dyn RouterGateway>,
    requests: Mutex<BTreeMap<RouterId, Histogram>>,
}

impl Measured {
    pub(super) fn new(gateway: Arc<dyn RouterGateway>) -> Self {
        Self {
            gateway,
            requests: Mutex::default(),
        }
    }

    async fn time<T>(
        &self,
        router: &Router,
        request: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        let began = Instant::now();
        let answer = request.await?;
        let mut requests = self.requests();
        requests
            .entry(router.id)
            .or_default()
            .record(began.elapsed());
        Ok(answer)
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<RouterId, Histogram>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> BTreeMap<RouterId, Histogram> {
        std::mem::take(&mut *self.requests())
    }

    fn put_back(&self, taken: &BTreeMap<RouterId, Histogram>) {
        let mut requests = self.requests();
        for (router, histogram) in taken {
            requests.entry(*router).or_default().add(histogram);
        }
    }
}

#[async_trait]
impl RouterGateway for Measured {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        self.time(&login.router, self.gateway.look(login, query))
            .await
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        self.time(router, self.gateway.block(router, order, query))
            .await
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.time(router, self.gateway.drop_rows(router, order))
            .await
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.time(router, self.gateway.unblock(router, order)).await
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        self.time(&login.router, self.gateway.sessions(login)).await
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        self.time(&login.router, self.gateway.probe(login)).await
    }

    async fn survey(&self, login: &RouterLogin) -> Result<Survey, GatewayError> {
        self.time(&login.router, self.gateway.survey(login)).await
    }

    async fn close(&self, router: RouterId) {
        self.gateway.close(router).await;
    }

    fn waiting(&self, router: RouterId) -> Option<Waiting> {
        self.gateway.waiting(router)
    }

    async fn dialled(&self, router: RouterId) -> u64 {
        self.gateway.dialled(router).await
    }

    async fn hung_up(&self, router: RouterId) {
        self.gateway.hung_up(router).await;
    }
}

/// Records now and then what was measured. Never returns.
pub(super) async fn keep(shared: &Shared) {
    let mut failures = 0;
    loop {
        sleep(PACE).await;
        record(shared, &mut failures).await;
    }
}

/// Records what was measured since, before the end.
pub(super) async fn keep_rest(shared: &Shared) {
    let _ = timeout(LAST, record(shared, &mut 0)).await;
}

/// What cannot be recorded waits for the next time.
async fn record(shared: &Shared, failures: &mut u32) {
    let requests = shared.measured.take();
    if requests.is_empty() {
        return;
    }
    match shared.store.note_requests(&requests).await {
        Ok(()) => *failures = 0,
        Err(error) => {
            shared.measured.put_back(&requests);
            log_store_failure(failures, "a record of what was measured", &error);
        }
    }
}
