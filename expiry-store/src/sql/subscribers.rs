use std::collections::BTreeSet;

use expiry_core::{
    AccessChange, AuditEntry, AuditKind, Conflict, MacAddr, Missing, NewSubscriber, RouterId,
    Subscriber, SubscriberId, TenantId, Username,
};

use super::{Tx, audit, cut, planning, routers, share, signal, tenants};
use crate::{
    error::Result,
    row::{SubscriberRow, access_columns, instant, macs_json, tenant_number},
};

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
    let (access, ends_at) = access_columns(new.access);
    let row: SubscriberRow = sqlx::query_as(
        "INSERT INTO subscriber
             (tenant_id, username, service, access, ends_at, revision, router_id, macs)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7)
         RETURNING id, tenant_id, username, service, access, ends_at, revision, router_id, macs",
    )
    .bind(tenant_number(new.tenant))
    .bind(new.username.as_str())
    .bind(new.service.to_string())
    .bind(access)
    .bind(ends_at)
    .bind(new.router.map(|router| router.0))
    .bind(macs_json(&new.devices))
    .fetch_one(tx.conn())
    .await?;
    let subscriber = Subscriber::try_from(row)?;
    for &mac in &new.devices {
        insert_device(tx, &subscriber, mac).await?;
    }
    let kind = AuditKind::SubscriberAdded {
        access: subscriber.access,
        devices: subscriber.devices.clone(),
        revision: subscriber.revision,
    };
    audit::note(tx, &subscriber, kind).await?;
    planning::adopt_devices(tx, &subscriber, &new.devices).await?;
    planning::access_changed(tx, &subscriber).await?;
    if planning::has_ended(subscriber.access, instant(tx.now)?) {
        share::note_ended(tx, subscriber.id).await?;
    }
    Ok(subscriber)
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

pub(super) async fn change_access(
    tx: &mut Tx,
    id: SubscriberId,
    change: AccessChange,
) -> Result<Subscriber> {
    let mut subscriber = require(tx, id).await?;
    let (from, now) = (subscriber.access, instant(tx.now)?);
    subscriber.access = from.changed(change, now);
    let subscriber = write(tx, &subscriber).await?;
    let (to, revision) = (subscriber.access, subscriber.revision);
    let kind = AuditKind::AccessChanged { from, to, revision };
    audit::note(tx, &subscriber, kind).await?;
    planning::access_changed(tx, &subscriber).await?;
    if planning::has_ended(subscriber.access, now) && !planning::has_ended(from, now) {
        share::note_ended(tx, subscriber.id).await?;
    }
    Ok(subscriber)
}

pub(super) async fn add_device(tx: &mut Tx, id: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
    let mut subscriber = require(tx, id).await?;
    check_device(tx, subscriber.tenant, mac).await?;
    insert_device(tx, &subscriber, mac).await?;
    planning::adopt_devices(tx, &subscriber, &BTreeSet::from([mac])).await?;
    subscriber.devices.insert(mac);
    let subscriber = write(tx, &subscriber).await?;
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
    sqlx::query("DELETE FROM device WHERE tenant_id = $1 AND mac = $2 AND subscriber_id = $3")
        .bind(tenant_number(subscriber.tenant))
        .bind(mac.to_string())
        .bind(id.0)
        .execute(tx.conn())
        .await?;
    let subscriber = write(tx, &subscriber).await?;
    let revision = subscriber.revision;
    note_device(tx, &subscriber, mac, AuditKind::DeviceRemoved { revision }).await?;
    planning::devices_changed(tx, &subscriber).await?;
    cut::plan_device(tx, id.0, mac).await?;
    if subscriber.access.is_live(instant(tx.now)?) {
        share::note_ended(tx, id).await?;
    }
    Ok(subscriber)
}

pub(super) async fn remove(tx: &mut Tx, id: SubscriberId) -> Result<()> {
    let mut subscriber = require(tx, id).await?;
    let now = instant(tx.now)?;
    let access = subscriber.access;
    let had_ended = planning::has_ended(access, now);
    subscriber.access = access.changed(AccessChange::Revoke, now);
    let subscriber = write(tx, &subscriber).await?;
    audit::note(tx, &subscriber, AuditKind::SubscriberRemoved { access }).await?;
    audit::note_end(tx, &subscriber).await?;
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
    cut::plan(tx, id.0, tx.now).await?;
    if !had_ended {
        share::note_ended(tx, id).await?;
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

/// Writes access and devices back as the next revision.
async fn write(tx: &mut Tx, subscriber: &Subscriber) -> Result<Subscriber> {
    let (access, ends_at) = access_columns(subscriber.access);
    let row: SubscriberRow = sqlx::query_as(
        "UPDATE subscriber SET access = $2, ends_at = $3, macs = $4, revision = revision + 1
         WHERE id = $1
         RETURNING id, tenant_id, username, service, access, ends_at, revision, router_id, macs",
    )
    .bind(subscriber.id.0)
    .bind(access)
    .bind(ends_at)
    .bind(macs_json(&subscriber.devices))
    .fetch_one(tx.conn())
    .await?;
    Ok(row.try_into()?)
}

async fn insert_device(tx: &mut Tx, subscriber: &Subscriber, mac: MacAddr) -> Result<()> {
    sqlx::query("INSERT INTO device (tenant_id, mac, subscriber_id) VALUES ($1, $2, $3)")
        .bind(tenant_number(subscriber.tenant))
        .bind(mac.to_string())
        .bind(subscriber.id.0)
        .execute(tx.conn())
        .await?;
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
