//! Subscribers that are bound anew: where they may be online no longer, and where they may again.

use std::collections::BTreeMap;

use expiry_core::{Access, put::Change};
use sqlx::QueryBuilder;

use super::{
    CHUNK, Db, Tx,
    cut::{self, INSERT, Removed, push_start_anew},
    keys::push_numbers,
};
use crate::{
    error::Result,
    row::{Cell, macs_json},
};

/// Owes, as backlog, the cut where a subscriber may be online no longer, and gives up where it may
/// be again. The rows of the subscribers say already where they are bound to.
pub(super) async fn moved(tx: &mut Tx, changes: &[Change]) -> Result<()> {
    let moved: Vec<_> = changes
        .iter()
        .filter(|change| change.before.router != change.after.router)
        .filter(|change| change.before.access != Access::None)
        .collect();
    for changes in moved.chunks(CHUNK) {
        leave(tx, changes).await?;
        come_back(tx, changes).await?;
    }
    Ok(())
}

fn push_ids(query: &mut QueryBuilder<Db>, changes: &[&Change]) {
    push_numbers(query, changes.iter().map(|change| change.after.id.0));
}

/// A cut that stands goes on standing; a restore becomes a cut. Nothing else remembers it until a
/// disabled router is enabled.
async fn leave(tx: &mut Tx, changes: &[&Change]) -> Result<()> {
    let now = tx.now;
    let mut query = QueryBuilder::<Db>::new(
        "UPDATE enforcement SET detached = TRUE WHERE device = '' AND subscriber_id IN ",
    );
    push_ids(&mut query, changes);
    query.push(
        " AND EXISTS (SELECT 1 FROM subscriber s WHERE s.id = enforcement.subscriber_id \
                      AND s.router_id <> enforcement.router_id)",
    );
    query.build().execute(tx.conn()).await?;
    let mut query = QueryBuilder::<Db>::new(INSERT);
    query
        .push(
            "SELECT s.tenant_id, r.id, s.id, '', TRUE, 'cut', s.revision, s.username, v.column2, ",
        )
        .push_bind(now)
        .push(", ");
    cut::push_known_late(&mut query, now);
    query.push(", TRUE, ").push_bind(now).push(" FROM (");
    query.push_values(changes, |mut row, change| {
        row.push_bind(change.after.id.0)
            .push_bind(macs_json(&change.before.devices))
            .push_bind(change.before.router.map(|router| router.0));
    });
    query.push(
        ") AS v JOIN subscriber s ON s.id = v.column1 \
         JOIN router r ON r.tenant_id = s.tenant_id AND r.id <> s.router_id \
              AND (v.column3 IS NULL OR v.column3 = r.id) \
         WHERE TRUE",
    );
    push_start_anew(&mut query, now);
    query.push(" WHERE enforcement.want = 'restore'");
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// What stands there is the subscriber's own again; devices that it has lost meanwhile are cut by
/// themselves.
async fn come_back(tx: &mut Tx, changes: &[&Change]) -> Result<()> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT e.id, e.subscriber_id, e.router_id, e.macs
         FROM enforcement e JOIN subscriber s ON s.id = e.subscriber_id
         WHERE e.detached AND e.device = ''
           AND (s.router_id IS NULL OR s.router_id = e.router_id) AND e.subscriber_id IN ",
    );
    push_ids(&mut query, changes);
    let rows: Vec<(i64, i64, i64, String)> = query.build_query_as().fetch_all(tx.conn()).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let devices: BTreeMap<_, _> = changes
        .iter()
        .map(|change| (change.after.id.0, &change.after.devices))
        .collect();
    let mut lost = Vec::new();
    for (id, subscriber, router, macs) in &rows {
        let cell = Cell {
            table: "enforcement",
            column: "macs",
            key: *id,
        };
        let kept = devices.get(subscriber).copied();
        let macs = cell.macs(macs)?.into_iter();
        let macs = macs.filter(|mac| kept.is_none_or(|kept| !kept.contains(mac)));
        lost.extend(macs.map(|mac| Removed {
            subscriber: *subscriber,
            mac,
            router: Some(*router),
        }));
    }
    for rows in rows.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Db>::new("UPDATE enforcement SET detached = FALSE WHERE id IN ");
        push_numbers(&mut query, rows.iter().map(|(id, ..)| *id));
        query.build().execute(tx.conn()).await?;
    }
    cut::plan_devices(tx, &lost).await
}
