//! From the texts of one line to a subscriber.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use expiry_core::{Access, Field, MacAddr, PutSubscriber, RouterId, Service, TenantId, Username};

use super::{
    super::sheet::{self, Column},
    faults::{Fault, Faults},
    places::Places,
};
use crate::args::{self, SheetFormat};

/// The values of one line, by column.
#[derive(Debug)]
pub(super) struct Record<'a> {
    line: u64,
    format: SheetFormat,
    cells: BTreeMap<Column, Cell<'a>>,
}

#[derive(Debug)]
pub(super) struct Cell<'a> {
    /// Where it begins, in characters from 1.
    column: u64,
    value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Texts with their own columns.
    List(Vec<(u64, Cow<'a, str>)>),
}

impl<'a> Cell<'a> {
    pub(super) fn new(column: u64, value: Value<'a>) -> Self {
        Self { column, value }
    }

    fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            Value::List(_) => "",
        }
    }
}

impl<'a> Record<'a> {
    pub(super) fn new(line: u64, format: SheetFormat) -> Self {
        Self {
            line,
            format,
            cells: BTreeMap::new(),
        }
    }

    pub(super) fn set(&mut self, column: Column, cell: Cell<'a>) {
        self.cells.insert(column, cell);
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.cells.contains_key(&column)
    }
}

/// Where a subscriber of a list stands in its file.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) line: u64,
    columns: [u64; Column::ALL.len()],
    devices: Vec<(MacAddr, u64)>,
}

impl Origin {
    fn of(record: &Record<'_>, devices: Vec<(MacAddr, u64)>) -> Self {
        Self {
            line: record.line,
            columns: Column::ALL
                .map(|column| record.cells.get(&column).map_or(1, |cell| cell.column)),
            devices,
        }
    }

    pub(super) fn column(&self, column: Column) -> u64 {
        self.columns[column as usize]
    }

    pub(super) fn device(&self, mac: MacAddr) -> u64 {
        let found = self.devices.iter().find(|(device, _)| *device == mac);
        found.map_or_else(|| self.column(Column::Devices), |(_, column)| *column)
    }
}

/// A subscriber within a list.
type Name = (Option<TenantId>, Username);

/// The subscribers of a list so far.
pub(super) struct Rows<'p> {
    places: &'p Places,
    pub(super) puts: Vec<PutSubscriber>,
    /// Where each row stands.
    pub(super) origins: Vec<Origin>,
    /// Who has a line that cannot be taken.
    pub(super) faulty: BTreeSet<Name>,
    names: BTreeMap<Name, u64>,
    macs: BTreeMap<(Option<TenantId>, MacAddr), u64>,
}

impl<'p> Rows<'p> {
    pub(super) fn new(places: &'p Places) -> Self {
        Self {
            places,
            puts: Vec::new(),
            origins: Vec::new(),
            faulty: BTreeSet::new(),
            names: BTreeMap::new(),
            macs: BTreeMap::new(),
        }
    }

    /// Takes one line, or notes everything that is wrong with it.
    pub(super) fn take(&mut self, record: &Record<'_>, faults: &mut Faults) {
        let mut reading = Reading {
            record,
            places: self.places,
            found: Vec::new(),
        };
        let tenant = reading.tenant();
        let username = reading.username();
        let access = reading.access();
        let devices = reading.devices();
        let router = match tenant {
            Ok(tenant) => reading.router(tenant),
            Err(wrong) => Err(reading.router_of_nobody().err().unwrap_or(wrong)),
        };
        let service = reading.service();
        if let Ok(tenant) = tenant {
            if let Ok(username) = &username {
                self.note_name((tenant, username.clone()), &mut reading);
            }
            for (mac, column) in devices.iter().flatten() {
                self.note_device((tenant, *mac), *column, &mut reading);
            }
        }
        let mut found = reading.found;
        match (tenant, username, access, devices, router, service) {
            (Ok(tenant), Ok(username), Ok(access), Ok(devices), Ok(router), Ok(service))
                if found.is_empty() =>
            {
                let macs = devices.iter().map(|(mac, _)| *mac).collect();
                let is_given = record.has(Column::Devices);
                self.puts.push(PutSubscriber {
                    tenant,
                    username,
                    service,
                    access,
                    router,
                    devices: if is_given {
                        Field::Set(macs)
                    } else {
                        Field::Keep
                    },
                });
                self.origins.push(Origin::of(record, devices));
                return;
            }
            (Ok(tenant), Ok(username), ..) => drop(self.faulty.insert((tenant, username))),
            _ => {}
        }
        found.sort_by_key(|fault| fault.column);
        for fault in found {
            faults.push(fault);
        }
    }

    fn note_name(&mut self, name: Name, reading: &mut Reading<'_>) {
        let line = reading.record.line;
        if let Some(first) = self.names.get(&name) {
            let message = format!("username `{}` stands in line {first} already", name.1);
            reading.fault(Column::Username, message);
        } else {
            self.names.insert(name, line);
        }
    }

    fn note_device(
        &mut self,
        device: (Option<TenantId>, MacAddr),
        column: u64,
        reading: &mut Reading<'_>,
    ) {
        let line = reading.record.line;
        let message = match self.macs.get(&device) {
            None => {
                self.macs.insert(device, line);
                return;
            }
            Some(first) if *first == line => format!("device {} is given twice", device.1),
            Some(first) => format!("device {} stands in line {first} already", device.1),
        };
        reading.fault_at(Column::Devices, column, message);
    }
}

/// One line while its values are read, and what is wrong with them.
struct Reading<'r> {
    record: &'r Record<'r>,
    places: &'r Places,
    found: Vec<Fault>,
}

/// A value is wrong; its fault is noted.
#[derive(Clone, Copy)]
struct Wrong;

type Read<T> = Result<T, Wrong>;

impl<'r> Reading<'r> {
    fn cell(&self, column: Column) -> Option<&'r Cell<'r>> {
        self.record.cells.get(&column)
    }

    /// A text that is not empty. In JSON lines only usernames are ever guarded.
    fn text(&self, column: Column) -> Option<&'r str> {
        let format = self.record.format;
        let text = self.cell(column).map(|cell| match format {
            SheetFormat::Csv if column.holds_names() => sheet::unguarded(cell.text(), format),
            SheetFormat::Csv | SheetFormat::Jsonl => cell.text(),
        });
        text.filter(|text| !text.is_empty())
    }

    fn fault(&mut self, column: Column, message: String) -> Wrong {
        let at = self.cell(column).map_or(1, |cell| cell.column);
        self.fault_at(column, at, message)
    }

    fn fault_at(&mut self, column: Column, at: u64, message: String) -> Wrong {
        let fault = Fault::new(self.record.line, at, message);
        self.found.push(fault.of(column));
        Wrong
    }

    fn tenant(&mut self) -> Read<Option<TenantId>> {
        let Some(slug) = self.text(Column::Tenant) else {
            return Ok(None);
        };
        let tenant = self.places.tenant(slug);
        tenant
            .map(Some)
            .map_err(|message| self.fault(Column::Tenant, message))
    }

    fn username(&mut self) -> Read<Username> {
        let Some(cell) = self.cell(Column::Username) else {
            return Err(self.fault(Column::Username, "it is missing".into()));
        };
        let text = cell.text();
        if let Some(what) = sheet::changed(text) {
            let message = format!(
                "`{text}` {what}: write it digit by digit and format the column as text, or put an \
                 apostrophe before it if that is the name"
            );
            return Err(self.fault(Column::Username, message));
        }
        let username = sheet::unguarded(text, self.record.format).parse::<Username>();
        username.map_err(|error| self.fault(Column::Username, error.to_string()))
    }

    fn access(&mut self) -> Read<Access> {
        let Some(cell) = self.cell(Column::ExpiresAt) else {
            let message = "it is missing: give a time such as 2026-12-31T18:00:00Z, `forever` or \
                           `none`";
            return Err(self.fault(Column::ExpiresAt, message.into()));
        };
        match cell.text().trim() {
            "" | "none" => Ok(Access::None),
            "forever" => Ok(Access::Forever),
            text if ["none", "forever"].contains(&text.to_ascii_lowercase().as_str()) => {
                let message = format!("`{text}`: write `{}`", text.to_ascii_lowercase());
                Err(self.fault(Column::ExpiresAt, message))
            }
            text => match args::instant(text) {
                Ok(at) => Ok(Access::Until(at)),
                Err(error) => {
                    let message = format!("`{text}`: {error}; or `forever`, or `none`");
                    Err(self.fault(Column::ExpiresAt, message))
                }
            },
        }
    }

    /// Returns each device with its column.
    fn devices(&mut self) -> Read<Vec<(MacAddr, u64)>> {
        let Some(cell) = self.cell(Column::Devices) else {
            return Ok(Vec::new());
        };
        let parts: Vec<(u64, &str)> = match &cell.value {
            Value::List(items) => items
                .iter()
                .map(|(at, text)| (*at, text.as_ref()))
                .collect(),
            Value::Text(text) => parts(text, cell.column),
        };
        let mut macs = Ok(Vec::with_capacity(parts.len()));
        for (at, text) in parts {
            match text.parse::<MacAddr>() {
                Ok(mac) => {
                    if let Ok(macs) = &mut macs {
                        macs.push((mac, at));
                    }
                }
                Err(error) => {
                    let message = if are_several(text) {
                        format!("`{text}` is several devices: separate them with `;`")
                    } else {
                        error.to_string()
                    };
                    macs = Err(self.fault_at(Column::Devices, at, message));
                }
            }
        }
        macs
    }

    fn router(&mut self, tenant: Option<TenantId>) -> Read<Field<Option<RouterId>>> {
        if self.cell(Column::Router).is_none() {
            return Ok(Field::Keep);
        }
        let Some(name) = self.text(Column::Router) else {
            return Ok(Field::Set(None));
        };
        match self.places.router(name, tenant) {
            Ok(router) => Ok(Field::Set(Some(router))),
            Err(message) => Err(self.fault(Column::Router, message)),
        }
    }

    /// Checks the router of a line whose tenant is wrong.
    fn router_of_nobody(&mut self) -> Read<()> {
        let Some(name) = self.text(Column::Router) else {
            return Ok(());
        };
        let known = self.places.router_of_any(name);
        known.map_err(|message| self.fault(Column::Router, message))
    }

    fn service(&mut self) -> Read<Service> {
        let text = self.text(Column::Service).unwrap_or("hotspot");
        let service = text.parse::<Service>();
        service.map_err(|error| self.fault(Column::Service, error.to_string()))
    }
}

/// Splits at `;`, with the column of each part.
fn parts(text: &str, column: u64) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let mut at = column;
    for part in text.split(';') {
        let blank = part.len() - part.trim_start().len();
        if !part.trim().is_empty() {
            parts.push((at + part[..blank].chars().count() as u64, part.trim()));
        }
        at += part.chars().count() as u64 + 1;
    }
    parts
}

/// Tells whether a text is devices with something other than `;` between them.
fn are_several(text: &str) -> bool {
    let gaps = |c: char| c.is_whitespace() || [',', '|', '/'].contains(&c);
    let parts = text.split(gaps).filter(|part| !part.is_empty());
    parts.clone().count() > 1 && parts.clone().all(|part| part.parse::<MacAddr>().is_ok())
}
