//! What a change of a subscriber, or time passing, makes owed.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{AuditEntry, AuditKind, MacAddr, Planned, Subscriber};
use sqlx::QueryBuilder;

use super::{
    Backend, CHUNK, Db, Tx, audit, brake,
    cut::{self, Due},
    keys::{push_numbers, push_texts},
    restore, share, signal,
};
use crate::{
    error::Result,
    mode::Mode,
    row::{Cell, SubscriberRow, instant, mac_pattern, macs_json, tenant_number},
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
                        WHERE detached AND next_at IS NULL
                          AND (device <> '' OR EXISTS (SELECT 1 FROM subscriber s
                                                       WHERE s.id = enforcement.subscriber_id
                                                         AND s.removed_at IS NULL)))
             OR EXISTS (SELECT 1 FROM subscriber s
                        WHERE s.removed_at IS NOT NULL
                          AND NOT EXISTS (SELECT 1 FROM enforcement e
                                          WHERE e.subscriber_id = s.id
                                            AND e.next_at IS NOT NULL))";

/// A subscriber as a change left it, and since when it is due if its access has ended.
#[derive(Clone, Copy)]
pub(super) struct Changed<'a> {
    pub(super) subscriber: &'a Subscriber,
    pub(super) due: Due,
}

/// Plans anew after a change of access.
pub(super) async fn access_changed(tx: &mut Tx, subscriber: &Subscriber) -> Result<()> {
    let due = Due::End;
    changed(tx, &[Changed { subscriber, due }]).await
}

/// Plans anew after a change of devices.
pub(super) async fn devices_changed(tx: &mut Tx, subscriber: &Subscriber) -> Result<()> {
    let due = Due::Now;
    changed(tx, &[Changed { subscriber, due }]).await
}

/// Plans anew after changes that happened together.
pub(super) async fn changed(tx: &mut Tx, changes: &[Changed<'_>]) -> Result<()> {
    let now = instant(tx.now)?;
    let mut live = Vec::new();
    let mut ended: BTreeMap<Due, Vec<i64>> = BTreeMap::new();
    let mut without = Vec::new();
    let mut ends = Vec::new();
    for Changed { subscriber, due } in changes {
        if subscriber.access.is_live(now) {
            live.push(*subscriber);
        } else if subscriber.access.end().is_some() {
            ended.entry(*due).or_default().push(subscriber.id.0);
            ends.extend((*due == Due::End).then(|| AuditEntry::ended(subscriber)));
        } else {
            without.push(subscriber.id.0);
        }
    }
    audit::record(tx, &ends).await?;
    strip_others(tx, &live).await?;
    let ids: Vec<_> = live.iter().map(|live| live.id.0).collect();
    share::note_live(tx, &ids).await?;
    restore::plan(tx, &ids).await?;
    for (due, ids) in ended {
        cut::plan(tx, &ids, due).await?;
    }
    share::note_live(tx, &without).await?;
    for ids in without.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "DELETE FROM enforcement WHERE device = '' AND subscriber_id IN ",
        );
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    signal(tx.conn()).await
}

/// Ends the cuts of removed devices that whoever has them now answers for as its own.
pub(super) async fn adopt_devices(tx: &mut Tx, devices: &[(&Subscriber, MacAddr)]) -> Result<()> {
    let mut by_tenant: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (owner, mac) in devices {
        let macs = by_tenant.entry(tenant_number(owner.tenant)).or_default();
        macs.push(mac.to_string());
    }
    for (tenant, macs) in by_tenant {
        for macs in macs.chunks(CHUNK) {
            let mut query =
                QueryBuilder::<Db>::new("DELETE FROM enforcement WHERE detached AND tenant_id = ");
            query.push_bind(tenant).push(" AND device IN ");
            push_texts(&mut query, macs.iter().cloned());
            query.push(" AND ");
            cut::push_is_answered_for(
                &mut query,
                "enforcement.tenant_id",
                "enforcement.device",
                "enforcement.router_id",
            );
            query.build().execute(tx.conn()).await?;
        }
    }
    Ok(())
}

/// A name or device that is live now is no longer to be cut for whoever had it before.
async fn strip_others(tx: &mut Tx, live: &[&Subscriber]) -> Result<()> {
    if live.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new(
        "SELECT id, tenant_id, router_id, username, macs FROM enforcement
         WHERE detached AND want = 'cut' AND tenant_id IN ",
    );
    let tenants: BTreeSet<_> = live.iter().map(|live| tenant_number(live.tenant)).collect();
    push_numbers(&mut query, tenants);
    if let [live] = live {
        query
            .push(" AND (username = ")
            .push_bind(live.username.to_string());
        for &mac in &live.devices {
            query.push(" OR macs LIKE ").push_bind(mac_pattern(mac));
        }
        query.push(")");
    }
    let rows: Vec<(i64, i64, i64, Option<String>, String)> =
        query.build_query_as().fetch_all(tx.conn()).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let claims = Claims::new(live);
    let mut gone = Vec::new();
    let mut stripped = Vec::new();
    for (id, tenant, router, username, macs) in rows {
        let cell = Cell {
            table: "enforcement",
            column: "macs",
            key: id,
        };
        let before = (username, cell.macs(&macs)?);
        let (username, mut macs) = before.clone();
        let username = username.filter(|name| !claims.has_name(tenant, router, name));
        macs.retain(|mac| !claims.has_mac(tenant, router, *mac));
        if username.is_none() && macs.is_empty() {
            gone.push(id);
        } else if (&username, &macs) != (&before.0, &before.1) {
            stripped.push((id, username, macs_json(&macs)));
        }
    }
    for ids in gone.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new("DELETE FROM enforcement WHERE id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query.build().execute(tx.conn()).await?;
    }
    for rows in stripped.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "UPDATE enforcement SET username = v.column2, macs = v.column3, \
             revision = revision + 1 FROM (",
        );
        query.push_values(rows, |mut row, (id, username, macs)| {
            row.push_bind(*id)
                .push_bind(username.clone())
                .push_bind(macs.clone());
        });
        query.push(") AS v WHERE enforcement.id = v.column1");
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Which live subscriber has a name or device.
struct Claims<'a> {
    names: BTreeMap<(i64, &'a str), &'a Subscriber>,
    macs: BTreeMap<(i64, MacAddr), &'a Subscriber>,
}

impl<'a> Claims<'a> {
    fn new(live: &[&'a Subscriber]) -> Self {
        let mut claims = Self {
            names: BTreeMap::new(),
            macs: BTreeMap::new(),
        };
        for &live in live {
            let tenant = tenant_number(live.tenant);
            claims.names.insert((tenant, live.username.as_str()), live);
            let macs = live.devices.iter().map(|mac| ((tenant, *mac), live));
            claims.macs.extend(macs);
        }
        claims
    }

    fn has_name(&self, tenant: i64, router: i64, name: &str) -> bool {
        let owner = self.names.get(&(tenant, name));
        owner.is_some_and(|owner| covers(owner, router))
    }

    fn has_mac(&self, tenant: i64, router: i64, mac: MacAddr) -> bool {
        let owner = self.macs.get(&(tenant, mac));
        owner.is_some_and(|owner| covers(owner, router))
    }
}

/// Tells whether a subscriber covers a router of its tenant.
fn covers(owner: &Subscriber, router: i64) -> bool {
    owner.router.is_none_or(|bound| bound.0 == router)
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
    if early.is_empty() {
        return Ok(0);
    }
    let early = early.into_iter().map(Subscriber::try_from);
    let early = early.collect::<std::result::Result<Vec<_>, _>>()?;
    let told = early.iter().map(|subscriber| {
        let revision = subscriber.revision;
        AuditEntry::of(subscriber, AuditKind::EndTakenBack { revision })
    });
    audit::record(tx, &told.collect::<Vec<_>>()).await?;
    let due = Due::End;
    let changes = early.iter().map(|subscriber| Changed { subscriber, due });
    changed(tx, &changes.collect::<Vec<_>>()).await?;
    Ok(early.len() as u64)
}

/// Forgets removed devices and subscribers, and subscribers in routers they left, once nothing is
/// owed or to be looked at.
async fn forget_removed(tx: &mut Tx) -> Result<()> {
    for statement in [
        "DELETE FROM enforcement WHERE detached AND next_at IS NULL
             AND (device <> '' OR EXISTS (SELECT 1 FROM subscriber s
                                          WHERE s.id = enforcement.subscriber_id
                                            AND s.removed_at IS NULL))",
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
