//! Planning cuts: which rows come to be owed, and how they start.

use std::collections::BTreeSet;

use expiry_core::{MacAddr, RouterId, UndoKey};
use sqlx::QueryBuilder;

use super::{CHUNK, Db, Tx, audit, keys::push_numbers, watch, work};
use crate::{error::Result, row::EnforcementRow};

/// Work that was due so long before it was planned is backlog, in microseconds.
pub(super) const BACKLOG_AFTER: i64 = watch::UNSEEN;

/// An end that is past by no more than this when it is written is one of just now, in microseconds.
const JUST_NOW: i64 = expiry_core::JUST_NOW.num_seconds() * 1_000_000;

pub(super) const INSERT: &str = "INSERT INTO enforcement (tenant_id, router_id, subscriber_id, \
     device, detached, want, revision, username, macs, due_at, known_late_at, backlog, next_at) ";

/// A row that is planned anew starts anew, but for since when it is owed: `Owing::planned_anew`.
pub(super) fn push_start_anew(query: &mut QueryBuilder<Db>, now: i64) {
    query.push(
        " ON CONFLICT (subscriber_id, device, router_id) DO UPDATE SET \
         detached = excluded.detached, want = excluded.want, revision = excluded.revision, \
         username = excluded.username, macs = excluded.macs, state = excluded.state, \
         attempts = excluded.attempts, next_at = excluded.next_at, looks = excluded.looks, \
         returns = excluded.returns, way_in = excluded.way_in, online = excluded.online, \
         last_error = excluded.last_error, attempted_at = excluded.attempted_at",
    );
    for column in ["due_at", "known_late_at", "backlog", "confirmed_at"] {
        query
            .push(format_args!(
                ", {column} = CASE WHEN enforcement.state = 'owed' AND enforcement.want = excluded.want \
                 AND (enforcement.want = 'cut' OR enforcement.confirmed_at IS NULL) \
                 AND enforcement.due_at <= "
            ))
            .push_bind(now)
            .push(format_args!(
                " THEN enforcement.{column} ELSE excluded.{column} END"
            ));
    }
}

/// Adds when the end of subscriber `s` came to be known, if it is written late: `known_late`.
pub(super) fn push_known_late(query: &mut QueryBuilder<Db>, now: i64) {
    query
        .push("CASE WHEN s.ends_at < ")
        .push_bind(now - JUST_NOW)
        .push(" THEN ")
        .push_bind(now)
        .push(" END");
}

/// Routers `r` in the scope of subscriber `s`.
pub(super) const JOIN_SCOPE: &str = " JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled \
     AND (s.router_id IS NULL OR s.router_id = r.id) ";

/// Routers `r` on which a cut of subscriber `s` is planned: those in scope, and disabled ones where
/// something stands that must not wake up as it is. What is removed is remembered nowhere else.
const JOIN_PLANNED: &str = " JOIN router r ON r.tenant_id = s.tenant_id \
     AND (s.router_id IS NULL OR s.router_id = r.id) \
     AND (r.enabled OR s.removed_at IS NOT NULL OR EXISTS (SELECT 1 FROM enforcement e WHERE e.subscriber_id = s.id \
                               AND e.device = '' AND e.router_id = r.id)) ";

/// Since when a cut is due that a change makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Since access ended.
    End,
    /// Since the change.
    Now,
}

/// Owes the cuts of some subscribers, whose rows say already that they are planned, on every router
/// in scope. They are to be tried from their deadline on, not from now: the clock may be ahead.
pub(super) async fn plan(tx: &mut Tx, subscribers: &[i64], due: Due) -> Result<()> {
    let now = tx.now;
    for ids in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(INSERT);
        query.push(
            "SELECT s.tenant_id, r.id, s.id, '', s.removed_at IS NOT NULL, 'cut', s.revision, \
             s.username, s.macs, ",
        );
        match due {
            Due::End => {
                query.push("s.ends_at, ");
                push_known_late(&mut query, now);
                query
                    .push(", s.ends_at < ")
                    .push_bind(now - BACKLOG_AFTER)
                    .push(", s.ends_at");
            }
            Due::Now => {
                query.push_bind(now).push(", ");
                push_known_late(&mut query, now);
                query.push(", FALSE, ").push_bind(now);
            }
        }
        query
            .push(" FROM subscriber s")
            .push(JOIN_PLANNED)
            .push("WHERE s.id IN ");
        push_numbers(&mut query, ids.iter().copied());
        push_start_anew(&mut query, now);
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Owes the cuts of the subscribers whose deadline has passed unplanned, oldest first, at most
/// `limit`. Returns how many subscribers that were.
pub(super) async fn plan_ended(tx: &mut Tx, limit: u32) -> Result<u64> {
    audit::note_ends(tx, limit).await?;
    let now = tx.now;
    let unseen_before = watch::unseen_before(tx).await?;
    let mut query = QueryBuilder::<Db>::new(INSERT);
    query
        .push(
            "SELECT s.tenant_id, r.id, s.id, '', s.removed_at IS NOT NULL, 'cut', s.revision, \
             s.username, s.macs, s.ends_at, CASE WHEN s.ends_at < ",
        )
        .push_bind(unseen_before)
        .push(" THEN ")
        .push_bind(now)
        .push(" END, s.ends_at < ")
        .push_bind(now - BACKLOG_AFTER)
        .push(", s.ends_at FROM (SELECT * FROM subscriber WHERE planned_revision < revision AND ends_at <= ")
        .push_bind(now)
        .push(" ORDER BY ends_at, id LIMIT ")
        .push_bind(i64::from(limit))
        .push(") AS s")
        .push(JOIN_PLANNED)
        .push("WHERE TRUE");
    push_start_anew(&mut query, now);
    query.build().execute(tx.conn()).await?;
    let planned = sqlx::query(
        "UPDATE subscriber SET planned_revision = revision
         WHERE id IN (SELECT id FROM subscriber
                      WHERE planned_revision < revision AND ends_at <= $1
                      ORDER BY ends_at, id LIMIT $2)",
    )
    .bind(now)
    .bind(i64::from(limit))
    .execute(tx.conn())
    .await?;
    Ok(planned.rows_affected())
}

/// Marks what was owed on a router before it came into service as known late: nobody served it.
pub(super) async fn mark_known_late(tx: &mut Tx, router: i64) -> Result<()> {
    sqlx::query(
        "UPDATE enforcement SET known_late_at = $2
         WHERE router_id = $1 AND want = 'cut' AND state = 'owed' AND confirmed_at IS NULL
           AND known_late_at IS NULL AND due_at < $3",
    )
    .bind(router)
    .bind(tx.now)
    .bind(tx.now - JUST_NOW)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has everything that is owed on a router tried now. What is confirmed there stays so: the reading
/// that follows owes what it finds.
pub(super) async fn hurry_router(tx: &mut Tx, router: i64) -> Result<()> {
    let now = tx.now;
    for statement in [
        "UPDATE enforcement SET attempts = 0, next_at = $2
         WHERE router_id = $1 AND want = 'cut' AND state = 'owed'",
        "UPDATE enforcement SET next_at = $2
         WHERE router_id = $1 AND want = 'restore' AND state = 'owed'",
    ] {
        sqlx::query(statement)
            .bind(router)
            .bind(now)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// A device that a subscriber has no longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed {
    pub(super) subscriber: i64,
    pub(super) mac: MacAddr,
    /// Where it may be online; `None` is on every router that the subscriber covers.
    pub(super) router: Option<i64>,
}

/// Owes the cuts of devices that were removed, but where somebody has them now who answers for them
/// as its own; nothing else remembers them until a disabled router is enabled. What is owed of its
/// owner was owed of the device.
pub(super) async fn plan_devices(tx: &mut Tx, devices: &[Removed]) -> Result<()> {
    let now = tx.now;
    for devices in devices.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(INSERT);
        query
            .push("SELECT s.tenant_id, r.id, s.id, v.column2, TRUE, 'cut', s.revision, NULL, v.column3, COALESCE(o.due_at, ")
            .push_bind(now)
            .push("), CASE WHEN o.id IS NOT NULL THEN o.known_late_at ELSE ");
        push_known_late(&mut query, now);
        query
            .push(" END, COALESCE(o.backlog, FALSE), ")
            .push_bind(now)
            .push(" FROM (");
        query.push_values(devices, |mut row, device| {
            row.push_bind(device.subscriber)
                .push_bind(device.mac.to_string())
                .push_bind(format!("[\"{}\"]", device.mac))
                .push_bind(device.router);
        });
        query.push(
            ") AS v JOIN subscriber s ON s.id = v.column1 \
                 JOIN router r ON r.tenant_id = s.tenant_id \
                      AND (r.id = v.column4 OR v.column4 IS NULL \
                           AND (s.router_id IS NULL OR s.router_id = r.id)) \
                 LEFT JOIN enforcement o ON o.subscriber_id = s.id AND o.device = '' \
                      AND o.router_id = r.id AND o.want = 'cut' AND o.state = 'owed' \
                      AND o.confirmed_at IS NULL AND o.due_at <= ",
        );
        query.push_bind(now).push(" WHERE NOT ");
        push_is_answered_for(&mut query, "s.tenant_id", "v.column2", "r.id");
        push_start_anew(&mut query, now);
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Adds whether somebody has a device who answers for it as its own on a router, by the columns of
/// the tenant, the MAC and the router.
pub(super) fn push_is_answered_for(
    query: &mut QueryBuilder<Db>,
    tenant: &str,
    mac: &str,
    router: &str,
) {
    query
        .push("EXISTS (SELECT 1 FROM device d JOIN subscriber o ON o.id = d.subscriber_id WHERE d.tenant_id = ")
        .push(tenant)
        .push(" AND d.mac = ")
        .push(mac)
        .push(" AND o.access <> 'none' AND (o.router_id IS NULL OR o.router_id = ")
        .push(router)
        .push("))");
}

/// Owes the cuts of ended subscribers on one router in their scope, unless a row stands there. Whose
/// end nobody has planned yet is left to the planning: only what is planned is taken back by a clock
/// that was ahead.
pub(super) async fn plan_missing(
    tx: &mut Tx,
    subscribers: impl IntoIterator<Item = i64>,
    router: RouterId,
) -> Result<()> {
    let now = tx.now;
    let subscribers: Vec<_> = subscribers.into_iter().collect();
    for ids in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(INSERT);
        query
            .push("SELECT s.tenant_id, r.id, s.id, '', FALSE, 'cut', s.revision, s.username, s.macs, ")
            .push_bind(now)
            .push(", ");
        push_known_late(&mut query, now);
        query
            .push(", FALSE, ")
            .push_bind(now)
            .push(" FROM subscriber s")
            .push(JOIN_SCOPE)
            .push("WHERE r.id = ")
            .push_bind(router.0)
            .push(" AND s.planned_revision >= s.revision AND s.ends_at <= ")
            .push_bind(now)
            .push(" AND s.id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.push(" ON CONFLICT (subscriber_id, device, router_id) DO NOTHING");
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

const AGAIN: &str = "UPDATE enforcement SET state = 'owed', attempts = 0, next_at = ";

/// Owes again the cuts that stand for subscribers on a router.
pub(super) async fn again(
    tx: &mut Tx,
    router: RouterId,
    subscribers: &BTreeSet<i64>,
) -> Result<()> {
    let subscribers: Vec<_> = subscribers.iter().copied().collect();
    for ids in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(AGAIN);
        query
            .push_bind(tx.now)
            .push(" WHERE want = 'cut' AND device = '' AND router_id = ")
            .push_bind(router.0)
            .push(" AND subscriber_id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Owes again the cuts on a router that stand for who was removed or bound elsewhere, and carry a
/// name or MAC.
pub(super) async fn removed_again(
    tx: &mut Tx,
    router: RouterId,
    keys: &BTreeSet<&UndoKey>,
) -> Result<()> {
    let mut found = Vec::new();
    for row in removed(tx, router).await? {
        if row.keys()?.iter().any(|key| keys.contains(key)) {
            found.push(row.id);
        }
    }
    for ids in found.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(AGAIN);
        query.push_bind(tx.now).push(" WHERE id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Reads the cuts on a router that stand for removed subscribers and devices, and for subscribers
/// bound elsewhere.
pub(super) async fn removed(tx: &mut Tx, router: RouterId) -> Result<Vec<EnforcementRow>> {
    let mut query = work::rows_query(router);
    query
        .push(" AND detached AND want = 'cut' AND tenant_id = (SELECT tenant_id FROM router WHERE id = ")
        .push_bind(router.0)
        .push(")");
    Ok(query.build_query_as().fetch_all(tx.conn()).await?)
}
