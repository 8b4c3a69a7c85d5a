//! What stands between a watcher and the world: it can be frozen and cut off there, at any await.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use expiry_core::{
    BlockOrder, Brake, BrakeStore, ChangeFeed, DropOrder, EnforcementStore, Fence, GatewayError,
    Heartbeat, Histogram, Intent, Known, Live, MacAddr, Machine, MachineRecord, MachineState,
    Outcome, Outlook, Overdue, OwedFilter, OwedItem, OwedPlace, Ownership, Planned, Pruned, Query,
    Reconciled, Reconciliation, Refusal, Router, RouterFacts, RouterGateway, RouterId, RouterLogin,
    RouterState, Settled, Settlement, Sighting, Status, StatusStore, StoreError, SubscriberId,
    Summary, TaskRef, Tries, UnblockOrder, UndoKey, Username, Want, WatcherId, Work,
    testing::{MemoryStore, SimGateway},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{orders::Orders, truth::Truth};

/// The state of the database, for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Calls fail, and do nothing.
    pub(crate) down: bool,
    /// Calls that write fail, and do nothing.
    pub(crate) read_only: bool,
    /// In a hundred calls so many happen and are answered with a failure.
    pub(crate) lost_answers: u32,
    /// How long a call takes at most.
    pub(crate) latency: Duration,
}

/// The calls that write nothing.
const READS: [&str; 14] = [
    "now",
    "work",
    "live",
    "known",
    "next_deadline",
    "standing",
    "changes",
    "status",
    "summary",
    "owed",
    "overdue",
    "live_among",
    "tries",
    "machine",
];

/// Holds a watcher still at whatever port it comes to. When it is set going again, its parts go on
/// in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Held>);

#[derive(Default)]
struct Held {
    frozen: AtomicBool,
    thawed: Notify,
    /// After how many crossings of what a cut is made of it freezes; 0 is never.
    left: AtomicU32,
}

impl Gate {
    pub(crate) fn set(&self, frozen: bool) {
        self.0.left.store(0, Ordering::Relaxed);
        self.0.frozen.store(frozen, Ordering::Relaxed);
        if !frozen {
            self.0.thawed.notify_waiters();
        }
    }

    pub(crate) fn freeze_within(&self, crossings: u32) {
        self.0.left.store(crossings, Ordering::Relaxed);
    }

    /// Passes with a part of a cut.
    async fn cross(&self) {
        let left = self.0.left.load(Ordering::Relaxed);
        self.0.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            self.set(true);
        }
        self.pass().await;
    }

    async fn pass(&self) {
        loop {
            let thawed = self.0.thawed.notified();
            if !self.0.frozen.load(Ordering::Relaxed) {
                return;
            }
            thawed.await;
        }
    }
}

/// The store as one watcher reaches it.
pub(crate) struct Link {
    pub(crate) store: MemoryStore,
    pub(crate) gateway: Arc<SimGateway>,
    pub(crate) gate: Gate,
    pub(crate) weather: Arc<Mutex<Weather>>,
    pub(crate) rng: Mutex<StdRng>,
    pub(crate) truth: Arc<Truth>,
    /// Which watcher this is.
    pub(crate) number: usize,
}

impl Link {
    /// The way of a call to the database.
    async fn there(&self, call: &str) -> Result<Back, StoreError> {
        self.gate.pass().await;
        let weather = *lock(&self.weather);
        let (there, back) = {
            let mut rng = lock(&self.rng);
            let mut part = || weather.latency.mul_f64(rng.random_range(0.0..0.5));
            let (there, back) = (part(), part());
            let is_lost = rng.random_range(0..100) < weather.lost_answers;
            (
                there,
                Back {
                    after: back,
                    is_lost,
                },
            )
        };
        sleep(there).await;
        self.gate.pass().await;
        let weather = *lock(&self.weather);
        if weather.down {
            return Err(StoreError::Unavailable("it is down".into()));
        }
        if weather.read_only && !READS.contains(&call) {
            return Err(StoreError::Unavailable("it takes no writes".into()));
        }
        Ok(back)
    }

    /// Tells whether a task is about what stands in the store now.
    fn stands(&self, task: &TaskRef) -> bool {
        let row = self.store.row(task.id);
        row.is_some_and(|row| row.revision == task.revision && row.want == task.want)
    }

    /// Holds a cut that is recorded as confirmed against what the router does.
    fn confirmed(&self, router: RouterId, task: &TaskRef) {
        let row = self.store.row(task.id);
        let cut = row.filter(|row| row.want == Want::Cut && row.target.device.is_none());
        if let Some(cut) = cut {
            let subscriber = cut.target.subscriber;
            self.gateway.with(router, |hotspot| {
                self.truth
                    .confirmed(self.number, router, hotspot, subscriber);
            });
        }
    }

    fn looked(&self, beat: &Heartbeat) {
        if let Some((_, clocks)) = &beat.place {
            self.truth.looked(self.number, clocks);
        }
    }

    async fn back(&self, back: Back) -> Result<(), StoreError> {
        sleep(back.after).await;
        self.gate.pass().await;
        if back.is_lost {
            return Err(StoreError::OutcomeUnknown("the answer was lost".into()));
        }
        Ok(())
    }
}

/// The way of an answer from the database.
struct Back {
    after: Duration,
    is_lost: bool,
}

/// Makes one call through the weather. The truth sees what happened, whether or not the answer
/// arrives.
macro_rules! through {
    ($link:ident, $method:ident($($argument:expr),*)) => {
        through!($link, $method($($argument),*), |_| {})
    };
    ($link:ident, $method:ident($($argument:expr),*), $seen:expr) => {{
        let back = $link.there(stringify!($method)).await?;
        let answer = $link.store.$method($($argument),*).await;
        if let Ok(answer) = &answer {
            ($seen)(answer);
        }
        $link.back(back).await?;
        answer
    }};
}

#[async_trait]
impl EnforcementStore for Link {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        through!(self, now())
    }

    async fn own(&self, beat: &Heartbeat) -> Result<Vec<Ownership>, StoreError> {
        through!(self, own(beat), |owned: &Vec<Ownership>| {
            self.looked(beat);
            self.truth.claimed(self.number, beat.watcher, owned);
        })
    }

    async fn stand_by(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        through!(self, stand_by(beat), |&()| {
            self.looked(beat);
            self.truth.gave_up(beat.watcher);
        })
    }

    async fn let_go(&self, fence: &Fence) -> Result<(), StoreError> {
        through!(self, let_go(fence), |&()| self.truth.let_go(fence))
    }

    async fn release(&self, watcher: WatcherId) -> Result<(), StoreError> {
        through!(self, release(watcher), |&()| self.truth.gave_up(watcher))
    }

    async fn plan_due(&self, limit: u32) -> Result<Planned, StoreError> {
        through!(self, plan_due(limit))
    }

    async fn work(&self, fence: &Fence, limit: u32, backlog: u32) -> Result<Work, StoreError> {
        through!(self, work(fence, limit, backlog), |work| {
            self.truth.handed_out(work);
        })
    }

    async fn live(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live, StoreError> {
        through!(self, live(router, names, macs))
    }

    async fn known(&self, router: RouterId, keys: &BTreeSet<UndoKey>) -> Result<Known, StoreError> {
        through!(self, known(router, keys))
    }

    async fn next_deadline(
        &self,
        router: RouterId,
        within: Duration,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        through!(self, next_deadline(router, within))
    }

    async fn reconciled(
        &self,
        fence: &Fence,
        reconciliation: &Reconciliation,
    ) -> Result<Reconciled, StoreError> {
        through!(self, reconciled(fence, reconciliation), |_| {
            self.truth.recorded(fence, "a reading");
        })
    }

    async fn intend(
        &self,
        fence: &Fence,
        intents: &[Intent],
    ) -> Result<BTreeSet<TaskRef>, StoreError> {
        self.gate.cross().await;
        through!(self, intend(fence, intents), |standing: &BTreeSet<
            TaskRef,
        >| {
            self.truth.recorded(fence, "an intent");
            self.truth.intended(fence.router, self.number);
            if !standing.iter().all(|task| self.stands(task)) {
                self.truth
                    .violate("an intent of an old revision stands (R3)");
            }
        })
    }

    async fn standing(
        &self,
        fence: &Fence,
        tasks: &[TaskRef],
    ) -> Result<BTreeSet<TaskRef>, StoreError> {
        through!(self, standing(fence, tasks))
    }

    async fn settle(
        &self,
        fence: &Fence,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.gate.cross().await;
        let back = self.there("settle").await?;
        let stood = settlements.iter().map(|result| self.stands(&result.task));
        let stood: Vec<_> = stood.collect();
        let answer = self.store.settle(fence, settlements).await;
        if let Ok(settled) = &answer {
            self.truth.recorded(fence, "a result");
            let is_old =
                |(settled, stood): (&_, bool)| matches!(settled, &Settled::Recorded(_)) && !stood;
            if settled.iter().zip(stood).any(is_old) {
                self.truth
                    .violate("a result of an old revision is recorded (R3)");
            }
            for (result, settled) in settlements.iter().zip(settled) {
                let is_confirmed = matches!(result.outcome, Outcome::Confirmed { .. });
                if is_confirmed && matches!(settled, Settled::Recorded(_)) {
                    self.confirmed(fence.router, &result.task);
                }
            }
        }
        self.back(back).await?;
        answer
    }

    async fn recheck(&self, router: RouterId, keys: &[UndoKey]) -> Result<(), StoreError> {
        through!(self, recheck(router, keys))
    }

    async fn router_state(&self, fence: &Fence, state: &RouterState) -> Result<(), StoreError> {
        through!(self, router_state(fence, state), |&()| {
            self.truth.recorded(fence, "the state");
        })
    }

    async fn note_requests(
        &self,
        requests: &BTreeMap<RouterId, Histogram>,
    ) -> Result<(), StoreError> {
        through!(self, note_requests(requests))
    }

    async fn nudge(&self) -> Result<(), StoreError> {
        through!(self, nudge())
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<Pruned, StoreError> {
        through!(self, prune(keep, limit))
    }

    async fn changes(&self) -> Result<Box<dyn ChangeFeed>, StoreError> {
        let feed = through!(self, changes())?;
        let seed = lock(&self.rng).random();
        Ok(Box::new(Word {
            feed,
            rng: StdRng::seed_from_u64(seed),
        }))
    }
}

/// The word of a change takes its time, so that the watchers hear of it in any order.
struct Word {
    feed: Box<dyn ChangeFeed>,
    rng: StdRng,
}

#[async_trait]
impl ChangeFeed for Word {
    async fn changed(&mut self) -> Result<(), StoreError> {
        self.feed.changed().await?;
        let way = Duration::from_millis(self.rng.random_range(0..4));
        sleep(way).await;
        Ok(())
    }
}

#[async_trait]
impl StatusStore for Link {
    async fn status(&self, limit: u32) -> Result<Status, StoreError> {
        through!(self, status(limit))
    }

    async fn summary(&self, soon: Duration, limit: u32) -> Result<Summary, StoreError> {
        through!(self, summary(soon, limit))
    }

    async fn owed(
        &self,
        filter: OwedFilter,
        after: Option<OwedPlace>,
        limit: u32,
    ) -> Result<(u64, Vec<OwedItem>), StoreError> {
        through!(self, owed(filter, after, limit))
    }

    async fn overdue(&self) -> Result<Overdue, StoreError> {
        through!(self, overdue())
    }

    async fn live_among(
        &self,
        subscribers: &BTreeSet<SubscriberId>,
    ) -> Result<BTreeSet<SubscriberId>, StoreError> {
        through!(self, live_among(subscribers))
    }

    async fn tries(&self) -> Result<Tries, StoreError> {
        through!(self, tries())
    }

    async fn outlook(&self) -> Result<Outlook, StoreError> {
        through!(self, outlook())
    }
}

#[async_trait]
impl BrakeStore for Link {
    async fn machine(&self, machine: &str) -> Result<MachineRecord, StoreError> {
        through!(self, machine(machine))
    }

    async fn record_machine(
        &self,
        machine: &Machine,
        version: i64,
        state: &MachineState,
    ) -> Result<bool, StoreError> {
        through!(
            self,
            record_machine(machine, version, state),
            |recorded: &bool| {
                if *recorded {
                    self.truth.looked(self.number, &state.last);
                }
            }
        )
    }

    async fn release_brakes(&self) -> Result<Vec<Brake>, StoreError> {
        through!(self, release_brakes())
    }
}

/// The routers as one watcher reaches them, over connections of its own. What it writes is held
/// against the truth at the moment it reaches a router.
pub(crate) struct Wire {
    pub(crate) gateway: Arc<SimGateway>,
    pub(crate) gate: Gate,
    pub(crate) truth: Arc<Truth>,
    /// Which watcher this is.
    pub(crate) number: usize,
    /// The start of each router that this watcher last connected to.
    pub(crate) connected: Mutex<BTreeMap<RouterId, u32>>,
}

impl Wire {
    async fn dial<T>(
        &self,
        router: &Router,
        call: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        self.gate.pass().await;
        let start = self.truth.start_of(router.id);
        self.truth.reads(self.number, router.id);
        let answer = call.await;
        self.gate.pass().await;
        if answer.is_ok() {
            lock(&self.connected).insert(router.id, start);
        }
        answer
    }

    /// Has orders reach the router on the connection on which their ids were read, or not at all.
    async fn order(&self, router: &Router, order: &Orders<'_>) -> Result<(), GatewayError> {
        let decided = Instant::now();
        self.gate.cross().await;
        let start = self.truth.start_of(router.id);
        if lock(&self.connected).get(&router.id) != Some(&start) {
            let reason = "the connection is gone".into();
            return Err(GatewayError::Disconnected { reason });
        }
        self.gateway.with(router.id, |hotspot| {
            self.truth
                .judge(self.number, router.id, hotspot, order, decided);
        });
        Ok(())
    }
}

#[async_trait]
impl RouterGateway for Wire {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        self.dial(&login.router, self.gateway.look(login, query))
            .await
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        self.order(router, &Orders::Block(order)).await?;
        self.truth.reads(self.number, router.id);
        let answer = self.gateway.block(router, order, query).await;
        self.gate.cross().await;
        self.truth.answered(self.number, router.id);
        answer
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.order(router, &Orders::Drop(order)).await?;
        let answer = self.gateway.drop_rows(router, order).await;
        self.gate.cross().await;
        answer
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.order(router, &Orders::Unblock(order)).await?;
        let answer = self.gateway.unblock(router, order).await;
        self.gate.cross().await;
        self.truth.answered(self.number, router.id);
        answer
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        self.dial(&login.router, self.gateway.sessions(login)).await
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        self.dial(&login.router, self.gateway.probe(login)).await
    }

    async fn close(&self, router: RouterId) {
        lock(&self.connected).remove(&router);
        self.gateway.close(router).await;
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
