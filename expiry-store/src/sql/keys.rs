//! Lists of undo keys, by kind and as conditions.

use std::collections::BTreeSet;

use expiry_core::{MacAddr, UndoKey, Username};
use sqlx::QueryBuilder;

use super::Db;
use crate::row::key_columns;

/// Returns the names and the MACs among some keys.
pub(super) fn split<'a>(
    keys: impl IntoIterator<Item = &'a UndoKey>,
) -> (BTreeSet<Username>, BTreeSet<MacAddr>) {
    let mut names = BTreeSet::new();
    let mut macs = BTreeSet::new();
    for key in keys {
        match key {
            UndoKey::Name(name) => drop(names.insert(name.clone())),
            UndoKey::Mac(mac) => drop(macs.insert(*mac)),
        }
    }
    (names, macs)
}

/// Adds `(kind, key) IN (…)` for at least one key.
pub(super) fn push_keys<'a>(
    query: &mut QueryBuilder<Db>,
    kind_and_key: &str,
    keys: impl IntoIterator<Item = &'a UndoKey>,
) {
    query.push(kind_and_key).push(" IN (");
    query.push_values(keys, |mut row, key| {
        let (kind, key) = key_columns(key);
        row.push_bind(kind).push_bind(key);
    });
    query.push(")");
}

/// Adds `(?, ?, …)` for at least one text.
pub(super) fn push_texts(query: &mut QueryBuilder<Db>, texts: impl IntoIterator<Item = String>) {
    let mut list = query.push("(").separated(", ");
    for text in texts {
        list.push_bind(text);
    }
    query.push(")");
}

/// Adds `(?, ?, …)` for at least one number.
pub(super) fn push_numbers(query: &mut QueryBuilder<Db>, numbers: impl IntoIterator<Item = i64>) {
    let mut list = query.push("(").separated(", ");
    for number in numbers {
        list.push_bind(number);
    }
    query.push(")");
}
