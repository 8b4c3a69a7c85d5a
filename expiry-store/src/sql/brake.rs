//! Machines whose clock is not to be trusted, and what becomes of the times that it left.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use expiry_core::{
    AuditEntry, AuditKind, Brake, BrakeStore, Clocks, Machine, MachineRecord, MachineState,
    brake::ClockBrake,
};
use sqlx::FromRow;

use super::{
    Backend, Tx, audit, share, signal,
    store::{self, within},
};
use crate::{
    error::Result,
    mode::{LONG, Mode, SHORT},
    row::{Cell, instant, micros, span},
};

/// A machine of which nothing was heard for so long is forgotten, in microseconds.
const FORGOTTEN_AFTER: i64 = 90 * 24 * 3_600_000_000;

#[derive(FromRow)]
struct Row {
    name: String,
    version: i64,
    boot_id: String,
    boot_us: i64,
    wall_at: i64,
    braked_at: Option<i64>,
    apart_us: Option<i64>,
    jumped_us: Option<i64>,
    agreed_us: Option<i64>,
    tolerated_us: Option<i64>,
}

impl Row {
    fn state(&self) -> Result<MachineState> {
        let cell = |column| Cell {
            table: "machine",
            column,
            key: &self.name,
        };
        let boot = |column, us| Ok(Duration::from_micros(cell(column).number(us)?));
        let brake = match self.braked_at {
            None => None,
            Some(since) => Some(ClockBrake {
                since: cell("braked_at").time(since)?,
                apart: self.apart_us.map(TimeDelta::microseconds),
                jumped: self.jumped_us.map(TimeDelta::microseconds),
            }),
        };
        let agreed_since: Result<_> = self.agreed_us.map(|us| boot("agreed_us", us)).transpose();
        Ok(MachineState {
            last: Clocks {
                boot_id: self.boot_id.clone(),
                boot: boot("boot_us", self.boot_us)?,
                wall: cell("wall_at").time(self.wall_at)?,
            },
            brake,
            agreed_since: agreed_since?,
            tolerated: self.tolerated_us.map(TimeDelta::microseconds),
        })
    }
}

#[async_trait]
impl BrakeStore for Backend {
    async fn machine(&self, machine: &str) -> store::Result<MachineRecord> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Glance).await?;
            let record = read(&mut tx, machine).await?;
            tx.commit().await?;
            Ok(record)
        })
        .await
    }

    async fn record_machine(
        &self,
        machine: &Machine,
        version: i64,
        state: &MachineState,
    ) -> store::Result<bool> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Glance).await?;
            let ends = would_end(&mut tx, &machine.id, state).await?;
            tx.commit().await?;
            let mode = if ends {
                Mode::PlanAndClaim
            } else {
                Mode::Claim
            };
            let mut tx = self.begin(mode).await?;
            let recorded = record(&mut tx, machine, version, state).await?;
            tx.commit().await?;
            Ok(recorded)
        })
        .await
    }

    async fn release_brakes(&self) -> store::Result<Vec<Brake>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::PlanAndClaim).await?;
            let released = release(&mut tx).await?;
            tx.commit().await?;
            Ok(released)
        })
        .await
    }
}

async fn read(tx: &mut Tx, id: &str) -> Result<MachineRecord> {
    let row = find(tx, id).await?;
    Ok(MachineRecord {
        now: instant(tx.now)?,
        version: row.as_ref().map_or(0, |row| row.version),
        state: row.as_ref().map(Row::state).transpose()?,
        share: share::brake(tx).await?,
    })
}

/// Tells whether a brake would end by recording this.
async fn would_end(tx: &mut Tx, id: &str, state: &MachineState) -> Result<bool> {
    let row = find(tx, id).await?;
    Ok(state.brake.is_none() && row.is_some_and(|row| row.braked_at.is_some()))
}

/// Records what became of a machine's clock, unless somebody was faster. Where that ends a brake,
/// the caller keeps everybody else out.
async fn record(
    tx: &mut Tx,
    machine: &Machine,
    version: i64,
    state: &MachineState,
) -> Result<bool> {
    let before = find(tx, &machine.id).await?;
    if before.as_ref().map_or(0, |row| row.version) != version {
        return Ok(false);
    }
    write(tx, machine, version + 1, state).await?;
    let before = match before {
        None => None,
        Some(row) => Brake::of_machine(&row.name, &row.state()?),
    };
    match (before, Brake::of_machine(&machine.name, state)) {
        (None, Some(brake)) => note(tx, AuditKind::BrakeSet { brake }).await?,
        (Some(brake), None) => {
            note(tx, AuditKind::BrakeEnded { brake }).await?;
            forget_the_future(tx).await?;
            signal(tx.conn()).await?;
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
    Ok(true)
}

/// Ends all brakes. The caller keeps everybody else out.
async fn release(tx: &mut Tx) -> Result<Vec<Brake>> {
    let released = brakes(tx).await?;
    let rows: Vec<(String, Row)> = braked(tx).await?;
    for (id, row) in rows {
        let name = row.name.clone();
        let machine = Machine { id, name };
        write(tx, &machine, row.version + 1, &row.state()?.released()).await?;
    }
    share::accept(tx).await?;
    for brake in released.iter().cloned() {
        note(tx, AuditKind::BrakeReleased { brake }).await?;
    }
    if !released.is_empty() {
        forget_the_future(tx).await?;
        signal(tx.conn()).await?;
    }
    Ok(released)
}

async fn note(tx: &mut Tx, kind: AuditKind) -> Result<()> {
    audit::record(tx, &[AuditEntry::general(kind)]).await
}

/// Returns why nothing is cut, oldest first.
pub(super) async fn brakes(tx: &mut Tx) -> Result<Vec<Brake>> {
    let mut brakes = Vec::new();
    for (_, row) in braked(tx).await? {
        brakes.extend(Brake::of_machine(&row.name, &row.state()?));
    }
    brakes.extend(share::brake(tx).await?);
    brakes.sort_by_key(Brake::since);
    Ok(brakes)
}

/// Keeps what the clocks of a machine showed last, unless something newer is known.
pub(super) async fn note_clocks(tx: &mut Tx, machine: &Machine, clocks: &Clocks) -> Result<()> {
    let now = tx.now;
    sqlx::query(
        "UPDATE machine SET seen_at = $4, boot_us = $3, wall_at = $5
         WHERE id = $1 AND boot_id = $2 AND boot_us < $3",
    )
    .bind(&machine.id)
    .bind(&clocks.boot_id)
    .bind(span(clocks.boot))
    .bind(now)
    .bind(micros(clocks.wall))
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM machine WHERE seen_at < $1 AND braked_at IS NULL")
        .bind(now - FORGOTTEN_AFTER)
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn find(tx: &mut Tx, id: &str) -> Result<Option<Row>> {
    Ok(sqlx::query_as(
        "SELECT name, version, boot_id, boot_us, wall_at, braked_at, apart_us, jumped_us, agreed_us,
             tolerated_us
         FROM machine WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(tx.conn())
    .await?)
}

#[derive(FromRow)]
struct Named {
    id: String,
    #[sqlx(flatten)]
    row: Row,
}

async fn braked(tx: &mut Tx) -> Result<Vec<(String, Row)>> {
    let rows: Vec<Named> = sqlx::query_as(
        "SELECT id, name, version, boot_id, boot_us, wall_at, braked_at, apart_us, jumped_us,
             agreed_us, tolerated_us
         FROM machine WHERE braked_at IS NOT NULL ORDER BY braked_at, id",
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|named| (named.id, named.row))
        .collect())
}

async fn write(tx: &mut Tx, machine: &Machine, version: i64, state: &MachineState) -> Result<()> {
    let brake = state.brake.as_ref();
    let us = |delta: TimeDelta| delta.num_microseconds().unwrap_or(i64::MAX);
    let now = tx.now;
    sqlx::query(
        "INSERT INTO machine (id, name, version, seen_at, boot_id, boot_us, wall_at, braked_at,
             apart_us, jumped_us, agreed_us, tolerated_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version,
             seen_at = excluded.seen_at, boot_id = excluded.boot_id, boot_us = excluded.boot_us,
             wall_at = excluded.wall_at, braked_at = excluded.braked_at,
             apart_us = excluded.apart_us, jumped_us = excluded.jumped_us,
             agreed_us = excluded.agreed_us, tolerated_us = excluded.tolerated_us",
    )
    .bind(&machine.id)
    .bind(&machine.name)
    .bind(version)
    .bind(now)
    .bind(&state.last.boot_id)
    .bind(span(state.last.boot))
    .bind(micros(state.last.wall))
    .bind(brake.map(|brake| micros(brake.since)))
    .bind(brake.and_then(|brake| brake.apart).map(us))
    .bind(brake.and_then(|brake| brake.jumped).map(us))
    .bind(state.agreed_since.map(span))
    .bind(state.tolerated.map(us))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What was made owed by a clock that was ahead is due now. Cuts of those who are live again keep
/// their deadline, and planning takes them back.
pub(super) async fn bring_forward(tx: &mut Tx) -> Result<()> {
    let now = tx.now;
    sqlx::query(
        "UPDATE enforcement SET due_at = $1, next_at = $1
         WHERE state = 'owed' AND due_at > $1
           AND (want = 'restore' OR detached
                OR EXISTS (SELECT 1 FROM subscriber s
                           WHERE s.id = enforcement.subscriber_id AND s.ends_at <= $1))",
    )
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The clock was ahead: whatever it stamped is due now, and happened by now at the latest.
async fn forget_the_future(tx: &mut Tx) -> Result<()> {
    bring_forward(tx).await?;
    let now = tx.now;
    for statement in [
        "UPDATE enforcement SET
             next_at = CASE WHEN next_at > $1 THEN $1 ELSE next_at END,
             confirmed_at = CASE WHEN confirmed_at > $1 THEN $1 ELSE confirmed_at END,
             attempted_at = CASE WHEN attempted_at > $1 THEN NULL ELSE attempted_at END
         WHERE next_at > $1 OR confirmed_at > $1 OR attempted_at > $1",
        "UPDATE router SET
             nudged_at = CASE WHEN nudged_at > $1 THEN $1 ELSE nudged_at END,
             down_since = CASE WHEN down_since > $1 THEN $1 ELSE down_since END,
             back_at = CASE WHEN back_at > $1 THEN $1 ELSE back_at END,
             attempted_at = CASE WHEN attempted_at > $1 THEN $1 ELSE attempted_at END,
             reconciled_at = CASE WHEN reconciled_at > $1 THEN NULL ELSE reconciled_at END
         WHERE nudged_at > $1 OR down_since > $1 OR back_at > $1 OR attempted_at > $1
            OR reconciled_at > $1",
        "UPDATE undo SET undone_at = $1 WHERE undone_at > $1",
        "UPDATE ended_by_change SET at = $1 WHERE at > $1",
    ] {
        sqlx::query(statement).bind(now).execute(tx.conn()).await?;
    }
    Ok(())
}
