//! The tenants and routers that a list may name.

use std::collections::BTreeMap;

use expiry_core::{Directory, RouterId, StoreError, TenantId};

use super::super::sheet;
use crate::nearest::nearest;

pub(super) struct Places {
    tenants: BTreeMap<String, TenantId>,
    routers: BTreeMap<String, (RouterId, Option<TenantId>)>,
}

impl Places {
    pub(super) async fn read(directory: &dyn Directory) -> Result<Self, StoreError> {
        let tenants = directory.tenants().await?.into_iter();
        let routers = directory.routers().await?.into_iter();
        Ok(Self {
            tenants: tenants.map(|tenant| (tenant.slug, tenant.id)).collect(),
            routers: routers
                .map(|router| (router.name, (router.id, router.tenant)))
                .collect(),
        })
    }

    /// Finds a tenant, or says what there is.
    pub(super) fn tenant(&self, slug: &str) -> Result<TenantId, String> {
        if let Some(id) = self.tenants.get(slug) {
            return Ok(*id);
        }
        Err(
            match nearest(slug, self.tenants.keys().map(String::as_str)) {
                Some(nearest) => format!("no tenant `{slug}`; the nearest is `{nearest}`"),
                None => {
                    format!("no tenant `{slug}`, nor any other: `expiryctl tenant add` makes one")
                }
            },
        )
    }

    /// Returns the short name of a tenant that there is.
    pub(super) fn slug(&self, tenant: TenantId) -> Option<&str> {
        let mut tenants = self.tenants.iter();
        let found = tenants.find(|(_, id)| **id == tenant);
        found.map(|(slug, _)| slug.as_str())
    }

    /// Finds a router of a tenant, or says what there is. Of a removed one only its number is
    /// left, with which a binding may stand.
    pub(super) fn router(&self, name: &str, tenant: Option<TenantId>) -> Result<RouterId, String> {
        match self.routers.get(name) {
            Some((id, owner)) if *owner == tenant => Ok(*id),
            Some((_, owner)) => {
                let (owner, tenant_name) = (self.said(*owner), self.said(tenant));
                let hint = self.nearest_router(name, tenant);
                Err(format!(
                    "router `{name}` belongs to {owner}, the subscriber to {tenant_name}{hint}"
                ))
            }
            None => sheet::read_removed_router(name).ok_or_else(|| {
                let hint = self.nearest_router(name, tenant);
                format!("no router `{name}`{hint}")
            }),
        }
    }

    /// Tells whether a router is there at all, whosever it is.
    pub(super) fn router_of_any(&self, name: &str) -> Result<(), String> {
        if self.routers.contains_key(name) || sheet::read_removed_router(name).is_some() {
            return Ok(());
        }
        let nearest = nearest(name, self.routers.keys().map(String::as_str));
        let hint = nearest.map(|nearest| format!("; the nearest is `{nearest}`"));
        Err(format!("no router `{name}`{}", hint.unwrap_or_default()))
    }

    fn nearest_router(&self, name: &str, tenant: Option<TenantId>) -> String {
        let own = self
            .routers
            .iter()
            .filter(|(_, (_, owner))| *owner == tenant);
        match nearest(name, own.map(|(name, _)| name.as_str())) {
            Some(nearest) => format!("; the nearest is `{nearest}`"),
            None => format!("; {} has no router", self.said(tenant)),
        }
    }

    fn said(&self, tenant: Option<TenantId>) -> String {
        let Some(tenant) = tenant else {
            return "no tenant".into();
        };
        self.slug(tenant).map_or_else(
            || "a removed tenant".into(),
            |slug| format!("tenant `{slug}`"),
        )
    }
}
