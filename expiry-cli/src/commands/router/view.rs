//! How a router is printed; never with its password.

use std::fmt;

use expiry_core::{Hardware, Router, RouterAddress};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct RouterLine {
    name: String,
    tenant: Option<String>,
    host: String,
    port: u16,
    username: String,
    enabled: bool,
    seen: Option<Hardware>,
}

impl RouterLine {
    pub(super) fn new(router: &Router, tenant: Option<String>) -> Self {
        Self {
            name: router.name.clone(),
            tenant,
            host: router.address.host.clone(),
            port: router.address.port,
            username: router.address.username.clone(),
            enabled: router.enabled,
            seen: router.seen.clone(),
        }
    }
}

impl fmt::Display for RouterLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = RouterAddress::place(&self.host, self.port);
        write!(f, "{}  {place}", self.name)?;
        write!(f, " as {}", self.username)?;
        if let Some(tenant) = &self.tenant {
            write!(f, "  of {tenant}")?;
        }
        write!(f, "  {}", if self.enabled { "enabled" } else { "disabled" })?;
        match &self.seen {
            Some(seen) => write!(f, "  {}", BoxName { seen }),
            None => write!(f, "  not seen yet"),
        }
    }
}

/// One box, in words.
pub(in crate::commands) struct BoxName<'a> {
    pub(in crate::commands) seen: &'a Hardware,
}

impl fmt::Display for BoxName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identity {}", self.seen.identity)?;
        match &self.seen.serial {
            Some(serial) => write!(f, ", serial {serial}"),
            None => write!(f, ", no serial"),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) router: String,
    pub(super) done: &'static str,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "router {} {}", self.router, self.done)
    }
}
