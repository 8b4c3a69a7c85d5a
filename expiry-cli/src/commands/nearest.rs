//! Who may have been meant.

use std::time::Duration;

use expiry_core::{Directory, StoreError, TenantId, Username, nearest};
use tokio::time::timeout;

use crate::words::listed;

/// How long is searched at most.
const SEARCH: Duration = Duration::from_secs(1);

/// Says who of the tenant is named alike, and in which other tenants the name is known. That they cannot
/// be found is no other answer.
pub(super) async fn hint(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> String {
    match timeout(SEARCH, search(directory, tenant, wanted)).await {
        Ok(Ok(hint)) => hint,
        Ok(Err(_)) | Err(_) => "and who has a name like it cannot be told now".into(),
    }
}

async fn search(
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

#[cfg(test)]
mod tests {
    use expiry_core::MockDirectory;

    use super::*;

    #[tokio::test]
    async fn a_search_that_fails_is_no_other_answer_than_that_nobody_has_the_name() {
        let mut directory = MockDirectory::new();
        directory.expect_subscriber().returning(|_, _| Ok(None));
        let gone = || StoreError::Unavailable("gone".into());
        directory.expect_tenants().returning(move || Err(gone()));
        let who = crate::args::Who {
            username: "joe".parse().expect("a name"),
            tenant: None,
        };

        let found = super::super::find::subscriber(&directory, &who).await;

        let error = found.expect_err("nobody has the name");
        assert_eq!(error.exit_code(), crate::error::USAGE, "{error}");
        assert!(error.to_string().contains("no subscriber `joe`"), "{error}");
    }
}
