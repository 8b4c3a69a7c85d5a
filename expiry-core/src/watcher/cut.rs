//! The flights of a cut, from the first look to the verdict of the read-back.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    removals::Removals,
    turn::{Touched, Turn, TurnError, Written},
};
use crate::{
    ActiveRow, BindingRow, BlockOrder, BrokenOff, ConnectionRow, DropOrder, GatewayError,
    HolderRow, Intent, Live, Outcome, Query, Refusal, RowId, RowKind, Sighting, State, Task,
    TaskRef, Trace,
    decide::{Claim, Leftovers, block_order, drop_order, passes_by, suspected_way_in, undo_of},
};

/// How often connections that came back are removed and read again before the cut is left
/// unconfirmed.
const ROUNDS: u32 = 3;

/// After so many attempts a plain connection under an id that was removed is a new one.
const KNOCKS: u32 = 3;

/// A cut under way. The trace of its task grows with every reading, and is what the next reading
/// asks for: a session of somebody else on one of the addresses shows only then.
struct Cut {
    task: Task,
    left: Leftovers,
    /// The sessions and open hosts that were dropped.
    dropped: (Vec<ActiveRow>, BTreeSet<RowId>),
    /// A binding of others, too, by which a reading of this attempt showed the target passing. What
    /// was dropped is back with its next packet.
    passed_by: Option<BindingRow>,
    /// Whether the last reading showed the target on an address that was not asked for.
    moved: bool,
    /// Whether the target was live at the last reading.
    live: bool,
}

/// What a reading says of somebody who is live: who paid meanwhile is cut no more, and the record
/// is void. Who did not is live by a clock that was set back.
const LIVE: &str = "access is live by the database's clock";

impl Cut {
    fn new(mut task: Task, left: Leftovers) -> Self {
        task.trace.add(&left.trace());
        Self {
            task,
            passed_by: left.shared.first().cloned(),
            left,
            dropped: Default::default(),
            moved: false,
            live: false,
        }
    }

    /// Takes in a new reading. Addresses that somebody else uses by now are not the target's, and
    /// connections of one that was not asked for wait until it was. Tells whether the target was
    /// seen where it was not seen before.
    fn update(&mut self, turn: &Turn<'_>, seen: &Sighting, live: &Live) -> bool {
        let claim = Claim::new(&self.task, live, turn.shared.config.comments);
        self.live = claim.is_void();
        self.left = Leftovers::find(&claim, seen, &self.task.trace.addresses);
        if let Some(row) = self.left.shared.first() {
            self.passed_by = Some(row.clone());
        }
        let asked = &self.task.trace.addresses;
        let sure: BTreeSet<IpAddr> = self.left.addresses.intersection(asked).copied().collect();
        self.moved = sure.len() < self.left.addresses.len();
        let is_sure = |row: &ConnectionRow| !row.addresses.is_disjoint(&sure);
        self.left.connections.retain(is_sure);
        let before = self.task.trace.clone();
        self.task.trace.add(&self.left.trace());
        self.task.trace != before
    }

    /// Notes what is about to be dropped.
    fn note_drop(&mut self) {
        let hosts = self.left.open_hosts.iter().map(|row| row.id.clone());
        self.dropped = (self.left.actives.clone(), hosts.collect());
    }

    /// Tells whether what passes now is what was dropped: a router may take a while to remove it,
    /// or answer without doing anything.
    fn was_not_dropped(&self) -> bool {
        let (actives, hosts) = &self.dropped;
        let stays = |row: &ActiveRow| actives.iter().any(|dropped| row.continues(dropped));
        self.left.actives.iter().any(stays)
            || self
                .left
                .open_hosts
                .iter()
                .any(|row| hosts.contains(&row.id))
    }

    /// Finds why a row of the target is still there, if the router said so. A session under the id
    /// of one that was refused may be a new one: the id is its address.
    fn refusal<'a>(&self, refusals: &'a [Refusal]) -> Option<&'a str> {
        let left = &self.left;
        let is_old = |row: &&ActiveRow| self.dropped.0.iter().any(|old| row.continues(old));
        let rows = (left.users.iter().map(|row| (RowKind::Account, &row.id)))
            .chain(left.cookies.iter().map(|row| (RowKind::Cookie, &row.id)))
            .chain(left.bindings.iter().map(|row| (RowKind::Binding, &row.id)))
            .chain(left.open_hosts.iter().map(|row| (RowKind::Host, &row.id)));
        let sessions = left.actives.iter().filter(is_old);
        let rows: BTreeSet<_> = rows
            .chain(sessions.map(|row| (RowKind::Session, &row.id)))
            .collect();
        let mut refusals = refusals.iter();
        let refusal = refusals.find(|refusal| rows.contains(&(refusal.kind, &refusal.row)))?;
        Some(&refusal.message)
    }
}

/// Cuts: look (already done), intend, block, drop, read back, record. Tells what came of the writes.
pub(super) async fn run(
    turn: &Turn<'_>,
    tasks: Vec<Task>,
    seen: Sighting,
    touched: &mut Touched,
) -> Result<Written, TurnError> {
    let live = turn.live(&tasks, &seen).await?;
    let mut cuts = triage(turn, tasks, &seen, &live, touched).await?;
    if cuts.is_empty() {
        return Ok(Written::Nothing);
    }

    let intents: Vec<_> = cuts
        .iter()
        .map(|cut| intent(turn, cut, &seen, &live))
        .collect();
    let asked = turn.shared.clock.boot();
    retain(
        &mut cuts,
        &turn.shared.store.intend(turn.fence, &intents).await?,
    );
    if cuts.is_empty() {
        return Ok(Written::Nothing);
    }
    let first = touched.add(
        intents
            .into_iter()
            .flat_map(|intent| intent.undo)
            .map(|undo| undo.key),
    );
    let looked = seen;
    let (order, mut seen, mut refusals) = block(turn, &mut cuts).await?;
    let mut has_written = order != BlockOrder::default();
    turn.answered(asked, &first, touched);
    let holders = looked.holders.clone();
    keep_unblocked(&mut seen, looked, &order);

    let live = turn.live(cuts.iter().map(|cut| &cut.task), &seen).await?;
    let mut is_news = false;
    for cut in &mut cuts {
        is_news |= cut.update(turn, &seen, &live);
    }
    if is_news {
        let traces: Vec<_> = cuts.iter().map(|cut| trace_only(&cut.task)).collect();
        retain(
            &mut cuts,
            &turn.shared.store.intend(turn.fence, &traces).await?,
        );
    } else {
        let standing = turn.standing(cuts.iter().map(|cut| &cut.task)).await?;
        retain(&mut cuts, &standing);
    }
    for cut in &mut cuts {
        cut.note_drop();
    }
    let order = drop_order(cuts.iter().map(|cut| &cut.left));
    has_written |= order != DropOrder::default();
    let mut removals = Removals::default();
    let refused = drop_rows(turn, &order).await?;
    removals.note(connections(&cuts), &refused);
    refusals.extend(refused);
    let written = if has_written {
        Written::answered(&refusals)
    } else {
        Written::Nothing
    };
    read_back(turn, cuts, &holders, removals, refusals, touched).await?;
    Ok(written)
}

/// Records what the first look already answers, and returns the cuts that need more.
async fn triage(
    turn: &Turn<'_>,
    tasks: Vec<Task>,
    seen: &Sighting,
    live: &Live,
    touched: &mut Touched,
) -> Result<Vec<Cut>, TurnError> {
    let mut cuts = Vec::new();
    let mut answered = Vec::new();
    let gap = seen.gap();
    for task in tasks {
        let claim = Claim::new(&task, live, turn.shared.config.comments);
        let left = Leftovers::find(&claim, seen, &task.trace.addresses);
        // An attempt that was broken off may have left connections of a target that the router
        // does not show any more.
        let is_nowhere = task.trace.is_empty() && left.addresses.is_empty();
        let was_never_there = !left.is_present() && is_nowhere;
        match task.progress.state {
            _ if claim.is_void() => {
                answered.push((turn.unconfirmed(&task, LIVE.into(), None), task));
            }
            State::Confirmed if left.ways_are_closed() => {
                answered.push((turn.confirmed_unless(gap.as_ref(), &task), task));
            }
            State::Confirmed if left.is_online() => {
                answered.push((turn.returned(&task, Some(suspected_way_in(&left))), task));
            }
            State::Owed if left.is_clear() && was_never_there => {
                answered.push((turn.confirmed_unless(gap.as_ref(), &task), task));
            }
            // A way in that nobody has used is closed at once.
            State::Confirmed | State::Owed => cuts.push(Cut::new(task, left)),
        }
    }
    let results = answered
        .iter()
        .map(|(outcome, task)| (task, outcome.clone(), Vec::new()));
    turn.settle(results.collect(), touched).await?;
    Ok(cuts)
}

fn intent(turn: &Turn<'_>, cut: &Cut, seen: &Sighting, live: &Live) -> Intent {
    let claim = Claim::new(&cut.task, live, turn.shared.config.comments);
    Intent {
        undo: undo_of(&claim, seen, &cut.left),
        ..trace_only(&cut.task)
    }
}

fn trace_only(task: &Task) -> Intent {
    Intent {
        task: TaskRef::from(task),
        undo: Vec::new(),
        trace: task.trace.clone(),
    }
}

fn retain(cuts: &mut Vec<Cut>, standing: &BTreeSet<TaskRef>) {
    cuts.retain(|cut| standing.contains(&TaskRef::from(&cut.task)));
}

/// Asks also for the devices and addresses that earlier readings discovered, and for connections.
fn wide_query(turn: &Turn<'_>, cuts: &[Cut]) -> Query {
    let mut query = turn.query(cuts.iter().map(|cut| &cut.task));
    for Trace {
        addresses,
        stations,
    } in cuts.iter().map(|cut| &cut.task.trace)
    {
        query.stations.extend(stations);
        query.addresses.extend(addresses);
    }
    query.connections = true;
    query
}

/// Adds the bindings that were read first and are not switched off, and who has which address:
/// they say who passes, and the flight that blocks does not read them.
fn keep_unblocked(seen: &mut Sighting, looked: Sighting, order: &BlockOrder) {
    seen.bindings = looked.bindings;
    seen.holders = looked.holders;
    let is_unread = |answer: &BrokenOff| matches!(answer.kind, RowKind::Binding | RowKind::Holder);
    seen.break_off(looked.broken_off.into_iter().filter(is_unread));
    seen.bindings
        .retain(|row| !order.bindings.contains(&row.id));
}

/// Blocks, and reads again. A router that cannot show its connection table must not keep the
/// sessions alive: without it they are dropped all the same, and the read-back asks once more.
///
/// Returns what was ordered last: whoever paid in between is left out of it, and of `cuts`.
async fn block(
    turn: &Turn<'_>,
    cuts: &mut Vec<Cut>,
) -> Result<(BlockOrder, Sighting, Vec<Refusal>), TurnError> {
    let mut query = wide_query(turn, cuts);
    query.connections = !turn.spares_table;
    loop {
        let order = block_order(cuts.iter().map(|cut| &cut.left));
        turn.trust()?;
        let gateway = &turn.shared.gateway;
        match gateway.block(&turn.login.router, &order, &query).await {
            Ok((seen, refusals)) => return Ok((order, seen, refusals)),
            Err(GatewayError::Refused { .. }) if query.connections => {
                query.connections = false;
                let standing = turn.standing(cuts.iter().map(|cut| &cut.task)).await?;
                retain(cuts, &standing);
            }
            Err(error) => return Err(TurnError::Block(error)),
        }
    }
}

async fn drop_rows(turn: &Turn<'_>, order: &DropOrder) -> Result<Vec<Refusal>, TurnError> {
    if *order == DropOrder::default() {
        return Ok(Vec::new());
    }
    turn.trust()?;
    Ok(turn
        .shared
        .gateway
        .drop_rows(&turn.login.router, order)
        .await?)
}

async fn read_back(
    turn: &Turn<'_>,
    mut cuts: Vec<Cut>,
    holders: &[HolderRow],
    mut removals: Removals,
    refusals: Vec<Refusal>,
    touched: &mut Touched,
) -> Result<(), TurnError> {
    for round in 1.. {
        if cuts.is_empty() {
            break;
        }
        let mut back = match turn
            .shared
            .gateway
            .look(turn.login, &wide_query(turn, &cuts))
            .await
        {
            Ok(back) => back,
            Err(error @ GatewayError::Refused { .. }) => {
                let outcome = |cut: &Cut| turn.unconfirmed(&cut.task, error.to_string(), None);
                let results = cuts.iter().map(|cut| (&cut.task, outcome(cut), Vec::new()));
                return turn.settle(results.collect(), touched).await;
            }
            Err(error) => return Err(error.into()),
        };
        back.holders = holders.to_vec();
        let live = turn.live(cuts.iter().map(|cut| &cut.task), &back).await?;
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for mut cut in cuts {
            cut.update(turn, &back, &live);
            let flows = cut.moved || !cut.left.connections.is_empty();
            if cut.left.ways_are_closed() && flows && round < ROUNDS {
                again.push(cut);
            } else {
                done.push(cut);
            }
        }
        let gap = back.gap();
        let outcome = |cut: &Cut| verdict(turn, cut, &removals, &refusals, gap.as_ref());
        let results = done.iter().map(|cut| (&cut.task, outcome(cut), Vec::new()));
        turn.settle(results.collect(), touched).await?;
        cuts = again;
        let standing = turn.standing(cuts.iter().map(|cut| &cut.task)).await?;
        retain(&mut cuts, &standing);
        let order = DropOrder {
            connections: drop_order(cuts.iter().map(|cut| &cut.left)).connections,
            ..DropOrder::default()
        };
        let refused = drop_rows(turn, &order).await?;
        removals.note(connections(&cuts), &refused);
    }
    Ok(())
}

/// What the last read-back says of one cut.
///
/// A client that stays in range keeps knocking at the portal, and each knock is a tracked
/// connection. Once every way in is closed, connections that appeared after each removal and are
/// not fasttracked go through the firewall, which rejects them: they are no access. A router may
/// give a new one the id of one that was removed, so after some attempts the id is not held against
/// it. A row that the router refused to remove is the old one, however often it was tried.
fn verdict(
    turn: &Turn<'_>,
    cut: &Cut,
    removals: &Removals,
    refusals: &[Refusal],
    gap: Option<&String>,
) -> Outcome {
    if cut.live {
        return turn.unconfirmed(&cut.task, LIVE.into(), None);
    }
    let left = &cut.left;
    let is_patient = cut.task.progress.attempts >= KNOCKS;
    let is_knock = |row: &ConnectionRow| {
        !row.fasttrack && removals.refusal(row).is_none() && (is_patient || !removals.include(row))
    };
    let only_knocking = left.connections.iter().all(is_knock);
    let refused = cut.refusal(refusals);
    let is_shut = left.users.is_empty() && left.bindings.is_empty();
    if let Some(row) = cut
        .passed_by
        .as_ref()
        .filter(|_| is_shut && refused.is_none())
    {
        // Nothing that may be done here ends it: trying is left to the pace of the sweep.
        return Outcome::Unconfirmed {
            error: passes_by(row),
            online: Some(true),
            retry_in: turn.shared.config.interval,
        };
    }
    if left.is_clear() || left.ways_are_closed() && only_knocking {
        return turn.confirmed_unless(gap, &cut.task);
    }
    // By a row that was not read it may never have been shut.
    let is_shut = is_shut && gap.is_none();
    if left.is_online() && is_shut && refused.is_none() && !cut.was_not_dropped() {
        return turn.returned(&cut.task, Some(suspected_way_in(left)));
    }
    let of_connection = || {
        let mut rows = left.connections.iter();
        rows.find_map(|row| removals.refusal(row))
    };
    let mut error = left.describe();
    if let Some(message) = refused.or_else(of_connection) {
        error = format!("{error}; the router refused: {message}");
    }
    if let Some(gap) = gap {
        error = format!("{error}; {gap}");
    }
    turn.unconfirmed(&cut.task, error, Some(left.is_online()))
}

fn connections(cuts: &[Cut]) -> impl Iterator<Item = &ConnectionRow> {
    cuts.iter().flat_map(|cut| &cut.left.connections)
}
