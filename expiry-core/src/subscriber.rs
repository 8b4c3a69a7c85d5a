//! Tenants, routers and subscribers as the store keeps them.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Access, MacAddr, Revision, RouterId, SubscriberId, TenantId, Username, text};

/// A business that runs its own routers for its own subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// The short name used on the command line and in the API.
    pub slug: String,
    /// The name people read.
    pub name: String,
}

/// How a subscriber comes online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Through the captive portal of `/ip/hotspot`.
    Hotspot,
}

/// Why a text is not a service that can be enforced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("service `{0}` cannot be enforced: only `hotspot` can")]
pub struct ServiceError(String);

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        match text {
            "hotspot" => Ok(Self::Hotspot),
            _ => Err(ServiceError(text.into())),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hotspot => f.write_str("hotspot"),
        }
    }
}

/// Somebody who buys access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subscriber {
    /// Its number.
    pub id: SubscriberId,
    /// The business it belongs to; names and MACs are unique within it.
    pub tenant: Option<TenantId>,
    /// Its name on the router.
    pub username: Username,
    /// How it comes online.
    pub service: Service,
    /// When it may be online.
    pub access: Access,
    /// Grows with every change of access or devices.
    pub revision: Revision,
    /// The one router it is bound to; without one, every enabled router of the tenant.
    pub router: Option<RouterId>,
    /// Its devices.
    pub devices: BTreeSet<MacAddr>,
}

/// A subscriber to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubscriber {
    /// The business it belongs to.
    pub tenant: Option<TenantId>,
    /// Its name on the router.
    pub username: Username,
    /// How it comes online.
    pub service: Service,
    /// When it may be online. An end already past is due at once.
    pub access: Access,
    /// The one router it is bound to.
    pub router: Option<RouterId>,
    /// Its devices.
    pub devices: BTreeSet<MacAddr>,
}

/// Where a router is reached and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterAddress {
    /// Name or IP address.
    pub host: String,
    /// The API port, 8728 by default.
    pub port: u16,
    /// The account on the router.
    pub username: String,
}

impl RouterAddress {
    /// Returns host and port as they are written together, an IPv6 address in brackets.
    pub fn place(host: &str, port: u16) -> String {
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// A router. Its password is not part of it: only who dials gets a
/// [`RouterLogin`](crate::RouterLogin).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its number.
    pub id: RouterId,
    /// Its name, unique among all routers.
    pub name: String,
    /// The business it serves.
    pub tenant: Option<TenantId>,
    /// Where it is reached.
    pub address: RouterAddress,
    /// Whether it is in anybody's scope.
    pub enabled: bool,
    /// What answered there the first time, or was accepted since.
    pub seen: Option<Hardware>,
}

/// What tells one box from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// `/system/identity` name, as set by the operator.
    pub identity: String,
    /// The board's serial number; virtual machines have none.
    pub serial: Option<String>,
}

impl Hardware {
    /// Tells whether `found` is the same box: the same serial number, or where either has none,
    /// the same identity.
    pub fn is_same_box(&self, found: &Self) -> bool {
        match (&self.serial, &found.serial) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.identity == found.identity,
        }
    }
}

/// What a router says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterFacts {
    /// Which box it is.
    #[serde(flatten)]
    pub hardware: Hardware,
    /// RouterOS version, such as `7.18.2 (stable)`.
    pub version: Option<String>,
    /// Board name, such as `RB5009UG+S+`.
    pub board: Option<String>,
    /// Time since its start, as the router prints it (`1w2d03:04:05`).
    pub uptime: Option<String>,
    /// What its clock showed, in whole seconds, if it says how far that is from UTC.
    pub clock: Option<DateTime<Utc>>,
}

impl RouterFacts {
    /// Returns the time since its start, if it says that.
    pub fn up_for(&self) -> Option<Duration> {
        text::duration(self.uptime.as_deref()?)
    }
}

/// What is set up on a router, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Its hotspot servers.
    pub servers: Option<Vec<HotspotServer>>,
    /// Whether its device-mode says that it may not have a hotspot.
    pub device_mode_forbids: bool,
    /// The system-id of the licence of a virtual router. Clones of one image share it.
    pub system_id: Option<String>,
}

/// A hotspot server of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotspotServer {
    /// Its name.
    pub name: String,
    /// Whether it is enabled and valid.
    pub is_on: bool,
}
