//! What all requests share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use expiry_core::{
    AuditEvent, AuditStore, Directory, EnforcementStore, Explanation, LagReport, Overdue, OwedItem,
    PasswordStore, RouterCounts, RouterGateway, StatusStore, StoreError, Summary, Upcoming,
    watcher::Watcher,
};
use secrecy::SecretString;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    HostName, Network, auth::Token, cached::Cached, checks::Checks, client::First, guard::Guard,
    pace::Pace, places::Places, problem::Problem, turns::Turns, v1::stream::Feed,
};

/// Access that ends within this is about to end.
pub(crate) const SOON: Duration = Duration::from_mins(30);

/// Most entries of a list in a summary.
pub(crate) const MOST: u32 = 1_000;

/// Most streams of events at once; one address may have a quarter of them.
const STREAMS: usize = 1_024;

/// So many routers that callers name are tested at once, and within a minute.
const TESTS: usize = 4;
const TESTS_A_MINUTE: usize = 30;

/// So many answers are kept of one summary; hardly anybody asks for lists of another length.
const FEW: usize = 8;

/// Everything the service needs.
pub struct Service {
    /// What is true now.
    pub status: Arc<dyn StatusStore>,
    /// What happened.
    pub audit: Arc<dyn AuditStore>,
    /// Tells what time it is: the clock of this machine may be wrong.
    pub time: Arc<dyn EnforcementStore>,
    /// Tenants, routers, subscribers.
    pub directory: Arc<dyn Directory>,
    /// The passwords of routers, to test one.
    pub passwords: Arc<dyn PasswordStore>,
    /// Makes a gateway with connections of its own, to test a router.
    pub gateways: Box<dyn Fn() -> Arc<dyn RouterGateway> + Send + Sync>,
    /// Makes a watcher, to run one check.
    pub watchers: Box<dyn Fn() -> Watcher + Send + Sync>,
    /// Says what is wrong with the watcher that runs inside, if one does and something is.
    pub unwell: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Says in words what happened and why.
    pub words: Arc<dyn Words>,
    /// The token that opens it.
    pub token: SecretString,
    /// Proxies whose word for where a request comes from is taken.
    pub proxies: Vec<Network>,
    /// Names that it is called by, besides its addresses and those of its machine.
    pub hosts: Vec<HostName>,
    /// The longest time between two looks at the database of a watcher that does not say it, or of the
    /// one to come if none is alive.
    pub interval: Duration,
    /// How long the watchers keep events.
    pub keep: Duration,
    /// Ends streams, checks and tests of routers when it is cancelled.
    pub stop: CancellationToken,
}

/// Puts into words what the store tells.
pub trait Words: Send + Sync {
    /// Says what happened, in a line.
    fn event(&self, event: &AuditEvent) -> String;

    /// Says of each subscriber of an explanation why it is or is not online, a sentence each.
    fn explained(&self, explanation: &Explanation, tenant: Option<String>) -> Vec<Vec<String>>;
}

/// The store's time, read at most once a second.
pub(crate) struct StoreTime(Cached<(DateTime<Utc>, Instant)>);

impl StoreTime {
    pub(crate) fn new(store: &Arc<dyn EnforcementStore>) -> Self {
        let store = Arc::clone(store);
        Self(Cached::new(move || {
            let store = Arc::clone(&store);
            async move { Ok((store.now().await?, Instant::now())) }
        }))
    }

    /// Returns what time it is at the store.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>, Arc<StoreError>> {
        let (at, read) = *self.0.get().await?;
        let since = TimeDelta::from_std(read.elapsed()).unwrap_or_default();
        // As fine as the databases tell it.
        Ok((at + since).trunc_subsecs(6))
    }
}

/// What all who ask at a time read once.
type Readings<T> = Turns<Result<Arc<T>, StoreError>>;

pub(crate) struct Inner {
    pub(crate) service: Service,
    pub(crate) token: Token,
    pub(crate) guard: Guard,
    pub(crate) summary: Cached<Snapshot>,
    pub(crate) lag: Cached<LagReport>,
    pub(crate) counts: Cached<Vec<RouterCounts>>,
    pub(crate) time: StoreTime,
    pub(crate) unheard: First,
    pub(crate) misdirected: First,
    /// One at a time is read.
    long_list: Semaphore,
    /// The nearest names are searched for one request at a time: it may take many pages.
    pub(crate) nearest: Semaphore,
    pub(crate) checks: Checks,
    overdue: Readings<Overdue>,
    pub(crate) upcoming: Readings<Vec<Upcoming>>,
    pub(crate) owed: Readings<(u64, Vec<OwedItem>)>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) streams: Arc<Places>,
    /// For tests of routers that callers name.
    pub(crate) tests: Pace,
}

pub(crate) type App = Arc<Inner>;

/// A summary, and the answers that were made of it.
pub(crate) struct Snapshot {
    pub(crate) summary: Summary,
    answers: Answers,
}

impl Snapshot {
    /// Returns the answer with so long lists.
    pub(crate) fn answer(&self, limit: u32, make: impl FnOnce(&Summary) -> Bytes) -> Bytes {
        self.answers.get(limit, || make(&self.summary))
    }
}

/// Answers by the length of their lists: each of the first few is made once.
#[derive(Default)]
struct Answers(Mutex<BTreeMap<u32, Arc<OnceLock<Bytes>>>>);

impl Answers {
    fn get(&self, limit: u32, make: impl FnOnce() -> Bytes) -> Bytes {
        match self.place(limit) {
            Some(place) => place.get_or_init(make).clone(),
            None => make(),
        }
    }

    /// Returns where an answer is kept, if there is room for it.
    fn place(&self, limit: u32) -> Option<Arc<OnceLock<Bytes>>> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = answers.len() < FEW || answers.contains_key(&limit);
        has_room.then(|| Arc::clone(answers.entry(limit).or_default()))
    }
}

impl Inner {
    pub(crate) fn new(service: Service) -> Self {
        let status = Arc::clone(&service.status);
        let summary = Cached::new(move || {
            let status = Arc::clone(&status);
            async move {
                Ok(Snapshot {
                    summary: status.summary(SOON, MOST).await?,
                    answers: Answers::default(),
                })
            }
        });
        let audit = Arc::clone(&service.audit);
        let lag = Cached::new(move || {
            let audit = Arc::clone(&audit);
            async move { audit.lag().await }
        });
        let audit = Arc::clone(&service.audit);
        let counts = Cached::new(move || {
            let audit = Arc::clone(&audit);
            async move { audit.counts().await }
        });
        Self {
            token: Token::new(&service.token),
            guard: Guard::default(),
            unheard: First::default(),
            misdirected: First::default(),
            time: StoreTime::new(&service.time),
            long_list: Semaphore::new(1),
            nearest: Semaphore::new(1),
            checks: Checks::default(),
            overdue: Turns::default(),
            upcoming: Turns::default(),
            owed: Turns::default(),
            feed: Feed::new(&service),
            tests: Pace::new(TESTS, TESTS_A_MINUTE),
            streams: Places::new(STREAMS, STREAMS / 4),
            summary,
            lag,
            counts,
            service,
        }
    }

    /// Returns what time it is at the store.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>, Problem> {
        let now = self.time.now().await;
        now.map_err(|error| Problem::of_store(&error))
    }

    /// Returns who is overdue, as it is after the call.
    pub(crate) async fn overdue(&self) -> Result<Arc<Overdue>, Problem> {
        let status = Arc::clone(&self.service.status);
        let read = || async move { status.overdue().await };
        self.overdue.read(read).await
    }

    /// Makes an answer of lists that are longer than what is kept at hand: one at a time, and where it
    /// keeps nobody else waiting.
    pub(crate) async fn long_answer(
        &self,
        limit: u32,
        make: impl FnOnce(&Summary) -> Bytes + Send + 'static,
    ) -> Result<Bytes, Problem> {
        let _turn = self.long_list.acquire().await;
        let summary = self.service.status.summary(SOON, limit).await?;
        let written = tokio::task::spawn_blocking(move || make(&summary)).await;
        written.map_err(|broken| {
            tracing::error!(%broken, "a long list could not be written");
            Problem::internal()
        })
    }

    /// Returns what is true now, at most a second old.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        let got = self.summary.get().await;
        got.map_err(|error| Problem::of_store(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_answers_are_made_once_and_no_more_are_kept() {
        let answers = Answers::default();
        let mut made = 0;
        for _ in 0..3 {
            for limit in 0..=1_000 {
                let answer = answers.get(limit, || {
                    made += 1;
                    limit.to_string().into()
                });
                assert_eq!(answer, limit.to_string());
            }
        }
        assert_eq!(answers.0.lock().expect("not poisoned").len(), FEW);
        assert_eq!(made, FEW + 3 * (1_001 - FEW));
    }
}
