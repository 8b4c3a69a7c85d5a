use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::tables::{RouterRow, Tables};
use crate::{
    AuditEntry, AuditKind, Conflict, Missing, NewRouter, NoPasswordCause, OpenWork, Router,
    RouterAddress, RouterChange, RouterId, RouterLogin, StoreError, Tenant, TenantId, Want,
};

impl Tables {
    pub(super) fn add_tenant(
        &mut self,
        slug: &str,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Tenant, StoreError> {
        if self.tenants.values().any(|tenant| tenant.slug == slug) {
            return Err(StoreError::Conflict(Conflict::Tenant(slug.into())));
        }
        let tenant = Tenant {
            id: TenantId(self.next_id()),
            slug: slug.into(),
            name: name.into(),
        };
        self.tenants.insert(tenant.id, tenant.clone());
        let kind = AuditKind::TenantAdded { slug: slug.into() };
        self.note(AuditEntry::in_tenant(Some(tenant.id), kind), now);
        Ok(tenant)
    }

    /// Without routers nothing can be owed, so the removed subscribers of the tenant go with it.
    pub(super) fn remove_tenant(
        &mut self,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.check_tenant(Some(tenant))?;
        let mut subscribers = self.subscribers.values().filter(|row| !row.is_removed());
        let used = self
            .routers
            .values()
            .any(|row| row.router.tenant == Some(tenant))
            || subscribers.any(|row| row.subscriber.tenant == Some(tenant));
        if used {
            return Err(StoreError::Conflict(Conflict::TenantInUse));
        }
        self.subscribers
            .retain(|_, row| row.subscriber.tenant != Some(tenant));
        if let Some(removed) = self.tenants.remove(&tenant) {
            let kind = AuditKind::TenantRemoved { slug: removed.slug };
            self.note(AuditEntry::in_tenant(Some(tenant), kind), now);
        }
        Ok(())
    }

    pub(super) fn add_router(
        &mut self,
        new: &NewRouter,
        now: DateTime<Utc>,
    ) -> Result<Router, StoreError> {
        self.check_tenant(new.tenant)?;
        if self.routers.values().any(|row| row.router.name == new.name) {
            let taken = Conflict::RouterName(new.name.clone());
            return Err(StoreError::Conflict(taken));
        }
        self.check_address(None, &new.address.host, new.address.port)?;
        let router = Router {
            id: RouterId(self.next_id()),
            name: new.name.clone(),
            tenant: new.tenant,
            address: new.address.clone(),
            enabled: true,
            seen: None,
        };
        let row = RouterRow::new(router.clone(), new.password.clone());
        self.routers.insert(router.id, row);
        let address = address_of(&router);
        self.note_on(router.id, AuditKind::RouterAdded { address }, now);
        self.enter_scope(router.id, now);
        Ok(router)
    }

    pub(super) fn change_router(
        &mut self,
        id: RouterId,
        change: &RouterChange,
        now: DateTime<Utc>,
    ) -> Result<Router, StoreError> {
        let before = self.place(id)?.clone();
        let mut after = before.clone();
        if let Some(host) = &change.host {
            after.address.host.clone_from(host);
        }
        after.address.port = change.port.unwrap_or(before.address.port);
        self.check_address(Some(id), &after.address.host, after.address.port)?;
        if let Some(username) = &change.username {
            after.address.username.clone_from(username);
        }
        after.enabled = change.enabled.unwrap_or(before.enabled);
        let moved = (&before.address.host, before.address.port)
            != (&after.address.host, after.address.port);
        self.place(id)?.clone_from(&after);
        if let Some(password) = &change.password {
            self.set_password(id, Ok(password.clone()));
        }
        if moved {
            self.expect_another_box(id, now);
            after.seen = None;
        }
        self.note_change(&before, &after, change.password.is_some(), now);
        if !after.enabled {
            self.disown(id);
        }
        if after.enabled && !before.enabled {
            self.mark_known_late(id, now);
        }
        if moved || after.enabled && !before.enabled {
            self.enter_scope(id, now);
        }
        self.wake();
        Ok(after)
    }

    pub(super) fn accept_router(
        &mut self,
        id: RouterId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.place(id)?;
        self.expect_another_box(id, now);
        self.note_on(id, AuditKind::RouterAccepted, now);
        self.enter_scope(id, now);
        Ok(())
    }

    pub(super) fn open_work(
        &mut self,
        id: RouterId,
        now: DateTime<Utc>,
    ) -> Result<OpenWork, StoreError> {
        let router = self.place(id)?.clone();
        let mut work = OpenWork::default();
        let unplanned = self.unplanned(now).into_iter();
        let here = unplanned.filter(|row| row.has_in_scope(&router));
        work.cuts
            .extend(here.map(|row| row.subscriber.username.to_string()));
        let mut restored = BTreeSet::new();
        for row in self.rows().filter(|row| row.router == id && row.is_owed()) {
            let owner = self.subscribers.get(&row.target.subscriber);
            let label = match row.target.device {
                Some(mac) => mac.to_string(),
                None => owner.map_or_else(String::new, |row| row.subscriber.username.to_string()),
            };
            match row.want {
                Want::Cut => work.cuts.push(label),
                Want::Restore => {
                    restored.extend(row.keys());
                    work.restores.push(label);
                }
            }
        }
        let open = self
            .undo
            .values()
            .filter(|row| row.router == id && row.open);
        let unowed = open.filter(|row| !restored.contains(&row.undo.key));
        work.undo = unowed.map(|row| row.undo.key.to_string()).collect();
        for list in [&mut work.cuts, &mut work.restores, &mut work.undo] {
            list.sort();
        }
        Ok(work)
    }

    pub(super) fn remove_router(
        &mut self,
        id: RouterId,
        force: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let busy = !self.open_work(id, now)?.is_empty();
        if busy && !force {
            return Err(StoreError::Conflict(Conflict::RouterBusy));
        }
        self.note_on(id, AuditKind::RouterRemoved { forced: busy }, now);
        self.retain_rows(|row| row.router != id);
        self.undo.retain(|_, row| row.router != id);
        self.strays.remove(&id);
        self.routers.remove(&id);
        self.wake();
        Ok(())
    }

    fn note_change(&mut self, before: &Router, after: &Router, password: bool, now: DateTime<Utc>) {
        let moved = address_of(before) != address_of(after);
        let renamed = before.address.username != after.address.username;
        if moved || renamed || password {
            let kind = AuditKind::RouterChanged {
                address: moved.then(|| address_of(after)),
                account: renamed.then(|| after.address.username.clone()),
                password,
            };
            self.note_on(after.id, kind, now);
        }
        match (before.enabled, after.enabled) {
            (false, true) => self.note_on(after.id, AuditKind::RouterEnabled, now),
            (true, false) => self.note_on(after.id, AuditKind::RouterDisabled, now),
            _ => {}
        }
    }

    /// Returns a router with the password to log in there.
    pub(super) fn router_login(&self, id: RouterId) -> Result<RouterLogin, StoreError> {
        let row = self.routers.get(&id);
        let row = row.ok_or(StoreError::Missing(Missing::Router))?;
        Ok(RouterLogin {
            router: row.router.clone(),
            password: row.password()?,
        })
    }

    pub(super) fn set_password(
        &mut self,
        id: RouterId,
        password: Result<SecretString, NoPasswordCause>,
    ) {
        if let Some(row) = self.routers.get_mut(&id) {
            row.password = password;
        }
    }

    /// What a turn under way has seen and written was in the box of before: it can record nothing.
    fn expect_another_box(&mut self, id: RouterId, now: DateTime<Utc>) {
        if let Some(row) = self.routers.get_mut(&id) {
            row.router.seen = None;
            row.said = None;
            row.epoch = row.epoch.next(now);
        }
    }

    fn place(&mut self, id: RouterId) -> Result<&mut Router, StoreError> {
        let row = self.routers.get_mut(&id);
        row.map(|row| &mut row.router)
            .ok_or(StoreError::Missing(Missing::Router))
    }

    fn check_address(
        &self,
        own: Option<RouterId>,
        host: &str,
        port: u16,
    ) -> Result<(), StoreError> {
        let taken = self
            .routers
            .values()
            .map(|row| &row.router)
            .filter(|router| Some(router.id) != own)
            .find(|router| router.address.host == host && router.address.port == port);
        match taken {
            None => Ok(()),
            Some(router) => Err(StoreError::Conflict(Conflict::RouterAddress {
                address: format!("{host}:{port}"),
                router: router.name.clone(),
            })),
        }
    }
}

fn address_of(router: &Router) -> String {
    RouterAddress::place(&router.address.host, router.address.port)
}
