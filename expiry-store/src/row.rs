//! Between rows and the domain: the same for both databases. A value that this program never
//! writes is named, not guessed at.

use std::{collections::BTreeSet, error::Error, fmt::Display, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, AuditEntry, AuditKind, CutResult, Epoch, Hardware, LagKind, MacAddr, Presence,
    PresenceKind, Progress, Revision, Router, RouterAddress, RouterId, State, StoreError,
    Subscriber, SubscriberId, Task, TaskId, TaskRef, Tenant, TenantId, Trace, Undo, UndoKey,
    Username, Waited, Want, WatcherId, WatcherKind, WayIn, undo_keys,
};
use sqlx::FromRow;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("`{0}` is not a known word")]
struct UnknownWord(String);

#[derive(Debug, Error)]
#[error("{0} is out of range")]
struct OutOfRange(i64);

/// Names the cell in which a wrong value stands.
#[derive(Clone, Copy)]
pub(crate) struct Cell<K> {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) key: K,
}

impl<K: Display> Cell<K> {
    pub(crate) fn corrupt(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column: self.column,
            key: self.key.to_string(),
            source: source.into(),
        }
    }

    pub(crate) fn time(self, micros: i64) -> Result<DateTime<Utc>, StoreError> {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.corrupt(OutOfRange(micros)))
    }

    pub(crate) fn maybe_time(
        self,
        micros: Option<i64>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        micros.map(|micros| self.time(micros)).transpose()
    }

    pub(crate) fn parse<T>(self, text: &str) -> Result<T, StoreError>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|e| self.corrupt(e))
    }

    pub(crate) fn number<T: TryFrom<i64>>(self, number: i64) -> Result<T, StoreError> {
        T::try_from(number).map_err(|_| self.corrupt(OutOfRange(number)))
    }

    pub(crate) fn macs(self, json: &str) -> Result<BTreeSet<MacAddr>, StoreError> {
        serde_json::from_str(json).map_err(|e| self.corrupt(e))
    }

    pub(crate) fn want(self, word: &str) -> Result<Want, StoreError> {
        match word {
            "cut" => Ok(Want::Cut),
            "restore" => Ok(Want::Restore),
            _ => Err(self.corrupt(UnknownWord(word.into()))),
        }
    }

    pub(crate) fn cut_result(self, word: &str) -> Result<CutResult, StoreError> {
        CutResult::from_word(word).ok_or_else(|| self.corrupt(UnknownWord(word.into())))
    }

    pub(crate) fn lag_kind(self, word: &str) -> Result<LagKind, StoreError> {
        LagKind::from_word(word).ok_or_else(|| self.corrupt(UnknownWord(word.into())))
    }

    pub(crate) fn watcher_kind(self, word: &str) -> Result<WatcherKind, StoreError> {
        WatcherKind::from_word(word).ok_or_else(|| self.corrupt(UnknownWord(word.into())))
    }

    pub(crate) fn way_in(self, word: Option<&str>) -> Result<Option<WayIn>, StoreError> {
        let known =
            |word| WayIn::from_word(word).ok_or_else(|| self.corrupt(UnknownWord(word.to_owned())));
        word.map(known).transpose()
    }
}

/// Microseconds of an instant of the store; finer parts are cut off.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// Microseconds of a deadline; finer parts round up, so that nothing ends early.
fn micros_up(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() + i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1000))
}

pub(crate) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn instant(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    let clock = Cell {
        table: "the database's clock",
        column: "now",
        key: "now",
    };
    clock.time(micros)
}

/// PostgreSQL keeps no NUL in a text, and a router may send one.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(crate) fn tenant_number(tenant: Option<TenantId>) -> i64 {
    tenant.map_or(0, |tenant| tenant.0)
}

pub(crate) fn tenant_id(number: i64) -> Option<TenantId> {
    (number != 0).then_some(TenantId(number))
}

pub(crate) fn want_word(want: Want) -> &'static str {
    match want {
        Want::Cut => "cut",
        Want::Restore => "restore",
    }
}

pub(crate) fn access_columns(access: Access) -> (&'static str, Option<i64>) {
    match access {
        Access::None => ("none", None),
        Access::Until(end) => ("until", Some(micros_up(end))),
        Access::Forever => ("forever", None),
    }
}

pub(crate) fn macs_json(macs: &BTreeSet<MacAddr>) -> String {
    let quoted: Vec<_> = macs.iter().map(|mac| format!("\"{mac}\"")).collect();
    format!("[{}]", quoted.join(","))
}

/// A pattern that finds `mac` in the text of [`macs_json`].
pub(crate) fn mac_pattern(mac: MacAddr) -> String {
    format!("%\"{mac}\"%")
}

pub(crate) fn key_columns(key: &UndoKey) -> (&'static str, String) {
    match key {
        UndoKey::Name(name) => ("name", name.to_string()),
        UndoKey::Mac(mac) => ("mac", mac.to_string()),
    }
}

#[derive(FromRow)]
pub(crate) struct TenantRow {
    id: i64,
    slug: String,
    name: String,
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: TenantId(row.id),
            slug: row.slug,
            name: row.name,
        }
    }
}

#[derive(FromRow)]
pub(crate) struct SubscriberRow {
    pub(crate) id: i64,
    pub(crate) tenant_id: i64,
    username: String,
    service: String,
    access: String,
    ends_at: Option<i64>,
    revision: i64,
    router_id: Option<i64>,
    macs: String,
}

impl SubscriberRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "subscriber",
            column,
            key: self.id,
        }
    }

    fn access(&self) -> Result<Access, StoreError> {
        match (self.access.as_str(), self.ends_at) {
            ("none", None) => Ok(Access::None),
            ("forever", None) => Ok(Access::Forever),
            ("until", Some(end)) => self.cell("ends_at").time(end).map(Access::Until),
            (word, _) => Err(self.cell("access").corrupt(UnknownWord(word.into()))),
        }
    }
}

impl TryFrom<SubscriberRow> for Subscriber {
    type Error = StoreError;

    fn try_from(row: SubscriberRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: SubscriberId(row.id),
            tenant: tenant_id(row.tenant_id),
            username: row.cell("username").parse(&row.username)?,
            service: row.cell("service").parse(&row.service)?,
            access: row.access()?,
            revision: Revision(row.revision),
            router: row.router_id.map(RouterId),
            devices: row.cell("macs").macs(&row.macs)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct RouterRow {
    pub(crate) id: i64,
    pub(crate) tenant_id: i64,
    pub(crate) name: String,
    pub(crate) host: String,
    port: i64,
    pub(crate) username: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) enabled: bool,
    identity: Option<String>,
    serial: Option<String>,
    epoch: i64,
    pub(crate) taken_over: bool,
    nudged_at: Option<i64>,
}

impl RouterRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "router",
            column,
            key: self.id,
        }
    }

    /// Its number, tenant and name.
    pub(crate) fn place(&self) -> (i64, i64, &str) {
        (self.id, self.tenant_id, &self.name)
    }

    /// Returns the router.
    pub(crate) fn router(&self) -> Result<Router, StoreError> {
        Ok(Router {
            id: RouterId(self.id),
            name: self.name.clone(),
            tenant: tenant_id(self.tenant_id),
            address: RouterAddress {
                host: self.host.clone(),
                port: self.port()?,
                username: self.username.clone(),
            },
            enabled: self.enabled,
            seen: hardware(self.identity.clone(), self.serial.clone()),
        })
    }

    pub(crate) fn port(&self) -> Result<u16, StoreError> {
        self.cell("port").number(self.port)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub(crate) fn nudged_at(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.cell("nudged_at").maybe_time(self.nudged_at)
    }
}

pub(crate) fn hardware(identity: Option<String>, serial: Option<String>) -> Option<Hardware> {
    identity.map(|identity| Hardware { identity, serial })
}

/// A row of `enforcement` with what a task needs.
#[derive(Clone, FromRow)]
pub(crate) struct EnforcementRow {
    pub(crate) id: i64,
    pub(crate) subscriber_id: i64,
    pub(crate) device: String,
    want: String,
    revision: i64,
    pub(crate) username: Option<String>,
    macs: String,
    pub(crate) due_at: i64,
    pub(crate) known_late_at: Option<i64>,
    backlog: bool,
    state: String,
    attempts: i64,
    next_at: Option<i64>,
    looks: i64,
    returns: i64,
    way_in: Option<String>,
    confirmed_at: Option<i64>,
    online: bool,
    last_error: Option<String>,
    trace: Option<String>,
}

impl EnforcementRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "enforcement",
            column,
            key: self.id,
        }
    }

    pub(crate) fn username(&self) -> Result<Option<Username>, StoreError> {
        let name = self.username.as_deref();
        name.map(|name| self.cell("username").parse(name))
            .transpose()
    }

    fn macs(&self) -> Result<BTreeSet<MacAddr>, StoreError> {
        self.cell("macs").macs(&self.macs)
    }

    /// Returns the MAC, if the target is a device that was removed.
    pub(crate) fn removed_device(&self) -> Result<Option<MacAddr>, StoreError> {
        let device = Some(self.device.as_str()).filter(|device| !device.is_empty());
        device
            .map(|device| self.cell("device").parse(device))
            .transpose()
    }

    /// Returns what there is to record of its target; the router is for the caller to add.
    pub(crate) fn audited(&self, kind: AuditKind) -> Result<AuditEntry, StoreError> {
        Ok(AuditEntry {
            subscriber: Some(SubscriberId(self.subscriber_id)),
            username: self.username()?,
            device: self.removed_device()?,
            due_at: Some(self.cell("due_at").time(self.due_at)?),
            ..AuditEntry::general(kind)
        })
    }

    /// Returns the undo keys of its name and MACs.
    pub(crate) fn keys(&self) -> Result<Vec<UndoKey>, StoreError> {
        Ok(undo_keys(self.username()?.as_ref(), &self.macs()?))
    }

    pub(crate) fn progress(&self) -> Result<Progress, StoreError> {
        let next_at = self.cell("next_at").maybe_time(self.next_at)?;
        let (state, next_attempt_at, verify_at) = match self.state.as_str() {
            "owed" => (State::Owed, next_at, None),
            "confirmed" => (State::Confirmed, None, next_at),
            word => return Err(self.cell("state").corrupt(UnknownWord(word.into()))),
        };
        let confirmed_at = self.cell("confirmed_at").maybe_time(self.confirmed_at)?;
        Ok(Progress {
            state,
            attempts: self.cell("attempts").number(self.attempts)?,
            next_attempt_at,
            looks: self.cell("looks").number(self.looks)?,
            verify_at,
            returns: self.cell("returns").number(self.returns)?,
            way_in: self.cell("way_in").way_in(self.way_in.as_deref())?,
            confirmed_at,
            online: self.online,
            last_error: self.last_error.clone(),
        })
    }

    /// Writes back a progress, as it will stand in the database.
    pub(crate) fn set_progress(&mut self, progress: &Progress) {
        let (state, next_at) = match progress.state {
            State::Owed => ("owed", progress.next_attempt_at),
            State::Confirmed => ("confirmed", progress.verify_at),
        };
        state.clone_into(&mut self.state);
        self.next_at = next_at.map(micros);
        self.attempts = progress.attempts.into();
        self.looks = progress.looks.into();
        self.returns = progress.returns.into();
        self.way_in = progress.way_in.map(|way| way.as_str().to_owned());
        self.confirmed_at = progress.confirmed_at.map(micros);
        self.online = progress.online;
        self.last_error = progress.last_error.as_deref().map(storable);
    }

    pub(crate) fn columns(&self) -> ProgressColumns<'_> {
        ProgressColumns {
            state: &self.state,
            attempts: self.attempts,
            next_at: self.next_at,
            looks: self.looks,
            returns: self.returns,
            way_in: self.way_in.as_deref(),
            confirmed_at: self.confirmed_at,
            online: self.online,
            last_error: self.last_error.as_deref(),
        }
    }

    /// Judges a first confirmation at `now`; `back_at` is when the router last came back.
    pub(crate) fn waited(&self, now: i64, back_at: Option<i64>) -> Result<Waited, StoreError> {
        let known_late_at = self.cell("known_late_at").maybe_time(self.known_late_at)?;
        let back_at = self.cell("back_at").maybe_time(back_at)?;
        let due_at = self.cell("due_at").time(self.due_at)?;
        Ok(Waited::until(instant(now)?, due_at, known_late_at, back_at))
    }

    pub(crate) fn task_ref(&self) -> Result<TaskRef, StoreError> {
        Ok(TaskRef {
            id: TaskId(self.id),
            revision: Revision(self.revision),
            want: self.cell("want").want(&self.want)?,
        })
    }

    /// Returns the task without its undo rows.
    pub(crate) fn task(&self) -> Result<Task, StoreError> {
        let TaskRef { id, revision, want } = self.task_ref()?;
        Ok(Task {
            id,
            want,
            revision,
            username: self.username()?,
            macs: self.macs()?,
            due_at: self.cell("due_at").time(self.due_at)?,
            backlog: self.backlog,
            progress: self.progress()?,
            trace: self.trace()?,
            undo: Vec::new(),
        })
    }

    pub(crate) fn trace(&self) -> Result<Trace, StoreError> {
        let Some(text) = &self.trace else {
            return Ok(Trace::default());
        };
        serde_json::from_str(text).map_err(|e| self.cell("trace").corrupt(e))
    }
}

/// Encodes a trace.
pub(crate) fn trace_json(trace: &Trace) -> Result<String, sqlx::Error> {
    serde_json::to_string(trace).map_err(|e| sqlx::Error::Encode(Box::new(e)))
}

/// The columns of an enforcement row that an outcome changes.
pub(crate) struct ProgressColumns<'a> {
    pub(crate) state: &'a str,
    pub(crate) attempts: i64,
    pub(crate) next_at: Option<i64>,
    pub(crate) looks: i64,
    pub(crate) returns: i64,
    pub(crate) way_in: Option<&'a str>,
    pub(crate) confirmed_at: Option<i64>,
    pub(crate) online: bool,
    pub(crate) last_error: Option<&'a str>,
}

#[derive(FromRow)]
pub(crate) struct UndoRow {
    pub(crate) id: i64,
    kind: String,
    key: String,
    items: String,
    stay: String,
    pub(crate) opened_at: i64,
    pub(crate) undone_at: Option<i64>,
}

impl UndoRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "undo",
            column,
            key: self.id,
        }
    }

    pub(crate) fn undo(&self) -> Result<Undo, StoreError> {
        let items = |column, text: &str| {
            serde_json::from_str(text).map_err(|e| self.cell(column).corrupt(e))
        };
        Ok(Undo {
            key: undo_key(self.cell("key"), &self.kind, &self.key)?,
            items: items("items", &self.items)?,
            stay: items("stay", &self.stay)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct StrayRow {
    pub(crate) id: i64,
    kind: String,
    login: Option<String>,
    mac: Option<String>,
    address: Option<String>,
    way_in: String,
    online: bool,
    comment: Option<String>,
    pub(crate) first_seen: i64,
}

impl StrayRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "stray",
            column,
            key: self.id,
        }
    }

    pub(crate) fn presence(&self) -> Result<Presence, StoreError> {
        let unknown = |column, word: &str| self.cell(column).corrupt(UnknownWord(word.into()));
        let mac = self.mac.as_deref().map(|mac| self.cell("mac").parse(mac));
        Ok(Presence {
            kind: PresenceKind::from_word(&self.kind).ok_or_else(|| unknown("kind", &self.kind))?,
            login: self.login.clone(),
            mac: mac.transpose()?,
            address: self.address.clone(),
            way_in: WayIn::from_word(&self.way_in)
                .ok_or_else(|| unknown("way_in", &self.way_in))?,
            online: self.online,
            comment: self.comment.clone(),
        })
    }
}

pub(crate) fn undo_key(cell: Cell<i64>, kind: &str, key: &str) -> Result<UndoKey, StoreError> {
    match kind {
        "name" => cell.parse(key).map(UndoKey::Name),
        "mac" => cell.parse(key).map(UndoKey::Mac),
        _ => Err(cell.corrupt(UnknownWord(kind.into()))),
    }
}

pub(crate) fn watcher_id(table: &'static str, text: &str) -> Result<WatcherId, StoreError> {
    let cell = Cell {
        table,
        column: "watcher",
        key: text,
    };
    cell.parse(text).map(WatcherId)
}
