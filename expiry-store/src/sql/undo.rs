//! Undo rows: what is switched off on a router, and for whom.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{RouterId, Undo, UndoItem, UndoKey};
use sqlx::QueryBuilder;

use super::{
    CHUNK, Db, Tx,
    keys::{push_keys, push_numbers},
};
use crate::{
    error::Result,
    row::{UndoRow, key_columns},
};

/// An undo row as it stands.
pub(super) struct Standing {
    pub(super) id: i64,
    pub(super) undo: Undo,
    pub(super) is_open: bool,
    pub(super) undone_at: Option<i64>,
}

/// Reads the rows of some keys on a router, oldest finding first.
pub(super) async fn read(
    tx: &mut Tx,
    router: RouterId,
    keys: &BTreeSet<UndoKey>,
) -> Result<Vec<Standing>> {
    let keys: Vec<_> = keys.iter().collect();
    let mut rows: Vec<UndoRow> = Vec::new();
    for keys in keys.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT id, kind, key, items, stay, opened_at, undone_at FROM undo WHERE router_id = ",
        );
        query.push_bind(router.0).push(" AND ");
        push_keys(&mut query, "(kind, key)", keys.iter().copied());
        rows.extend(
            query
                .build_query_as::<UndoRow>()
                .fetch_all(tx.conn())
                .await?,
        );
    }
    rows.sort_by_key(|row| (row.opened_at, row.id));
    let standing = rows.iter().map(|row| {
        Ok(Standing {
            id: row.id,
            undo: row.undo()?,
            is_open: row.undone_at.is_none(),
            undone_at: row.undone_at,
        })
    });
    standing.collect()
}

/// Merges what was found on a router: a new key is kept, an open row gets what it has not, a
/// closed row opens with the new finding. Returns what is newly to be undone.
pub(super) async fn merge<'a>(
    tx: &mut Tx,
    router: RouterId,
    found: impl IntoIterator<Item = &'a Undo>,
) -> Result<BTreeMap<UndoKey, Vec<UndoItem>>> {
    let found = found.into_iter().filter(|undo| !undo.items.is_empty());
    let found: Vec<_> = found.collect();
    let keys = found.iter().map(|undo| undo.key.clone()).collect();
    let mut open: BTreeMap<UndoKey, Undo> = read(tx, router, &keys)
        .await?
        .into_iter()
        .filter(|row| row.is_open)
        .map(|row| (row.undo.key.clone(), row.undo))
        .collect();
    let mut grown = BTreeSet::new();
    let mut new: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for finding in found {
        let empty = || Undo::new(finding.key.clone(), Vec::new());
        let undo = open.entry(finding.key.clone()).or_insert_with(empty);
        let before = undo.clone();
        let added = undo.add(finding);
        new.entry(finding.key.clone()).or_default().extend(added);
        if *undo != before {
            grown.insert(finding.key.clone());
        }
    }
    open.retain(|key, _| grown.contains(key));
    let open: Vec<_> = open.into_values().collect();
    for open in open.chunks(CHUNK) {
        write_open(tx, router, open).await?;
    }
    Ok(new)
}

async fn write_open(tx: &mut Tx, router: RouterId, rows: &[Undo]) -> Result<()> {
    let now = tx.now;
    let mut encoded = Vec::with_capacity(rows.len());
    for undo in rows {
        let items = (items_json(&undo.items)?, items_json(&undo.stay)?);
        encoded.push((key_columns(&undo.key), items));
    }
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO undo (router_id, kind, key, items, stay, opened_at, fresh) ",
    );
    query.push_values(encoded, |mut row, ((kind, key), (items, stay))| {
        row.push_bind(router.0)
            .push_bind(kind)
            .push_bind(key)
            .push_bind(items)
            .push_bind(stay)
            .push_bind(now)
            .push_bind(true);
    });
    query.push(
        " ON CONFLICT (router_id, kind, key) DO UPDATE SET items = excluded.items, stay = excluded.stay,
              fresh = TRUE,
              opened_at = CASE WHEN undo.undone_at IS NULL THEN undo.opened_at
                               ELSE excluded.opened_at END,
              undone_at = NULL",
    );
    query.build().execute(tx.conn()).await?;
    Ok(())
}

fn items_json(items: &[UndoItem]) -> Result<String> {
    Ok(serde_json::to_string(items).map_err(|e| sqlx::Error::Encode(Box::new(e)))?)
}

pub(super) async fn close(tx: &mut Tx, rows: &[i64]) -> Result<()> {
    let now = tx.now;
    for rows in rows.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new("UPDATE undo SET fresh = FALSE, undone_at = ");
        query.push_bind(now).push(" WHERE id IN ");
        push_numbers(&mut query, rows.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Opens the closed rows of some keys on a router as they were, and has it checked for all of them
/// whether a live access owns them.
pub(super) async fn reopen<'a>(
    tx: &mut Tx,
    router: RouterId,
    keys: impl IntoIterator<Item = &'a UndoKey>,
) -> Result<()> {
    let now = tx.now;
    let keys: Vec<_> = keys.into_iter().collect();
    for keys in keys.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "UPDATE undo SET opened_at = CASE WHEN undone_at IS NULL THEN opened_at ELSE ",
        );
        query
            .push_bind(now)
            .push(" END, undone_at = NULL, fresh = TRUE WHERE router_id = ")
            .push_bind(router.0)
            .push(" AND ");
        push_keys(&mut query, "(kind, key)", keys.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}
