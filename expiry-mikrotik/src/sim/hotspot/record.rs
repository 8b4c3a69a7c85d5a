//! What each row prints.

use std::{borrow::Cow, time::Duration};

use expiry_core::BindingKind;

use super::rows::{Active, Binding, Connection, Cookie, Host, Lease, Neighbour, User};
use crate::sim::text::{Value, duration, flag, owned};

/// What printing depends on besides the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Duration,
    pub(crate) omit_false_flags: bool,
}

impl Moment {
    fn flag(self, on: bool) -> Option<Value<'static>> {
        (on || !self.omit_false_flags).then(|| flag(on))
    }
}

fn bytes(value: &[u8]) -> Value<'_> {
    Cow::Borrowed(value)
}

fn text(value: &str) -> Value<'_> {
    bytes(value.as_bytes())
}

/// A row that can be printed and compared, column by column. `.id` is not among the columns.
pub(crate) trait Record {
    /// All columns, in the order in which the router prints them.
    fn columns(&self) -> Cow<'static, [&'static str]>;

    /// The value of a column, `None` if the row has none.
    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>>;
}

impl Record for User {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "server",
            "name",
            "password",
            "address",
            "mac-address",
            "profile",
            "routes",
            "email",
            "limit-uptime",
            "limit-bytes-in",
            "limit-bytes-out",
            "limit-bytes-total",
            "uptime",
            "bytes-in",
            "bytes-out",
            "packets-in",
            "packets-out",
            "default",
            "dynamic",
            "disabled",
            "comment",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "name" => Some(bytes(&self.name)),
            "password" if !self.password.is_empty() => Some(bytes(&self.password)),
            "mac-address" => Some(text(&self.mac.as_ref()?.text)),
            "limit-uptime" => Some(owned(duration(self.limit_uptime?))),
            "uptime" => Some(owned(duration(self.uptime))),
            "bytes-in" | "bytes-out" | "packets-in" | "packets-out" => Some(text("0")),
            "default" | "dynamic" => moment.flag(false),
            "disabled" => moment.flag(self.disabled),
            "profile" => Some(
                self.inert
                    .get("profile")
                    .map_or_else(|| text("default"), |value| bytes(value)),
            ),
            _ => self.inert.get(column).map(|value| bytes(value)),
        }
    }
}

impl Record for Active {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "server",
            "user",
            "address",
            "mac-address",
            "login-by",
            "uptime",
            "session-time-left",
            "idle-time",
            "keepalive-timeout",
            "bytes-in",
            "bytes-out",
            "packets-in",
            "packets-out",
            "radius",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "server" => Some(text("hotspot1")),
            "user" => Some(bytes(&self.user)),
            "address" => Some(owned(self.address.to_string())),
            "mac-address" => Some(text(&self.mac.text)),
            "login-by" => Some(text(self.by.as_str())),
            "uptime" => Some(owned(duration(moment.now.saturating_sub(self.since)))),
            "session-time-left" => {
                let left = self.ends_at?.saturating_sub(moment.now);
                Some(owned(duration(left)))
            }
            "idle-time" => Some(text("0s")),
            "keepalive-timeout" => Some(owned("2m")),
            "bytes-in" | "bytes-out" | "packets-in" | "packets-out" => Some(text("0")),
            "radius" => moment.flag(false),
            _ => None,
        }
    }
}

impl Record for Host {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "mac-address",
            "address",
            "to-address",
            "server",
            "uptime",
            "idle-time",
            "keepalive-timeout",
            "host-dead-time",
            "bridge-port",
            "bytes-in",
            "bytes-out",
            "packets-in",
            "packets-out",
            "found-by",
            "static",
            "DHCP",
            "dynamic",
            "authorized",
            "bypassed",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "mac-address" => Some(text(&self.mac.text)),
            "address" => Some(owned(self.address.to_string())),
            "to-address" => Some(owned(self.to_address.to_string())),
            "server" => Some(text("hotspot1")),
            "uptime" => Some(owned(duration(moment.now.saturating_sub(self.since)))),
            "idle-time" | "host-dead-time" => Some(text("0s")),
            "keepalive-timeout" => Some(owned("2m")),
            "bridge-port" => Some(text("wlan1")),
            "bytes-in" | "bytes-out" | "packets-in" | "packets-out" => Some(text("0")),
            "found-by" => Some(text("UDP :68 -> :67")),
            "static" => moment.flag(false),
            "DHCP" => moment.flag(self.address == self.to_address),
            "dynamic" => moment.flag(self.address != self.to_address),
            "authorized" => moment.flag(self.authorized),
            "bypassed" => moment.flag(self.bypassed),
            _ => None,
        }
    }
}

impl Record for Cookie {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&["user", "domain", "mac-address", "expires-in", "mac-cookie"])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "user" => Some(bytes(&self.user)),
            "mac-address" => Some(text(&self.mac.text)),
            "expires-in" => {
                let left = self.expires_at.saturating_sub(moment.now);
                Some(owned(duration(left)))
            }
            "mac-cookie" => self.by_mac.then(|| flag(true)),
            _ => None,
        }
    }
}

impl Record for Binding {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "mac-address",
            "address",
            "to-address",
            "server",
            "type",
            "bypassed",
            "blocked",
            "disabled",
            "comment",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "mac-address" => Some(text(&self.mac.as_ref()?.text)),
            "address" => self.range.map(|_| bytes(&self.range_text)),
            "type" => match self.kind {
                BindingKind::Regular => None,
                BindingKind::Bypassed => Some(text("bypassed")),
                BindingKind::Blocked => Some(text("blocked")),
            },
            "bypassed" => moment.flag(self.kind == BindingKind::Bypassed),
            "blocked" => moment.flag(self.kind == BindingKind::Blocked),
            "disabled" => moment.flag(self.disabled),
            _ => self.inert.get(column).map(|value| bytes(value)),
        }
    }
}

impl Record for Lease {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "address",
            "mac-address",
            "server",
            "status",
            "active-address",
            "active-mac-address",
            "dynamic",
            "blocked",
            "disabled",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "address" => Some(owned(self.address.to_string())),
            "mac-address" => Some(text(&self.mac.text)),
            "active-address" if self.dynamic => Some(owned(self.address.to_string())),
            "active-mac-address" if self.dynamic => Some(text(&self.mac.text)),
            "server" => Some(text("dhcp1")),
            "status" => Some(text(if self.dynamic { "bound" } else { "waiting" })),
            "dynamic" => moment.flag(self.dynamic),
            "blocked" | "disabled" => moment.flag(false),
            _ => None,
        }
    }
}

impl Record for Neighbour {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "address",
            "mac-address",
            "interface",
            "published",
            "status",
            "invalid",
            "dhcp",
            "dynamic",
            "complete",
            "disabled",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "address" => Some(owned(self.address.to_string())),
            "mac-address" => Some(text(&self.mac.as_ref()?.text)),
            "interface" => Some(text("bridge-hotspot")),
            "status" => Some(text(match (self.dynamic, &self.mac) {
                (false, _) => "permanent",
                (true, Some(_)) => "reachable",
                (true, None) => "failed",
            })),
            "complete" => moment.flag(self.mac.is_some() && !self.disabled),
            "dynamic" => moment.flag(self.dynamic),
            "disabled" => moment.flag(self.disabled),
            "published" | "invalid" | "dhcp" => moment.flag(false),
            _ => None,
        }
    }
}

impl Record for Connection {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        Cow::Borrowed(&[
            "protocol",
            "src-address",
            "dst-address",
            "reply-src-address",
            "reply-dst-address",
            "tcp-state",
            "timeout",
            "orig-packets",
            "orig-bytes",
            "orig-fasttrack-packets",
            "orig-fasttrack-bytes",
            "repl-packets",
            "repl-bytes",
            "orig-rate",
            "repl-rate",
            "expected",
            "seen-reply",
            "assured",
            "confirmed",
            "dying",
            "fasttrack",
            "hw-offload",
            "srcnat",
            "dstnat",
        ])
    }

    fn get(&self, column: &str, moment: Moment) -> Option<Value<'_>> {
        match column {
            "protocol" => Some(text(self.protocol)),
            "src-address" => Some(text(&self.src)),
            "dst-address" => Some(text(&self.dst)),
            "reply-src-address" => Some(text(&self.reply_src)),
            "reply-dst-address" => Some(text(&self.reply_dst)),
            "tcp-state" if self.protocol == "tcp" => Some(text("established")),
            "timeout" => Some(text("1d")),
            "orig-packets" | "orig-bytes" | "repl-packets" | "repl-bytes" => Some(text("1500")),
            "orig-fasttrack-packets" | "orig-fasttrack-bytes" => {
                Some(text(if self.fasttrack { "1500" } else { "0" }))
            }
            "orig-rate" | "repl-rate" => Some(text("0bps")),
            "seen-reply" | "assured" | "confirmed" => moment.flag(true),
            "fasttrack" => moment.flag(self.fasttrack),
            "srcnat" => moment.flag(self.src != self.reply_dst),
            "dstnat" => moment.flag(self.dst != self.reply_src),
            "expected" | "dying" | "hw-offload" => moment.flag(false),
            _ => None,
        }
    }
}
