use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    AccessChange, Directory, MacAddr, NewRouter, NewSubscriber, OpenWork, Paid, PasswordStore,
    Payment, PutOptions, PutReport, PutSubscriber, Router, RouterChange, RouterId, RouterLogin,
    Secrets, StoreError, Strays, Subscriber, SubscriberFilter, SubscriberId, Tenant, TenantId,
    UndoKey, Username,
};

#[async_trait]
impl Directory for MemoryStore {
    async fn add_tenant(&self, slug: &str, name: &str) -> Result<Tenant, StoreError> {
        self.transaction("add_tenant", |tables, now| {
            tables.add_tenant(slug, name, now)
        })
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.transaction("tenants", |tables, _| {
            let mut tenants: Vec<_> = tables.tenants.values().cloned().collect();
            tenants.sort_by(|a, b| a.slug.cmp(&b.slug));
            Ok(tenants)
        })
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.transaction("remove_tenant", |tables, now| {
            tables.remove_tenant(tenant, now)
        })
    }

    async fn add_router(&self, new: &NewRouter) -> Result<Router, StoreError> {
        self.transaction("add_router", |tables, now| tables.add_router(new, now))
    }

    async fn change_router(
        &self,
        router: RouterId,
        change: &RouterChange,
    ) -> Result<Router, StoreError> {
        self.transaction("change_router", |tables, now| {
            tables.change_router(router, change, now)
        })
    }

    async fn accept_router(&self, router: RouterId) -> Result<(), StoreError> {
        self.transaction("accept_router", |tables, now| {
            tables.accept_router(router, now)
        })
    }

    async fn routers(&self) -> Result<Vec<Router>, StoreError> {
        self.transaction("routers", |tables, _| {
            let rows = tables.routers.values();
            let mut routers: Vec<_> = rows.map(|row| row.router.clone()).collect();
            routers.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(routers)
        })
    }

    async fn open_work(&self, router: RouterId) -> Result<OpenWork, StoreError> {
        self.transaction("open_work", |tables, now| tables.open_work(router, now))
    }

    async fn strays(&self, router: RouterId) -> Result<Strays, StoreError> {
        self.transaction("strays", |tables, _| tables.list_strays(router))
    }

    async fn remove_router(&self, router: RouterId, force: bool) -> Result<(), StoreError> {
        self.transaction("remove_router", |tables, now| {
            tables.remove_router(router, force, now)
        })
    }

    async fn add_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber, StoreError> {
        self.transaction("add_subscriber", |tables, now| {
            tables.add_subscriber(new, now)
        })
    }

    async fn add_unplaced_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber, StoreError> {
        self.transaction("add_subscriber", |tables, now| {
            tables.check_elsewhere(new.tenant, &new.username)?;
            tables.add_subscriber(new, now)
        })
    }

    async fn put_subscribers(
        &self,
        rows: &[PutSubscriber],
        options: PutOptions,
    ) -> Result<PutReport, StoreError> {
        self.transaction("put_subscribers", |tables, now| {
            tables.put_subscribers(rows, options, now)
        })
    }

    async fn subscriber(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<Option<Subscriber>, StoreError> {
        self.transaction("subscriber", |tables, _| {
            let key = UndoKey::Name(username.clone());
            let id = tables.owners.get(&(tenant, key));
            let row = id.and_then(|id| tables.subscribers.get(id));
            Ok(row.map(|row| row.subscriber.clone()))
        })
    }

    async fn subscribers(
        &self,
        tenant: Option<TenantId>,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>, StoreError> {
        self.transaction("subscribers", |tables, _| {
            let rows = tables
                .subscribers
                .values()
                .filter(|row| !row.is_removed() && row.subscriber.id > after)
                .filter(|row| row.subscriber.tenant == tenant);
            let listed = rows.map(|row| row.subscriber.clone());
            Ok(listed.take(limit as usize).collect())
        })
    }

    async fn subscriber_by_id(&self, id: SubscriberId) -> Result<Option<Subscriber>, StoreError> {
        self.transaction("subscriber_by_id", |tables, _| {
            let row = tables.subscribers.get(&id).filter(|row| !row.is_removed());
            Ok(row.map(|row| row.subscriber.clone()))
        })
    }

    async fn find_subscribers(
        &self,
        filter: &SubscriberFilter,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>, StoreError> {
        self.transaction("find_subscribers", |tables, now| {
            let rows = tables.subscribers.values();
            let rows = rows.filter(|row| row.subscriber.id > after && !row.is_removed());
            let rows = rows.filter(|row| tables.passes(row, filter, now));
            let found = rows.map(|row| row.subscriber.clone());
            Ok(found.take(limit as usize).collect())
        })
    }

    async fn change_access(
        &self,
        subscriber: SubscriberId,
        change: AccessChange,
    ) -> Result<Subscriber, StoreError> {
        self.transaction("change_access", |tables, now| {
            tables.change_access(subscriber, change, now)
        })
    }

    async fn pay(&self, payment: &Payment) -> Result<Paid, StoreError> {
        self.transaction("pay", |tables, now| tables.pay(payment, now))
    }

    async fn add_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError> {
        self.transaction("add_device", |tables, now| {
            tables.add_device(subscriber, mac, now)
        })
    }

    async fn remove_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError> {
        self.transaction("remove_device", |tables, now| {
            tables.remove_device(subscriber, mac, now)
        })
    }

    async fn remove_subscriber(&self, subscriber: SubscriberId) -> Result<(), StoreError> {
        self.transaction("remove_subscriber", |tables, now| {
            tables.remove_subscriber(subscriber, now)
        })
    }
}

#[async_trait]
impl PasswordStore for MemoryStore {
    async fn router_login(&self, router: RouterId) -> Result<RouterLogin, StoreError> {
        self.transaction("router_login", |tables, _| tables.router_login(router))
    }

    async fn secrets(&self) -> Result<Secrets, StoreError> {
        self.transaction("secrets", |tables, _| Ok(tables.secrets()))
    }

    async fn reset_secrets(&self, seen: &Secrets) -> Result<Secrets, StoreError> {
        self.transaction("reset_secrets", |tables, now| {
            tables.reset_secrets(seen, now)
        })
    }
}
