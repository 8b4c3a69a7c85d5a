use expiry_core::{BlockOrder, DropOrder, RowId, RowKind, UnblockOrder};

use crate::wire::Sentence;

/// One command that changes one row. A router answers a list of ids with one answer, and a command
/// without an id with success.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) kind: RowKind,
    pub(crate) row: RowId,
    pub(crate) command: Sentence,
}

impl Write {
    fn new(kind: RowKind, command: &str, row: &RowId) -> Self {
        Self {
            kind,
            row: row.clone(),
            command: Sentence::new(command).attribute(".id", row.as_str()),
        }
    }

    fn disabled(mut self, value: &str) -> Self {
        self.command = self.command.attribute("disabled", value);
        self
    }
}

/// Disables accounts and bindings, removes cookies.
pub(crate) fn block(order: &BlockOrder) -> Vec<Write> {
    let users = order.users.iter().map(|row| set_user(row, "yes"));
    let cookies = order
        .cookies
        .iter()
        .map(|row| Write::new(RowKind::Cookie, "/ip/hotspot/cookie/remove", row));
    let bindings = order.bindings.iter().map(|row| set_binding(row, "yes"));
    users.chain(bindings).chain(cookies).collect()
}

/// Removes sessions, then hosts, then connections.
pub(crate) fn drop_rows(order: &DropOrder) -> Vec<Write> {
    let removals = [
        (
            RowKind::Session,
            "/ip/hotspot/active/remove",
            &order.actives,
        ),
        (RowKind::Host, "/ip/hotspot/host/remove", &order.hosts),
        (
            RowKind::Connection,
            "/ip/firewall/connection/remove",
            &order.connections,
        ),
    ];
    let all = removals.into_iter().flat_map(|(kind, command, rows)| {
        rows.iter().map(move |row| Write::new(kind, command, row))
    });
    all.collect()
}

/// Enables accounts and bindings.
pub(crate) fn unblock(order: &UnblockOrder) -> Vec<Write> {
    let users = order.users.iter().map(|row| set_user(row, "no"));
    let bindings = order.bindings.iter().map(|row| set_binding(row, "no"));
    users.chain(bindings).collect()
}

fn set_user(row: &RowId, disabled: &str) -> Write {
    Write::new(RowKind::Account, "/ip/hotspot/user/set", row).disabled(disabled)
}

fn set_binding(row: &RowId, disabled: &str) -> Write {
    Write::new(RowKind::Binding, "/ip/hotspot/ip-binding/set", row).disabled(disabled)
}
