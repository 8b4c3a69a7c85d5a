//! Tenants, routers, subscribers.

use async_trait::async_trait;
use expiry_core::{
    AccessChange, Directory, MacAddr, NewRouter, NewSubscriber, OpenWork, Paid, PasswordStore,
    Payment, PutOptions, PutReport, PutSubscriber, Router, RouterChange, RouterId, RouterLogin,
    Secrets, Strays, Subscriber, SubscriberFilter, SubscriberId, Tenant, TenantId, Username,
};

use super::super::{Backend, payments, put, routers, secrets, stray, subscribers, tenants};
use super::{Result, within};
use crate::mode::{LONG, Mode, SHORT};

#[async_trait]
impl Directory for Backend {
    async fn add_tenant(&self, slug: &str, name: &str) -> Result<Tenant> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            let tenant = tenants::add(&mut tx, slug, name).await?;
            tx.commit().await?;
            Ok(tenant)
        })
        .await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let tenants = tenants::list(&mut tx).await?;
            tx.commit().await?;
            Ok(tenants)
        })
        .await
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            tenants::remove(&mut tx, tenant).await?;
            tx.commit().await
        })
        .await
    }

    async fn add_router(&self, new: &NewRouter) -> Result<Router> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            let router = routers::add(&mut tx, &self.sealer, new).await?;
            tx.commit().await?;
            Ok(router)
        })
        .await
    }

    async fn change_router(&self, router: RouterId, change: &RouterChange) -> Result<Router> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            let router = routers::change(&mut tx, &self.sealer, router, change).await?;
            tx.commit().await?;
            Ok(router)
        })
        .await
    }

    async fn accept_router(&self, router: RouterId) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            routers::accept(&mut tx, router).await?;
            tx.commit().await
        })
        .await
    }

    async fn routers(&self) -> Result<Vec<Router>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let routers = routers::list(&mut tx).await?;
            tx.commit().await?;
            Ok(routers)
        })
        .await
    }

    async fn open_work(&self, router: RouterId) -> Result<OpenWork> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let open = routers::open_work(&mut tx, router).await?;
            tx.commit().await?;
            Ok(open)
        })
        .await
    }

    async fn strays(&self, router: RouterId) -> Result<Strays> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let strays = stray::list(&mut tx, router).await?;
            tx.commit().await?;
            Ok(strays)
        })
        .await
    }

    async fn remove_router(&self, router: RouterId, force: bool) -> Result<()> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            routers::remove(&mut tx, router, force).await?;
            tx.commit().await
        })
        .await
    }

    async fn add_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            let subscriber = subscribers::add(&mut tx, new).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn add_unplaced_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            subscribers::check_elsewhere(&mut tx, new.tenant, &new.username).await?;
            let subscriber = subscribers::add(&mut tx, new).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn put_subscribers(
        &self,
        rows: &[PutSubscriber],
        options: PutOptions,
    ) -> Result<PutReport> {
        within(LONG, async {
            let mode = if options.dry_run {
                Mode::Read
            } else {
                Mode::Order
            };
            let mut tx = self.begin(mode).await?;
            let report = put::put(&mut tx, rows, options).await?;
            tx.commit().await?;
            Ok(report)
        })
        .await
    }

    async fn subscriber(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<Option<Subscriber>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscriber = subscribers::find(&mut tx, tenant, username).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn subscribers(
        &self,
        tenant: Option<TenantId>,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscribers = subscribers::list(&mut tx, tenant, after, limit).await?;
            tx.commit().await?;
            Ok(subscribers)
        })
        .await
    }

    async fn subscriber_by_id(&self, id: SubscriberId) -> Result<Option<Subscriber>> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let subscriber = subscribers::by_id(&mut tx, id).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn find_subscribers(
        &self,
        filter: &SubscriberFilter,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Read).await?;
            let found = subscribers::search(&mut tx, filter, after, limit).await?;
            tx.commit().await?;
            Ok(found)
        })
        .await
    }

    async fn change_access(
        &self,
        subscriber: SubscriberId,
        change: AccessChange,
    ) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            let subscriber = subscribers::change_access(&mut tx, subscriber, change).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn pay(&self, payment: &Payment) -> Result<Paid> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            let paid = payments::pay(&mut tx, payment).await?;
            tx.commit().await?;
            Ok(paid)
        })
        .await
    }

    async fn add_device(&self, subscriber: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            let subscriber = subscribers::add_device(&mut tx, subscriber, mac).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn remove_device(&self, subscriber: SubscriberId, mac: MacAddr) -> Result<Subscriber> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            let subscriber = subscribers::remove_device(&mut tx, subscriber, mac).await?;
            tx.commit().await?;
            Ok(subscriber)
        })
        .await
    }

    async fn remove_subscriber(&self, subscriber: SubscriberId) -> Result<()> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            subscribers::remove(&mut tx, subscriber).await?;
            tx.commit().await
        })
        .await
    }
}

#[async_trait]
impl PasswordStore for Backend {
    async fn router_login(&self, router: RouterId) -> Result<RouterLogin> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let login = secrets::login(&mut tx, &self.sealer, router).await?;
            tx.commit().await?;
            Ok(login)
        })
        .await
    }

    async fn secrets(&self) -> Result<Secrets> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Read).await?;
            let secrets = secrets::list(&mut tx, &self.sealer).await?;
            tx.commit().await?;
            Ok(secrets)
        })
        .await
    }

    async fn reset_secrets(&self, seen: &Secrets) -> Result<Secrets> {
        within(LONG, async {
            let mut tx = self.begin(Mode::Order).await?;
            let secrets = secrets::reset(&mut tx, &self.sealer, seen).await?;
            tx.commit().await?;
            Ok(secrets)
        })
        .await
    }
}
