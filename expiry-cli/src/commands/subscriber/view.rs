//! How a subscriber is printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, Directory, MacAddr, Revision, RouterId, Service, StoreError, Subscriber, Username,
};
use serde::Serialize;

use crate::output::{Listed, count, time};

/// The names behind the numbers.
pub(super) struct Names {
    tenant: Option<String>,
    routers: BTreeMap<RouterId, String>,
}

impl Names {
    pub(super) async fn read(
        directory: &dyn Directory,
        tenant: Option<String>,
    ) -> Result<Self, StoreError> {
        let routers = directory.routers().await?;
        let routers = routers.into_iter().map(|router| (router.id, router.name));
        Ok(Self {
            tenant,
            routers: routers.collect(),
        })
    }

    pub(super) fn view(&self, subscriber: &Subscriber, now: DateTime<Utc>) -> View {
        let removed = || "(removed)".to_owned();
        let router = |id| self.routers.get(&id).cloned().unwrap_or_else(removed);
        View {
            username: subscriber.username.clone(),
            tenant: self.tenant.clone(),
            service: subscriber.service,
            live: subscriber.access.is_live(now),
            access: match subscriber.access {
                Access::None => "none",
                Access::Until(_) => "until",
                Access::Forever => "forever",
            },
            expires_at: subscriber.access.end(),
            router: subscriber.router.map(router),
            devices: subscriber.devices.clone(),
            revision: subscriber.revision,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    username: Username,
    tenant: Option<String>,
    service: Service,
    live: bool,
    access: &'static str,
    expires_at: Option<DateTime<Utc>>,
    router: Option<String>,
    devices: BTreeSet<MacAddr>,
    revision: Revision,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cells().join("  "))
    }
}

impl Listed for View {
    const HEAD: &'static [&'static str] = &["SUBSCRIBER", "ACCESS", "ROUTER", "DEVICES"];
    const NONE: &'static str = "no subscribers yet: `expiryctl subscriber add` makes one, \
                                `expiryctl subscriber import` takes a list";

    fn cells(&self) -> Vec<String> {
        let access = match self.expires_at {
            Some(at) if self.live => format!("until {}", time(at)),
            Some(at) => format!("ended {}", time(at)),
            None => self.access.into(),
        };
        let router = self.router.as_deref().unwrap_or("any router");
        let tenant = self.tenant.as_ref().map(|tenant| format!(" of {tenant}"));
        let mut devices = count(self.devices.len() as u64, "device");
        let macs: Vec<_> = self.devices.iter().map(MacAddr::to_string).collect();
        if !macs.is_empty() {
            devices = format!("{devices}: {}", macs.join(", "));
        }
        vec![
            self.username.to_string(),
            access,
            format!("on {router}{}", tenant.unwrap_or_default()),
            devices,
        ]
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Removed {
    pub(super) removed: Username,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} removed; the cuts stay owed until they are confirmed",
            self.removed
        )
    }
}
