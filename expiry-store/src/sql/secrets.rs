//! The passwords of routers: with which keys they are sealed, and who has those.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{
    AuditKind, Conflict, GatewayError, KeyState, NoPassword, NoPasswordCause, RouterId,
    RouterLogin, RouterSecret, Secrets, StoreError, Trouble,
};
use secrecy::SecretString;
use sqlx::FromRow;

use super::{Tx, audit, routers, signal};
use crate::{
    error::Result,
    row::{RouterRow, storable},
    seal::{Keys, Sealer},
};

/// Returns the ids of the keys that sealed what there is.
pub(super) async fn used_keys(tx: &mut Tx) -> Result<Vec<String>> {
    let used = "SELECT DISTINCT key_id FROM router WHERE key_id <> '' ORDER BY key_id";
    Ok(sqlx::query_scalar(used).fetch_all(tx.conn()).await?)
}

/// Returns a router with the password to log in there.
pub(super) async fn login(tx: &mut Tx, sealer: &Sealer, router: RouterId) -> Result<RouterLogin> {
    let row = routers::require(tx, router).await?;
    Ok(RouterLogin {
        router: row.router()?,
        password: password(&row, &sealer.look()).map_err(StoreError::from)?,
    })
}

/// Opens the sealed password.
pub(super) fn password(
    row: &RouterRow,
    keys: &Keys,
) -> std::result::Result<SecretString, NoPassword> {
    let opened = keys.open(&row.name, &row.key_id, &row.sealed);
    opened.map_err(|cause| NoPassword {
        router: row.name.clone(),
        cause,
    })
}

#[derive(FromRow)]
struct SecretRow {
    id: i64,
    tenant_id: i64,
    name: String,
    sealed: Vec<u8>,
    key_id: String,
    enabled: bool,
    is_down: bool,
}

async fn rows(tx: &mut Tx) -> Result<Vec<SecretRow>> {
    Ok(sqlx::query_as(
        "SELECT id, tenant_id, name, sealed, key_id, enabled, down_since IS NOT NULL AS is_down
         FROM router ORDER BY name",
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Tells what the key file opens: what was read from it before is not asked.
pub(super) async fn list(tx: &mut Tx, sealer: &Sealer) -> Result<Secrets> {
    let rows = rows(tx).await?;
    told(tx, &sealer.look(), &rows).await
}

async fn told(tx: &mut Tx, keys: &Keys, rows: &[SecretRow]) -> Result<Secrets> {
    let (in_files, in_memory) = holders(tx).await?;
    let of = |holders: &Holders, row: &SecretRow| {
        let machines = holders.get(&row.key_id).cloned();
        machines.unwrap_or_default().into_iter().collect::<Vec<_>>()
    };
    let secret = |row: &SecretRow| RouterSecret {
        router: RouterId(row.id),
        name: row.name.clone(),
        sealed_with: (!row.key_id.is_empty()).then(|| row.key_id.clone()),
        cause: keys.open_by_file(&row.name, &row.key_id, &row.sealed).err(),
        opened_by: of(&in_files, row),
        remembered_by: of(&in_memory, row),
    };
    Ok(Secrets {
        key_file: keys.file(),
        key: keys.state(),
        routers: rows.iter().map(secret).collect(),
    })
}

/// Machines, by keys.
type Holders = BTreeMap<String, BTreeSet<String>>;

/// Returns the machines of the watchers that are alive, by their keys: where the key file holds it, and
/// where no file does and it is in memory alone.
async fn holders(tx: &mut Tx) -> Result<(Holders, Holders)> {
    let alive: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT key_id, COALESCE(machine, ''), COALESCE(key_kept, FALSE) FROM watcher
         WHERE key_id IS NOT NULL AND heartbeat_at > $1 - ttl_us AND heartbeat_at < $1 + ttl_us",
    )
    .bind(tx.now)
    .fetch_all(tx.conn())
    .await?;
    let (mut in_files, mut in_memory) = (Holders::new(), Holders::new());
    for (key, machine, is_kept) in alive {
        let holders = if is_kept {
            &mut in_files
        } else {
            &mut in_memory
        };
        holders.entry(key).or_default().insert(machine);
    }
    Ok((in_files, in_memory))
}

/// Forgets what does not open, and makes a key if there is none. An empty `key_id` stands for a
/// password that was forgotten.
pub(super) async fn reset(tx: &mut Tx, sealer: &Sealer, seen: &Secrets) -> Result<Secrets> {
    let rows = rows(tx).await?;
    let before = told(tx, &sealer.look(), &rows).await?;
    if !before.shuts_same(seen) {
        return Err(Conflict::Secrets.into());
    }
    if before.shut().next().is_none() {
        return Ok(before);
    }
    match before.key {
        KeyState::Here(_) => {}
        KeyState::Missing => drop(sealer.make()?),
        KeyState::Unusable(fault) => return Err(StoreError::Key(fault).into()),
    }
    for (row, secret) in rows.iter().zip(&before.routers) {
        if secret.is_shut() {
            forget(tx, row).await?;
        }
    }
    signal(tx.conn()).await?;
    list(tx, sealer).await
}

async fn forget(tx: &mut Tx, row: &SecretRow) -> Result<()> {
    let cause = NoPasswordCause::Forgotten;
    let error = storable(&Trouble::from(GatewayError::NoPassword { cause }).line());
    sqlx::query(
        "UPDATE router SET sealed = $2, key_id = '',
             last_error = CASE WHEN enabled THEN $3 ELSE last_error END,
             down_since = CASE WHEN enabled THEN COALESCE(down_since, $4) ELSE down_since END
         WHERE id = $1",
    )
    .bind(row.id)
    .bind(Vec::<u8>::new())
    .bind(&error)
    .bind(tx.now)
    .execute(tx.conn())
    .await?;
    let place = (row.id, row.tenant_id, row.name.as_str());
    let sealed_with = row.key_id.clone();
    audit::note_router(tx, place, AuditKind::PasswordForgotten { sealed_with }).await?;
    if row.enabled && !row.is_down {
        audit::note_router(tx, place, AuditKind::RouterDown { error }).await?;
    }
    Ok(())
}
