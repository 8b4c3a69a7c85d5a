use expiry_core::{
    AuditKind, Conflict, Missing, NewRouter, OpenWork, Router, RouterAddress, RouterChange,
    RouterId,
};

use super::{Tx, audit, cut, restore, secrets, signal, stray, tenants};
use crate::{
    error::Result,
    row::{RouterRow, tenant_number},
    seal::Sealer,
};

pub(super) async fn add(tx: &mut Tx, sealer: &Sealer, new: &NewRouter) -> Result<Router> {
    tenants::require(tx, new.tenant).await?;
    if find_by_name(tx, &new.name).await?.is_some() {
        return Err(Conflict::RouterName(new.name.clone()).into());
    }
    check_address(tx, 0, &new.address.host, new.address.port).await?;
    let used = secrets::used_keys(tx).await?;
    let key = sealer.key_to_begin(&used)?;
    let secret = key.seal(&new.name, &new.password)?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO router (tenant_id, name, host, port, username, sealed, key_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(tenant_number(new.tenant))
    .bind(&new.name)
    .bind(&new.address.host)
    .bind(i64::from(new.address.port))
    .bind(&new.address.username)
    .bind(secret.bytes)
    .bind(secret.key_id)
    .fetch_one(tx.conn())
    .await?;
    let address = RouterAddress::place(&new.address.host, new.address.port);
    let place = (id, tenant_number(new.tenant), new.name.as_str());
    audit::note_router(tx, place, AuditKind::RouterAdded { address }).await?;
    entered_scope(tx, id).await?;
    require(tx, RouterId(id))
        .await?
        .router()
        .map_err(Into::into)
}

pub(super) async fn change(
    tx: &mut Tx,
    sealer: &Sealer,
    router: RouterId,
    change: &RouterChange,
) -> Result<Router> {
    let row = require(tx, router).await?;
    let host = change.host.as_ref().unwrap_or(&row.host);
    let port = change.port.map_or_else(|| row.port(), Ok)?;
    let moved = *host != row.host || port != row.port()?;
    let enabled = change.enabled.unwrap_or(row.enabled);
    if moved {
        check_address(tx, row.id, host, port).await?;
    }
    sqlx::query(
        "UPDATE router SET host = $2, port = $3, username = $4, enabled = $5,
             identity = CASE WHEN $6 THEN NULL ELSE identity END,
             serial = CASE WHEN $6 THEN NULL ELSE serial END,
             said_at = CASE WHEN $6 THEN NULL ELSE said_at END,
             epoch = CASE WHEN NOT $6 THEN epoch WHEN epoch < $7 THEN $7 ELSE epoch + 1 END,
             taken_over = taken_over OR NOT $5 AND owner IS NOT NULL,
             owner = CASE WHEN $5 THEN owner ELSE NULL END
         WHERE id = $1",
    )
    .bind(row.id)
    .bind(host)
    .bind(i64::from(port))
    .bind(change.username.as_ref().unwrap_or(&row.username))
    .bind(enabled)
    .bind(moved)
    .bind(tx.now)
    .execute(tx.conn())
    .await?;
    if let Some(password) = &change.password {
        let used = secrets::used_keys(tx).await?;
        let secret = sealer.key_to_seal(&used)?.seal(&row.name, password)?;
        sqlx::query("UPDATE router SET sealed = $2, key_id = $3 WHERE id = $1")
            .bind(row.id)
            .bind(secret.bytes)
            .bind(secret.key_id)
            .execute(tx.conn())
            .await?;
    }
    if moved {
        stray::forget(tx, row.id).await?;
    }
    note_change(tx, &row, change).await?;
    if enabled && !row.enabled {
        cut::mark_known_late(tx, row.id).await?;
    }
    if enabled && (moved || !row.enabled) {
        entered_scope(tx, row.id).await?;
    } else {
        signal(tx.conn()).await?;
    }
    require(tx, router).await?.router().map_err(Into::into)
}

pub(super) async fn accept(tx: &mut Tx, router: RouterId) -> Result<()> {
    let row = require(tx, router).await?;
    sqlx::query(
        "UPDATE router SET identity = NULL, serial = NULL, said_at = NULL,
             epoch = CASE WHEN epoch < $2 THEN $2 ELSE epoch + 1 END
         WHERE id = $1",
    )
    .bind(router.0)
    .bind(tx.now)
    .execute(tx.conn())
    .await?;
    audit::note_router(tx, row.place(), AuditKind::RouterAccepted).await?;
    if row.enabled {
        return entered_scope(tx, router.0).await;
    }
    stray::forget(tx, router.0).await?;
    signal(tx.conn()).await
}

pub(super) async fn list(tx: &mut Tx) -> Result<Vec<Router>> {
    let rows: Vec<RouterRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, host, port, username, sealed, key_id, enabled, identity,
             serial, epoch, taken_over, nudged_at
         FROM router ORDER BY name",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter().map(|row| Ok(row.router()?)).collect()
}

/// Names of those whose access ended and whose cut on a router nobody has planned yet.
const UNPLANNED: &str = "SELECT s.username FROM router r
     JOIN subscriber s ON s.tenant_id = r.tenant_id
          AND (s.router_id IS NULL OR s.router_id = r.id)
     WHERE r.id = $1 AND r.enabled AND s.planned_revision < s.revision AND s.ends_at <= $2";

pub(super) async fn open_work(tx: &mut Tx, router: RouterId) -> Result<OpenWork> {
    require(tx, router).await?;
    let owed: Vec<(bool, String, String)> = sqlx::query_as(
        "SELECT e.want = 'cut', e.device, s.username
         FROM enforcement e JOIN subscriber s ON s.id = e.subscriber_id
         WHERE e.router_id = $1 AND e.next_at IS NOT NULL AND e.state = 'owed'",
    )
    .bind(router.0)
    .fetch_all(tx.conn())
    .await?;
    let mut open = OpenWork::default();
    for (is_cut, device, username) in owed {
        let list = if is_cut {
            &mut open.cuts
        } else {
            &mut open.restores
        };
        list.push(if device.is_empty() { username } else { device });
    }
    let unplanned: Vec<String> = sqlx::query_scalar(UNPLANNED)
        .bind(router.0)
        .bind(tx.now)
        .fetch_all(tx.conn())
        .await?;
    open.cuts.extend(unplanned);
    open.undo = sqlx::query_scalar(
        "SELECT u.key FROM undo u
         WHERE u.router_id = $1 AND u.undone_at IS NULL
           AND NOT EXISTS (
               SELECT 1 FROM enforcement e
               WHERE e.router_id = u.router_id AND e.next_at IS NOT NULL AND e.state = 'owed'
                 AND e.want = 'restore'
                 AND (u.kind = 'name' AND e.username = u.key
                      OR u.kind = 'mac' AND e.macs LIKE '%\"' || u.key || '\"%'))",
    )
    .bind(router.0)
    .fetch_all(tx.conn())
    .await?;
    for list in [&mut open.cuts, &mut open.restores, &mut open.undo] {
        list.sort();
    }
    Ok(open)
}

pub(super) async fn remove(tx: &mut Tx, router: RouterId, force: bool) -> Result<()> {
    let row = require(tx, router).await?;
    let busy: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM enforcement
                        WHERE router_id = $1 AND next_at IS NOT NULL AND state = 'owed')
             OR EXISTS (SELECT 1 FROM undo WHERE router_id = $1 AND undone_at IS NULL)",
    )
    .bind(router.0)
    .fetch_one(tx.conn())
    .await?;
    let unplanned: Option<String> = sqlx::query_scalar(UNPLANNED)
        .bind(router.0)
        .bind(tx.now)
        .fetch_optional(tx.conn())
        .await?;
    let forced = busy || unplanned.is_some();
    if forced && !force {
        return Err(Conflict::RouterBusy.into());
    }
    audit::note_router(tx, row.place(), AuditKind::RouterRemoved { forced }).await?;
    for statement in [
        "DELETE FROM enforcement WHERE router_id = $1",
        "DELETE FROM undo WHERE router_id = $1",
        "DELETE FROM stray WHERE router_id = $1",
        "DELETE FROM router WHERE id = $1",
    ] {
        sqlx::query(statement)
            .bind(router.0)
            .execute(tx.conn())
            .await?;
    }
    signal(tx.conn()).await
}

async fn note_change(tx: &mut Tx, before: &RouterRow, change: &RouterChange) -> Result<()> {
    let host = change.host.as_ref().unwrap_or(&before.host);
    let port = change.port.map_or_else(|| before.port(), Ok)?;
    let moved = *host != before.host || port != before.port()?;
    let account = change.username.clone();
    let account = account.filter(|account| *account != before.username);
    let password = change.password.is_some();
    if moved || account.is_some() || password {
        let kind = AuditKind::RouterChanged {
            address: moved.then(|| RouterAddress::place(host, port)),
            account,
            password,
        };
        audit::note_router(tx, before.place(), kind).await?;
    }
    match change.enabled {
        Some(true) if !before.enabled => {
            audit::note_router(tx, before.place(), AuditKind::RouterEnabled).await
        }
        Some(false) if before.enabled => {
            audit::note_router(tx, before.place(), AuditKind::RouterDisabled).await
        }
        _ => Ok(()),
    }
}

/// Reads a router, or fails if there is none.
pub(super) async fn require(tx: &mut Tx, router: RouterId) -> Result<RouterRow> {
    let row: Option<RouterRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, host, port, username, sealed, key_id, enabled, identity,
             serial, epoch, taken_over, nudged_at
         FROM router WHERE id = $1",
    )
    .bind(router.0)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.ok_or(Missing::Router)?)
}

async fn find_by_name(tx: &mut Tx, name: &str) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar("SELECT id FROM router WHERE name = $1")
        .bind(name)
        .fetch_optional(tx.conn())
        .await?)
}

async fn check_address(tx: &mut Tx, own: i64, host: &str, port: u16) -> Result<()> {
    let other: Option<String> = sqlx::query_scalar(
        "SELECT name FROM router WHERE lower(host) = lower($1) AND port = $2 AND id <> $3",
    )
    .bind(host)
    .bind(i64::from(port))
    .bind(own)
    .fetch_optional(tx.conn())
    .await?;
    match other {
        None => Ok(()),
        Some(router) => Err(Conflict::RouterAddress {
            address: RouterAddress::place(host, port),
            router,
        }
        .into()),
    }
}

/// A router that came into scope, or is another box than before, may have anybody online: it is to
/// be read at once.
async fn entered_scope(tx: &mut Tx, router: i64) -> Result<()> {
    stray::forget(tx, router).await?;
    cut::hurry_router(tx, router).await?;
    sqlx::query("UPDATE undo SET fresh = TRUE WHERE router_id = $1 AND undone_at IS NULL")
        .bind(router)
        .execute(tx.conn())
        .await?;
    restore::owe_explained(tx, Some(router)).await?;
    signal(tx.conn()).await
}
