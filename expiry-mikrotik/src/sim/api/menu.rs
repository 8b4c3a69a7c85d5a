//! The menus of the router and their rows.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use super::query::Filter;
use crate::sim::{
    HotspotMenu,
    hotspot::{Hotspot, Moment, Record, Table},
    text::{Value, date_and_time, duration, owned},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Menu {
    User,
    UserProfile,
    Active,
    Host,
    Cookie,
    Binding,
    Server,
    ServerProfile,
    Connection,
    Lease,
    Arp,
    Filter,
    Switch,
    Identity,
    Resource,
    Routerboard,
    Clock,
    DeviceMode,
    License,
}

impl Menu {
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/ip/hotspot/user" => Self::User,
            "/ip/hotspot/user/profile" => Self::UserProfile,
            "/ip/hotspot/active" => Self::Active,
            "/ip/hotspot/host" => Self::Host,
            "/ip/hotspot/cookie" => Self::Cookie,
            "/ip/hotspot/ip-binding" => Self::Binding,
            "/ip/hotspot" => Self::Server,
            "/ip/hotspot/profile" => Self::ServerProfile,
            "/ip/firewall/connection" => Self::Connection,
            "/ip/dhcp-server/lease" => Self::Lease,
            "/ip/arp" => Self::Arp,
            "/ip/firewall/filter" => Self::Filter,
            "/interface/ethernet/switch" => Self::Switch,
            "/system/identity" => Self::Identity,
            "/system/resource" => Self::Resource,
            "/system/routerboard" => Self::Routerboard,
            "/system/clock" => Self::Clock,
            "/system/device-mode" => Self::DeviceMode,
            "/system/license" => Self::License,
            _ => return None,
        })
    }

    /// The rows that may pass a query, if there is a quicker way to them than to look at all.
    pub(super) fn candidates(self, hotspot: &Hotspot, filter: &Filter) -> Option<BTreeSet<u32>> {
        let find = match self {
            Self::User => Hotspot::find_users,
            Self::Active => Hotspot::find_actives,
            Self::Host => Hotspot::find_hosts,
            Self::Cookie => Hotspot::find_cookies,
            Self::Binding => Hotspot::find_bindings,
            Self::Arp => Hotspot::find_neighbours,
            Self::UserProfile
            | Self::Server
            | Self::ServerProfile
            | Self::Connection
            | Self::Lease
            | Self::Filter
            | Self::Switch
            | Self::Identity
            | Self::Resource
            | Self::Routerboard
            | Self::Clock
            | Self::DeviceMode
            | Self::License => return None,
        };
        let mut candidates = BTreeSet::new();
        for (column, values) in filter.any_of()? {
            for value in values {
                candidates.extend(find(hotspot, column, value)?);
            }
        }
        Some(candidates)
    }

    /// Calls `each` for each row with its id, in list order; in tables only for rows of `only`.
    pub(super) fn visit(
        self,
        hotspot: &Hotspot,
        booted_at: Duration,
        only: Option<&BTreeSet<u32>>,
        each: &mut dyn FnMut(Option<u32>, &dyn Record),
    ) {
        match self {
            Self::User => visit_table(hotspot.users.table(), only, each),
            Self::Active => visit_table(&hotspot.actives, only, each),
            Self::Host => visit_table(&hotspot.hosts, only, each),
            Self::Cookie => visit_table(&hotspot.cookies, only, each),
            Self::Binding => visit_table(hotspot.bindings.table(), only, each),
            Self::Connection => visit_table(&hotspot.connections, only, each),
            Self::Lease => visit_table(&hotspot.leases, only, each),
            Self::Arp => visit_table(hotspot.neighbours.table(), only, each),
            Self::UserProfile => each(Some(0), &user_profile(hotspot)),
            Self::Server => each(Some(1), &server(hotspot)),
            Self::ServerProfile => each(Some(1), &server_profile(hotspot)),
            Self::Filter => {
                for (id, rule) in (0..).zip(filter_rules(hotspot)) {
                    each(Some(id), &rule);
                }
            }
            Self::Switch => each(Some(1), &switch()),
            Self::Identity => each(
                None,
                &Facts::of([("name", hotspot.config.identity.clone())]),
            ),
            Self::Resource => each(None, &resource(hotspot, booted_at)),
            Self::Routerboard => each(None, &routerboard(hotspot)),
            Self::Clock => each(None, &clock(hotspot)),
            Self::DeviceMode => each(None, &device_mode(hotspot)),
            Self::License => each(None, &license(hotspot)),
        }
    }
}

fn visit_table<R: Record>(
    table: &Table<R>,
    only: Option<&BTreeSet<u32>>,
    each: &mut dyn FnMut(Option<u32>, &dyn Record),
) {
    if let Some(ids) = only {
        for id in ids {
            if let Some(row) = table.get(*id) {
                each(Some(*id), row);
            }
        }
    } else {
        for (id, row) in table.iter() {
            each(Some(id), row);
        }
    }
}

/// A row that is made up on the spot.
pub(super) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    fn of<const N: usize>(facts: [(&'static str, String); N]) -> Self {
        Self(facts.into())
    }
}

impl Record for Facts {
    fn columns(&self) -> Cow<'static, [&'static str]> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    fn get(&self, column: &str, _: Moment) -> Option<Value<'_>> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == column)?;
        Some(Cow::Borrowed(value.as_bytes()))
    }
}

fn yes(on: bool) -> String {
    if on { "true" } else { "false" }.into()
}

fn user_profile(hotspot: &Hotspot) -> Facts {
    let config = &hotspot.config;
    let shared = config.shared_users;
    Facts::of([
        ("name", "default".into()),
        ("idle-timeout", "none".into()),
        ("keepalive-timeout", duration(config.keepalive_timeout)),
        (
            "session-timeout",
            duration(config.session_timeout.unwrap_or_default()),
        ),
        (
            "shared-users",
            shared.map_or_else(|| "unlimited".into(), |most| most.to_string()),
        ),
        ("add-mac-cookie", yes(config.add_mac_cookie)),
        ("mac-cookie-timeout", duration(config.cookie_lifetime)),
        ("default", yes(true)),
    ])
}

fn server(hotspot: &Hotspot) -> Facts {
    Facts::of([
        ("name", "hotspot1".into()),
        ("interface", "bridge-hotspot".into()),
        ("profile", "hsprof1".into()),
        ("addresses-per-mac", "2".into()),
        ("invalid", yes(false)),
        ("disabled", yes(!hotspot.config.hotspot_enabled)),
    ])
}

fn device_mode(hotspot: &Hotspot) -> Facts {
    let is_allowed = hotspot.config.hotspot_menu != HotspotMenu::Forbidden;
    let mode = if is_allowed { "advanced" } else { "home" };
    let hotspot = if is_allowed { "yes" } else { "no" };
    Facts::of([("mode", mode.into()), ("hotspot", hotspot.into())])
}

fn license(hotspot: &Hotspot) -> Facts {
    match &hotspot.config.system_id {
        Some(id) => Facts::of([("system-id", id.clone()), ("level", "free".into())]),
        None => Facts::of([("software-id", "ABCD-EFGH".into()), ("nlevel", "5".into())]),
    }
}

fn server_profile(hotspot: &Hotspot) -> Facts {
    let config = &hotspot.config;
    let login_by: Vec<_> = config
        .login_by
        .iter()
        .map(|method| method.as_str())
        .collect();
    Facts::of([
        ("name", "hsprof1".into()),
        ("login-by", login_by.join(",")),
        ("http-cookie-lifetime", duration(config.cookie_lifetime)),
        ("trial-uptime-limit", duration(config.trial_limit)),
        ("use-radius", yes(false)),
    ])
}

fn filter_rules(hotspot: &Hotspot) -> Vec<Facts> {
    let rule = |action: &str, state: &str, dynamic: bool| {
        Facts::of([
            ("chain", "forward".into()),
            ("action", action.into()),
            ("connection-state", state.into()),
            ("dynamic", yes(dynamic)),
            ("disabled", yes(false)),
            ("invalid", yes(false)),
        ])
    };
    let mut rules = vec![Facts::of([
        ("chain", "forward".into()),
        ("action", "jump".into()),
        ("jump-target", "hs-unauth".into()),
        ("hotspot", "from-client,!auth".into()),
        ("dynamic", yes(true)),
        ("disabled", yes(false)),
        ("invalid", yes(false)),
    ])];
    if hotspot.config.fasttrack_rule {
        rules.push(rule("fasttrack-connection", "established,related", false));
    }
    rules.push(rule("accept", "established,related,untracked", false));
    rules
}

fn switch() -> Facts {
    Facts::of([
        ("name", "switch1".into()),
        ("type", "Marvell-88E6393X".into()),
        ("l3-hw-offloading", yes(false)),
    ])
}

fn resource(hotspot: &Hotspot, booted_at: Duration) -> Facts {
    Facts::of([
        ("uptime", duration(hotspot.now.saturating_sub(booted_at))),
        ("version", hotspot.config.version.clone()),
        ("build-time", "2025-03-11 11:59:04".into()),
        ("free-memory", "836763648".into()),
        ("total-memory", "1073741824".into()),
        ("cpu", "ARM64".into()),
        ("cpu-count", "4".into()),
        ("cpu-load", "1".into()),
        ("architecture-name", "arm64".into()),
        ("board-name", hotspot.config.board.clone()),
        ("platform", "MikroTik".into()),
    ])
}

fn routerboard(hotspot: &Hotspot) -> Facts {
    match &hotspot.config.serial {
        None => Facts::of([("routerboard", yes(false))]),
        Some(serial) => Facts::of([
            ("routerboard", yes(true)),
            ("board-name", hotspot.config.board.clone()),
            ("model", hotspot.config.board.clone()),
            ("serial-number", serial.clone()),
        ]),
    }
}

fn clock(hotspot: &Hotspot) -> Facts {
    let (date, time) = date_and_time(hotspot.config.wall_clock_start + hotspot.now.as_secs());
    Facts::of([
        ("time", time),
        ("date", date),
        ("time-zone-name", "UTC".into()),
        ("gmt-offset", "+00:00".into()),
        ("dst-active", yes(false)),
    ])
}

/// An id as the router prints it.
pub(super) fn id_text(id: u32) -> Value<'static> {
    owned(format!("*{id:X}"))
}
