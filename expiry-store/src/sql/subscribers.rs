use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, AccessChange, AuditEntry, AuditKind, Conflict, MacAddr, Missing, NewSubscriber,
    Revision, RouterId, Standing, Subscriber, SubscriberFilter, SubscriberId, TenantId, Username,
};
use sqlx::QueryBuilder;

use super::{
    CHUNK, Db, LIKE, Tx, audit,
    cut::{self, Due, Removed},
    planning, routers, share, signal, tenants,
};
use crate::{
    error::Result,
    row::{SubscriberRow, access_columns, instant, macs_json, tenant_number},
};

/// The revision with which a subscriber is made.
const FIRST: Revision = Revision(1);

pub(super) async fn add(tx: &mut Tx, new: &NewSubscriber) -> Result<Subscriber> {
    tenants::require(tx, new.tenant).await?;
    if let Some(router) = new.router {
        check_router(tx, router, new.tenant).await?;
    }
    if find(tx, new.tenant, &new.username).await?.is_some() {
        return Err(Conflict::Username(new.username.clone()).into());
    }
    for &mac in &new.devices {
        check_device(tx, new.tenant, mac).await?;
    }
    let made = insert(tx, std::slice::from_ref(new)).await?;
    let subscriber = made.into_iter().next().ok_or(Missing::Subscriber)?;
    audit::record(tx, &[AuditEntry::added(&subscriber)]).await?;
    let devices = devices_of(std::slice::from_ref(&subscriber));
    planning::adopt_devices(tx, &devices).await?;
    planning::access_changed(tx, &subscriber).await?;
    if subscriber.access.has_ended(instant(tx.now)?) {
        share::note_ended(tx, &[subscriber.id.0]).await?;
    }
    Ok(subscriber)
}

/// Fails if somebody would be made without a tenant whom a tenant knows.
pub(super) async fn check_elsewhere(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    username: &Username,
) -> Result<()> {
    if tenant.is_some() || find(tx, None, username).await?.is_some() {
        return Ok(());
    }
    let tenants: Vec<String> = sqlx::query_scalar(
        "SELECT t.slug FROM tenant t
         WHERE t.id <> 0 AND EXISTS (SELECT 1 FROM subscriber s
                                     WHERE s.tenant_id = t.id AND s.username = $1
                                       AND s.removed_at IS NULL)
         ORDER BY t.slug LIMIT 3",
    )
    .bind(username.as_str())
    .fetch_all(tx.conn())
    .await?;
    if tenants.is_empty() {
        return Ok(());
    }
    let username = username.clone();
    Err(Conflict::Elsewhere { username, tenants }.into())
}

pub(super) async fn find(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    username: &Username,
) -> Result<Option<Subscriber>> {
    let row: Option<SubscriberRow> = sqlx::query_as(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs
         FROM subscriber WHERE tenant_id = $1 AND username = $2 AND removed_at IS NULL",
    )
    .bind(tenant_number(tenant))
    .bind(username.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Subscriber::try_from).transpose()?)
}

pub(super) async fn list(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    after: SubscriberId,
    limit: u32,
) -> Result<Vec<Subscriber>> {
    let rows: Vec<SubscriberRow> = sqlx::query_as(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs
         FROM subscriber WHERE tenant_id = $1 AND id > $2 AND removed_at IS NULL
         ORDER BY id LIMIT $3",
    )
    .bind(tenant_number(tenant))
    .bind(after.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await?;
    let subscribers = rows.into_iter().map(Subscriber::try_from);
    Ok(subscribers.collect::<std::result::Result<_, _>>()?)
}

pub(super) async fn by_id(tx: &mut Tx, id: SubscriberId) -> Result<Option<Subscriber>> {
    let row: Option<SubscriberRow> = sqlx::query_as(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs
         FROM subscriber WHERE id = $1 AND removed_at IS NULL",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Subscriber::try_from).transpose()?)
}

pub(super) async fn search(
    tx: &mut Tx,
    filter: &SubscriberFilter,
    after: SubscriberId,
    limit: u32,
) -> Result<Vec<Subscriber>> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs
         FROM subscriber WHERE removed_at IS NULL AND id > ",
    );
    query.push_bind(after.0);
    if filter.name.is_some() || filter.device.is_some() {
        query.push(" AND (");
        if let Some(part) = &filter.name {
            query.push("username ").push(LIKE).push(" ");
            query.push_bind(containing(part)).push(r" ESCAPE '\'");
        }
        if filter.name.is_some() && filter.device.is_some() {
            query.push(" OR ");
        }
        if let Some(mac) = filter.device {
            query.push("id IN (SELECT subscriber_id FROM device WHERE mac = ");
            query.push_bind(mac.to_string()).push(")");
        }
        query.push(")");
    }
    if let Some(tenant) = filter.tenant {
        query
            .push(" AND tenant_id = ")
            .push_bind(tenant_number(tenant));
    }
    if let Some(router) = filter.router {
        query.push(" AND router_id = ").push_bind(router.0);
    }
    match filter.standing {
        None => {}
        Some(Standing::Live) => {
            query.push(" AND (access = 'forever' OR ends_at > ");
            query.push_bind(tx.now).push(")");
        }
        Some(Standing::Ended) => {
            query.push(" AND ends_at <= ").push_bind(tx.now);
        }
        Some(Standing::Never) => {
            query.push(" AND access = 'none'");
        }
        Some(Standing::Owed) => {
            query.push(
                " AND (id IN (SELECT e.subscriber_id FROM enforcement e
                              JOIN router r ON r.id = e.router_id AND r.enabled
                              WHERE e.next_at IS NOT NULL AND e.state = 'owed'
                                AND e.want = 'cut' AND e.due_at <= ",
            );
            query.push_bind(tx.now);
            query.push(") OR planned_revision < revision AND ends_at <= ");
            query.push_bind(tx.now);
            query.push(
                " AND EXISTS (SELECT 1 FROM router r
                              WHERE r.tenant_id = subscriber.tenant_id AND r.enabled
                                AND (subscriber.router_id IS NULL
                                     OR subscriber.router_id = r.id)))",
            );
        }
    }
    query
        .push(" ORDER BY id LIMIT ")
        .push_bind(i64::from(limit));
    let rows: Vec<SubscriberRow> = query.build_query_as().fetch_all(tx.conn()).await?;
    let subscribers = rows.into_iter().map(Subscriber::try_from);
    Ok(subscribers.collect::<std::result::Result<_, _>>()?)
}

/// The pattern of texts that contain a part, whatever is in it.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

pub(super) async fn change_access(
    tx: &mut Tx,
    id: SubscriberId,
    change: AccessChange,
) -> Result<Subscriber> {
    let mut subscriber = require(tx, id).await?;
    let (from, now) = (subscriber.access, instant(tx.now)?);
    subscriber.access = from.changed(change, now);
    let subscriber = write(tx, subscriber).await?;
    let (to, revision) = (subscriber.access, subscriber.revision);
    let kind = AuditKind::AccessChanged { from, to, revision };
    audit::note(tx, &subscriber, kind).await?;
    planning::access_changed(tx, &subscriber).await?;
    if to.has_ended(now) && !from.has_ended(now) {
        share::note_ended(tx, &[subscriber.id.0]).await?;
    }
    Ok(subscriber)
}

pub(super) async fn add_device(tx: &mut Tx, id: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
    let mut subscriber = require(tx, id).await?;
    check_device(tx, subscriber.tenant, mac).await?;
    insert_devices(tx, &[(&subscriber, mac)]).await?;
    planning::adopt_devices(tx, &[(&subscriber, mac)]).await?;
    subscriber.devices.insert(mac);
    let subscriber = write(tx, subscriber).await?;
    let revision = subscriber.revision;
    note_device(tx, &subscriber, mac, AuditKind::DeviceAdded { revision }).await?;
    planning::devices_changed(tx, &subscriber).await?;
    Ok(subscriber)
}

pub(super) async fn remove_device(
    tx: &mut Tx,
    id: SubscriberId,
    mac: MacAddr,
) -> Result<Subscriber> {
    let mut subscriber = require(tx, id).await?;
    if !subscriber.devices.remove(&mac) {
        return Err(Missing::Device(mac).into());
    }
    let removed = [Removed {
        subscriber: id.0,
        mac,
        router: None,
    }];
    delete_devices(tx, &removed).await?;
    let subscriber = write(tx, subscriber).await?;
    let revision = subscriber.revision;
    note_device(tx, &subscriber, mac, AuditKind::DeviceRemoved { revision }).await?;
    planning::devices_changed(tx, &subscriber).await?;
    cut::plan_devices(tx, &removed).await?;
    if subscriber.access.is_live(instant(tx.now)?) {
        share::note_ended(tx, &[id.0]).await?;
    }
    Ok(subscriber)
}

pub(super) async fn remove(tx: &mut Tx, id: SubscriberId) -> Result<()> {
    let mut subscriber = require(tx, id).await?;
    let now = instant(tx.now)?;
    let access = subscriber.access;
    let had_ended = access.has_ended(now);
    subscriber.access = access.changed(AccessChange::Revoke, now);
    let subscriber = write(tx, subscriber).await?;
    let kind = AuditKind::SubscriberRemoved { access };
    audit::record(
        tx,
        &[
            AuditEntry::of(&subscriber, kind),
            AuditEntry::ended(&subscriber),
        ],
    )
    .await?;
    sqlx::query("UPDATE subscriber SET removed_at = $2 WHERE id = $1")
        .bind(id.0)
        .bind(tx.now)
        .execute(tx.conn())
        .await?;
    for statement in [
        "UPDATE enforcement SET detached = TRUE WHERE subscriber_id = $1",
        "DELETE FROM device WHERE subscriber_id = $1",
    ] {
        sqlx::query(statement).bind(id.0).execute(tx.conn()).await?;
    }
    cut::plan(tx, &[id.0], Due::Now).await?;
    if !had_ended {
        share::note_ended(tx, &[id.0]).await?;
    }
    signal(tx.conn()).await
}

async fn note_device(
    tx: &mut Tx,
    subscriber: &Subscriber,
    mac: MacAddr,
    kind: AuditKind,
) -> Result<()> {
    let entry = AuditEntry {
        device: Some(mac),
        ..AuditEntry::of(subscriber, kind)
    };
    audit::record(tx, &[entry]).await
}

async fn require(tx: &mut Tx, id: SubscriberId) -> Result<Subscriber> {
    let row: Option<SubscriberRow> = sqlx::query_as(
        "SELECT id, tenant_id, username, service, access, ends_at, revision, router_id, macs
         FROM subscriber WHERE id = $1 AND removed_at IS NULL",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.ok_or(Missing::Subscriber)?.try_into()?)
}

/// Writes a changed subscriber back as the next revision.
async fn write(tx: &mut Tx, mut subscriber: Subscriber) -> Result<Subscriber> {
    subscriber.access = subscriber.access.in_micros();
    subscriber.revision.0 += 1;
    update(tx, &[&subscriber]).await?;
    Ok(subscriber)
}

/// The revision that is planned by what writes it: whose access has ended is planned at once, in the
/// same transaction, by whoever writes it.
fn planned(access: Access, revision: Revision, now: DateTime<Utc>) -> Option<i64> {
    access.has_ended(now).then_some(revision.0)
}

/// Writes subscribers back as they are. The cuts of those whose access has ended count as planned:
/// the caller plans them.
pub(super) async fn update(tx: &mut Tx, subscribers: &[&Subscriber]) -> Result<()> {
    let now = instant(tx.now)?;
    for subscribers in subscribers.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "UPDATE subscriber SET service = v.column2, access = v.column3, ends_at = v.column4, \
             revision = v.column5, router_id = v.column6, macs = v.column7, \
             planned_revision = COALESCE(v.column8, planned_revision) FROM (",
        );
        query.push_values(subscribers, |mut row, subscriber| {
            let (access, ends_at) = access_columns(subscriber.access);
            row.push_bind(subscriber.id.0)
                .push_bind(subscriber.service.to_string())
                .push_bind(access)
                .push_bind(ends_at)
                .push_bind(subscriber.revision.0)
                .push_bind(subscriber.router.map(|router| router.0))
                .push_bind(macs_json(&subscriber.devices))
                .push_bind(planned(subscriber.access, subscriber.revision, now));
        });
        query.push(") AS v WHERE subscriber.id = v.column1");
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Makes subscribers with their devices, in the order given; nothing is checked. The cuts of those
/// whose access has ended count as planned: the caller plans them.
pub(super) async fn insert(tx: &mut Tx, new: &[NewSubscriber]) -> Result<Vec<Subscriber>> {
    let now = instant(tx.now)?;
    let mut made = Vec::with_capacity(new.len());
    for new in new.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO subscriber
                 (tenant_id, username, service, access, ends_at, revision, router_id, macs,
                  planned_revision) ",
        );
        query.push_values(new, |mut row, new| {
            let (access, ends_at) = access_columns(new.access);
            row.push_bind(tenant_number(new.tenant))
                .push_bind(new.username.to_string())
                .push_bind(new.service.to_string())
                .push_bind(access)
                .push_bind(ends_at)
                .push_bind(FIRST.0)
                .push_bind(new.router.map(|router| router.0))
                .push_bind(macs_json(&new.devices))
                .push_bind(planned(new.access.in_micros(), FIRST, now).unwrap_or_default());
        });
        query.push(" RETURNING tenant_id, username, id");
        let rows: Vec<(i64, String, i64)> = query.build_query_as().fetch_all(tx.conn()).await?;
        let rows = rows
            .into_iter()
            .map(|(tenant, username, id)| ((tenant, username), id));
        let ids: BTreeMap<_, _> = rows.collect();
        for new in new {
            let name = (tenant_number(new.tenant), new.username.to_string());
            let id = ids.get(&name).ok_or(Missing::Subscriber)?;
            made.push(Subscriber {
                id: SubscriberId(*id),
                tenant: new.tenant,
                username: new.username.clone(),
                service: new.service,
                access: new.access.in_micros(),
                revision: FIRST,
                router: new.router,
                devices: new.devices.clone(),
            });
        }
    }
    insert_devices(tx, &devices_of(&made)).await?;
    Ok(made)
}

/// Lists the devices of some subscribers with their owners.
pub(super) fn devices_of(subscribers: &[Subscriber]) -> Vec<(&Subscriber, MacAddr)> {
    let devices = subscribers
        .iter()
        .flat_map(|owner| owner.devices.iter().map(move |mac| (owner, *mac)));
    devices.collect()
}

pub(super) async fn insert_devices(tx: &mut Tx, devices: &[(&Subscriber, MacAddr)]) -> Result<()> {
    for devices in devices.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Db>::new("INSERT INTO device (tenant_id, mac, subscriber_id) ");
        query.push_values(devices, |mut row, (owner, mac)| {
            row.push_bind(tenant_number(owner.tenant))
                .push_bind(mac.to_string())
                .push_bind(owner.id.0);
        });
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

pub(super) async fn delete_devices(tx: &mut Tx, devices: &[Removed]) -> Result<()> {
    for devices in devices.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Db>::new("DELETE FROM device WHERE (subscriber_id, mac) IN (");
        query.push_values(devices, |mut row, device| {
            row.push_bind(device.subscriber)
                .push_bind(device.mac.to_string());
        });
        query.push(")");
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

async fn check_router(tx: &mut Tx, router: RouterId, tenant: Option<TenantId>) -> Result<()> {
    let row = routers::require(tx, router).await?;
    if row.tenant_id == tenant_number(tenant) {
        Ok(())
    } else {
        Err(Conflict::RouterTenant(row.name).into())
    }
}

async fn check_device(tx: &mut Tx, tenant: Option<TenantId>, mac: MacAddr) -> Result<()> {
    let row: Option<SubscriberRow> = sqlx::query_as(
        "SELECT s.id, s.tenant_id, s.username, s.service, s.access, s.ends_at, s.revision,
             s.router_id, s.macs
         FROM device d JOIN subscriber s ON s.id = d.subscriber_id
         WHERE d.tenant_id = $1 AND d.mac = $2",
    )
    .bind(tenant_number(tenant))
    .bind(mac.to_string())
    .fetch_optional(tx.conn())
    .await?;
    match row {
        None => Ok(()),
        Some(row) => Err(Conflict::Device {
            mac,
            owner: Subscriber::try_from(row)?.username,
        }
        .into()),
    }
}
