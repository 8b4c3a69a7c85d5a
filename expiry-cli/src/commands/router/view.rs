//! How a router is printed; never with its password.

use std::fmt;

use expiry_core::{Cause, Hardware, NoPasswordCause, Router, RouterAddress};
use serde::Serialize;

use crate::output::Listed;

#[derive(Debug, Serialize)]
pub(super) struct RouterLine {
    name: String,
    tenant: Option<String>,
    host: String,
    port: u16,
    username: String,
    enabled: bool,
    seen: Option<Hardware>,
    /// Why it cannot be logged in to, if so.
    no_password: Option<NoPasswordLine>,
}

#[derive(Debug, Serialize)]
struct NoPasswordLine {
    cause: Cause,
    found: String,
    advice: String,
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
            no_password: None,
        }
    }

    /// Says that there is no password, for this reason if there is one.
    pub(super) fn without_password(mut self, cause: Option<&NoPasswordCause>) -> Self {
        self.no_password = cause.map(|cause| NoPasswordLine {
            cause: cause.cause(),
            found: cause.to_string(),
            advice: cause.cause().way_out(Some(&self.name)),
        });
        self
    }
}

impl fmt::Display for RouterLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells().into_iter();
        let cells: Vec<_> = cells.filter(|cell| !cell.is_empty()).collect();
        f.write_str(&cells.join("  "))
    }
}

impl Listed for RouterLine {
    const HEAD: &'static [&'static str] = &["ROUTER", "REACHED AT", "TENANT", "STATE", "BOX"];
    const NONE: &'static str = "no routers yet: `expiryctl router add` makes one";

    fn cells(&self) -> Vec<String> {
        let place = RouterAddress::place(&self.host, self.port);
        let tenant = self.tenant.as_ref().map(|tenant| format!("of {tenant}"));
        let state = if self.enabled { "enabled" } else { "disabled" };
        let mut seen = match &self.seen {
            Some(seen) => BoxName { seen }.to_string(),
            None => "not seen yet".into(),
        };
        if let Some(NoPasswordLine { found, advice, .. }) = &self.no_password {
            seen = format!("{seen}\n  no password: {found}; {advice}");
        }
        vec![
            self.name.clone(),
            format!("{place} as {}", self.username),
            tenant.unwrap_or_default(),
            state.into(),
            seen,
        ]
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
