use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::tables::{SubscriberRow, Tables};
use crate::{
    Access, AuditEntry, PutOptions, PutReport, PutSubscriber, Router, StoreError, UndoKey,
    put::{Change, Known, merge},
};

impl Tables {
    pub(super) fn put_subscribers(
        &mut self,
        rows: &[PutSubscriber],
        options: PutOptions,
        now: DateTime<Utc>,
    ) -> Result<PutReport, StoreError> {
        let merged =
            merge(rows, &self.all_known(), options.shorten, now).map_err(StoreError::Rows)?;
        let report = merged.report(now);
        if options.dry_run {
            return Ok(report);
        }
        for change in &merged.changed {
            for mac in change.removed() {
                let place = (change.before.tenant, UndoKey::Mac(mac));
                self.owners.remove(&place);
            }
        }
        for change in &merged.changed {
            self.write_change(change);
            self.move_scope(change, now);
        }
        let made: Vec<_> = merged
            .made
            .iter()
            .map(|new| self.insert_subscriber(new))
            .collect();
        let changes = merged.changed.iter().flat_map(Change::entries);
        let makings = made.iter().map(AuditEntry::added);
        for entry in changes.chain(makings) {
            self.note(entry, now);
        }
        for change in &merged.changed {
            if let Some(owner) = self.subscribers.get(&change.after.id).cloned() {
                for mac in change.removed() {
                    self.plan_device_cut(&owner, mac, now);
                }
            }
        }
        for new in &made {
            self.adopt_devices(new.id, &new.devices);
        }
        for change in &merged.changed {
            self.adopt_devices(change.after.id, &change.added().collect());
        }
        for change in &merged.changed {
            let due_at = (!change.is_of_access()).then_some(now);
            self.replan(change.after.id, due_at, now);
        }
        for new in &made {
            self.replan(new.id, None, now);
        }
        let takes_off = merged.changed.iter().filter(|change| change.takes_off(now));
        let made_over = made.iter().filter(|new| new.access.has_ended(now));
        let ended = takes_off
            .map(|change| change.after.id)
            .chain(made_over.map(|new| new.id));
        for id in ended.collect::<Vec<_>>() {
            self.note_ended(id, now);
        }
        Ok(report)
    }

    fn all_known(&self) -> Known {
        let routers = self.routers.values().map(|row| &row.router);
        let routers = routers.map(|router| (router.id, (router.name.clone(), router.tenant)));
        let standing = self.subscribers.values().filter(|row| !row.is_removed());
        Known {
            tenants: self.tenants.keys().copied().collect(),
            routers: routers.collect::<BTreeMap<_, _>>(),
            subscribers: standing.map(|row| row.subscriber.clone()).collect(),
        }
    }

    fn write_change(&mut self, change: &Change) {
        let after = &change.after;
        for mac in change.added() {
            self.owners
                .insert((after.tenant, UndoKey::Mac(mac)), after.id);
        }
        if let Some(row) = self.subscribers.get_mut(&after.id) {
            row.subscriber = after.clone();
        }
    }

    /// Owes the cut where the subscriber may be online no longer, and gives up where it may be
    /// again, but for the devices that it has lost meanwhile.
    fn move_scope(&mut self, change: &Change, now: DateTime<Utc>) {
        let Change { before, after } = change;
        if before.router == after.router || before.access == Access::None {
            return;
        }
        let Some(mut owner) = self.subscribers.get(&after.id).cloned() else {
            return;
        };
        let earlier = SubscriberRow {
            subscriber: before.clone(),
            ..owner.clone()
        };
        let target = owner.target();
        let routers: Vec<Router> = self
            .routers
            .values()
            .map(|row| row.router.clone())
            .collect();
        for router in routers {
            let row = self.row_of(target, router.id);
            match (earlier.covers(&router), owner.covers(&router)) {
                (true, false) => {
                    let is_cut = row.is_some_and(|row| row.want == crate::Want::Cut);
                    if !is_cut {
                        owner.subscriber.devices.clone_from(&before.devices);
                        self.put_cut(&owner, router.id, owner.owes_now(true, now), now);
                        owner.subscriber.devices.clone_from(&after.devices);
                    }
                }
                (false, true) => {
                    let carried = row.map(|row| row.macs.clone()).unwrap_or_default();
                    let lost: BTreeSet<_> = carried.difference(&after.devices).copied().collect();
                    for mac in lost {
                        self.put_device_cut(&owner, mac, router.id, now);
                    }
                }
                (true, true) | (false, false) => {}
            }
        }
    }
}
