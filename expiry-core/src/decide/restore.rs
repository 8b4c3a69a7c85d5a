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
/// enabled. A row that is gone needs no undoing.
pub fn plan_restore(task: &Task, seen: &Sighting) -> RestorePlan {
    let mut order = UnblockOrder::default();
    for undo in &task.undo {
        let mut items = undo.items.clone();
        items.sort();
        for alike in items.chunk_by(|a, b| a == b) {
            let item = &alike[0];
            let users = seen
                .users
                .iter()
                .filter(|row| UndoItem::from(*row) == *item);
            let bindings = seen
                .bindings
                .iter()
                .filter(|row| UndoItem::from(*row) == *item);
            order.users.extend(to_enable(users, alike.len()));
            order.bindings.extend(to_enable(bindings, alike.len()));
        }
    }
    for ids in [&mut order.users, &mut order.bindings] {
        ids.sort();
        ids.dedup();
    }
    RestorePlan {
        order,
        undone: task.undo.clone(),
    }
}

/// Returns the hosts that are shut out although a binding of theirs was restored.
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

trait Switchable {
    fn id(&self) -> &RowId;
    fn disabled(&self) -> bool;
}

impl Switchable for UserRow {
    fn id(&self) -> &RowId {
        &self.id
    }
    fn disabled(&self) -> bool {
        self.disabled
    }
}

impl Switchable for BindingRow {
    fn id(&self) -> &RowId {
        &self.id
    }
    fn disabled(&self) -> bool {
        self.disabled
    }
}

fn to_enable<'a, T: Switchable + 'a>(
    alike: impl Iterator<Item = &'a T>,
    found_enabled: usize,
) -> Vec<RowId> {
    let (disabled, enabled): (Vec<_>, Vec<_>) = alike.partition(|row| row.disabled());
    let missing = found_enabled.saturating_sub(enabled.len());
    disabled
        .into_iter()
        .take(missing)
        .map(|row| row.id().clone())
        .collect()
}
