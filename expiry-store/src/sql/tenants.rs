use expiry_core::{AuditEntry, AuditKind, Conflict, Missing, Tenant, TenantId};

use super::{Tx, audit};
use crate::{error::Result, row::TenantRow};

pub(super) async fn add(tx: &mut Tx, slug: &str, name: &str) -> Result<Tenant> {
    let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tenant WHERE slug = $1)")
        .bind(slug)
        .fetch_one(tx.conn())
        .await?;
    if taken {
        return Err(Conflict::Tenant(slug.into()).into());
    }
    let row: TenantRow =
        sqlx::query_as("INSERT INTO tenant (slug, name) VALUES ($1, $2) RETURNING id, slug, name")
            .bind(slug)
            .bind(name)
            .fetch_one(tx.conn())
            .await?;
    let tenant = Tenant::from(row);
    let kind = AuditKind::TenantAdded {
        slug: tenant.slug.clone(),
    };
    audit::record(tx, &[AuditEntry::in_tenant(Some(tenant.id), kind)]).await?;
    Ok(tenant)
}

pub(super) async fn list(tx: &mut Tx) -> Result<Vec<Tenant>> {
    let rows: Vec<TenantRow> =
        sqlx::query_as("SELECT id, slug, name FROM tenant WHERE id <> 0 ORDER BY slug")
            .fetch_all(tx.conn())
            .await?;
    Ok(rows.into_iter().map(Tenant::from).collect())
}

/// Without routers nothing can be owed, so its removed subscribers go with it.
pub(super) async fn remove(tx: &mut Tx, tenant: TenantId) -> Result<()> {
    require(tx, Some(tenant)).await?;
    let used: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM router WHERE tenant_id = $1)
             OR EXISTS (SELECT 1 FROM subscriber WHERE tenant_id = $1 AND removed_at IS NULL)",
    )
    .bind(tenant.0)
    .fetch_one(tx.conn())
    .await?;
    if used {
        return Err(Conflict::TenantInUse.into());
    }
    let slug = sqlx::query_scalar("SELECT slug FROM tenant WHERE id = $1")
        .bind(tenant.0)
        .fetch_one(tx.conn())
        .await?;
    let kind = AuditKind::TenantRemoved { slug };
    audit::record(tx, &[AuditEntry::in_tenant(Some(tenant), kind)]).await?;
    for statement in [
        "DELETE FROM subscriber WHERE tenant_id = $1",
        "DELETE FROM tenant WHERE id = $1",
    ] {
        sqlx::query(statement)
            .bind(tenant.0)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Fails if the tenant does not exist.
pub(super) async fn require(tx: &mut Tx, tenant: Option<TenantId>) -> Result<()> {
    let Some(tenant) = tenant else {
        return Ok(());
    };
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tenant WHERE id = $1 AND id <> 0)")
            .bind(tenant.0)
            .fetch_one(tx.conn())
            .await?;
    if known {
        Ok(())
    } else {
        Err(Missing::Tenant.into())
    }
}
