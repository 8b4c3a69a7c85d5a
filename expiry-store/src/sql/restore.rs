//! Planning restores: what we disabled is owed back to whoever's live access owns it.

use sqlx::QueryBuilder;

use super::{
    CHUNK, Db, Tx,
    cut::{INSERT, JOIN_SCOPE, push_start_anew},
    keys::push_numbers,
    signal,
};
use crate::error::Result;

/// Turns what stands for subscribers whose access is live into restores, where there is something
/// to undo, and drops it elsewhere. Where they may be online no longer, it stands.
pub(super) async fn plan(tx: &mut Tx, subscribers: &[i64]) -> Result<()> {
    for ids in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "UPDATE enforcement SET revision = s.revision, username = s.username, macs = s.macs
             FROM subscriber s
             WHERE s.id = enforcement.subscriber_id AND enforcement.device = ''
               AND enforcement.want = 'restore' AND enforcement.subscriber_id IN ",
        );
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
        owe_undone(tx, ids).await?;
        let mut query = QueryBuilder::<Db>::new(
            "DELETE FROM enforcement WHERE device = '' AND want = 'cut' AND NOT detached
               AND subscriber_id IN ",
        );
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Owes the restores of what is to be undone of the subscribers' names and devices.
async fn owe_undone(tx: &mut Tx, ids: &[i64]) -> Result<()> {
    let now = tx.now;
    let mut query = QueryBuilder::<Db>::new(INSERT);
    query
        .push(
            "SELECT s.tenant_id, r.id, s.id, '', FALSE, 'restore', s.revision, s.username, \
             s.macs, ",
        )
        .push_bind(now)
        .push(", NULL, FALSE, ")
        .push_bind(now)
        .push(
            " FROM (SELECT u.router_id AS at, o.id AS owner FROM subscriber o \
                    JOIN undo u ON u.kind = 'name' AND u.key = o.username \
                         AND u.undone_at IS NULL \
                    WHERE o.id IN ",
        );
    push_numbers(&mut query, ids.iter().copied());
    query.push(
        " UNION SELECT u.router_id, d.subscriber_id FROM device d \
          JOIN undo u ON u.kind = 'mac' AND u.key = d.mac AND u.undone_at IS NULL \
          WHERE d.subscriber_id IN ",
    );
    push_numbers(&mut query, ids.iter().copied());
    query.push(
        ") AS x JOIN subscriber s ON s.id = x.owner \
             JOIN router r ON r.id = x.at AND r.tenant_id = s.tenant_id \
             WHERE (r.enabled AND (s.router_id IS NULL OR s.router_id = r.id) \
                    OR EXISTS (SELECT 1 FROM enforcement e WHERE e.router_id = r.id \
                               AND e.subscriber_id = s.id AND e.device = '' \
                               AND NOT e.detached))",
    );
    push_start_anew(&mut query, now);
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// Owes the restores that a live access explains and nobody owes yet, for the undo rows that were
/// opened since this was last asked: on one router, or on all.
pub(super) async fn owe_explained(tx: &mut Tx, router: Option<i64>) -> Result<()> {
    let now = tx.now;
    let mut query = QueryBuilder::<Db>::new(INSERT);
    query
        .push(
            "SELECT s.tenant_id, r.id, s.id, '', FALSE, 'restore', s.revision, s.username, \
             s.macs, ",
        )
        .push_bind(now)
        .push(", NULL, FALSE, ")
        .push_bind(now)
        .push(
            " FROM (SELECT u.router_id AS at, o.id AS owner FROM undo u \
                    JOIN router t ON t.id = u.router_id \
                    JOIN subscriber o ON o.tenant_id = t.tenant_id AND o.username = u.key \
                         AND o.removed_at IS NULL \
                    WHERE u.kind = 'name' AND u.fresh",
        );
    push_router(&mut query, router);
    query.push(
        " UNION SELECT u.router_id, d.subscriber_id FROM undo u \
          JOIN router t ON t.id = u.router_id \
          JOIN device d ON d.tenant_id = t.tenant_id AND d.mac = u.key \
          WHERE u.kind = 'mac' AND u.fresh",
    );
    push_router(&mut query, router);
    query
        .push(") AS x JOIN subscriber s ON s.id = x.owner")
        .push(JOIN_SCOPE)
        .push("WHERE r.id = x.at AND (s.access = 'forever' OR s.ends_at > ")
        .push_bind(now)
        .push(
            ") AND NOT EXISTS (SELECT 1 FROM enforcement e WHERE e.subscriber_id = s.id \
             AND e.device = '' AND e.router_id = r.id AND e.want = 'restore' \
             AND e.state = 'owed')",
        );
    push_start_anew(&mut query, now);
    let owed = query.build().execute(tx.conn()).await?.rows_affected();
    if owed > 0 {
        plan_again_at_the_end(tx).await?;
    }
    let mut query = QueryBuilder::<Db>::new("UPDATE undo SET fresh = FALSE WHERE fresh");
    if let Some(router) = router {
        query.push(" AND router_id = ").push_bind(router);
    }
    query.build().execute(tx.conn()).await?;
    if owed > 0 {
        signal(tx.conn()).await?;
    }
    Ok(())
}

/// Has those who are live, and whose cut is planned already, planned again: then the clock was
/// ahead, or is behind now.
async fn plan_again_at_the_end(tx: &mut Tx) -> Result<()> {
    let now = tx.now;
    sqlx::query(
        "UPDATE subscriber SET revision = revision + 1
         WHERE id IN (SELECT id FROM subscriber
                      WHERE planned_revision >= revision AND removed_at IS NULL AND ends_at > $1
                      ORDER BY ends_at DESC)
           AND EXISTS (SELECT 1 FROM enforcement e
                       WHERE e.subscriber_id = subscriber.id AND e.device = ''
                         AND e.want = 'restore' AND e.state = 'owed')",
    )
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn push_router(query: &mut QueryBuilder<Db>, router: Option<i64>) {
    if let Some(router) = router {
        query.push(" AND u.router_id = ").push_bind(router);
    }
}
