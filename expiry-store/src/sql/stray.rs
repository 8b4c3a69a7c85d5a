//! What a router lets through of nobody we know.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{Presence, RouterId, Stray, Strays};
use sqlx::QueryBuilder;

use super::{Db, Tx, keys::push_numbers, routers};
use crate::{
    error::Result,
    row::{StrayRow, instant, storable},
};

/// So many rows are written at once.
const CHUNK: usize = 500;

/// Makes the strays of a router what was just seen, and returns those that are new. What is there
/// already is not written again.
pub(super) async fn replace(
    tx: &mut Tx,
    router: RouterId,
    seen: &[Presence],
) -> Result<Vec<Presence>> {
    let rows = read(tx, router).await?;
    let mut known = Vec::with_capacity(rows.len());
    for row in &rows {
        known.push((row.id, row.first_seen, row.presence()?));
    }
    let by_identity: BTreeMap<_, _> = known
        .iter()
        .map(|(id, first_seen, presence)| (presence.identity(), (*id, *first_seen, presence)))
        .collect();
    let seen: Vec<_> = seen.iter().map(kept).collect();
    let mut new = Vec::new();
    let mut written = Vec::new();
    let mut stays = BTreeSet::new();
    for presence in &seen {
        match by_identity.get(&presence.identity()) {
            Some((id, _, before)) if *before == presence => drop(stays.insert(*id)),
            Some((_, first_seen, _)) => written.push((presence, *first_seen)),
            None => {
                written.push((presence, tx.now));
                new.push(presence.clone());
            }
        }
    }
    let gone: Vec<_> = rows
        .iter()
        .map(|row| row.id)
        .filter(|id| !stays.contains(id))
        .collect();
    delete(tx, &gone).await?;
    insert(tx, router, &written).await?;
    Ok(new)
}

pub(super) async fn list(tx: &mut Tx, router: RouterId) -> Result<Strays> {
    routers::require(tx, router).await?;
    let reconciled_at: Option<i64> =
        sqlx::query_scalar("SELECT reconciled_at FROM router WHERE id = $1")
            .bind(router.0)
            .fetch_one(tx.conn())
            .await?;
    let reconciled_at = reconciled_at.map(instant).transpose()?;
    let mut strays = Vec::new();
    for row in read(tx, router).await? {
        let first_seen = instant(row.first_seen)?;
        strays.push(Stray {
            presence: row.presence()?,
            first_seen,
            // What a reading does not show goes with it.
            last_seen: reconciled_at.unwrap_or(first_seen),
        });
    }
    Ok(Strays::new(reconciled_at, strays))
}

/// Forgets what a reading showed: another box may answer there, or much time has passed.
pub(super) async fn forget(tx: &mut Tx, router: i64) -> Result<()> {
    for statement in [
        "DELETE FROM stray WHERE router_id = $1",
        "UPDATE router SET reconciled_at = NULL WHERE id = $1",
    ] {
        sqlx::query(statement)
            .bind(router)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

async fn read(tx: &mut Tx, router: RouterId) -> Result<Vec<StrayRow>> {
    Ok(sqlx::query_as(
        "SELECT id, kind, login, mac, address, way_in, online, comment, first_seen
         FROM stray WHERE router_id = $1",
    )
    .bind(router.0)
    .fetch_all(tx.conn())
    .await?)
}

async fn delete(tx: &mut Tx, ids: &[i64]) -> Result<()> {
    for ids in ids.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new("DELETE FROM stray WHERE id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

async fn insert(tx: &mut Tx, router: RouterId, strays: &[(&Presence, i64)]) -> Result<()> {
    for strays in strays.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO stray (router_id, kind, login, mac, address, way_in, online,
                 comment, first_seen) ",
        );
        query.push_values(strays, |mut values, (presence, first_seen)| {
            values
                .push_bind(router.0)
                .push_bind(presence.kind.as_str())
                .push_bind(presence.login.clone())
                .push_bind(presence.mac.map(|mac| mac.to_string()))
                .push_bind(presence.address.clone())
                .push_bind(presence.way_in.as_str())
                .push_bind(presence.online)
                .push_bind(presence.comment.clone())
                .push_bind(*first_seen);
        });
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Returns a presence as the database keeps it.
fn kept(presence: &Presence) -> Presence {
    let text = |text: &Option<String>| text.as_deref().map(storable);
    Presence {
        login: text(&presence.login),
        address: text(&presence.address),
        comment: text(&presence.comment),
        ..presence.clone()
    }
}
