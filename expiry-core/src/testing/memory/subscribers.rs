use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::tables::{SubscriberRow, Tables};
use crate::{
    Access, AccessChange, AuditEntry, AuditKind, Conflict, MacAddr, Missing, NewSubscriber,
    Revision, StoreError, Subscriber, SubscriberId, TenantId, UndoKey,
};

impl Tables {
    pub(super) fn add_subscriber(
        &mut self,
        new: &NewSubscriber,
        now: DateTime<Utc>,
    ) -> Result<Subscriber, StoreError> {
        self.check_tenant(new.tenant)?;
        if let Some(id) = new.router {
            let row = self.routers.get(&id);
            let router = &row.ok_or(StoreError::Missing(Missing::Router))?.router;
            if router.tenant != new.tenant {
                let name = router.name.clone();
                return Err(StoreError::Conflict(Conflict::RouterTenant(name)));
            }
        }
        let name = UndoKey::Name(new.username.clone());
        if self.owners.contains_key(&(new.tenant, name.clone())) {
            let taken = Conflict::Username(new.username.clone());
            return Err(StoreError::Conflict(taken));
        }
        for mac in &new.devices {
            self.check_device(new.tenant, *mac)?;
        }

        let subscriber = self.insert_subscriber(new);
        self.note(AuditEntry::added(&subscriber), now);
        self.adopt_devices(subscriber.id, &new.devices);
        self.replan(subscriber.id, None, now);
        if new.access.has_ended(now) {
            self.note_ended(subscriber.id, now);
        }
        Ok(subscriber)
    }

    pub(super) fn insert_subscriber(&mut self, new: &NewSubscriber) -> Subscriber {
        let id = SubscriberId(self.next_id());
        let subscriber = Subscriber {
            id,
            tenant: new.tenant,
            username: new.username.clone(),
            service: new.service,
            access: new.access.in_micros(),
            revision: Revision(1),
            router: new.router,
            devices: new.devices.clone(),
        };
        let row = SubscriberRow {
            subscriber: subscriber.clone(),
            planned: Revision(0),
            removed_at: None,
        };
        for key in row.keys() {
            self.owners.insert((new.tenant, key), id);
        }
        self.subscribers.insert(id, row);
        subscriber
    }

    pub(super) fn change_access(
        &mut self,
        id: SubscriberId,
        change: AccessChange,
        now: DateTime<Utc>,
    ) -> Result<Subscriber, StoreError> {
        let subscriber = self.known(id)?;
        let from = subscriber.access;
        let to = from.changed(change, now).in_micros();
        subscriber.access = to;
        subscriber.revision.0 += 1;
        let kind = AuditKind::AccessChanged {
            from,
            to,
            revision: subscriber.revision,
        };
        self.note_of(id, kind, now);
        self.replan(id, None, now);
        if to.has_ended(now) && !from.has_ended(now) {
            self.note_ended(id, now);
        }
        self.known(id).cloned()
    }

    pub(super) fn add_device(
        &mut self,
        id: SubscriberId,
        mac: MacAddr,
        now: DateTime<Utc>,
    ) -> Result<Subscriber, StoreError> {
        let tenant = self.known(id)?.tenant;
        self.check_device(tenant, mac)?;
        self.owners.insert((tenant, UndoKey::Mac(mac)), id);
        let changed = self.known(id)?;
        changed.devices.insert(mac);
        changed.revision.0 += 1;
        let revision = changed.revision;
        self.note_device(id, mac, AuditKind::DeviceAdded { revision }, now);
        self.adopt_devices(id, &BTreeSet::from([mac]));
        self.replan(id, Some(now), now);
        self.known(id).cloned()
    }

    pub(super) fn remove_device(
        &mut self,
        id: SubscriberId,
        mac: MacAddr,
        now: DateTime<Utc>,
    ) -> Result<Subscriber, StoreError> {
        let subscriber = self.known(id)?;
        if !subscriber.devices.remove(&mac) {
            return Err(StoreError::Missing(Missing::Device(mac)));
        }
        subscriber.revision.0 += 1;
        let place = (subscriber.tenant, UndoKey::Mac(mac));
        let revision = subscriber.revision;
        self.owners.remove(&place);
        self.note_device(id, mac, AuditKind::DeviceRemoved { revision }, now);
        if let Some(owner) = self.subscribers.get(&id).cloned() {
            self.plan_device_cut(&owner, mac, now);
        }
        self.replan(id, Some(now), now);
        if self.known(id)?.access.is_live(now) {
            self.note_ended(id, now);
        }
        self.known(id).cloned()
    }

    pub(super) fn remove_subscriber(
        &mut self,
        id: SubscriberId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let subscriber = self.known(id)?;
        let access = subscriber.access;
        let had_ended = access.has_ended(now);
        subscriber.access = Access::Until(now);
        subscriber.revision.0 += 1;
        self.note_of(id, AuditKind::SubscriberRemoved { access }, now);
        if let Some(row) = self.subscribers.get_mut(&id) {
            row.removed_at = Some(now);
            for key in row.keys() {
                self.owners.remove(&(row.subscriber.tenant, key));
            }
        }
        self.replan(id, None, now);
        if !had_ended {
            self.note_ended(id, now);
        }
        Ok(())
    }

    fn note_device(&mut self, id: SubscriberId, mac: MacAddr, kind: AuditKind, now: DateTime<Utc>) {
        if let Some(row) = self.subscribers.get(&id) {
            let entry = AuditEntry {
                device: Some(mac),
                ..AuditEntry::of(&row.subscriber, kind)
            };
            self.note(entry, now);
        }
    }

    pub(super) fn known(&mut self, id: SubscriberId) -> Result<&mut Subscriber, StoreError> {
        self.subscribers
            .get_mut(&id)
            .filter(|row| !row.is_removed())
            .map(|row| &mut row.subscriber)
            .ok_or(StoreError::Missing(Missing::Subscriber))
    }

    pub(super) fn check_device(
        &self,
        tenant: Option<TenantId>,
        mac: MacAddr,
    ) -> Result<(), StoreError> {
        let owner = self.owners.get(&(tenant, UndoKey::Mac(mac)));
        match owner.and_then(|id| self.subscribers.get(id)) {
            None => Ok(()),
            Some(owner) => Err(StoreError::Conflict(Conflict::Device {
                mac,
                owner: owner.subscriber.username.clone(),
            })),
        }
    }

    pub(super) fn check_tenant(&self, tenant: Option<TenantId>) -> Result<(), StoreError> {
        if tenant.is_none_or(|id| self.tenants.contains_key(&id)) {
            Ok(())
        } else {
            Err(StoreError::Missing(Missing::Tenant))
        }
    }
}
