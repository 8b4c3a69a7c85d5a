use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    MemoryStore,
    tables::{Row, Tables},
};
use crate::{
    AuditEntry, AuditKind, Brake, BrakeStore, Clocks, Machine, MachineRecord, MachineState, State,
    StoreError, SubscriberId, Want, brake::exceeds_share,
};

/// So long an access that a change ended counts towards the share, even if it is cut.
const COUNTS_FOR: TimeDelta = TimeDelta::hours(1);

/// What is known of one machine.
#[derive(Clone, Debug)]
pub(super) struct MachineRow {
    name: String,
    version: i64,
    state: MachineState,
}

#[async_trait]
impl BrakeStore for MemoryStore {
    async fn machine(&self, machine: &str) -> Result<MachineRecord, StoreError> {
        self.transaction("machine", |tables, now| {
            let row = tables.machines.get(machine);
            Ok(MachineRecord {
                now,
                version: row.map_or(0, |row| row.version),
                state: row.map(|row| row.state.clone()),
                share: tables.share.clone(),
            })
        })
    }

    async fn record_machine(
        &self,
        machine: &Machine,
        version: i64,
        state: &MachineState,
    ) -> Result<bool, StoreError> {
        self.transaction("record_machine", |tables, now| {
            let known = tables.machines.get(&machine.id);
            if known.map_or(0, |row| row.version) != version {
                return Ok(false);
            }
            let before = known.and_then(|row| Brake::of_machine(&row.name, &row.state));
            let after = Brake::of_machine(&machine.name, state);
            let row = MachineRow {
                name: machine.name.clone(),
                version: version + 1,
                state: state.clone(),
            };
            tables.machines.insert(machine.id.clone(), row);
            match (before, after) {
                (None, Some(brake)) => {
                    tables.note(AuditEntry::general(AuditKind::BrakeSet { brake }), now);
                }
                (Some(brake), None) => {
                    tables.note(AuditEntry::general(AuditKind::BrakeEnded { brake }), now);
                    tables.forget_the_future(now);
                    tables.wake();
                }
                (None, None) | (Some(_), Some(_)) => {}
            }
            Ok(true)
        })
    }

    async fn release_brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.transaction("release_brakes", |tables, now| {
            let released = tables.brakes();
            for row in tables.machines.values_mut() {
                if row.state.brake.is_some() {
                    row.state = row.state.released();
                    row.version += 1;
                }
            }
            tables.share = None;
            tables.ended_by_change.clear();
            for brake in released.iter().cloned() {
                let kind = AuditKind::BrakeReleased { brake };
                tables.note(AuditEntry::general(kind), now);
            }
            if !released.is_empty() {
                tables.forget_the_future(now);
                tables.wake();
            }
            Ok(released)
        })
    }
}

impl Tables {
    pub(super) fn brakes(&self) -> Vec<Brake> {
        let machines = self.machines.values();
        let clocks = machines.filter_map(|row| Brake::of_machine(&row.name, &row.state));
        let mut brakes: Vec<_> = clocks.chain(self.share.clone()).collect();
        brakes.sort_by_key(Brake::since);
        brakes
    }

    /// Keeps what the clocks of a machine showed last, unless something newer is known.
    pub(super) fn note_clocks(&mut self, machine: &Machine, clocks: &Clocks) {
        if let Some(row) = self.machines.get_mut(&machine.id) {
            let last = &mut row.state.last;
            if last.boot_id == clocks.boot_id && last.boot < clocks.boot {
                last.clone_from(clocks);
            }
        }
    }

    /// Notes that a change ended the access of a subscriber, if that owes a cut.
    pub(super) fn note_ended(&mut self, subscriber: SubscriberId, now: DateTime<Utc>) {
        let is_owed = self.owes_a_cut(subscriber);
        if is_owed {
            self.ended_by_change.insert(subscriber, now);
        }
    }

    /// Tells whether changes ended the access of too many, and remembers it.
    pub(super) fn share_is_exceeded(&mut self, now: DateTime<Utc>) -> bool {
        if self.share.is_some() {
            return true;
        }
        let alive = self.watchers.values().filter(|row| row.is_alive(now));
        let Some(limit_percent) = alive.filter_map(|row| row.share_limit).min() else {
            return false;
        };
        let ended = self.ended_by_change.len() as u64;
        let there = self.subscribers.values().filter(|row| !row.is_removed());
        let subscribers = there.count() as u64;
        if !exceeds_share(ended, subscribers, limit_percent) {
            return false;
        }
        let brake = Brake::Share {
            since: now,
            ended,
            subscribers,
            limit_percent,
        };
        self.share = Some(brake.clone());
        self.note(AuditEntry::general(AuditKind::BrakeSet { brake }), now);
        self.wake();
        true
    }

    /// Forgets accesses that changes ended some time ago and that are cut.
    pub(super) fn forget_ended(&mut self, now: DateTime<Utc>) {
        let old: Vec<_> = self
            .ended_by_change
            .iter()
            .filter(|(_, at)| **at <= now - COUNTS_FOR)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            if self.owes_a_cut(id) {
                self.ended_by_change.insert(id, now);
            } else {
                self.ended_by_change.remove(&id);
            }
        }
    }

    /// Tells whether nobody who is live would be cut by a row.
    pub(super) fn may_be_cut(&self, row: &Row, now: DateTime<Utc>) -> bool {
        row.target.device.is_some()
            || self.has_left(row)
            || self
                .subscribers
                .get(&row.target.subscriber)
                .is_none_or(|owner| owner.is_removed() || owner.has_ended(now))
    }

    /// What was made owed by a clock that was ahead is due now.
    pub(super) fn bring_forward(&mut self, now: DateTime<Utc>) {
        let ahead: Vec<_> = self
            .rows()
            .filter(|row| row.is_owed() && row.due_at > now)
            .filter(|row| row.want == Want::Restore || self.may_be_cut(row, now))
            .map(|row| row.id)
            .collect();
        for id in ahead {
            if let Some(row) = self.row_mut(id) {
                row.due_at = now;
                row.progress.next_attempt_at = Some(now);
            }
        }
    }

    /// The clock was ahead: whatever it stamped is due now, and happened by now at the latest.
    fn forget_the_future(&mut self, now: DateTime<Utc>) {
        self.bring_forward(now);
        for row in self.rows_mut() {
            let progress = &mut row.progress;
            for at in [
                &mut progress.next_attempt_at,
                &mut progress.verify_at,
                &mut progress.confirmed_at,
            ] {
                *at = at.map(|at| at.min(now));
            }
            row.attempted_at = row.attempted_at.filter(|at| *at <= now);
        }
        for row in self.routers.values_mut() {
            for at in [
                &mut row.nudged_at,
                &mut row.down_since,
                &mut row.back_at,
                &mut row.attempted_at,
            ] {
                *at = at.map(|at| at.min(now));
            }
            row.reconciled_at = row.reconciled_at.filter(|at| *at <= now);
        }
        for row in self.undo.values_mut() {
            row.undone_at = row.undone_at.map(|at| at.min(now));
        }
        for at in self.ended_by_change.values_mut() {
            *at = (*at).min(now);
        }
    }

    fn owes_a_cut(&self, subscriber: SubscriberId) -> bool {
        self.rows().any(|row| {
            row.target.subscriber == subscriber
                && row.want == Want::Cut
                && row.progress.state == State::Owed
        })
    }
}
