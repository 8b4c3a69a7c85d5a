//! Who may have been meant.

use expiry_core::{Directory, StoreError, TenantId, Username, nearest};

use crate::words::listed;

/// Says who of the tenant is named alike, and in which other tenants the name is known.
pub(super) async fn hint(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> Result<String, StoreError> {
    let mut hints = Vec::new();
    let elsewhere = elsewhere(directory, tenant, wanted).await?;
    if !elsewhere.is_empty() {
        hints.push(format!("known {}", listed(&elsewhere)));
    }
    let alike = nearest(directory, tenant, wanted.as_str()).await?;
    if !alike.is_empty() {
        let alike = alike.iter().map(|near| format!("`{}`", near.username));
        let alike: Vec<_> = alike.collect();
        hints.push(format!("the nearest: {}", listed(&alike)));
    }
    if hints.is_empty() {
        hints.push("and nobody of a name like it".into());
    }
    Ok(hints.join("; "))
}

async fn elsewhere(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    if tenant.is_some() && directory.subscriber(None, wanted).await?.is_some() {
        found.push("without a tenant (leave out --tenant)".to_owned());
    }
    for other in directory.tenants().await? {
        let is_other = Some(other.id) != tenant;
        if is_other
            && directory
                .subscriber(Some(other.id), wanted)
                .await?
                .is_some()
        {
            found.push(format!("in tenant `{0}` (give --tenant {0})", other.slug));
        }
    }
    Ok(found)
}
