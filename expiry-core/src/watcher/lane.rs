//! One router in the care of this watcher: when a turn is taken, what is told of how the router is, and
//! how it is let go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    feed::log_store_failure,
    reconcile::{Place, Reconciler, Step},
    turn::{Seen, Touched, Turn, TurnError, Written},
    uptime::Uptime,
    vigil::Vigil,
};
use crate::{
    Backoff, Cause, Conflict, Event, FailureKind, Fence, GatewayError, Ownership, Router,
    RouterLogin, RouterState, State, StoreError, Task, Trouble, Work,
};

/// Serves one router for as long as this watcher owns it: keeps the connection warm, does what is
/// owed, and backs off while the router is down. Other routers never wait for it.
pub(super) struct Lane {
    shared: Arc<Shared>,
    fence: Fence,
    ownership: watch::Receiver<Ownership>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    backoff: Backoff,
    /// What was written since the last recorded result.
    touched: Touched,
    /// Whether the present turn has written: then it is not broken off by a stop.
    writes: watch::Sender<bool>,
    /// Whether the router was told to the store as answering, in this ownership.
    reached: bool,
    /// When the store was last told what the router says of itself.
    told_at: Option<Instant>,
    /// Whether it was announced as lost. It is announced as reached again only when a turn came to
    /// its end: one that answers a probe and nothing else is still lost.
    is_lost: bool,
    /// When the connection was last known to work.
    proven_at: Option<Instant>,
    /// Which connection that was.
    proven_on: u64,
    /// How long the router was up when it last said so.
    uptime: Option<Uptime>,
    /// No backlog before this.
    paced_until: Instant,
    /// Which of the two that can wait was done last: the other goes first.
    last: Patient,
    /// When the present turn began.
    began: Instant,
    /// The state of the ownership that was last taken in.
    heeded: Ownership,
    /// Whether the last flight that read the connection table with the block failed.
    spares_table: bool,
    /// Why the router last refused to be looked at, or written to, since it last could be.
    refusal: Option<Trouble>,
    /// Why it last refused a probe: one that is answered says that this is over.
    refused_probe: Option<Trouble>,
    /// What the store was told that keeps the router from being read or cut on, though it answers.
    lasting: Option<String>,
    /// Whether the store was told what is in the way, and not yet that it is no more.
    hindered: Arc<AtomicBool>,
    reconciler: Reconciler,
    store_failures: u32,
    rng: StdRng,
}

/// Whatever a turn is waiting for, it is given up after this, like a flight that failed: a batch on
/// the slowest router takes less.
const LONGEST_TURN: Duration = Duration::from_mins(30);

/// So many keys are rechecked at once: planning waits for it meanwhile.
const RECHECKS: usize = 50;

/// How long a turn that only reads may go on after the stop: one that is about to cut comes to do so.
const GRACE: Duration = Duration::from_millis(300);

/// The wait after the store failed.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// The wait while the ownership or the clock cannot be trusted.
const TENURE_AGAIN: Duration = Duration::from_millis(500);

/// When to take the next turn.
enum Next {
    Now,
    /// Not before this: hints do not shorten it, only a request for an immediate try does.
    Backoff(Instant),
    /// At this, or at any hint.
    At(Instant),
    /// The router is another's.
    Lost,
}

impl Lane {
    pub(super) fn new(
        shared: Arc<Shared>,
        fence: Fence,
        mut ownership: watch::Receiver<Ownership>,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Self {
        let salt = u64::from_ne_bytes(fence.router.0.to_ne_bytes());
        let mut rng = StdRng::seed_from_u64(shared.config.seed ^ salt);
        let heeded = ownership.borrow_and_update().clone();
        let reconciler = Reconciler::new(heeded.taken_over, rng.random_range(0.0..1.0));
        Self {
            shared,
            fence,
            ownership,
            wake,
            stop,
            backoff: Backoff::default(),
            touched: Touched::default(),
            writes: watch::Sender::new(false),
            reached: false,
            told_at: None,
            is_lost: false,
            proven_at: None,
            proven_on: 0,
            uptime: None,
            paced_until: Instant::now(),
            last: Patient::Backlog,
            began: Instant::now(),
            heeded,
            spares_table: false,
            refusal: None,
            refused_probe: None,
            lasting: None,
            hindered: Arc::default(),
            reconciler,
            store_failures: 0,
            rng,
        }
    }

    pub(super) async fn serve(mut self) {
        let mut next = Next::Now;
        loop {
            match self.wait(next).await {
                Waited::Stop => break,
                Waited::Turn => {}
            }
            self.writes.send_replace(false);
            let vigil = Vigil {
                shared: Arc::clone(&self.shared),
                fence: self.fence,
                hindered: Arc::clone(&self.hindered),
            };
            let broken_off = stopped(self.stop.clone(), self.writes.subscribe());
            let turn = tokio::select! {
                biased;
                turn = timeout(LONGEST_TURN, self.turn()) => turn.ok(),
                () = broken_off => break,
                never = vigil.keep() => match never {},
            };
            next = if let Some(next) = turn {
                next
            } else {
                let after = LONGEST_TURN;
                self.router_failed(GatewayError::TimedOut { after }).await
            };
            if matches!(next, Next::Lost) {
                break;
            }
        }
        self.owe_rechecks().await;
        self.shared.gateway.close(self.fence.router).await;
        // Whoever stands by serves it while other lanes of this watcher still end.
        if let Err(error) = self.shared.store.let_go(&self.fence).await {
            log_store_failure(&mut self.store_failures, "letting go of a router", &error);
        }
    }

    async fn wait(&mut self, next: Next) -> Waited {
        let (until, hints) = match next {
            Next::Now => (Instant::now(), false),
            Next::At(until) => (until, true),
            Next::Backoff(until) => (until, false),
            Next::Lost => return Waited::Stop,
        };
        loop {
            if self.stop.is_cancelled() {
                return Waited::Stop;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Waited::Stop,
                () = self.wake.notified(), if hints => return Waited::Turn,
                () = self.shared.gateway.hung_up(self.fence.router), if hints => {
                    // A router that restarts hangs up, and may have forgotten what was done.
                    self.proven_at = None;
                    return Waited::Turn;
                }
                changed = self.ownership.changed() => match changed {
                    Ok(()) => if self.has_reason_to_try() { return Waited::Turn },
                    Err(_) => return Waited::Stop,
                },
                () = sleep_until(until) => return Waited::Turn,
            }
        }
    }

    /// Takes in the new state of the ownership, and tells whether it asks for an immediate try:
    /// somebody said so, or the account was changed. For another box there is another lane.
    fn has_reason_to_try(&mut self) -> bool {
        let new = self.ownership.borrow_and_update();
        // Not later: the store's clock may have been set back.
        let nudged = new.nudged_at != self.heeded.nudged_at;
        let changed = !new.has_same_login(&self.heeded);
        self.heeded = new.clone();
        if changed {
            self.reached = false;
            self.uptime = None;
            self.refusal = None;
            self.reconciler.forget();
        }
        nudged || changed
    }

    async fn turn(&mut self) -> Next {
        self.began = Instant::now();
        let login = match self.heeded.login() {
            Ok(login) => login,
            Err(error) => return self.router_failed(error.into()).await,
        };
        if self.shared.gateway.dialled(self.fence.router).await != self.proven_on {
            self.proven_at = None;
        }
        let unproven = !self.reached
            || self.backoff.is_down()
            || self.hindered.load(Ordering::Relaxed)
            || self.needs_proof();
        if unproven && let Err(error) = self.prove(&login).await {
            return self.after(error).await;
        }
        let now = Instant::now();
        let (batch, (backlog, pause)) = (self.shared.config.batch, self.shared.config.backlog);
        let backlog = if now < self.paced_until { 0 } else { backlog };
        let before = self.shared.tenure.wall();
        let work = match self.shared.store.work(&self.fence, batch, backlog).await {
            Ok(work) => work,
            Err(error) => return self.after(TurnError::Store(error)).await,
        };
        self.store_failures = 0;
        if !self.shared.tenure.agrees(before, work.now) {
            return self.after(TurnError::Untrusted).await;
        }
        if work.tasks.is_empty() {
            self.came_to_its_end();
            return self.idle(&login, &work).await;
        }
        if work.tasks.iter().any(|task| task.backlog) {
            // Who is on comes before who has only not been cut for long.
            if self.last == Patient::Backlog && !work.tasks.iter().any(is_urgent) {
                match self.read(&login, &work).await {
                    Ok(Step::Done | Step::Unproven) => return Next::Now,
                    Ok(Step::NotBefore(_) | Step::After(_)) => {}
                    Err(error) => return self.after(error).await,
                }
            }
            self.last = Patient::Backlog;
            self.paced_until = now + pause;
        }
        let jitter = self.jitter();
        let spares_table = self.spares_table;
        let turn = Turn::new(
            &self.shared,
            &self.fence,
            &login,
            spares_table,
            &self.writes,
            (work.now, jitter),
        );
        self.touched.begin_turn();
        let mut tasks = work.tasks.clone();
        self.reconciler.place(&mut tasks);
        let done = turn.run(tasks, &mut self.touched).await;
        match done {
            Ok(seen) => {
                self.came_to_its_end();
                self.spares_table = false;
                self.proven_at = Some(Instant::now());
                self.note(seen);
                match self.tell_lasting().await {
                    Ok(()) => Next::Now,
                    Err(error) => self.after(error).await,
                }
            }
            Err(error) => {
                if let TurnError::Gateway(why) | TurnError::Block(why) = &error {
                    let recorded = turn.failed(&work.tasks, why, &mut self.touched).await;
                    if let Err(TurnError::Store(StoreError::NotOwner(_))) = recorded {
                        return Next::Lost;
                    }
                }
                self.after(error).await
            }
        }
    }

    fn came_to_its_end(&mut self) {
        self.backoff.ended();
        if self.is_lost {
            self.is_lost = false;
            self.announce_reached();
        }
    }

    fn note(&mut self, seen: Seen) {
        let trouble = match seen {
            Seen::Refused(trouble) | Seen::All(Written::Refused(trouble)) => trouble,
            Seen::All(Written::Taken) => {
                self.refusal = None;
                return;
            }
            Seen::All(Written::Nothing) => {
                // Who may look may not write for that.
                let of_write = |trouble: &Trouble| trouble.cause == Cause::NoWritePolicy;
                self.refusal = self.refusal.take().filter(of_write);
                return;
            }
        };
        if self.refusal.as_ref() == Some(&trouble) {
            return;
        }
        let Router { id, name, .. } = &self.heeded.router;
        self.shared.record(&Event::Refused {
            router: *id,
            name: name.clone(),
            error: trouble.seen.clone(),
            cause: trouble.cause,
        });
        self.refusal = Some(trouble);
    }

    /// Tells the store what keeps the router from being read or cut on, until a look or a reading comes
    /// to its end: a probe that is answered says nothing of that.
    async fn tell_lasting(&mut self) -> Result<(), TurnError> {
        let trouble = self
            .refusal
            .as_ref()
            .or_else(|| self.reconciler.hindrance());
        let lasting = trouble.map(Trouble::line);
        if self.lasting == lasting {
            return Ok(());
        }
        if let Some(line) = &lasting {
            let state = RouterState::Hindered(line.clone());
            self.shared.store.router_state(&self.fence, &state).await?;
        } else {
            // The next probe says so.
            self.hindered.store(true, Ordering::Relaxed);
        }
        self.lasting = lasting;
        Ok(())
    }

    fn announce_reached(&self) {
        let Router { id, name, .. } = &self.heeded.router;
        self.shared.record(&Event::RouterReached {
            router: *id,
            name: name.clone(),
        });
    }

    /// There is no work: reads the whole router if it is time to, else naps.
    async fn idle(&mut self, login: &RouterLogin, work: &Work) -> Next {
        let nap = self.nap(work.next_at.map(|at| at - work.now));
        let reading_at = match self.read(login, work).await {
            Ok(Step::NotBefore(at)) => at,
            Ok(Step::After(at)) => return Next::At(nap.min(at)),
            Ok(Step::Done | Step::Unproven) => return Next::Now,
            Err(error) => return self.after(error).await,
        };
        // What is held back is work, too.
        if Instant::now() >= self.paced_until {
            self.shared.served().insert(self.fence.router);
        }
        Next::At(nap.min(reading_at))
    }

    /// Reads the whole router if it is time to and nothing urgent is near.
    async fn read(&mut self, login: &RouterLogin, work: &Work) -> Result<Step, TurnError> {
        let jitter = self.jitter();
        let place = Place {
            shared: &self.shared,
            fence: &self.fence,
            login,
            wake: &self.wake,
            stop: &self.stop,
        };
        let step = self.reconciler.step(&place, work, jitter).await?;
        match step {
            Step::NotBefore(_) | Step::After(_) => return Ok(step),
            Step::Done => self.proven_at = Some(Instant::now()),
            Step::Unproven => self.proven_at = None,
        }
        // Where no look is to come, the reading stands for it.
        let has_read = matches!(step, Step::Done) && self.reconciler.has_read();
        if has_read && work.tasks.is_empty() && work.next_at.is_none() {
            self.refusal = None;
        }
        self.tell_lasting().await?;
        self.last = Patient::Reading;
        Ok(step)
    }

    /// Makes sure of the connection and of what answers on it, and tells the store.
    async fn prove(&mut self, login: &RouterLogin) -> Result<(), TurnError> {
        let router = &login.router;
        let asked = self.shared.clock.boot();
        let facts = match self.shared.gateway.probe(login).await {
            Ok(facts) => facts,
            Err(error) => {
                if error.kind() == FailureKind::Answered {
                    self.refused_probe = Some(error.clone().into());
                }
                return Err(error.into());
            }
        };
        if self.refused_probe.take().is_some() {
            self.refusal = None;
            self.hindered.store(true, Ordering::Relaxed);
        }
        self.proven_at = Some(Instant::now());
        self.proven_on = self.shared.gateway.dialled(router.id).await;
        let uptime = facts.up_for().map(|up_for| Uptime {
            up_for,
            asked,
            told: self.shared.clock.boot(),
        });
        let before_and_now = self.uptime.zip(uptime);
        let has_restarted = before_and_now.is_some_and(|(then, now)| now.restarted_since(then));
        let is_old = self
            .told_at
            .is_none_or(|at| at.elapsed() >= self.shared.config.reconcile);
        let is_hindered = self.hindered.load(Ordering::Relaxed);
        if has_restarted || !self.reached || is_old || is_hindered {
            let state = if has_restarted {
                RouterState::Restarted(facts)
            } else {
                RouterState::Reached(facts)
            };
            match self.shared.store.router_state(&self.fence, &state).await {
                Ok(()) => {}
                Err(StoreError::Conflict(Conflict::RouterSerial { serial, router })) => {
                    return Err(TurnError::Gateway(GatewayError::SameBox { router, serial }));
                }
                Err(error) => return Err(TurnError::Store(error)),
            }
            self.told_at = Some(Instant::now());
            self.hindered.store(false, Ordering::Relaxed);
            self.lasting = None;
            if !std::mem::replace(&mut self.reached, true) && !self.is_lost {
                self.announce_reached();
            }
        }
        // Not before it is recorded: else nobody would know of the restart any more.
        self.uptime = uptime.or(self.uptime);
        if has_restarted {
            self.reconciler.forget();
            let Router { id, name, .. } = router.clone();
            self.shared
                .record(&Event::RouterRestarted { router: id, name });
        }
        self.tell_lasting().await
    }

    fn needs_proof(&self) -> bool {
        self.proven_at
            .is_none_or(|at| at.elapsed() >= self.shared.config.keepalive)
    }

    fn nap(&self, ahead: Option<chrono::TimeDelta>) -> Instant {
        let now = Instant::now();
        let ahead = ahead.map(|ahead| ahead.to_std().unwrap_or_default());
        let next = now
            + ahead.map_or(self.shared.config.interval, |a| {
                a.min(self.shared.config.interval)
            });
        let proof = self.proven_at.unwrap_or(now) + self.shared.config.keepalive;
        let paced = if self.paced_until > now {
            self.paced_until
        } else {
            next
        };
        next.min(proof).min(paced)
    }

    async fn after(&mut self, error: TurnError) -> Next {
        match error {
            TurnError::Gateway(error) | TurnError::Block(error)
                if error.kind() == FailureKind::Answered =>
            {
                self.router_refused(&error).await
            }
            TurnError::Gateway(error) => self.router_failed(error).await,
            TurnError::Block(error) => {
                // Too slow, or longer than an answer may be.
                self.spares_table |= matches!(
                    error,
                    GatewayError::TimedOut { .. }
                        | GatewayError::Slow { .. }
                        | GatewayError::Protocol { .. }
                );
                self.router_failed(error).await
            }
            TurnError::Store(StoreError::NotOwner(_)) => Next::Lost,
            TurnError::Store(error) => {
                log_store_failure(&mut self.store_failures, "a router's lane", &error);
                Next::Backoff(Instant::now() + STORE_AGAIN)
            }
            TurnError::Untrusted => {
                // The heart finds out why.
                self.shared.changed.notify_one();
                Next::Backoff(Instant::now() + TENURE_AGAIN)
            }
        }
    }

    /// The router answers, and says no: it is not lost, and its connection stays.
    async fn router_refused(&mut self, error: &GatewayError) -> Next {
        let trouble = Trouble::from(error.clone());
        let hindered = RouterState::Hindered(trouble.line());
        self.lasting = Some(trouble.line());
        self.note(Seen::Refused(trouble));
        self.proven_at = None;
        let wait = self.back_off(error.kind());
        self.tell(&hindered, wait).await
    }

    fn back_off(&mut self, kind: FailureKind) -> Duration {
        let jitter = self.jitter();
        let span = (self.began, Instant::now());
        self.backoff
            .failed(&self.shared.config.retry, kind, span, jitter)
    }

    /// Tells the store how the router is, and waits.
    async fn tell(&mut self, state: &RouterState, wait: Duration) -> Next {
        self.shared.served().insert(self.fence.router);
        match self.shared.store.router_state(&self.fence, state).await {
            Ok(()) => Next::Backoff(Instant::now() + wait),
            Err(StoreError::NotOwner(_)) => Next::Lost,
            Err(error) => {
                log_store_failure(&mut self.store_failures, "a router's lane", &error);
                Next::Backoff(Instant::now() + wait)
            }
        }
    }

    async fn router_failed(&mut self, error: GatewayError) -> Next {
        let is_news = !std::mem::replace(&mut self.is_lost, true);
        self.reached = false;
        let wait = self.back_off(error.kind());
        self.proven_at = None;
        if error.kind() != FailureKind::Unreachable {
            self.shared.gateway.close(self.fence.router).await;
        }
        let router = self.heeded.router.clone();
        if is_news {
            self.shared.record(&Event::RouterLost {
                router: router.id,
                name: router.name,
                error: error.to_string(),
                cause: error.cause(),
            });
        }
        let failed = RouterState::Failed(Trouble::from(error).line());
        self.tell(&failed, wait).await
    }

    /// This watcher has written to the router since it last could record anything, and stops
    /// serving it: whoever serves it next must look at what was touched.
    async fn owe_rechecks(&mut self) {
        loop {
            let keys = self.touched.some(RECHECKS);
            if keys.is_empty() {
                break;
            }
            match self.shared.store.recheck(self.fence.router, &keys).await {
                Ok(()) => self.touched.forget(&keys),
                Err(error) => {
                    log_store_failure(&mut self.store_failures, "a recheck", &error);
                    sleep(STORE_AGAIN).await;
                }
            }
        }
    }

    fn jitter(&mut self) -> f64 {
        self.rng.random_range(0.0..1.0)
    }
}

/// Waits until a turn is to be broken off: a while after the stop, and only if it has not written.
/// One that has ends by its own deadlines: nobody else may write while its writes are on the wire.
async fn stopped(stop: CancellationToken, mut writes: watch::Receiver<bool>) {
    stop.cancelled().await;
    sleep(GRACE).await;
    // The sender outlives the turn.
    let _ = writes.wait_for(|writes| !writes).await;
}

/// What can wait for fresh work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patient {
    Backlog,
    Reading,
}

/// Tells whether a task waits for nothing but tasks like it.
fn is_urgent(task: &Task) -> bool {
    task.progress.state == State::Owed && !task.backlog
}

enum Waited {
    Turn,
    Stop,
}
