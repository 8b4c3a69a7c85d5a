//! One batch of tasks on one router: what it is looked at for, what it is recorded as, and what it
//! has touched when it ends without a record.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Shared, cut, restore};
use crate::{
    Cause, EnforcementStore, Event, Fence, GatewayError, Live, Outcome, Progress, Query, Refusal,
    RouterId, RouterLogin, Settled, Settlement, Sighting, State, Step, StoreError, Task, TaskId,
    TaskRef, Trace, Trouble, UndoKey, Want, WayIn,
    decide::{addresses_to_ask_for, logins_and_devices, with_lent_devices},
    undo_keys,
};

/// One batch of tasks on one router, from the first look to the record.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) fence: &'a Fence,
    pub(super) login: &'a RouterLogin,
    /// Whether the connection table is too much for this router to be read with the block.
    pub(super) spares_table: bool,
    /// Whether the router may have been written to in this turn.
    writes: &'a watch::Sender<bool>,
    /// The store's time when the work was handed out.
    now: DateTime<Utc>,
    jitter: f64,
}

/// Why a turn ended early. What was not recorded is still owed.
#[derive(Debug)]
pub(super) enum TurnError {
    Gateway(GatewayError),
    /// The flight that blocks, and reads the connection table, failed.
    Block(GatewayError),
    Store(StoreError),
    /// The ownership cannot be trusted right now.
    Untrusted,
}

impl From<GatewayError> for TurnError {
    fn from(error: GatewayError) -> Self {
        Self::Gateway(error)
    }
}

impl From<StoreError> for TurnError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The undo keys under which rows were written without a recorded result.
#[derive(Default)]
pub(super) struct Touched {
    keys: BTreeSet<UndoKey>,
    /// Tasks of the present turn whose result was recorded.
    recorded: BTreeSet<TaskId>,
}

impl Touched {
    /// Returns those of the keys that are new.
    pub(super) fn add(&mut self, keys: impl IntoIterator<Item = UndoKey>) -> Vec<UndoKey> {
        let mut new: Vec<_> = keys.into_iter().collect();
        new.retain(|key| self.keys.insert(key.clone()));
        new
    }

    /// Returns at most so many of the keys.
    pub(super) fn some(&self, most: usize) -> Vec<UndoKey> {
        self.keys.iter().take(most).cloned().collect()
    }

    pub(super) fn forget(&mut self, keys: &[UndoKey]) {
        self.keys.retain(|key| !keys.contains(key));
    }

    pub(super) fn begin_turn(&mut self) {
        self.recorded.clear();
    }

    fn record(&mut self, task: &Task) {
        for key in undo_keys(task.username.as_ref(), &task.macs) {
            self.keys.remove(&key);
        }
        for undo in &task.undo {
            self.keys.remove(&undo.key);
        }
        self.recorded.insert(task.id);
    }
}

/// What a turn saw of its router.
pub(super) enum Seen {
    All(Written),
    /// Nothing: it answers, and refuses to be looked at.
    Refused(Trouble),
}

/// What came of what a turn wrote.
pub(super) enum Written {
    Nothing,
    Taken,
    /// The account may not write.
    Refused(Trouble),
}

impl Written {
    /// Judges the answers to writes. What the router refuses of single rows is for their tasks to say.
    pub(super) fn answered(refusals: &[Refusal]) -> Self {
        let mut messages = refusals.iter().map(|refusal| &refusal.message);
        let is_forbidden =
            |message: &&String| Cause::of_trap(Step::Write, "", message) == Cause::NoWritePolicy;
        messages.find(is_forbidden).map_or(Self::Taken, |message| {
            Self::Refused(Trouble {
                cause: Cause::NoWritePolicy,
                seen: message.clone(),
            })
        })
    }
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        fence: &'a Fence,
        login: &'a RouterLogin,
        spares_table: bool,
        writes: &'a watch::Sender<bool>,
        (now, jitter): (DateTime<Utc>, f64),
    ) -> Self {
        Self {
            shared,
            fence,
            login,
            spares_table,
            writes,
            now,
            jitter,
        }
    }

    pub(super) async fn run(
        &self,
        tasks: Vec<Task>,
        touched: &mut Touched,
    ) -> Result<Seen, TurnError> {
        let seen = match self.first_look(&tasks).await {
            Ok(seen) => seen,
            Err(error @ GatewayError::Refused { .. }) => {
                let trouble = Trouble::from(error);
                self.none_confirmed(&tasks, &trouble.seen).await?;
                return Ok(Seen::Refused(trouble));
            }
            Err(error) => return Err(error.into()),
        };
        let (restores, cuts): (Vec<_>, Vec<_>) = tasks
            .into_iter()
            .partition(|task| task.want == Want::Restore);
        if !restores.is_empty() {
            match restore::run(self, restores, &seen, touched).await? {
                Written::Nothing => {}
                // The cuts want a look of their own: this one is old by now.
                written @ (Written::Taken | Written::Refused(_)) => return Ok(Seen::All(written)),
            }
        }
        if cuts.is_empty() {
            return Ok(Seen::All(Written::Nothing));
        }
        Ok(Seen::All(cut::run(self, cuts, seen, touched).await?))
    }

    /// Reads what may belong to the tasks; again, if the answer names addresses of theirs on which
    /// somebody else may be by now.
    async fn first_look(&self, tasks: &[Task]) -> Result<Sighting, GatewayError> {
        let mut query = self.query(tasks);
        let owed = |task: &&Task| task.want == Want::Cut && task.progress.state == State::Owed;
        let owed: Vec<_> = tasks.iter().filter(owed).collect();
        query.holders = !owed.is_empty();
        for Trace {
            addresses,
            stations,
        } in owed.iter().map(|task| &task.trace)
        {
            query.addresses.extend(addresses);
            query.stations.extend(stations);
        }
        let seen = self.shared.gateway.look(self.login, &query).await?;
        let named = addresses_to_ask_for(owed, &seen);
        if named.is_subset(&query.addresses) {
            return Ok(seen);
        }
        query.addresses.extend(named);
        self.shared.gateway.look(self.login, &query).await
    }

    /// Asks for everything that may belong to the tasks.
    pub(super) fn query<'t>(&self, tasks: impl IntoIterator<Item = &'t Task>) -> Query {
        query(tasks, self.shared.config.comments)
    }

    /// Asks who of the tasks, and of all that stands in a reading, is live.
    pub(super) async fn live(
        &self,
        tasks: impl IntoIterator<Item = &Task>,
        seen: &Sighting,
    ) -> Result<Live, TurnError> {
        let Shared { store, config, .. } = self.shared;
        Ok(live(&**store, self.login.router.id, tasks, seen, config.comments).await?)
    }

    /// Must hold before each flight of writes, and notes that there is one.
    pub(super) fn trust(&self) -> Result<(), TurnError> {
        if self.shared.tenure.holds() {
            self.writes.send_replace(true);
            Ok(())
        } else {
            Err(TurnError::Untrusted)
        }
    }

    /// Notes that a flight of writes was answered, under whose ownership the store was asked last
    /// at `asked`. If that was a moment ago, whoever has taken the router since then looks at it
    /// after these writes, and needs no recheck of the keys that this flight was the first to touch.
    /// Only a write whose answer came late, or never, may have come behind the back of an owner who
    /// looks no more.
    pub(super) fn answered(&self, asked: Duration, first: &[UndoKey], touched: &mut Touched) {
        let Shared {
            clock,
            tenure,
            config,
            ..
        } = self.shared;
        let passed = clock.boot().saturating_sub(asked);
        let last_look = config.looks.last().copied().unwrap_or_default();
        if tenure.holds() && passed < last_look / 2 {
            touched.forget(first);
        }
    }

    /// Returns which tasks still stand.
    pub(super) async fn standing<'t>(
        &self,
        tasks: impl IntoIterator<Item = &'t Task>,
    ) -> Result<BTreeSet<TaskRef>, TurnError> {
        let refs: Vec<_> = tasks.into_iter().map(TaskRef::from).collect();
        Ok(self.shared.store.standing(self.fence, &refs).await?)
    }

    /// The confirmation of a task, with its next look. A restore is looked at again like a cut: a
    /// write that was sent before it may arrive after it. One look stands for all that are overdue.
    pub(super) fn confirmed(&self, task: &Task) -> Outcome {
        let mut looks = self.shared.config.looks.iter().copied();
        let next_look = match (task.progress.state, task.progress.confirmed_at) {
            (State::Confirmed, Some(at)) => {
                let passed = (self.now - at).to_std().unwrap_or_default();
                looks.find(|look| *look > passed)
            }
            (State::Owed | State::Confirmed, _) => looks.next(),
        };
        Outcome::Confirmed { next_look }
    }

    /// The same, of a reading that shows nothing left: one with a gap in it proves nothing.
    pub(super) fn confirmed_unless(&self, gap: Option<&String>, task: &Task) -> Outcome {
        match gap {
            None => self.confirmed(task),
            Some(gap) => self.unconfirmed(task, gap.clone(), None),
        }
    }

    /// How long ago the result of a task was confirmed.
    pub(super) fn since_confirmed(&self, task: &Task) -> Duration {
        let at = task.progress.confirmed_at.unwrap_or(self.now);
        (self.now - at).to_std().unwrap_or_default()
    }

    /// The finding that a result did not hold. A cut whose target is back has the suspected way in.
    /// What a look finds is mended at once; what is back within an attempt would be back again.
    pub(super) fn returned(&self, task: &Task, way_in: Option<WayIn>) -> Outcome {
        let Progress { returns, .. } = task.progress;
        let next = Progress {
            returns: returns + 1,
            ..task.progress.clone()
        };
        let retry_in = match task.progress.state {
            _ if next.cannot_hold() => self.shared.config.interval,
            State::Confirmed => Duration::ZERO,
            State::Owed => self.shared.config.retry.unconfirmed(returns, self.jitter),
        };
        Outcome::Returned { way_in, retry_in }
    }

    /// An attempt that did not confirm.
    pub(super) fn unconfirmed(&self, task: &Task, error: String, online: Option<bool>) -> Outcome {
        let retry_in = if task.progress.cannot_hold() {
            self.shared.config.interval
        } else {
            self.shared
                .config
                .retry
                .unconfirmed(task.progress.attempts, self.jitter)
        };
        Outcome::Unconfirmed {
            error,
            online,
            retry_in,
        }
    }

    async fn none_confirmed(&self, tasks: &[Task], error: &str) -> Result<(), TurnError> {
        let settlements = tasks.iter().map(|task| Settlement {
            task: TaskRef::from(task),
            outcome: self.unconfirmed(task, error.into(), None),
            undone: Vec::new(),
        });
        let settlements: Vec<_> = settlements.collect();
        self.shared.store.settle(self.fence, &settlements).await?;
        Ok(())
    }

    /// Records that a flight failed before it told anything of the tasks without a result.
    pub(super) async fn failed(
        &self,
        tasks: &[Task],
        error: &GatewayError,
        touched: &mut Touched,
    ) -> Result<(), TurnError> {
        let tasks = tasks
            .iter()
            .filter(|task| task.progress.state == State::Owed);
        let open: Vec<_> = tasks
            .filter(|task| !touched.recorded.contains(&task.id))
            .map(|task| Settlement {
                task: TaskRef::from(task),
                outcome: Outcome::Unconfirmed {
                    error: error.to_string(),
                    online: None,
                    // The router's own back-off comes before the next try.
                    retry_in: Duration::ZERO,
                },
                undone: Vec::new(),
            })
            .collect();
        if !open.is_empty() {
            // What was written stays touched: nothing was read back.
            self.shared.store.settle(self.fence, &open).await?;
        }
        Ok(())
    }

    /// Records results, and tells of them.
    pub(super) async fn settle(
        &self,
        results: Vec<(&Task, Outcome, Vec<crate::Undo>)>,
        touched: &mut Touched,
    ) -> Result<(), TurnError> {
        if results.is_empty() {
            return Ok(());
        }
        let settlements: Vec<_> = results
            .iter()
            .map(|(task, outcome, undone)| Settlement {
                task: TaskRef::from(*task),
                outcome: outcome.clone(),
                undone: undone.clone(),
            })
            .collect();
        let settled = self.shared.store.settle(self.fence, &settlements).await?;
        for (task, ..) in &results {
            touched.record(task);
        }
        for ((task, outcome, _), settled) in results.into_iter().zip(settled) {
            if let Some(event) = self.event(task, &outcome, settled) {
                self.shared.record(&event);
            }
        }
        Ok(())
    }

    fn event(&self, task: &Task, outcome: &Outcome, settled: Settled) -> Option<Event> {
        let recorded = match settled {
            Settled::Recorded(recorded) => recorded,
            Settled::Superseded => return None,
        };
        let (id, router, username) = (task.id, self.login.router.id, task.username.clone());
        match (outcome, task.want) {
            (Outcome::Confirmed { .. }, Want::Cut) => recorded.waited.map(|waited| Event::Cut {
                task: id,
                router,
                username,
                due_at: task.due_at,
                waited,
            }),
            (Outcome::Confirmed { .. }, Want::Restore) => {
                recorded.waited.map(|waited| Event::Restored {
                    task: id,
                    router,
                    username,
                    lag: waited.span,
                })
            }
            (Outcome::Returned { .. }, _) if task.progress.cannot_hold() => None,
            (Outcome::Unconfirmed { error, .. }, _)
                if task.progress.last_error.as_ref() == Some(error) =>
            {
                None
            }
            (Outcome::Returned { way_in, .. }, _) => Some(Event::Returned {
                task: id,
                router,
                username,
                way_in: way_in.unwrap_or(WayIn::Unknown),
                cannot_hold: recorded.progress.cannot_hold(),
            }),
            (Outcome::Unconfirmed { error, .. }, _) => {
                let error = error.clone();
                Some(Event::Unconfirmed {
                    task: id,
                    router,
                    username,
                    error,
                })
            }
        }
    }
}

/// Asks for everything that may belong to some tasks.
pub(super) fn query<'t>(tasks: impl IntoIterator<Item = &'t Task>, comments: bool) -> Query {
    let tasks: Vec<_> = tasks.into_iter().collect();
    let undo = tasks.iter().flat_map(|task| &task.undo);
    let (mut names, mut macs) = (BTreeSet::new(), BTreeSet::new());
    for key in undo.map(|undo| &undo.key) {
        match key {
            UndoKey::Name(name) => drop(names.insert(name.clone())),
            UndoKey::Mac(mac) => drop(macs.insert(*mac)),
        }
    }
    let items = tasks.iter().flat_map(|task| &task.undo);
    let items: Vec<_> = items.flat_map(|undo| &undo.items).collect();
    let stations = items.iter().filter_map(|item| item.device()).collect();
    let addresses = items.iter().filter_map(|item| item.address()).collect();
    names.extend(tasks.iter().filter_map(|task| task.username.clone()));
    macs.extend(tasks.iter().flat_map(|task| task.macs.iter().copied()));
    Query {
        names,
        macs,
        stations,
        addresses,
        comments,
        bypasses: true,
        ..Query::default()
    }
}

/// Asks who of some tasks, and of all that stands in a reading, is live.
pub(super) async fn live(
    store: &(impl EnforcementStore + ?Sized),
    router: RouterId,
    tasks: impl IntoIterator<Item = &Task>,
    seen: &Sighting,
    comments: bool,
) -> Result<Live, StoreError> {
    let (mut names, mut macs) = logins_and_devices(seen, comments);
    for task in tasks {
        names.extend(task.username.clone());
        macs.extend(&task.macs);
    }
    let live = store.live(router, &names, &macs).await?;
    Ok(if comments {
        with_lent_devices(live, seen)
    } else {
        live
    })
}
