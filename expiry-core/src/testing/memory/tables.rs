use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{brake::MachineRow, watch::Watch};
use crate::{
    AuditEntry, AuditEvent, AuditId, AuditKind, Brake, CutResult, Epoch, Histogram, Lags, Lateness,
    MacAddr, NoPassword, NoPasswordCause, Owing, Payment, Progress, Receipt, Reference, Revision,
    Router, RouterId, RouterSaid, State, Stray, Subscriber, SubscriberId, TaskId, TaskRef, Tenant,
    TenantId, Trace, Undo, UndoKey, Username, Want, WatcherId, WatcherKind, known_late, undo_keys,
};

/// Whose access a row enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The subscriber.
    pub subscriber: SubscriberId,
    /// The device, if the target is one that was removed from the subscriber.
    pub device: Option<MacAddr>,
}

/// One enforcement row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: TaskId,
    /// Whose access it enforces.
    pub target: Target,
    /// Where.
    pub router: RouterId,
    /// The direction.
    pub want: Want,
    /// The revision that made it so.
    pub revision: Revision,
    /// The name it carries.
    pub username: Option<Username>,
    /// The MACs it carries.
    pub macs: BTreeSet<MacAddr>,
    /// Since when it is due.
    pub due_at: DateTime<Utc>,
    /// When that came to be known, if it was known late.
    pub known_late_at: Option<DateTime<Utc>>,
    /// Whether it was overdue when first seen.
    pub backlog: bool,
    /// How far it has come.
    pub progress: Progress,
    /// Where attempts since the last confirmation saw the target.
    pub trace: Trace,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn keys(&self) -> Vec<UndoKey> {
        undo_keys(self.username.as_ref(), &self.macs)
    }

    pub(super) fn reference(&self) -> TaskRef {
        TaskRef {
            id: self.id,
            revision: self.revision,
            want: self.want,
        }
    }

    pub(super) fn is_owed(&self) -> bool {
        self.progress.state == State::Owed
    }

    /// Since when it is owed.
    pub(super) fn owing(&self) -> Owing {
        Owing {
            due_at: self.due_at,
            known_late_at: self.known_late_at,
            backlog: self.backlog,
            confirmed_at: self.progress.confirmed_at,
        }
    }

    /// Tells whether it is a cut whose end was known late and that was not made yet.
    pub(super) fn is_backlog(&self) -> bool {
        self.want == Want::Cut && Lateness::is_backlog(self.known_late_at, &self.progress)
    }

    /// Keeps since when it is owed, if what stood before was owed already.
    fn planned_anew(mut self, before: &Self, now: DateTime<Utc>) -> Self {
        let standing = (before.is_owed() && before.want == self.want).then(|| before.owing());
        let owing = self.owing().planned_anew(self.want, standing, now);
        self.due_at = owing.due_at;
        self.known_late_at = owing.known_late_at;
        self.backlog = owing.backlog;
        self.progress.confirmed_at = owing.confirmed_at;
        self.trace.clone_from(&before.trace);
        self
    }

    /// When the row wants to be tried or looked at.
    pub(super) fn wanted_at(&self) -> Option<DateTime<Utc>> {
        match self.progress.state {
            State::Owed => self.progress.next_attempt_at,
            State::Confirmed => self.progress.verify_at,
        }
    }

    /// Owed again, without a new deadline.
    pub(super) fn owe_again(&mut self, now: DateTime<Utc>) {
        self.progress.state = State::Owed;
        self.progress.attempts = 0;
        self.progress.next_attempt_at = Some(now);
        self.progress.verify_at = None;
    }
}

/// One undo row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoRow {
    /// The router.
    pub router: RouterId,
    /// The key, and what we disabled.
    pub undo: Undo,
    /// Whether it is still to be undone.
    pub open: bool,
    /// When the finding was made.
    pub opened_at: DateTime<Utc>,
    /// When it was last undone.
    pub undone_at: Option<DateTime<Utc>>,
    /// Counts the openings: older findings have smaller numbers.
    pub opened: u64,
}

impl UndoRow {
    /// Opens it as it was.
    pub(super) fn reopen(&mut self, now: DateTime<Utc>) {
        if !self.open {
            self.open = true;
            self.opened_at = now;
        }
    }

    /// Tells whether it was undone when the restore was confirmed, or since.
    pub(super) fn is_of(&self, restore: &Row) -> bool {
        let confirmed_at = restore.progress.confirmed_at;
        self.undone_at.is_some() && self.undone_at >= confirmed_at
    }
}

#[derive(Clone, Debug)]
pub(super) struct RouterRow {
    pub(super) router: Router,
    pub(super) password: Result<SecretString, NoPasswordCause>,
    pub(super) owner: Option<WatcherId>,
    pub(super) epoch: Epoch,
    pub(super) taken_over: bool,
    pub(super) claimed_at: DateTime<Utc>,
    pub(super) nudged_at: Option<DateTime<Utc>>,
    pub(super) down_since: Option<DateTime<Utc>>,
    pub(super) back_at: Option<DateTime<Utc>>,
    pub(super) attempted_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
    pub(super) reconciled_at: Option<DateTime<Utc>>,
    pub(super) said: Option<RouterSaid>,
    pub(super) booted_at: Option<DateTime<Utc>>,
}

impl RouterRow {
    pub(super) fn new(router: Router, password: SecretString) -> Self {
        Self {
            router,
            password: Ok(password),
            owner: None,
            epoch: Epoch(0),
            taken_over: false,
            claimed_at: DateTime::UNIX_EPOCH,
            nudged_at: None,
            down_since: None,
            back_at: None,
            attempted_at: None,
            last_error: None,
            reconciled_at: None,
            said: None,
            booted_at: None,
        }
    }

    pub(super) fn password(&self) -> Result<SecretString, NoPassword> {
        self.password.clone().map_err(|cause| NoPassword {
            router: self.router.name.clone(),
            cause,
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct WatcherRow {
    pub(super) kind: WatcherKind,
    pub(super) heartbeat_at: DateTime<Utc>,
    pub(super) ttl: Duration,
    pub(super) machine: Option<String>,
    pub(super) braked: bool,
    pub(super) share_limit: Option<u8>,
    pub(super) interval: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct SubscriberRow {
    pub(super) subscriber: Subscriber,
    pub(super) planned: Revision,
    pub(super) removed_at: Option<DateTime<Utc>>,
}

impl SubscriberRow {
    pub(super) fn is_removed(&self) -> bool {
        self.removed_at.is_some()
    }

    pub(super) fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.is_removed() && self.subscriber.access.is_live(now)
    }

    pub(super) fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.subscriber.access.end().is_some_and(|end| end <= now)
    }

    /// Since when a cut is owed that only now becomes due somewhere.
    pub(super) fn owes_now(&self, backlog: bool, now: DateTime<Utc>) -> Owing {
        let end = self.subscriber.access.end();
        Owing {
            due_at: now,
            known_late_at: end.and_then(|end| known_late(end, now)),
            backlog,
            confirmed_at: None,
        }
    }

    /// Tells whether the router would be in scope if it were enabled.
    pub(super) fn covers(&self, router: &Router) -> bool {
        self.subscriber.tenant == router.tenant
            && self.subscriber.router.is_none_or(|id| id == router.id)
    }

    pub(super) fn has_in_scope(&self, router: &Router) -> bool {
        router.enabled && self.covers(router)
    }

    pub(super) fn target(&self) -> Target {
        Target {
            subscriber: self.subscriber.id,
            device: None,
        }
    }

    pub(super) fn keys(&self) -> Vec<UndoKey> {
        undo_keys(Some(&self.subscriber.username), &self.subscriber.devices)
    }
}

/// Who owns a name or MAC within a tenant.
type Owners = BTreeMap<(Option<TenantId>, UndoKey), SubscriberId>;

#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) tenants: BTreeMap<TenantId, Tenant>,
    pub(super) routers: BTreeMap<RouterId, RouterRow>,
    pub(super) subscribers: BTreeMap<SubscriberId, SubscriberRow>,
    pub(super) owners: Owners,
    pub(super) undo: BTreeMap<(RouterId, UndoKey), UndoRow>,
    pub(super) watchers: BTreeMap<WatcherId, WatcherRow>,
    pub(super) watch: Watch,
    pub(super) machines: BTreeMap<String, MachineRow>,
    pub(super) share: Option<Brake>,
    /// Whose access was ended by a change, and when.
    pub(super) ended_by_change: BTreeMap<SubscriberId, DateTime<Utc>>,
    /// Payments, and what came of them.
    pub(super) payments: BTreeMap<(Option<TenantId>, Reference), (Payment, Receipt)>,
    pub(super) events: Vec<AuditEvent>,
    pub(super) strays: BTreeMap<RouterId, Vec<Stray>>,
    pub(super) lags: BTreeMap<RouterId, Lags>,
    pub(super) cuts: BTreeMap<RouterId, BTreeMap<CutResult, u64>>,
    pub(super) requests: BTreeMap<RouterId, Histogram>,
    last_event: i64,
    rows: BTreeMap<TaskId, Row>,
    targets: BTreeMap<(Target, RouterId), TaskId>,
    last_id: i64,
    openings: u64,
    woke: bool,
}

impl Tables {
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Becomes what it was, but for the numbers, which are never given out twice.
    pub(super) fn put_back(&mut self, before: &Self) {
        *self = Self {
            last_event: self.last_event,
            last_id: self.last_id,
            openings: self.openings,
            woke: self.woke,
            ..before.clone()
        };
    }

    pub(super) fn next_opening(&mut self) -> u64 {
        self.openings += 1;
        self.openings
    }

    /// Adds an event to the audit.
    pub(super) fn note(&mut self, entry: AuditEntry, at: DateTime<Utc>) {
        self.last_event += 1;
        let id = AuditId {
            transaction: 0,
            number: self.last_event,
        };
        self.events.push(AuditEvent { id, at, entry });
    }

    /// Adds an event about a subscriber that is known.
    pub(super) fn note_of(&mut self, id: SubscriberId, kind: AuditKind, at: DateTime<Utc>) {
        if let Some(row) = self.subscribers.get(&id) {
            let entry = AuditEntry::of(&row.subscriber, kind);
            self.note(entry, at);
        }
    }

    /// Adds an event about a router that is known.
    pub(super) fn note_on(&mut self, id: RouterId, kind: AuditKind, at: DateTime<Utc>) {
        if let Some(row) = self.routers.get(&id) {
            let router = &row.router;
            let entry = AuditEntry::on(router.tenant, id, router.name.as_str(), kind);
            self.note(entry, at);
        }
    }

    /// Notes that watchers may have something to do.
    pub(super) fn wake(&mut self) {
        self.woke = true;
    }

    pub(super) fn take_woke(&mut self) -> bool {
        std::mem::take(&mut self.woke)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.rows.values_mut()
    }

    pub(super) fn row(&self, id: TaskId) -> Option<&Row> {
        self.rows.get(&id)
    }

    pub(super) fn row_mut(&mut self, id: TaskId) -> Option<&mut Row> {
        self.rows.get_mut(&id)
    }

    pub(super) fn row_of(&self, target: Target, router: RouterId) -> Option<&Row> {
        self.rows.get(self.targets.get(&(target, router))?)
    }

    /// Makes the row of a target on a router, or overwrites the one that is there; it keeps its id.
    pub(super) fn put_row(&mut self, mut row: Row, now: DateTime<Utc>) {
        let place = (row.target, row.router);
        row.id = match self.targets.get(&place) {
            Some(id) => *id,
            None => TaskId(self.next_id()),
        };
        if let Some(before) = self.rows.get(&row.id) {
            row = row.planned_anew(before, now);
        }
        self.targets.insert(place, row.id);
        self.rows.insert(row.id, row);
    }

    pub(super) fn retain_rows(&mut self, mut keep: impl FnMut(&Row) -> bool) {
        let dropped = self.rows.values().filter(|row| !keep(row));
        let places: Vec<_> = dropped.map(|row| (row.target, row.router)).collect();
        for place in places {
            if let Some(id) = self.targets.remove(&place) {
                self.rows.remove(&id);
            }
        }
    }

    /// Returns the undo rows of `keys` on a router.
    pub(super) fn undo_of<'a>(
        &'a self,
        router: RouterId,
        keys: &'a [UndoKey],
    ) -> impl Iterator<Item = &'a UndoRow> {
        keys.iter()
            .filter_map(move |key| self.undo.get(&(router, key.clone())))
    }

    pub(super) fn is_undo_open(&self, router: RouterId, keys: &[UndoKey]) -> bool {
        self.undo_of(router, keys).any(|row| row.open)
    }

    /// Returns who is live in the router's scope and owns `key`.
    pub(super) fn live_owner(
        &self,
        router: &Router,
        key: &UndoKey,
        now: DateTime<Utc>,
    ) -> Option<&SubscriberRow> {
        self.owner(router, key).filter(|owner| owner.is_live(now))
    }

    /// Returns who owns `key` in the router's scope.
    pub(super) fn owner(&self, router: &Router, key: &UndoKey) -> Option<&SubscriberRow> {
        let owner = self.owners.get(&(router.tenant, key.clone()))?;
        self.subscribers
            .get(owner)
            .filter(|owner| owner.has_in_scope(router))
    }
}
