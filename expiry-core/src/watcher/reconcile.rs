use std::time::Duration;

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Shared, WatcherConfig, turn::TurnError, whereabouts::Whereabouts};
use crate::{
    Event, FailureKind, Fence, GatewayError, Reconciled, RouterLogin, State, Task, Trouble, Work,
    decide::{attribute, keys_of, sort_out},
    retry::stretched,
};

/// A whole router is read when no deadline is nearer than this, or than twice the time that the
/// last reading took.
const GAP: Duration = Duration::from_secs(1);

/// How long to wait for such a gap.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a cut that becomes due waits for the end of a reading. Then the reading is broken off,
/// which costs the connection.
const GRACE: Duration = Duration::from_millis(500);

/// Keeps a deadline that nobody plans from being asked for without end.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// Reads a whole router on a pace, when it comes into service and when it comes back, and never
/// while there is a cut to make that is not backlog.
pub(super) struct Reconciler {
    /// Read at once, whatever the store remembers.
    unread: bool,
    /// Stretches the pace.
    jitter: f64,
    /// Not before this: the last reading came to nothing.
    not_before: Option<Instant>,
    /// Why the router cannot be read, if it is known that it cannot.
    failing: Option<Trouble>,
    /// Whether that is more than one connection that was lost.
    lasts: bool,
    /// Since when a reading waits for a gap between deadlines.
    waiting: Option<Instant>,
    gap: Duration,
    whereabouts: Whereabouts,
}

/// What a lane has at hand when it has no work.
pub(super) struct Place<'a> {
    pub(super) shared: &'a Shared,
    pub(super) fence: &'a Fence,
    pub(super) login: &'a RouterLogin,
    pub(super) wake: &'a Notify,
    pub(super) stop: &'a CancellationToken,
}

pub(super) enum Step {
    /// There is nothing to read before this.
    NotBefore(Instant),
    /// It is time to read, but until this there may be a cut to make first.
    After(Instant),
    /// It was read, or cannot be. There may be work.
    Done,
    /// As [`Self::Done`], and the connection may be gone.
    Unproven,
}

impl Reconciler {
    pub(super) fn new(unread: bool, jitter: f64) -> Self {
        Self {
            unread,
            jitter,
            not_before: None,
            failing: None,
            lasts: false,
            waiting: None,
            gap: GAP,
            whereabouts: Whereabouts::default(),
        }
    }

    /// Adds to owed cuts where the readings of the router last showed their targets.
    pub(super) fn place(&self, tasks: &mut [Task]) {
        for task in tasks {
            self.whereabouts.place(task);
        }
    }

    /// Returns why the router cannot be read, from the first reading that is refused, or the second
    /// that fails, until one comes to its end.
    pub(super) fn hindrance(&self) -> Option<&Trouble> {
        self.failing.as_ref().filter(|_| self.lasts)
    }

    /// Tells whether the last reading came to its end.
    pub(super) fn has_read(&self) -> bool {
        self.failing.is_none() && !self.unread
    }

    /// Notes that another box may answer from now on.
    pub(super) fn forget(&mut self) {
        *self = Self::new(true, self.jitter);
    }

    /// Reads the router, if it is time to and no work is near. `work` has no tasks but backlog and
    /// looks.
    pub(super) async fn step(
        &mut self,
        place: &Place<'_>,
        work: &Work,
        jitter: f64,
    ) -> Result<Step, TurnError> {
        let now = Instant::now();
        let due = self.due(&place.shared.config, work, now);
        if due > now {
            return Ok(Step::NotBefore(due));
        }
        if now - *self.waiting.get_or_insert(now) < PATIENCE
            && let Some(ahead) = self.deadline_near(place, work).await?
        {
            return Ok(Step::After(now + ahead.max(LEAST_WAIT)));
        }
        self.waiting = None;
        let seen = tokio::select! {
            biased;
            () = place.stop.cancelled() => return Ok(Step::Unproven),
            seen = place.shared.gateway.sessions(place.login) => seen,
            () = place.cut_waits(work) => {
                self.gap = GAP.max(now.elapsed() * 2);
                return Ok(Step::Unproven);
            }
        };
        self.gap = GAP.max(now.elapsed() * 2);
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return Ok(self.failed(place, &error)),
        };
        self.not_before = Some(now + place.shared.config.interval);
        self.whereabouts.note(&seen, now);
        let gap = seen.trouble();
        let found = attribute(seen, place.shared.config.comments);
        let keys = keys_of(&found);
        let known = place
            .shared
            .store
            .known(place.login.router.id, &keys)
            .await?;
        let mut reconciliation = sort_out(found, &known, place.shared.config.interval);
        reconciliation.is_partial = gap.is_some();
        let strays = reconciliation.strays.len();
        let recorded = place.shared.store.reconciled(place.fence, &reconciliation);
        place.tell(recorded.await?, strays);
        if let Some(gap) = gap {
            self.tell_unread(place, gap, true);
            return Ok(Step::Done);
        }
        *self = Self {
            gap: self.gap,
            whereabouts: std::mem::take(&mut self.whereabouts),
            ..Self::new(false, jitter)
        };
        Ok(Step::Done)
    }

    fn due(&self, config: &WatcherConfig, work: &Work, now: Instant) -> Instant {
        let due = match work.reconciled_at {
            Some(at) if !self.unread => {
                let passed = (work.now - at).to_std().unwrap_or_default();
                now + stretched(config.reconcile, self.jitter).saturating_sub(passed)
            }
            Some(_) | None => now,
        };
        self.not_before
            .map_or(due, |not_before| not_before.max(due))
    }

    /// Returns how long it is until the next thing to do on the router, if a reading may take
    /// longer.
    async fn deadline_near(
        &self,
        place: &Place<'_>,
        work: &Work,
    ) -> Result<Option<Duration>, TurnError> {
        let deadline = place
            .shared
            .store
            .next_deadline(place.login.router.id, self.gap);
        let next = deadline.await?.into_iter().chain(work.next_at).min();
        let ahead = next.map(|next| (next - work.now).to_std().unwrap_or_default());
        Ok(ahead.filter(|ahead| *ahead < self.gap))
    }

    /// A router that cannot be read whole can still be looked at: that is no outage.
    fn failed(&mut self, place: &Place<'_>, error: &GatewayError) -> Step {
        let config = &place.shared.config;
        self.not_before = Some(Instant::now() + stretched(config.reconcile, self.jitter));
        let kind = error.kind();
        self.tell_unread(place, error.clone().into(), kind == FailureKind::Answered);
        match kind {
            FailureKind::Answered => Step::Done,
            FailureKind::Unreachable | FailureKind::Rejected => Step::Unproven,
        }
    }

    fn tell_unread(&mut self, place: &Place<'_>, trouble: Trouble, is_answer: bool) {
        self.lasts |= is_answer || self.failing.is_some();
        if self.failing.replace(trouble.clone()).is_none() {
            place.shared.record(&Event::Unread {
                router: place.login.router.id,
                name: place.login.router.name.clone(),
                error: trouble.seen,
                cause: trouble.cause,
            });
        }
    }
}

impl Place<'_> {
    /// Waits until something owed has been due for the grace.
    async fn cut_waits(&self, work: &Work) {
        let at = |work: &Work| {
            let ahead = (work.next_at? - work.now).to_std().unwrap_or_default();
            Some(Instant::now() + ahead)
        };
        let mut next = at(work);
        loop {
            let never = Instant::now() + self.shared.config.interval;
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = sleep_until(next.unwrap_or(never)) => {}
            }
            // Whatever fails here will fail again when the reading is recorded.
            if let Ok(work) = self.shared.store.work(self.fence, 1, 0).await {
                let first = work.tasks.first();
                if first.is_some_and(|task| task.progress.state == State::Owed) {
                    break;
                }
                next = at(&work);
            } else {
                next = None;
            }
        }
        sleep(GRACE).await;
    }

    fn tell(&self, recorded: Reconciled, all: usize) {
        let Reconciled { found, new_strays } = recorded;
        for found in found {
            let Some(way_in) = found.way_in else {
                continue;
            };
            self.shared.record(&Event::Returned {
                task: found.task,
                router: self.login.router.id,
                username: found.username,
                way_in,
                cannot_hold: found.cannot_hold,
            });
        }
        if !new_strays.is_empty() {
            self.shared.record(&Event::Strays {
                router: self.login.router.id,
                name: self.login.router.name.clone(),
                new: new_strays,
                all,
            });
        }
    }
}
