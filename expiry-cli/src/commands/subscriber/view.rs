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

use crate::output::{count, time};

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
        write!(f, "{}  ", self.username)?;
        match self.expires_at {
            Some(at) if self.live => write!(f, "until {}", time(at))?,
            Some(at) => write!(f, "ended {}", time(at))?,
            None => write!(f, "{}", self.access)?,
        }
        match &self.router {
            Some(router) => write!(f, "  on {router}")?,
            None => write!(f, "  on any router")?,
        }
        if let Some(tenant) = &self.tenant {
            write!(f, " of {tenant}")?;
        }
        write!(f, "  {}", count(self.devices.len() as u64, "device"))?;
        for (at, mac) in self.devices.iter().enumerate() {
            write!(f, "{}{mac}", if at == 0 { ": " } else { ", " })?;
        }
        Ok(())
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
