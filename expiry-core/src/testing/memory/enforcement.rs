use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    MemoryStore,
    planning::FRESH,
    tables::{Row, Tables},
};
use crate::{
    AuditKind, ChangeFeed, Conflict, EnforcementStore, Fence, Hardware, Heartbeat, Histogram,
    Intent, Known, LOOKS_AFTER_RESTART, Live, MacAddr, Ownership, Planned, Pruned,
    RESTART_TOLERANCE, Reconciled, Reconciliation, RouterFacts, RouterId, RouterSaid, RouterState,
    Settled, Settlement, State, StoreError, Task, TaskRef, UndoKey, Username, Want, WatcherId,
    Work, seen_late,
};

#[async_trait]
impl EnforcementStore for MemoryStore {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.transaction("now", |_, now| Ok(now))
    }

    async fn own(&self, beat: &Heartbeat) -> Result<Vec<Ownership>, StoreError> {
        self.transaction("own", |tables, now| Ok(tables.own(beat, now)))
    }

    async fn stand_by(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        self.transaction("stand_by", |tables, now| {
            tables.stand_by(beat, now);
            Ok(())
        })
    }

    async fn let_go(&self, fence: &Fence) -> Result<(), StoreError> {
        self.transaction("let_go", |tables, now| {
            if tables.check(fence).is_ok() && tables.let_go_of(fence.router, now) {
                tables.wake();
            }
            Ok(())
        })
    }

    async fn release(&self, watcher: WatcherId) -> Result<(), StoreError> {
        self.transaction("release", |tables, now| {
            tables.release(watcher, now);
            Ok(())
        })
    }

    async fn plan_due(&self, limit: u32) -> Result<Planned, StoreError> {
        self.transaction("plan_due", |tables, now| Ok(tables.plan_due(limit, now)))
    }

    async fn work(&self, fence: &Fence, limit: u32, backlog: u32) -> Result<Work, StoreError> {
        self.transaction("work", |tables, now| {
            tables.check(fence)?;
            Ok(tables.work(fence.router, limit, backlog, now))
        })
    }

    async fn live(
        &self,
        router: RouterId,
        names: &BTreeSet<Username>,
        macs: &BTreeSet<MacAddr>,
    ) -> Result<Live, StoreError> {
        self.transaction("live", |tables, now| {
            let Some(place) = tables.routers.get(&router).map(|row| &row.router) else {
                return Ok(Live::default());
            };
            let owned = |key: UndoKey| tables.live_owner(place, &key, now).is_some();
            let names = names
                .iter()
                .filter(|name| owned(UndoKey::Name((*name).clone())));
            let macs = macs.iter().filter(|mac| owned(UndoKey::Mac(**mac)));
            Ok(Live {
                names: names.cloned().collect(),
                macs: macs.copied().collect(),
            })
        })
    }

    async fn known(&self, router: RouterId, keys: &BTreeSet<UndoKey>) -> Result<Known, StoreError> {
        self.transaction("known", |tables, now| Ok(tables.who_has(router, keys, now)))
    }

    async fn next_deadline(
        &self,
        router: RouterId,
        within: Duration,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.transaction("next_deadline", |tables, now| {
            Ok(tables.next_deadline(router, within, now))
        })
    }

    async fn reconciled(
        &self,
        fence: &Fence,
        reconciliation: &Reconciliation,
    ) -> Result<Reconciled, StoreError> {
        self.transaction("reconciled", |tables, now| {
            tables.check(fence)?;
            Ok(tables.reconciled(fence.router, reconciliation, now))
        })
    }

    async fn intend(
        &self,
        fence: &Fence,
        intents: &[Intent],
    ) -> Result<BTreeSet<TaskRef>, StoreError> {
        self.transaction("intend", |tables, now| {
            tables.check(fence)?;
            let mut standing = BTreeSet::new();
            for intent in intents {
                if tables.stands(fence.router, &intent.task) {
                    tables.commit_intent(fence.router, intent, now);
                    standing.insert(intent.task);
                }
            }
            Ok(standing)
        })
    }

    async fn standing(
        &self,
        fence: &Fence,
        tasks: &[TaskRef],
    ) -> Result<BTreeSet<TaskRef>, StoreError> {
        self.transaction("standing", |tables, _| {
            tables.check(fence)?;
            let standing = tasks
                .iter()
                .filter(|task| tables.stands(fence.router, task));
            Ok(standing.copied().collect())
        })
    }

    async fn settle(
        &self,
        fence: &Fence,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.transaction("settle", |tables, now| {
            tables.check(fence)?;
            let settled = settlements
                .iter()
                .map(|settlement| tables.record(fence.router, settlement, now))
                .collect();
            tables.owe_restores(fence.router, now);
            Ok(settled)
        })
    }

    async fn recheck(&self, router: RouterId, keys: &[UndoKey]) -> Result<(), StoreError> {
        self.transaction("recheck", |tables, now| {
            tables.recheck(router, keys, now);
            Ok(())
        })
    }

    async fn router_state(&self, fence: &Fence, state: &RouterState) -> Result<(), StoreError> {
        self.transaction("router_state", |tables, now| {
            tables.check(fence)?;
            match state {
                RouterState::Reached(facts) => tables.reached(fence.router, facts, false, now),
                RouterState::Restarted(facts) => tables.reached(fence.router, facts, true, now),
                RouterState::Hindered(error) => {
                    tables.hindered(fence.router, error, now);
                    Ok(())
                }
                RouterState::Failed(error) => {
                    tables.failed(fence.router, error, now);
                    Ok(())
                }
            }
        })
    }

    async fn note_requests(
        &self,
        requests: &BTreeMap<RouterId, Histogram>,
    ) -> Result<(), StoreError> {
        self.transaction("note_requests", |tables, _| {
            for (router, histogram) in requests {
                tables.requests.entry(*router).or_default().add(histogram);
            }
            Ok(())
        })
    }

    async fn nudge(&self) -> Result<(), StoreError> {
        self.transaction("nudge", |tables, now| {
            for row in tables.rows_mut() {
                if row.is_owed() && !row.progress.cannot_hold() {
                    row.progress.next_attempt_at = row.progress.next_attempt_at.min(Some(now));
                }
            }
            let enabled = tables.routers.values_mut().filter(|row| row.router.enabled);
            for row in enabled {
                row.nudged_at = Some(now);
            }
            tables.wake();
            Ok(())
        })
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<Pruned, StoreError> {
        self.transaction("prune", |tables, now| Ok(tables.prune(keep, limit, now)))
    }

    async fn changes(&self) -> Result<Box<dyn ChangeFeed>, StoreError> {
        self.transaction("changes", |_, _| Ok(()))?;
        Ok(self.feed())
    }
}

impl Tables {
    fn plan_due(&mut self, limit: u32, now: DateTime<Utc>) -> Planned {
        let mut planned = 0;
        for owner in self.unplanned(now).into_iter().take(limit as usize) {
            let end = owner.subscriber.access.end().unwrap_or(now);
            self.note_end(&owner, now);
            let known_late_at = seen_late(end, self.watched_since(now), now);
            self.plan_cut(&owner, end, known_late_at, now);
            planned += 1;
        }
        planned += self.take_back_early(limit.saturating_sub(planned), now);
        self.bring_forward(now);
        let enabled: Vec<_> = self
            .routers
            .values()
            .filter(|row| row.router.enabled)
            .map(|row| row.router.id)
            .collect();
        let mut any = planned > 0;
        for router in enabled {
            any |= self.owe_restores(router, now);
        }
        self.purge();
        if any {
            self.wake();
        }
        Planned {
            now,
            subscribers: planned,
            next_deadline: self.next_unplanned(),
        }
    }

    fn work(&mut self, router: RouterId, limit: u32, backlog: u32, now: DateTime<Utc>) -> Work {
        let is_braked = self.share_is_exceeded(now);
        let on_router = || self.rows().filter(|row| row.router == router);
        let mut ready: Vec<_> = on_router()
            .filter(|row| !is_braked && row.wanted_at().is_some_and(|at| at <= now))
            .filter(|row| !row.is_owed() || row.want == Want::Restore || self.may_be_cut(row, now))
            .collect();
        // What was due long before its owner claimed the router was not seen in time by anybody.
        let claimed_at = self.routers.get(&router).map(|row| row.claimed_at);
        let is_unseen = |row: &Row| claimed_at.is_some_and(|at| at - row.due_at > FRESH);
        let turn_of = |row: &Row| match turn_of(row) {
            FRESH_CUT if is_unseen(row) => BACKLOG,
            turn => turn,
        };
        ready.sort_by_key(|row| (turn_of(row), row.due_at, row.id));
        let mut backlog_left = backlog;
        ready.retain(|row| {
            if turn_of(row) != BACKLOG {
                return true;
            }
            let fits = backlog_left > 0;
            backlog_left = backlog_left.saturating_sub(1);
            fits
        });
        ready.truncate(limit as usize);
        let tasks = ready.into_iter().map(|row| Task {
            backlog: row.backlog || turn_of(row) == BACKLOG,
            ..self.task(row)
        });
        Work {
            now,
            tasks: tasks.collect(),
            next_at: on_router()
                .filter_map(|row| row.wanted_at().filter(|at| *at > now))
                .min(),
            reconciled_at: self.routers.get(&router).and_then(|row| {
                // What was read before an outage is old.
                row.reconciled_at.filter(|at| row.back_at <= Some(*at))
            }),
        }
    }

    pub(super) fn task(&self, row: &Row) -> Task {
        Task {
            id: row.id,
            want: row.want,
            revision: row.revision,
            username: row.username.clone(),
            macs: row.macs.clone(),
            due_at: row.due_at,
            backlog: row.backlog,
            progress: row.progress.clone(),
            trace: row.trace.clone(),
            undo: self.undo_for(row),
        }
    }

    fn reached(
        &mut self,
        router: RouterId,
        facts: &RouterFacts,
        has_restarted: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let serial = facts.hardware.serial.as_ref();
        let twin = self.routers.values().find(|row| {
            let seen = row
                .router
                .seen
                .as_ref()
                .and_then(|seen| seen.serial.as_ref());
            row.router.id != router && seen == serial
        });
        if let (Some(twin), Some(serial)) = (twin, serial) {
            return Err(StoreError::Conflict(Conflict::RouterSerial {
                serial: serial.clone(),
                router: twin.router.name.clone(),
            }));
        }
        let mut has_restarted = has_restarted;
        if let Some(row) = self.routers.get_mut(&router) {
            let booted_at = facts.up_for().map(|up_for| now - up_for);
            let both = row.booted_at.zip(booted_at);
            has_restarted |= both.is_some_and(|(then, now)| now > then + RESTART_TOLERANCE);
            row.booted_at = booted_at.or(row.booted_at);
            if has_restarted {
                row.back_at = Some(now);
            }
            let known = row.router.seen.as_ref();
            if known.is_none_or(|seen| seen.is_same_box(&facts.hardware)) {
                let kept = known.and_then(|seen| seen.serial.clone());
                row.router.seen = Some(Hardware {
                    identity: facts.hardware.identity.clone(),
                    serial: facts.hardware.serial.clone().or(kept),
                });
            }
            row.attempted_at = Some(now);
            row.last_error = None;
            row.said = Some(RouterSaid {
                at: now,
                version: facts.version.clone(),
                board: facts.board.clone(),
                clock_skew_ms: facts.clock.map(|clock| (clock - now).num_milliseconds()),
            });
            if let Some(since) = row.down_since.take() {
                row.back_at = Some(now);
                let down_for = (now - since).to_std().unwrap_or_default();
                self.note_on(router, AuditKind::RouterUp { down_for }, now);
            }
        }
        if has_restarted {
            self.look_again(router, now);
        }
        Ok(())
    }

    /// Has the latest confirmed cuts of a router looked at again.
    fn look_again(&mut self, router: RouterId, now: DateTime<Utc>) {
        let cuts = self.rows_mut().filter(|row| {
            let is_confirmed = row.progress.state == State::Confirmed;
            row.router == router && row.want == Want::Cut && is_confirmed
        });
        let mut cuts: Vec<_> = cuts.collect();
        cuts.sort_by_key(|row| std::cmp::Reverse((row.progress.confirmed_at, row.id)));
        for row in cuts.into_iter().take(LOOKS_AFTER_RESTART as usize) {
            row.progress.verify_at = Some(now);
        }
    }

    fn hindered(&mut self, router: RouterId, error: &str, now: DateTime<Utc>) {
        if let Some(row) = self.routers.get_mut(&router) {
            row.attempted_at = Some(now);
            row.last_error = Some(error.into());
        }
    }

    fn failed(&mut self, router: RouterId, error: &str, now: DateTime<Utc>) {
        if let Some(row) = self.routers.get_mut(&router) {
            row.attempted_at = Some(now);
            row.last_error = Some(error.into());
            if row.down_since.is_none() {
                row.down_since = Some(now);
                let error = error.into();
                self.note_on(router, AuditKind::RouterDown { error }, now);
            }
        }
    }
}

const FRESH_CUT: u8 = 1;
const BACKLOG: u8 = 3;

/// Owed restores first, then fresh cuts, then looks, then backlog.
pub(super) fn turn_of(row: &Row) -> u8 {
    match (row.progress.state, row.want) {
        (State::Confirmed, _) => 2,
        (State::Owed, Want::Restore) => 0,
        (State::Owed, Want::Cut) if row.backlog => BACKLOG,
        (State::Owed, Want::Cut) => FRESH_CUT,
    }
}
