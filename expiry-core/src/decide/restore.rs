use std::collections::BTreeSet;

use crate::{BindingRow, HostRow, RowId, Sighting, Task, UnblockOrder, Undo, UndoItem, UserRow};

/// What a restore still has to write, and what it answers for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestorePlan {
    /// Rows to enable. Empty: the router agrees.
    pub order: UnblockOrder,
    /// The undo rows it covers.
    pub undone: Vec<Undo>,
}

/// Plans the restore of `task` by what the router shows.
///
/// It enables exactly what we disabled: of rows that look alike, only as many as were found
/// enabled, and none that had been disabled before us. A row that was edited since is known by
/// what identifies it: the account's name, or the MAC that a binding fits. A row that is gone
/// needs no undoing.
pub fn plan_restore(task: &Task, seen: &Sighting) -> RestorePlan {
    let mut users: Vec<_> = seen.users.iter().map(Candidate::from).collect();
    let mut bindings: Vec<_> = seen.bindings.iter().map(Candidate::from).collect();
    let mut claim = |item: &UndoItem, part, fits: fn(&UndoItem, &UndoItem) -> bool| {
        let rows = match item {
            UndoItem::User { .. } => &mut users,
            UndoItem::IpBinding { .. } => &mut bindings,
        };
        claim(rows, part, |row| fits(item, &row.item))
    };
    let items = task.undo.iter().flat_map(|undo| &undo.items);
    let edited: Vec<_> = items
        .filter(|item| !claim(item, Part::Restored, UndoItem::eq))
        .collect();
    for item in task.undo.iter().flat_map(|undo| &undo.stay) {
        claim(item, Part::Stays, UndoItem::eq);
    }
    for item in edited {
        claim(item, Part::Restored, UndoItem::may_be_same_row);
    }
    let to_enable = |rows: Vec<Candidate>| {
        let restored = |row: &Candidate| row.part == Some(Part::Restored) && row.disabled;
        let disabled = rows.into_iter().filter(restored);
        disabled.map(|row| row.id).collect()
    };
    let order = UnblockOrder {
        users: to_enable(users),
        bindings: to_enable(bindings),
    };
    RestorePlan {
        order,
        undone: task.undo.clone(),
    }
}

/// Returns the hosts that are shut out although their binding or MAC account was restored: both
/// are tried once, when a host is first seen.
pub fn hosts_to_renew(task: &Task, seen: &Sighting) -> Vec<RowId> {
    let items = || task.undo.iter().flat_map(|undo| &undo.items);
    let devices: BTreeSet<_> = items().filter_map(UndoItem::device).collect();
    let addresses: BTreeSet<_> = items().filter_map(UndoItem::address).collect();
    let restored = |host: &HostRow| {
        let mut at = host.address.into_iter().chain(host.to_address);
        host.mac.is_some_and(|mac| devices.contains(&mac))
            || at.any(|address| addresses.contains(&address))
    };
    let shut_out = |host: &&HostRow| !host.authorized && !host.bypassed;
    let hosts = seen
        .hosts
        .iter()
        .filter(shut_out)
        .filter(|host| restored(host));
    hosts.map(|host| host.id.clone()).collect()
}

impl UnblockOrder {
    /// Tells whether there is nothing to enable.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.bindings.is_empty()
    }
}

/// A row that an undo item may speak of.
struct Candidate {
    id: RowId,
    item: UndoItem,
    disabled: bool,
    part: Option<Part>,
}

/// What a row turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One that we disabled.
    Restored,
    /// One that had been disabled before us.
    Stays,
}

impl From<&UserRow> for Candidate {
    fn from(row: &UserRow) -> Self {
        let (id, item) = (row.id.clone(), UndoItem::from(row));
        Self {
            id,
            item,
            disabled: row.disabled,
            part: None,
        }
    }
}

impl From<&BindingRow> for Candidate {
    fn from(row: &BindingRow) -> Self {
        let (id, item) = (row.id.clone(), UndoItem::from(row));
        Self {
            id,
            item,
            disabled: row.disabled,
            part: None,
        }
    }
}

/// Claims one row that fits: of those to be restored one that is enabled already rather than one
/// that is not. Tells whether there was one.
fn claim(rows: &mut [Candidate], part: Part, fits: impl Fn(&Candidate) -> bool) -> bool {
    let free = |row: &Candidate| row.part.is_none() && fits(row);
    let wanted = |row: &Candidate| row.disabled == (part == Part::Stays);
    let best = rows.iter().position(|row| free(row) && wanted(row));
    let at = best.or_else(|| rows.iter().position(free));
    match at.and_then(|at| rows.get_mut(at)) {
        Some(row) => {
            row.part = Some(part);
            true
        }
        None => false,
    }
}
