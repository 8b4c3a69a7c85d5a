use std::time::Duration;

use chrono::TimeDelta;

use super::Shared;
use crate::{
    Brake, BrakeStore, Clock, Clocks, Event, Machine, MachineRecord, MachineState, StoreError,
    brake::{Apart, Reading, judge},
};

/// A state that says nothing new is recorded again after so long.
const STALE: Duration = Duration::from_secs(30);

/// What a look at the clocks came to.
pub(super) struct Judged {
    /// What the machine's clocks showed.
    pub(super) clocks: Clocks,
    /// By how much the clocks may differ.
    pub(super) tolerated: Option<TimeDelta>,
    /// Why nothing may be cut; empty if nothing is in the way.
    pub(super) brakes: Vec<Brake>,
}

/// Compares the clocks, and records what that changes for this machine.
pub(super) async fn look(shared: &Shared) -> Result<Judged, StoreError> {
    let machine = &shared.machine;
    loop {
        let (known, state) = read(&*shared.clock, &*shared.store, machine).await?;
        let is_known = known
            .state
            .is_some_and(|known| says_nothing_new(&state, &known));
        if !is_known
            && !shared
                .store
                .record_machine(machine, known.version, &state)
                .await?
        {
            // Another watcher of this machine was faster: judge by what it saw.
            continue;
        }
        let of_machine = Brake::of_machine(&machine.name, &state);
        let brakes: Vec<_> = of_machine.into_iter().chain(known.share).collect();
        note(shared, &brakes);
        return Ok(Judged {
            clocks: state.last,
            tolerated: state.tolerated,
            brakes,
        });
    }
}

/// Compares the clocks. Returns what the store knows, and what it should know.
pub(super) async fn read(
    clock: &dyn Clock,
    store: &(impl BrakeStore + ?Sized),
    machine: &Machine,
) -> Result<(MachineRecord, MachineState), StoreError> {
    let before = clock.wall();
    let known = store.machine(&machine.id).await?;
    let clocks = clock.read();
    let waits = |state: &MachineState| state.waits_for_synchronisation(&clocks);
    let reading = Reading {
        apart: Apart::between(before, known.now, clocks.wall),
        synchronised: if known.state.as_ref().is_some_and(waits) {
            clock.is_synchronised().await
        } else {
            None
        },
        clocks,
    };
    let state = judge(known.state.as_ref(), &reading, known.now);
    Ok((known, state))
}

/// Heartbeats keep the last reading up to date by themselves.
fn says_nothing_new(state: &MachineState, known: &MachineState) -> bool {
    let essence = |state: &MachineState| {
        let MachineState {
            last,
            brake,
            agreed_since,
            tolerated,
        } = state.clone();
        (last.boot_id, brake, agreed_since, tolerated)
    };
    essence(state) == essence(known) && state.last.boot < known.last.boot + STALE
}

/// Keeps the brakes for whoever asks, and tells of those that began or ended.
fn note(shared: &Shared, brakes: &[Brake]) {
    let before = std::mem::replace(&mut *shared.brakes(), brakes.to_vec());
    let is_in = |brake: &Brake, others: &[Brake]| others.iter().any(|other| other.is_same(brake));
    for brake in brakes.iter().filter(|brake| !is_in(brake, &before)) {
        shared.record(&Event::Braked {
            brake: brake.clone(),
        });
    }
    for brake in before.into_iter().filter(|brake| !is_in(brake, brakes)) {
        shared.record(&Event::BrakeEnded { brake });
    }
}
