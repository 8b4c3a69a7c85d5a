use std::{net::Ipv4Addr, time::Duration};

use expiry_core::{BindingKind, MacAddr};

use super::{
    Answer, Trap,
    menu::{Menu, id_text},
};
use crate::{
    sim::{
        hotspot::{Binding, Hotspot, Inert, Lease, Logout, Mac, Neighbour, User},
        text::{parse_duration, parse_flag},
    },
    wire::Sentence,
};

/// Attributes of an account that are kept but have no effect here.
const INERT_OF_USER: &[&str] = &[
    "server",
    "profile",
    "comment",
    "email",
    "address",
    "routes",
    "otp-secret",
    "limit-bytes-in",
    "limit-bytes-out",
    "limit-bytes-total",
];
const INERT_OF_BINDING: &[&str] = &["to-address", "server", "comment"];

pub(super) fn write(
    hotspot: &mut Hotspot,
    menu: Menu,
    verb: &str,
    command: &Sentence,
) -> Result<Answer, Trap> {
    match (menu, verb) {
        (
            Menu::User
            | Menu::Active
            | Menu::Host
            | Menu::Cookie
            | Menu::Binding
            | Menu::Lease
            | Menu::Arp
            | Menu::Connection,
            "remove",
        ) => each_row(hotspot, menu, command, |hotspot, id| {
            remove(hotspot, menu, id);
            Ok(())
        }),
        (Menu::User | Menu::Binding, "enable" | "disable") => {
            let off = if verb == "disable" { "yes" } else { "no" };
            each_row(hotspot, menu, command, |hotspot, id| {
                set(hotspot, menu, id, &[(b"disabled", off.as_bytes())])
            })
        }
        (Menu::User | Menu::Binding, "set") => {
            if ids(command).next().is_none() {
                return Err(Trap::missing(".id"));
            }
            let changes: Vec<_> = changes(command).collect();
            each_row(hotspot, menu, command, |hotspot, id| {
                set(hotspot, menu, id, &changes)
            })
        }
        (Menu::User | Menu::Binding, "unset") => {
            let name = command
                .get("value-name")
                .ok_or_else(|| Trap::missing("value-name"))?;
            each_row(hotspot, menu, command, |hotspot, id| {
                set(hotspot, menu, id, &[(name, b"")])
            })
        }
        (Menu::User, "add") => add_user(hotspot, command),
        (Menu::Binding, "add") => {
            let mut row = new_binding();
            for (name, value) in changes(command) {
                change_binding(&mut row, name, value)?;
            }
            Ok(added(hotspot.add_binding(row)))
        }
        (Menu::Lease, "add") => add_lease(hotspot, command),
        (Menu::Arp, "add") => add_neighbour(hotspot, command),
        (Menu::User, "reset-counters") => each_row(hotspot, menu, command, |hotspot, id| {
            if let Some(mut user) = hotspot.users.get(id).cloned() {
                user.uptime = Duration::ZERO;
                hotspot.set_user(id, user);
            }
            Ok(())
        }),
        (Menu::Active, "set") => {
            let (name, _) = changes(command).next().unwrap_or_default();
            Err(Trap::unknown_parameter(name))
        }
        (Menu::Identity, "set") => {
            let name = command
                .get_text("name")
                .ok_or_else(|| Trap::missing("name"))?;
            hotspot.config.identity = name;
            Ok(Answer::default())
        }
        _ => Err(Trap::no_such_command()),
    }
}

fn remove(hotspot: &mut Hotspot, menu: Menu, id: u32) {
    match menu {
        Menu::User => hotspot.remove_user(id),
        Menu::Active => hotspot.end_session(id, Logout::Admin),
        Menu::Host => hotspot.remove_host(id),
        Menu::Cookie => hotspot.remove_cookie(id),
        Menu::Binding => hotspot.remove_binding(id),
        Menu::Connection => hotspot.remove_connection(id),
        Menu::Lease => drop(hotspot.leases.remove(id)),
        Menu::Arp => hotspot.neighbours.remove(id),
        Menu::UserProfile
        | Menu::Server
        | Menu::ServerProfile
        | Menu::Filter
        | Menu::Switch
        | Menu::Identity
        | Menu::Resource
        | Menu::Routerboard
        | Menu::Clock
        | Menu::DeviceMode
        | Menu::License => {}
    }
}

/// The rows that a command names, one by one. None at all is no error: the command does nothing.
fn ids(command: &Sentence) -> impl Iterator<Item = &[u8]> {
    let list = command.get(".id").or_else(|| command.get("numbers"));
    let ids = list.unwrap_or_default().split(|byte| *byte == b',');
    ids.filter(|id| !id.is_empty())
}

fn changes(command: &Sentence) -> impl Iterator<Item = (&[u8], &[u8])> {
    command
        .attributes()
        .filter(|(name, _)| !matches!(*name, b".id" | b"numbers"))
}

/// Does something to each named row, in order, until one is not there.
fn each_row(
    hotspot: &mut Hotspot,
    menu: Menu,
    command: &Sentence,
    mut act: impl FnMut(&mut Hotspot, u32) -> Result<(), Trap>,
) -> Result<Answer, Trap> {
    for text in ids(command) {
        if text.starts_with(b"[") {
            return Err(Trap::unknown_parameter(text));
        }
        let stale = Trap::new(hotspot.config.stale_id.as_str()).with_category(0);
        let id = resolve(hotspot, menu, text).ok_or(stale)?;
        act(hotspot, id)?;
    }
    Ok(Answer::default())
}

fn resolve(hotspot: &Hotspot, menu: Menu, text: &[u8]) -> Option<u32> {
    let Some(hex) = text.strip_prefix(b"*") else {
        let named = (menu == Menu::User).then(|| hotspot.users.named(text).next())?;
        return named.map(|(id, _)| id);
    };
    let id = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
    let exists = match menu {
        Menu::User => hotspot.users.get(id).is_some(),
        Menu::Active => hotspot.actives.get(id).is_some(),
        Menu::Host => hotspot.hosts.get(id).is_some(),
        Menu::Cookie => hotspot.cookies.get(id).is_some(),
        Menu::Binding => hotspot.bindings.get(id).is_some(),
        Menu::Connection => hotspot.connections.get(id).is_some(),
        Menu::Lease => hotspot.leases.get(id).is_some(),
        Menu::Arp => hotspot.neighbours.table().get(id).is_some(),
        Menu::UserProfile
        | Menu::Server
        | Menu::ServerProfile
        | Menu::Filter
        | Menu::Switch
        | Menu::Identity
        | Menu::Resource
        | Menu::Routerboard
        | Menu::Clock
        | Menu::DeviceMode
        | Menu::License => false,
    };
    exists.then_some(id)
}

fn set(hotspot: &mut Hotspot, menu: Menu, id: u32, changes: &[(&[u8], &[u8])]) -> Result<(), Trap> {
    if menu == Menu::Binding {
        if let Some(mut row) = hotspot.bindings.get(id).cloned() {
            for (name, value) in changes {
                change_binding(&mut row, name, value)?;
            }
            hotspot.set_binding(id, row);
        }
    } else if let Some(mut user) = hotspot.users.get(id).cloned() {
        for (name, value) in changes {
            change_user(&mut user, name, value)?;
        }
        if hotspot
            .users
            .named(&user.name)
            .any(|(other, row)| other != id && same_server(row, &user))
        {
            return Err(name_taken());
        }
        hotspot.set_user(id, user);
    }
    Ok(())
}

fn add_user(hotspot: &mut Hotspot, command: &Sentence) -> Result<Answer, Trap> {
    let mut user = User::default();
    for (name, value) in changes(command) {
        change_user(&mut user, name, value)?;
    }
    if user.name.is_empty() {
        return Err(Trap::missing("name"));
    }
    if hotspot
        .users
        .named(&user.name)
        .any(|(_, row)| same_server(row, &user))
    {
        return Err(name_taken());
    }
    Ok(added(hotspot.add_user(user)))
}

/// A static lease, or with `dynamic=yes` one as the server gives it.
fn add_lease(hotspot: &mut Hotspot, command: &Sentence) -> Result<Answer, Trap> {
    let device = command.get("mac-address").unwrap_or_default();
    let device = mac(b"mac-address", device)?.ok_or_else(|| Trap::missing("mac-address"))?;
    let address = one_address(command)?;
    Ok(added(hotspot.leases.insert(Lease {
        mac: device,
        address,
        dynamic: command.get("dynamic") == Some(b"yes"),
    })))
}

/// A static entry, or with `dynamic=yes` one as the router learns it.
fn add_neighbour(hotspot: &mut Hotspot, command: &Sentence) -> Result<Answer, Trap> {
    let device = command.get("mac-address").unwrap_or_default();
    Ok(added(hotspot.neighbours.add(Neighbour {
        mac: mac(b"mac-address", device)?,
        address: one_address(command)?,
        dynamic: command.get("dynamic") == Some(b"yes"),
        disabled: command.get("disabled") == Some(b"yes"),
    })))
}

fn one_address(command: &Sentence) -> Result<Ipv4Addr, Trap> {
    let address = command.get("address").unwrap_or_default();
    let (address, _) = range(b"address", address)?.ok_or_else(|| Trap::missing("address"))?;
    Ok(address)
}

fn same_server(a: &User, b: &User) -> bool {
    a.inert.get("server") == b.inert.get("server")
}

fn name_taken() -> Trap {
    Trap::new("failure: already have user with this name for this server")
}

fn added(id: u32) -> Answer {
    Answer {
        ret: Some(id_text(id).into_owned()),
        ..Answer::default()
    }
}

pub(super) fn new_binding() -> Binding {
    Binding {
        mac: None,
        range: None,
        range_text: Vec::new(),
        kind: BindingKind::Regular,
        disabled: false,
        inert: Inert::new(),
    }
}

fn change_user(user: &mut User, name: &[u8], value: &[u8]) -> Result<(), Trap> {
    let invalid = || Trap::invalid_value(name);
    match name {
        b"name" => user.name = value.to_vec(),
        b"password" => user.password = value.to_vec(),
        b"disabled" => user.disabled = parse_flag(value).ok_or_else(invalid)?,
        b"mac-address" => user.mac = mac(name, value)?,
        b"limit-uptime" if value.is_empty() => user.limit_uptime = None,
        b"limit-uptime" => {
            let limit = parse_duration(value).ok_or_else(invalid)?;
            user.limit_uptime = (!limit.is_zero()).then_some(limit);
        }
        _ => {
            let known = inert(INERT_OF_USER, name)?;
            keep(&mut user.inert, known, value);
        }
    }
    Ok(())
}

fn change_binding(row: &mut Binding, name: &[u8], value: &[u8]) -> Result<(), Trap> {
    let invalid = || Trap::invalid_value(name);
    match name {
        b"mac-address" => row.mac = mac(name, value)?,
        b"address" => {
            row.range = range(name, value)?;
            row.range_text = value.to_vec();
        }
        b"disabled" => row.disabled = parse_flag(value).ok_or_else(invalid)?,
        b"type" => {
            row.kind = match value {
                b"regular" | b"" => BindingKind::Regular,
                b"bypassed" => BindingKind::Bypassed,
                b"blocked" => BindingKind::Blocked,
                _ => return Err(invalid()),
            }
        }
        b"place-before" => {}
        _ => {
            let known = inert(INERT_OF_BINDING, name)?;
            keep(&mut row.inert, known, value);
        }
    }
    Ok(())
}

fn inert(known: &[&'static str], name: &[u8]) -> Result<&'static str, Trap> {
    let found = known.iter().find(|known| known.as_bytes() == name);
    found.copied().ok_or_else(|| Trap::unknown_parameter(name))
}

fn keep(inert: &mut Inert, name: &'static str, value: &[u8]) {
    if value.is_empty() {
        inert.remove(name);
    } else {
        inert.insert(name, value.to_vec());
    }
}

/// Reads a MAC; an empty value and all zeros mean none. The error says which argument is bad.
fn mac(name: &[u8], value: &[u8]) -> Result<Option<Mac>, Trap> {
    if value.is_empty() || value == b"00:00:00:00:00:00" {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).ok();
    let addr: Option<MacAddr> = text.and_then(|text| text.parse().ok());
    let addr = addr.ok_or_else(|| Trap::invalid_value(name))?;
    Ok(Some(Mac::from(addr)))
}

/// Reads an address or a range of them; an empty value means any.
fn range(name: &[u8], value: &[u8]) -> Result<Option<(Ipv4Addr, Ipv4Addr)>, Trap> {
    if value.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let text = std::str::from_utf8(value).ok()?;
        if let Some((network, length)) = text.split_once('/') {
            let (network, length): (Ipv4Addr, u32) = (network.parse().ok()?, length.parse().ok()?);
            let free = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(network) & !free;
            return Some((Ipv4Addr::from(first), Ipv4Addr::from(first | free)));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let range = parse().ok_or_else(|| Trap::invalid_value(name))?;
    Ok(Some(range))
}
