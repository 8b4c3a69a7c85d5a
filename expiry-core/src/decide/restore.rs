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
/// enabled. A row that was edited since is known by what identifies it: the account's name, or the
/// MAC and address that a binding fits. A row that is gone needs no undoing.
pub fn plan_restore(task: &Task, seen: &Sighting) -> RestorePlan {
    let mut users: Vec<_> = seen.users.iter().map(Candidate::from).collect();
    let mut bindings: Vec<_> = seen.bindings.iter().map(Candidate::from).collect();
    for item in task.undo.iter().flat_map(|undo| &undo.items) {
        let rows = match item {
            UndoItem::User { .. } => &mut users,
            UndoItem::IpBinding { .. } => &mut bindings,
        };
        claim(rows, |row| row.item == *item);
    }
    for item in task.undo.iter().flat_map(|undo| &undo.items) {
        let rows = match item {
            UndoItem::User { .. } => &mut users,
            UndoItem::IpBinding { .. } => &mut bindings,
        };
        if !rows.iter().any(|row| row.item == *item) {
            claim(rows, |row| row.item.is_same_row(item));
        }
    }
    let to_enable = |rows: Vec<Candidate>| {
        let disabled = rows.into_iter().filter(|row| row.claimed && row.disabled);
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

/// Returns the hosts that are shut out although their binding or MAC account was restored.
pub fn hosts_to_renew(task: &Task, seen: &Sighting) -> Vec<RowId> {
    let restored = |host: &HostRow| {
        task.undo
            .iter()
            .flat_map(|undo| &undo.items)
            .any(|item| match item {
                UndoItem::IpBinding { mac, .. } => mac.is_some() && *mac == host.mac,
                UndoItem::User { .. } => false,
            })
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
    claimed: bool,
}

impl From<&UserRow> for Candidate {
    fn from(row: &UserRow) -> Self {
        let (id, item) = (row.id.clone(), UndoItem::from(row));
        Self {
            id,
            item,
            disabled: row.disabled,
            claimed: false,
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
            claimed: false,
        }
    }
}

/// Claims one row that fits: one that is enabled already rather than one that is not.
fn claim(rows: &mut [Candidate], fits: impl Fn(&Candidate) -> bool) {
    let free = || {
        rows.iter()
            .position(|row| !row.claimed && !row.disabled && fits(row))
    };
    let at = free().or_else(|| rows.iter().position(|row| !row.claimed && fits(row)));
    if let Some(row) = at.and_then(|at| rows.get_mut(at)) {
        row.claimed = true;
    }
}
