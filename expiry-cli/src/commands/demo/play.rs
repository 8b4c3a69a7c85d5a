//! Goes through the plan, and waits until nothing is owed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use expiry_core::{Event, LagKind, Username};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    plan::{Payment, Plan, Step},
    stage::{Stage, router_name},
    summary::{Fate, Summary},
    view::{Figures, View},
};
use crate::error::CliError;

/// How long it may take after the last end of access until nothing is owed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Play {
    plan: Plan,
    stage: Stage,
    end: Instant,
    steps: VecDeque<(Instant, Step)>,
    by_name: BTreeMap<Username, usize>,
    paid: BTreeMap<usize, Instant>,
    cut: BTreeSet<usize>,
    restored: BTreeSet<usize>,
    lags: Vec<Duration>,
    outage_lags: Vec<Duration>,
    link_is_cut: bool,
}

impl Play {
    pub(super) fn new(plan: Plan, stage: Stage, length: Duration) -> Self {
        let start = stage.start;
        let steps = plan.steps.iter().map(|(at, step)| (start + *at, *step));
        let names = plan.actors.iter().enumerate();
        let by_name = names.map(|(index, actor)| (actor.username.clone(), index));
        Self {
            end: start + length,
            steps: steps.collect(),
            by_name: by_name.collect(),
            plan,
            stage,
            paid: BTreeMap::new(),
            cut: BTreeSet::new(),
            restored: BTreeSet::new(),
            lags: Vec::new(),
            outage_lags: Vec::new(),
            link_is_cut: false,
        }
    }

    /// Returns what became of everybody, or nothing if it was stopped.
    pub(super) async fn perform(
        mut self,
        mut events: UnboundedReceiver<Event>,
        mut view: View<'_>,
        stop: CancellationToken,
    ) -> Result<Option<Summary>, CliError> {
        let mut tick = interval(Duration::from_millis(100));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.open(&mut view)?;
        loop {
            let next = self.steps.front().map_or(self.end, |(at, _)| *at);
            tokio::select! {
                () = stop.cancelled() => {
                    view.close()?;
                    return Ok(None);
                }
                Some(event) = events.recv() => self.witness(&event, &mut view).await?,
                () = sleep_until(next), if !self.steps.is_empty() => self.step(&mut view).await?,
                _ = tick.tick() => {
                    view.refresh(&self.figures())?;
                    if self.is_over().await? {
                        break;
                    }
                }
            }
        }
        view.close()?;
        Ok(Some(self.conclude()))
    }

    fn open(&self, view: &mut View<'_>) -> Result<(), CliError> {
        let routers: BTreeSet<_> = self.plan.actors.iter().map(|actor| actor.router).collect();
        let text = format!(
            "{} subscribers online on {} simulated routers; access ends one by one",
            self.plan.actors.len(),
            routers.len(),
        );
        Ok(view.event(Duration::ZERO, &text)?)
    }

    async fn step(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        let Some((_, step)) = self.steps.pop_front() else {
            return Ok(());
        };
        let dying = router_name(self.plan.dying);
        let text = match step {
            Step::Renew(actor) => {
                self.pay(actor).await?;
                format!("{} pays before the end", self.plan.actors[actor].username)
            }
            Step::RouterDies => {
                self.link_is_cut = true;
                self.stage.cut_link(self.plan.dying).await;
                format!("the link to {dying} dies; its clients stay online")
            }
            Step::RouterReturns => {
                self.link_is_cut = false;
                self.stage.mend_link(self.plan.dying).await;
                format!("the link to {dying} is back")
            }
        };
        Ok(view.event(self.elapsed(), &text)?)
    }

    async fn witness(&mut self, event: &Event, view: &mut View<'_>) -> Result<(), CliError> {
        let at = self.elapsed();
        let actor = |name: &Option<Username>| {
            let name = name.as_ref()?;
            self.by_name.get(name).copied()
        };
        match event {
            Event::RouterLost { name, error, .. } => {
                view.event(at, &format!("{name} lost: {error}"))?;
            }
            Event::RouterReached { name, .. } => view.event(at, &format!("{name} reached"))?,
            Event::Cut {
                username, waited, ..
            } => {
                let Some(actor) = actor(username) else {
                    return Ok(());
                };
                self.cut.insert(actor);
                let (lag, is_outage) = (waited.span, waited.kind == LagKind::Outage);
                let lags = if is_outage {
                    &mut self.outage_lags
                } else {
                    &mut self.lags
                };
                lags.push(lag);
                let waited = if is_outage {
                    ", waited for the router"
                } else {
                    ""
                };
                let who = &self.plan.actors[actor];
                let (name, router) = (&who.username, router_name(who.router));
                let lag = lag.as_millis();
                view.event(at, &format!("{name} cut on {router}, lag {lag} ms{waited}"))?;
                if who.payment == Some(Payment::AfterTheCut) && !self.paid.contains_key(&actor) {
                    let text = format!("{name} pays after the cut");
                    self.pay(actor).await?;
                    view.event(self.elapsed(), &text)?;
                }
            }
            Event::Restored { username, lag, .. } => {
                let Some(actor) = actor(username) else {
                    return Ok(());
                };
                self.restored.insert(actor);
                let name = &self.plan.actors[actor].username;
                let lag = lag.as_millis();
                view.event(at, &format!("{name} restored, lag {lag} ms"))?;
            }
            Event::Returned {
                username, way_in, ..
            } => {
                if let Some(actor) = actor(username) {
                    let name = &self.plan.actors[actor].username;
                    view.event(at, &format!("{name} is back by {}", way_in.as_str()))?;
                }
            }
            Event::Braked { .. }
            | Event::BrakeEnded { .. }
            | Event::Owned { .. }
            | Event::Disowned { .. }
            | Event::RouterRestarted { .. }
            | Event::Strays { .. }
            | Event::Unread { .. }
            | Event::Refused { .. }
            | Event::Unconfirmed { .. } => {}
        }
        Ok(())
    }

    async fn pay(&mut self, actor: usize) -> Result<(), CliError> {
        let now = Instant::now();
        self.stage.pay(actor).await?;
        self.paid.insert(actor, now);
        Ok(())
    }

    /// Whether nothing is left to happen, or the patience is over.
    async fn is_over(&self) -> Result<bool, CliError> {
        if Instant::now() >= self.end + PATIENCE {
            return Ok(true);
        }
        if !self.steps.is_empty() {
            return Ok(false);
        }
        let mut actors = self.plan.actors.iter().enumerate();
        let all_done = actors.all(|(index, actor)| {
            let restored = match actor.payment {
                Some(Payment::AfterTheCut) => self.restored.contains(&index),
                Some(Payment::BeforeTheEnd) | None => true,
            };
            restored && (!actor.expires() || self.cut.contains(&index))
        });
        if !all_done {
            return Ok(false);
        }
        let status = self.stage.store.status(0).await?;
        Ok(status.owed_cuts + status.owed_restores == 0)
    }

    fn figures(&self) -> Figures {
        let actors = 0..self.plan.actors.len();
        Figures {
            elapsed: self.elapsed(),
            online: actors
                .filter(|&actor| self.stage.can_move_bytes(actor))
                .count(),
            subscribers: self.plan.actors.len(),
            cut: self.cut.len(),
            worst_lag: self.lags.iter().max().copied().unwrap_or_default(),
            router_down: self.link_is_cut,
        }
    }

    fn conclude(mut self) -> Summary {
        let stops = self.stage.stops();
        let fate = |(index, stops)| Fate {
            paid: self.paid.get(&index).copied(),
            stops,
            can_move_bytes: self.stage.can_move_bytes(index),
            could_log_in: self.stage.could_log_in(index),
            ..Fate::new(&self.plan.actors[index], self.stage.start)
        };
        let fates: Vec<_> = stops.into_iter().enumerate().map(fate).collect();
        Summary::new(&fates, self.lags, self.outage_lags)
    }

    fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.stage.start)
    }
}
