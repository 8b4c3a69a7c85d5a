//! From the names people write to what the store keeps.

use expiry_core::{Directory, Router, Subscriber, Tenant, TenantId};

use super::nearest;
use crate::{args::Who, error::CliError};

/// Finds the tenant that was named, if one was.
pub(super) async fn tenant(
    directory: &dyn Directory,
    slug: Option<&str>,
) -> Result<Option<Tenant>, CliError> {
    let Some(slug) = slug else { return Ok(None) };
    let tenants = directory.tenants().await?;
    let found = tenants.into_iter().find(|tenant| tenant.slug == slug);
    found
        .map(Some)
        .ok_or_else(|| CliError::UnknownTenant(slug.into()))
}

pub(super) async fn router(directory: &dyn Directory, name: &str) -> Result<Router, CliError> {
    let routers = directory.routers().await?;
    let found = routers.into_iter().find(|router| router.name == name);
    found.ok_or_else(|| CliError::UnknownRouter(name.into()))
}

pub(super) async fn subscriber(
    directory: &dyn Directory,
    who: &Who,
) -> Result<Subscriber, CliError> {
    let tenant = tenant(directory, who.tenant.as_deref()).await?;
    let tenant = tenant.map(|tenant| tenant.id);
    match directory.subscriber(tenant, &who.username).await? {
        Some(found) => Ok(found),
        None => Err(unknown(directory, tenant, who).await),
    }
}

/// Says that the tenant has nobody of that name, and who may have been meant.
pub(super) async fn unknown(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    who: &Who,
) -> CliError {
    CliError::UnknownSubscriber {
        username: who.username.clone(),
        tenant: who.tenant.clone(),
        hint: nearest::hint(directory, tenant, &who.username).await,
    }
}
