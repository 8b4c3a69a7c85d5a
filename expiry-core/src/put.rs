//! Many subscribers at once: what a list of them makes, changes and leaves alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Access, AuditEntry, AuditKind, Conflict, MacAddr, Missing, NewSubscriber, RouterId, Service,
    Subscriber, TenantId, Username,
};

/// A subscriber as a list wants it: made if the tenant has none of that name, else brought to this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSubscriber {
    /// The business it belongs to.
    pub tenant: Option<TenantId>,
    /// Its name on the router.
    pub username: Username,
    /// How it comes online.
    pub service: Service,
    /// When it may be online. [`Access::None`] is refused for who has, or had, access.
    pub access: Access,
    /// The one router it is bound to; a new subscriber is bound to none by default.
    pub router: Field<Option<RouterId>>,
    /// Its devices; a new subscriber has none by default.
    pub devices: Field<BTreeSet<MacAddr>>,
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<T> {
    /// It stays as it is, or has its default.
    Keep,
    /// It becomes this.
    Set(T),
}

/// How a list is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// All is checked, and nothing changes.
    pub dry_run: bool,
    /// Who has access now may have it for less: without this, such a row is refused.
    pub shorten: bool,
}

/// What a list of subscribers came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PutReport {
    /// Subscribers made.
    pub made: u64,
    /// Of those, how many have no access yet.
    pub without_access: u64,
    /// Subscribers changed; each counts its revision up by one.
    pub updated: u64,
    /// Subscribers who were like that already, and were left alone.
    pub unchanged: u64,
    /// Of those changed, how many have access now and lose it.
    pub ended: u64,
    /// Of those changed, how many have access now and keep it, but for less time.
    pub shortened: u64,
    /// Who these are: the first [`Loss::NAMED`] of both by name.
    pub losses: Vec<Loss>,
}

/// Somebody who has access now, and less of it by a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Loss {
    /// The name.
    pub username: Username,
    /// The business it belongs to.
    pub tenant: Option<TenantId>,
    /// When access would have ended; none if it had no end.
    pub from: Option<DateTime<Utc>>,
    /// When it ends now.
    pub to: DateTime<Utc>,
}

impl Loss {
    /// So many are told by name.
    pub const NAMED: usize = 20;
}

/// A row of a list that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRefusal {
    /// Its place in the list, from 0.
    pub row: usize,
    /// Why.
    pub why: RowError,
}

/// Why a row cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RowError {
    /// It names what does not exist.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It would contradict the database, or a row before it.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// It would take time away from who has access now.
    #[error(
        "`{}` has access {}, and the list ends it at {}",
        .0.username,
        .0.from.map_or_else(|| "without end".to_owned(), |end| format!("until {}", written(end))),
        written(.0.to)
    )]
    Shortens(Loss),
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// What a store knows of what a list names.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All tenants.
    pub tenants: BTreeSet<TenantId>,
    /// All routers: their names and tenants.
    pub routers: BTreeMap<RouterId, (String, Option<TenantId>)>,
    /// At least the subscribers whose names the list has, and those who own devices it has; each
    /// once.
    pub subscribers: Vec<Subscriber>,
}

/// What a store has to do so that all rows of a list come true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Subscribers to be made, in the order of the list.
    pub made: Vec<NewSubscriber>,
    /// Subscribers to be changed.
    pub changed: Vec<Change>,
    /// How many stay as they are.
    pub unchanged: u64,
}

/// A change of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it is.
    pub before: Subscriber,
    /// As it will be, with the next revision.
    pub after: Subscriber,
}

impl Change {
    /// Tells whether access changes; else only devices or the router do.
    pub fn is_of_access(&self) -> bool {
        self.before.access != self.after.access
    }

    /// Tells who has access now and less of it by this.
    pub fn loss(&self, now: DateTime<Utc>) -> Option<Loss> {
        loss(&self.before, self.after.access, now)
    }

    /// Tells whether somebody or something who might be online may not be any more because of this.
    pub fn takes_off(&self, now: DateTime<Utc>) -> bool {
        let Self { before, after } = self;
        if after.access.is_live(now) {
            let narrowed = after.router.is_some() && before.router != after.router;
            narrowed || self.removed().next().is_some()
        } else {
            after.access.has_ended(now) && !before.access.has_ended(now)
        }
    }

    /// Returns what the audit has to tell of it.
    pub fn entries(&self) -> Vec<AuditEntry> {
        let Self { before, after } = self;
        let revision = after.revision;
        let mut entries = Vec::new();
        if self.is_of_access() {
            let (from, to) = (before.access, after.access);
            let kind = AuditKind::AccessChanged { from, to, revision };
            entries.push(AuditEntry::of(after, kind));
        }
        if before.router != after.router {
            let (from, to) = (before.router, after.router);
            let kind = AuditKind::Bound { from, to, revision };
            entries.push(AuditEntry::of(after, kind));
        }
        let of_device = |mac, kind| AuditEntry {
            device: Some(mac),
            ..AuditEntry::of(after, kind)
        };
        for mac in self.removed() {
            entries.push(of_device(mac, AuditKind::DeviceRemoved { revision }));
        }
        for mac in self.added() {
            entries.push(of_device(mac, AuditKind::DeviceAdded { revision }));
        }
        entries
    }

    /// Returns the devices that it has no longer.
    pub fn removed(&self) -> impl Iterator<Item = MacAddr> {
        let removed = self.before.devices.difference(&self.after.devices);
        removed.copied()
    }

    /// Returns the devices that it has from now on.
    pub fn added(&self) -> impl Iterator<Item = MacAddr> {
        let added = self.after.devices.difference(&self.before.devices);
        added.copied()
    }
}

impl Merged {
    /// Counts what there is to do, and what people lose by it.
    pub fn report(&self, now: DateTime<Utc>) -> PutReport {
        let made = self.made.iter();
        let without_access = made.filter(|new| new.access == Access::None);
        let mut losses: Vec<_> = self.changed.iter().filter_map(|c| c.loss(now)).collect();
        losses.sort_unstable();
        let ended = losses.iter().filter(|loss| loss.to <= now).count();
        let shortened = losses.len() - ended;
        losses.truncate(Loss::NAMED);
        PutReport {
            made: self.made.len() as u64,
            without_access: without_access.count() as u64,
            updated: self.changed.len() as u64,
            unchanged: self.unchanged,
            ended: ended as u64,
            shortened: shortened as u64,
            losses,
        }
    }
}

fn loss(before: &Subscriber, after: Access, now: DateTime<Utc>) -> Option<Loss> {
    let to = after.end()?;
    let is_less = before.access.is_live(now) && before.access.goes_beyond(to);
    is_less.then(|| Loss {
        username: before.username.clone(),
        tenant: before.tenant,
        from: before.access.end(),
        to,
    })
}

/// Compares a list with what there is. The end state counts: two subscribers of the list may swap
/// a device. Without `shorten` no row may take time away from who has access at `now`.
///
/// # Errors
/// All rows that cannot be taken, in the order of the list.
pub fn merge(
    rows: &[PutSubscriber],
    known: &Known,
    shorten: bool,
    now: DateTime<Utc>,
) -> Result<Merged, Vec<RowRefusal>> {
    let mut merge = Merge::new(known, (!shorten).then_some(now));
    let wanted: Vec<_> = (0..)
        .zip(rows)
        .map(|(at, row)| merge.row(at, row))
        .collect();
    merge.claim(rows, &wanted);
    if !merge.refusals.is_empty() {
        merge.refusals.sort_by_key(|refusal| refusal.row);
        return Err(merge.refusals);
    }
    let mut merged = Merged::default();
    for wanted in wanted {
        match wanted {
            Wanted::New(new) => merged.made.push(new),
            Wanted::Known { before, after } if *before == after => merged.unchanged += 1,
            Wanted::Known { before, mut after } => {
                after.revision.0 += 1;
                let before = before.clone();
                merged.changed.push(Change { before, after });
            }
        }
    }
    Ok(merged)
}

enum Wanted<'a> {
    New(NewSubscriber),
    Known {
        before: &'a Subscriber,
        after: Subscriber,
    },
}

impl Wanted<'_> {
    fn devices(&self) -> &BTreeSet<MacAddr> {
        match self {
            Self::New(new) => &new.devices,
            Self::Known { after, .. } => &after.devices,
        }
    }
}

struct Merge<'a> {
    known: &'a Known,
    by_name: BTreeMap<(Option<TenantId>, &'a Username), &'a Subscriber>,
    named: BTreeSet<(Option<TenantId>, &'a Username)>,
    /// When nobody may have less than before; none where a list may take time away.
    keeping: Option<DateTime<Utc>>,
    refusals: Vec<RowRefusal>,
}

impl<'a> Merge<'a> {
    fn new(known: &'a Known, keeping: Option<DateTime<Utc>>) -> Self {
        let by_name = known.subscribers.iter().map(|known| {
            let name = (known.tenant, &known.username);
            (name, known)
        });
        Self {
            known,
            by_name: by_name.collect(),
            named: BTreeSet::new(),
            keeping,
            refusals: Vec::new(),
        }
    }

    fn refuse(&mut self, row: usize, why: impl Into<RowError>) {
        let why = why.into();
        self.refusals.push(RowRefusal { row, why });
    }

    fn row(&mut self, at: usize, row: &'a PutSubscriber) -> Wanted<'a> {
        let name = (row.tenant, &row.username);
        let before = self.by_name.get(&name).copied();
        let is_known = row.tenant.is_none_or(|id| self.known.tenants.contains(&id));
        if !is_known {
            self.refuse(at, Missing::Tenant);
        }
        if !self.named.insert(name) {
            self.refuse(at, Conflict::Username(row.username.clone()));
        }
        if let Field::Set(Some(router)) = row.router
            && before.is_none_or(|before| before.router != Some(router))
        {
            match self.known.routers.get(&router) {
                None => self.refuse(at, Missing::Router),
                Some((name, tenant)) if *tenant != row.tenant => {
                    self.refuse(at, Conflict::RouterTenant(name.clone()));
                }
                Some(_) => {}
            }
        }
        let access = row.access.in_micros();
        let Some(before) = before else {
            return Wanted::New(NewSubscriber {
                tenant: row.tenant,
                username: row.username.clone(),
                service: row.service,
                access,
                router: row.router.or(None),
                devices: row.devices.or(BTreeSet::new()),
            });
        };
        if access == Access::None && before.access != Access::None {
            self.refuse(at, Conflict::HasAccess(row.username.clone()));
        }
        if let Some(loss) = self.keeping.and_then(|now| loss(before, access, now)) {
            self.refuse(at, RowError::Shortens(loss));
        }
        let after = Subscriber {
            service: row.service,
            access,
            router: row.router.or(before.router),
            devices: row.devices.or(before.devices.clone()),
            ..before.clone()
        };
        Wanted::Known { before, after }
    }

    /// Gives each device to whoever will have it, those who keep theirs first.
    fn claim(&mut self, rows: &'a [PutSubscriber], wanted: &[Wanted<'a>]) {
        let mut owners = BTreeMap::new();
        for other in &self.known.subscribers {
            if !self.named.contains(&(other.tenant, &other.username)) {
                let macs = other.devices.iter();
                owners.extend(macs.map(|mac| ((other.tenant, *mac), &other.username)));
            }
        }
        let keeps = |row: &PutSubscriber| row.devices == Field::Keep;
        let both = || (0..).zip(rows.iter().zip(wanted));
        let order = both()
            .filter(|(_, (row, _))| keeps(row))
            .chain(both().filter(|(_, (row, _))| !keeps(row)));
        let mut taken = Vec::new();
        for (at, (row, wanted)) in order {
            for &mac in wanted.devices() {
                let owner = owners.entry((row.tenant, mac)).or_insert(&row.username);
                if *owner != &row.username {
                    let owner = owner.clone();
                    taken.push((at, Conflict::Device { mac, owner }));
                }
            }
        }
        for (at, taken) in taken {
            self.refuse(at, taken);
        }
    }
}

impl<T: Clone> Field<T> {
    fn or(&self, kept: T) -> T {
        match self {
            Self::Keep => kept,
            Self::Set(value) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revision, SubscriberId};

    const TENANT: Option<TenantId> = Some(TenantId(1));

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn merging(rows: &[PutSubscriber], known: &Known) -> Result<Merged, Vec<RowRefusal>> {
        merge(rows, known, false, at(0))
    }

    fn until(username: &str, end: i64) -> PutSubscriber {
        PutSubscriber {
            access: Access::Until(at(end)),
            ..row(username, None)
        }
    }

    fn mac(last: u8) -> MacAddr {
        MacAddr::new([2, 0, 0, 0, 0, last])
    }

    fn name(name: &str) -> Username {
        name.parse().expect("a name")
    }

    fn known(username: &str, devices: &[u8]) -> Subscriber {
        Subscriber {
            id: SubscriberId(7),
            tenant: None,
            username: name(username),
            service: Service::Hotspot,
            access: Access::Forever,
            revision: Revision(3),
            router: None,
            devices: devices.iter().copied().map(mac).collect(),
        }
    }

    fn row(username: &str, devices: Option<&[u8]>) -> PutSubscriber {
        let set = |devices: &[u8]| Field::Set(devices.iter().copied().map(mac).collect());
        PutSubscriber {
            tenant: None,
            username: name(username),
            service: Service::Hotspot,
            access: Access::Forever,
            router: Field::Keep,
            devices: devices.map_or(Field::Keep, set),
        }
    }

    fn of(subscribers: &[Subscriber]) -> Known {
        Known {
            tenants: TENANT.into_iter().collect(),
            routers: [
                (RouterId(1), ("ours".into(), None)),
                (RouterId(2), ("theirs".into(), TENANT)),
            ]
            .into(),
            subscribers: subscribers.to_vec(),
        }
    }

    fn taken(row: usize, device: u8, owner: &str) -> RowRefusal {
        let (mac, owner) = (mac(device), name(owner));
        RowRefusal {
            row,
            why: Conflict::Device { mac, owner }.into(),
        }
    }

    #[test]
    fn what_is_not_given_stays_and_what_is_the_same_is_left_alone() {
        let known = of(&[known("joe", &[1])]);
        let merged = merging(&[row("joe", None), row("ann", None)], &known).expect("merged");
        let report = PutReport {
            made: 1,
            without_access: 0,
            unchanged: 1,
            ..PutReport::default()
        };
        assert_eq!(merged.report(at(0)), report);
        let merged = merging(&[row("joe", Some(&[]))], &known).expect("merged");
        let [change] = &merged.changed[..] else {
            panic!("one change: {merged:?}");
        };
        assert_eq!(change.after.revision, Revision(4));
        assert_eq!(change.removed().collect::<Vec<_>>(), [mac(1)]);
        assert!(!change.is_of_access());
    }

    #[test]
    fn a_device_may_move_within_the_list_but_not_from_outside() {
        let known = of(&[known("joe", &[1]), known("ann", &[2]), known("eve", &[3])]);
        let swap = [row("joe", Some(&[2])), row("ann", Some(&[1]))];
        assert_eq!(merging(&swap, &known).expect("merged").changed.len(), 2);
        let theft = [row("joe", Some(&[3])), row("new", Some(&[2]))];
        let refused = merging(&theft, &known).expect_err("refused");
        assert_eq!(refused, [taken(0, 3, "eve"), taken(1, 2, "ann")]);
    }

    #[test]
    fn who_keeps_its_devices_is_never_the_one_in_the_wrong() {
        let known = of(&[known("joe", &[1])]);
        let rows = [row("ann", Some(&[1])), row("joe", None)];
        let refused = merging(&rows, &known).expect_err("refused");
        assert_eq!(refused, [taken(0, 1, "joe")]);
    }

    #[test]
    fn rows_that_contradict_each_other_are_refused() {
        let rows = [
            row("joe", Some(&[1])),
            row("ann", Some(&[1])),
            row("joe", Some(&[])),
        ];
        let refused = merging(&rows, &of(&[])).expect_err("refused");
        let twice = RowRefusal {
            row: 2,
            why: Conflict::Username(name("joe")).into(),
        };
        assert_eq!(refused, [taken(1, 1, "joe"), twice]);
    }

    #[test]
    fn tenants_and_routers_are_checked_but_for_a_binding_that_stands() {
        let mut bound = known("joe", &[]);
        bound.router = Some(RouterId(9));
        let known = of(&[bound]);
        let to = |username: &str, router: i64| PutSubscriber {
            router: Field::Set(Some(RouterId(router))),
            ..row(username, None)
        };
        assert_eq!(merging(&[to("joe", 9)], &known).map(|m| m.unchanged), Ok(1));
        let mut stranger = row("eve", None);
        stranger.tenant = Some(TenantId(8));
        let rows = [to("ann", 9), to("sue", 2), stranger];
        let refused = merging(&rows, &known).expect_err("refused");
        let whys: Vec<_> = refused.into_iter().map(|refusal| refusal.why).collect();
        let expected = [
            Missing::Router.into(),
            Conflict::RouterTenant("theirs".into()).into(),
            Missing::Tenant.into(),
        ];
        assert_eq!(whys, expected);
    }

    #[test]
    fn r2_access_is_not_forgotten() {
        let known = of(&[known("joe", &[])]);
        let mut forgotten = row("joe", None);
        forgotten.access = Access::None;
        let refused = merging(&[forgotten], &known).expect_err("refused");
        assert_eq!(refused[0].why, Conflict::HasAccess(name("joe")).into());
    }

    #[test]
    fn r3_no_row_takes_time_away_unless_it_is_allowed() {
        let mut joe = known("joe", &[]);
        joe.access = Access::Until(at(100));
        let mut over = known("over", &[]);
        over.access = Access::Until(at(50));
        let known = of(&[joe, over, known("ann", &[])]);
        let rows = [
            until("new", 10),
            until("joe", 99),
            until("ann", 1_000),
            until("over", 40),
        ];

        let refused = merge(&rows, &known, false, at(60)).expect_err("refused");

        let told: Vec<_> = refused.iter().map(|r| (r.row, r.why.to_string())).collect();
        let joe = "`joe` has access until 1970-01-01T00:01:40Z, and the list ends it at \
                   1970-01-01T00:01:39Z";
        let ann = "`ann` has access without end, and the list ends it at 1970-01-01T00:16:40Z";
        assert_eq!(told, [(1, joe.to_owned()), (2, ann.to_owned())]);
        let same = [until("joe", 100), row("ann", None), until("over", 70)];
        assert!(merge(&same, &known, false, at(60)).is_ok());

        let merged = merge(&rows, &known, true, at(60)).expect("allowed");
        let report = merged.report(at(60));
        assert_eq!((report.ended, report.shortened), (0, 2));
        let names: Vec<_> = report.losses.iter().map(|l| l.username.as_str()).collect();
        assert_eq!(names, ["ann", "joe"]);
    }

    #[test]
    fn who_loses_access_is_counted_and_the_first_are_named() {
        let names: Vec<_> = (10..35).map(|n| format!("s{n}")).collect();
        let known = of(&names.iter().map(|n| known(n, &[])).collect::<Vec<_>>());
        let rows: Vec<_> = names.iter().rev().map(|name| until(name, 5)).collect();
        let report = merge(&rows, &known, true, at(5)).map(|merged| merged.report(at(5)));
        let report = report.expect("allowed");
        assert_eq!((report.ended, report.shortened), (25, 0));
        let told: Vec<_> = report.losses.iter().map(|l| l.username.as_str()).collect();
        assert_eq!(told, names[..Loss::NAMED]);
    }
}
