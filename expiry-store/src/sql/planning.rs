//! What a change of a subscriber, or time passing, makes owed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use expiry_core::{Access, AuditKind, MacAddr, Planned, Subscriber, undo_keys};
use sqlx::QueryBuilder;

use super::{Backend, Db, Tx, audit, brake, cut, keys::push_texts, restore, share, signal};
use crate::{
    error::Result,
    mode::Mode,
    row::{Cell, SubscriberRow, instant, mac_pattern, macs_json, micros, tenant_number},
};

pub(crate) const NEXT_DEADLINE: &str =
    "SELECT ends_at FROM subscriber WHERE planned_revision < revision AND ends_at IS NOT NULL
         ORDER BY ends_at LIMIT 1";

pub(crate) const LEFT_OVER: &str = "SELECT EXISTS (SELECT 1 FROM undo WHERE fresh)
             OR (SELECT ends_at FROM subscriber
                 WHERE planned_revision >= revision AND removed_at IS NULL AND ends_at > $1
                 ORDER BY ends_at DESC LIMIT 1) IS NOT NULL
             OR (SELECT due_at FROM enforcement WHERE state = 'owed' AND due_at > $1
                 ORDER BY due_at DESC, id DESC LIMIT 1) IS NOT NULL
             OR EXISTS (SELECT 1 FROM enforcement
                        WHERE detached AND next_at IS NULL AND device <> '')
             OR EXISTS (SELECT 1 FROM subscriber s
                        WHERE s.removed_at IS NOT NULL
                          AND NOT EXISTS (SELECT 1 FROM enforcement e
                                          WHERE e.subscriber_id = s.id
                                            AND e.next_at IS NOT NULL))";

/// Plans anew after a change of access.
pub(super) async fn access_changed(tx: &mut Tx, subscriber: &Subscriber) -> Result<()> {
    let due_at = subscriber.access.end().map(micros);
    if due_at.is_some() && !subscriber.access.is_live(instant(tx.now)?) {
        audit::note_end(tx, subscriber).await?;
    }
    changed(tx, subscriber, due_at.unwrap_or(tx.now)).await
}

/// Plans anew after a change of devices.
pub(super) async fn devices_changed(tx: &mut Tx, subscriber: &Subscriber) -> Result<()> {
    changed(tx, subscriber, tx.now).await
}

async fn changed(tx: &mut Tx, subscriber: &Subscriber, due_at: i64) -> Result<()> {
    if !has_ended(subscriber.access, instant(tx.now)?) {
        share::note_live(tx, subscriber.id).await?;
    }
    if subscriber.access.is_live(instant(tx.now)?) {
        strip_others(tx, subscriber).await?;
        let keys = undo_keys(Some(&subscriber.username), &subscriber.devices);
        restore::plan(tx, subscriber, &keys).await?;
    } else if subscriber.access.end().is_some() {
        cut::plan(tx, subscriber.id.0, due_at).await?;
    } else {
        sqlx::query("DELETE FROM enforcement WHERE subscriber_id = $1 AND device = ''")
            .bind(subscriber.id.0)
            .execute(tx.conn())
            .await?;
    }
    signal(tx.conn()).await
}

/// Ends the cuts of removed devices that a subscriber answers for as its own from now on.
pub(super) async fn adopt_devices(
    tx: &mut Tx,
    owner: &Subscriber,
    macs: &BTreeSet<MacAddr>,
) -> Result<()> {
    if owner.access == Access::None || macs.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("DELETE FROM enforcement WHERE detached");
    push_covered(&mut query, owner);
    query.push(" AND device IN ");
    push_texts(&mut query, macs.iter().map(ToString::to_string));
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// Adds that a row is on a router that the subscriber covers.
fn push_covered(query: &mut QueryBuilder<Db>, owner: &Subscriber) {
    query
        .push(" AND tenant_id = ")
        .push_bind(tenant_number(owner.tenant));
    if let Some(router) = owner.router {
        query.push(" AND router_id = ").push_bind(router.0);
    }
}

/// A name or device that is live now is no longer to be cut for whoever had it before.
async fn strip_others(tx: &mut Tx, live: &Subscriber) -> Result<()> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT id, username, macs FROM enforcement WHERE detached AND want = 'cut'",
    );
    push_covered(&mut query, live);
    query
        .push(" AND (username = ")
        .push_bind(live.username.to_string());
    for &mac in &live.devices {
        query.push(" OR macs LIKE ").push_bind(mac_pattern(mac));
    }
    query.push(")");
    let rows: Vec<(i64, Option<String>, String)> =
        query.build_query_as().fetch_all(tx.conn()).await?;
    for (id, username, macs) in rows {
        let cell = Cell {
            table: "enforcement",
            column: "macs",
            key: id,
        };
        let macs = &cell.macs(&macs)? - &live.devices;
        let username = username.filter(|name| name != live.username.as_str());
        if username.is_none() && macs.is_empty() {
            sqlx::query("DELETE FROM enforcement WHERE id = $1")
                .bind(id)
                .execute(tx.conn())
                .await?;
        } else {
            sqlx::query(
                "UPDATE enforcement SET username = $2, macs = $3, revision = revision + 1
                 WHERE id = $1",
            )
            .bind(id)
            .bind(username)
            .bind(macs_json(&macs))
            .execute(tx.conn())
            .await?;
        }
    }
    Ok(())
}

/// Plans what time has made due. Takes no lock while there is nothing.
pub(super) async fn plan_due(backend: &Backend, limit: u32) -> Result<Planned> {
    let mut tx = backend.begin(Mode::Read).await?;
    let deadline = next_deadline(&mut tx).await?;
    let is_due = deadline.is_some_and(|deadline| deadline <= tx.now);
    if !is_due && !is_left_over(&mut tx).await? {
        return planned(tx, 0, deadline).await;
    }
    tx.commit().await?;
    let mut tx = backend.begin(Mode::Plan).await?;
    let mut subscribers = cut::plan_ended(&mut tx, limit).await?;
    let left = u64::from(limit).saturating_sub(subscribers);
    subscribers += take_back_early(&mut tx, left).await?;
    brake::bring_forward(&mut tx).await?;
    if subscribers > 0 {
        signal(tx.conn()).await?;
    }
    restore::owe_explained(&mut tx, None).await?;
    forget_removed(&mut tx).await?;
    let deadline = next_deadline(&mut tx).await?;
    planned(tx, subscribers, deadline).await
}

async fn planned(tx: Tx, subscribers: u64, deadline: Option<i64>) -> Result<Planned> {
    let now = tx.now;
    tx.commit().await?;
    Ok(Planned {
        now: instant(now)?,
        subscribers: u32::try_from(subscribers).unwrap_or(u32::MAX),
        next_deadline: deadline.map(instant).transpose()?,
    })
}

async fn next_deadline(tx: &mut Tx) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar(NEXT_DEADLINE)
        .fetch_optional(tx.conn())
        .await?)
}

/// Tells whether something is to be forgotten, to be taken back, or to be checked for whom it is to
/// be undone.
async fn is_left_over(tx: &mut Tx) -> Result<bool> {
    Ok(sqlx::query_scalar(LEFT_OVER)
        .bind(tx.now)
        .fetch_one(tx.conn())
        .await?)
}

/// Takes back the cuts of subscribers that were planned before their time, by a clock that was
/// ahead: they are live, and theirs is what was disabled.
async fn take_back_early(tx: &mut Tx, limit: u64) -> Result<u64> {
    let early: Vec<SubscriberRow> = sqlx::query_as(
        "UPDATE subscriber SET revision = revision + 1
         WHERE id IN (SELECT id FROM subscriber
                      WHERE planned_revision >= revision AND removed_at IS NULL AND ends_at > $1
                      ORDER BY ends_at DESC LIMIT $2)
         RETURNING id, tenant_id, username, service, access, ends_at, revision, router_id, macs",
    )
    .bind(tx.now)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(tx.conn())
    .await?;
    let mut count = 0;
    for row in early {
        let subscriber = Subscriber::try_from(row)?;
        let revision = subscriber.revision;
        audit::note(tx, &subscriber, AuditKind::EndTakenBack { revision }).await?;
        access_changed(tx, &subscriber).await?;
        count += 1;
    }
    Ok(count)
}

/// Tells whether access had an end, and it is past.
pub(super) fn has_ended(access: Access, now: DateTime<Utc>) -> bool {
    access.end().is_some_and(|end| end <= now)
}

/// Forgets removed devices and subscribers once nothing is owed or to be looked at.
async fn forget_removed(tx: &mut Tx) -> Result<()> {
    for statement in [
        "DELETE FROM enforcement WHERE detached AND next_at IS NULL AND device <> ''",
        "DELETE FROM enforcement WHERE subscriber_id IN (
             SELECT s.id FROM subscriber s
             WHERE s.removed_at IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM enforcement e
                               WHERE e.subscriber_id = s.id AND e.next_at IS NOT NULL))",
        "DELETE FROM subscriber WHERE removed_at IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM enforcement e WHERE e.subscriber_id = subscriber.id)",
    ] {
        sqlx::query(statement).execute(tx.conn()).await?;
    }
    Ok(())
}
