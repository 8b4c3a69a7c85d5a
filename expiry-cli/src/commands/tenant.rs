use std::fmt;

use expiry_core::{Directory, Tenant};
use serde::Serialize;

use super::find;
use crate::{
    args::TenantCommand,
    error::CliError,
    output::{Listed, Output},
};

pub(super) async fn run(
    command: TenantCommand,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        TenantCommand::Add { slug, name } => {
            let name = name.as_deref().unwrap_or(&slug);
            let tenant = directory.add_tenant(&slug, name).await?;
            out.answer(&TenantLine(tenant));
        }
        TenantCommand::List => {
            let tenants = directory.tenants().await?;
            let lines: Vec<_> = tenants.into_iter().map(TenantLine).collect();
            out.list(&lines)?;
        }
        TenantCommand::Remove { slug } => {
            if let Some(tenant) = find::tenant(directory, Some(&slug)).await? {
                directory.remove_tenant(tenant.id).await?;
                out.answer(&Removed { removed: slug });
            }
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct TenantLine(Tenant);

impl fmt::Display for TenantLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.0.slug, self.0.name)
    }
}

impl Listed for TenantLine {
    const HEAD: &'static [&'static str] = &["TENANT", "NAME"];
    const NONE: &'static str = "no tenants yet: `expiryctl tenant add SLUG` makes one";

    fn cells(&self) -> Vec<String> {
        vec![self.0.slug.clone(), self.0.name.clone()]
    }
}

#[derive(Debug, Serialize)]
struct Removed {
    removed: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {} removed", self.removed)
    }
}

#[cfg(test)]
mod tests {
    use expiry_core::{Conflict, MockDirectory, StoreError, TenantId};

    use super::*;

    fn tenant() -> Tenant {
        Tenant {
            id: TenantId(7),
            slug: "cafe".into(),
            name: "Café".into(),
        }
    }

    async fn output(command: TenantCommand, directory: &MockDirectory) -> Result<String, CliError> {
        let mut bytes = Vec::new();
        run(command, directory, &mut Output::new(&mut bytes, false)).await?;
        Ok(String::from_utf8(bytes).expect("text"))
    }

    #[tokio::test]
    async fn without_a_name_a_tenant_is_called_by_its_slug() {
        let mut directory = MockDirectory::new();
        directory
            .expect_add_tenant()
            .withf(|slug, name| slug == "cafe" && name == "cafe")
            .return_once(|_, _| Ok(tenant()));
        let add = TenantCommand::Add {
            slug: "cafe".into(),
            name: None,
        };
        let text = output(add, &directory).await.expect("done");
        assert_eq!(text, "cafe  Café\n");
    }

    #[tokio::test]
    async fn a_tenant_in_use_is_not_removed() {
        let mut directory = MockDirectory::new();
        directory
            .expect_tenants()
            .return_once(|| Ok(vec![tenant()]));
        directory
            .expect_remove_tenant()
            .return_once(|_| Err(StoreError::Conflict(Conflict::TenantInUse)));
        let slug = "cafe".into();
        let error = output(TenantCommand::Remove { slug }, &directory)
            .await
            .expect_err("refused");
        assert_eq!(error.exit_code(), crate::error::USAGE);
    }

    #[tokio::test]
    async fn an_unknown_tenant_is_named() {
        let mut directory = MockDirectory::new();
        directory
            .expect_tenants()
            .return_once(|| Ok(vec![tenant()]));
        let slug = "bar".into();
        let error = output(TenantCommand::Remove { slug }, &directory)
            .await
            .expect_err("refused");
        assert!(error.to_string().contains("no tenant `bar`"), "{error}");
    }
}
