use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;

use super::StoreError;
use crate::{
    AccessChange, MacAddr, NewSubscriber, Paid, Payment, PutOptions, PutReport, PutSubscriber,
    Router, RouterAddress, RouterId, Strays, Subscriber, SubscriberId, Tenant, TenantId, Username,
};

/// Tenants, routers and subscribers, for frontends.
///
/// Each call is one transaction: it happened whole, or an error says why nothing did, or that it is not
/// known which. Each change
/// of access or devices bumps the subscriber's revision, wakes the watchers, owes the restores
/// that the access now explains, and voids the cuts that it ends. Dropping a future leaves the
/// transaction either done or not begun.
///
/// # Errors
/// Every method: [`StoreError::Unavailable`] when the database cannot be reached,
/// [`StoreError::OutcomeUnknown`] when it was lost while it committed a change,
/// [`StoreError::Corrupt`] when it holds what it must not. Others as each method says.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Directory: Send + Sync {
    /// Makes a tenant. `slug` is unique.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the slug is taken.
    async fn add_tenant(&self, slug: &str, name: &str) -> Result<Tenant, StoreError>;

    /// Lists all tenants by slug.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// Removes a tenant that has neither routers nor subscribers, removed ones whose cut is still
    /// owed included.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if it is in use.
    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), StoreError>;

    /// Makes a router, enabled. All ended subscribers in its scope are owed a cut there, as
    /// backlog.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name, or host and port, are taken; [`StoreError::Key`] if there
    /// is no key to seal the password with, or none of those that sealed the others.
    async fn add_router(&self, new: &NewRouter) -> Result<Router, StoreError>;

    /// Changes a router. Enabling owes cuts like adding. Disabling takes it out of every scope and
    /// away from its owner. A new host or port forgets which box was seen.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if host and port are taken;
    /// [`StoreError::Key`] if a password is given and there is no key to seal it with.
    async fn change_router(
        &self,
        router: RouterId,
        change: &RouterChange,
    ) -> Result<Router, StoreError>;

    /// Forgets which box was seen, so that the next that answers is taken, and owes cuts there
    /// like adding.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn accept_router(&self, router: RouterId) -> Result<(), StoreError>;

    /// Lists all routers by name.
    async fn routers(&self) -> Result<Vec<Router>, StoreError>;

    /// Returns what is open on a router: cuts, restores, and undo rows nobody owes yet.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn open_work(&self, router: RouterId) -> Result<OpenWork, StoreError>;

    /// Lists what a router lets through that belongs to nobody we know.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn strays(&self, router: RouterId) -> Result<Strays, StoreError>;

    /// Removes a router with all that is open there. Subscribers bound to it stay, and are bound
    /// to no router's absence: they are out of every scope until rebound or removed.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if work is open there and not `force`.
    async fn remove_router(&self, router: RouterId, force: bool) -> Result<(), StoreError>;

    /// Makes a subscriber.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the username or a device is taken within the tenant, or the
    /// router is another tenant's; [`StoreError::Missing`] if the tenant or router is unknown.
    async fn add_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber, StoreError>;

    /// As [`add_subscriber`](Self::add_subscriber), of whom nobody said that it has no tenant: nobody is
    /// made without one whom a tenant knows.
    ///
    /// # Errors
    /// Also [`StoreError::Conflict`] with [`Conflict::Elsewhere`](super::Conflict::Elsewhere).
    async fn add_unplaced_subscriber(&self, new: &NewSubscriber) -> Result<Subscriber, StoreError>;

    /// Makes and changes many subscribers: each row is made if there is none of its name in its
    /// tenant, else brought to what the row says. Who is like that already is left alone. What is
    /// changed becomes owed as by the single calls; a router that a subscriber may use no longer
    /// owes its cut. All happens at one instant, for which the order of rows does not matter:
    /// two may swap a device. Nobody who has access now has less of it afterwards, unless `options`
    /// say so.
    ///
    /// # Errors
    /// [`StoreError::Rows`] with every row that cannot be taken.
    async fn put_subscribers(
        &self,
        rows: &[PutSubscriber],
        options: PutOptions,
    ) -> Result<PutReport, StoreError>;

    /// Finds a subscriber by name.
    async fn subscriber(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<Option<Subscriber>, StoreError>;

    /// Lists subscribers in order of id, after `after`, at most `limit`.
    async fn subscribers(
        &self,
        tenant: Option<TenantId>,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>, StoreError>;

    /// Finds a subscriber by number.
    async fn subscriber_by_id(&self, id: SubscriberId) -> Result<Option<Subscriber>, StoreError>;

    /// Lists the subscribers of all tenants that pass a filter in order of id, after `after`, at most
    /// `limit`.
    async fn find_subscribers(
        &self,
        filter: &SubscriberFilter,
        after: SubscriberId,
        limit: u32,
    ) -> Result<Vec<Subscriber>, StoreError>;

    /// Changes access.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn change_access(
        &self,
        subscriber: SubscriberId,
        change: AccessChange,
    ) -> Result<Subscriber, StoreError>;

    /// Takes a payment: adds what it buys, and its devices, once for its tenant and reference for as
    /// long as events are kept. The same again adds nothing and returns the same receipt, whatever
    /// became of the subscriber since.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the tenant is unknown, or the subscriber and it is not to be made;
    /// [`StoreError::Conflict`] if another payment has the reference, if what it buys is over or less
    /// than there is, if a device is taken within the tenant, or if who would be made without a tenant
    /// is known in one. Nothing was written then.
    async fn pay(&self, payment: &Payment) -> Result<Paid, StoreError>;

    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Conflict`] if the MAC is taken within the tenant.
    async fn add_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError>;

    /// Removes a device. A cut of the MAC is owed on every router in scope.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the subscriber or its device is unknown.
    async fn remove_device(
        &self,
        subscriber: SubscriberId,
        mac: MacAddr,
    ) -> Result<Subscriber, StoreError>;

    /// Revokes and removes a subscriber. Its name and devices are free at once; the cuts stay
    /// owed until confirmed.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn remove_subscriber(&self, subscriber: SubscriberId) -> Result<(), StoreError>;
}

/// Which subscribers are asked for: those that pass everything that is given; name and device
/// count as one condition. Twelve digits may be a phone number or a MAC: who has either is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberFilter {
    /// A part of the name; capitals from A to Z or not.
    pub name: Option<String>,
    /// One of the devices; with a name, one of both is enough.
    pub device: Option<MacAddr>,
    /// The tenant; `Some(None)` for those who belong to none.
    pub tenant: Option<Option<TenantId>>,
    /// The router they are bound to.
    pub router: Option<RouterId>,
    /// How they stand.
    pub standing: Option<Standing>,
}

/// How a subscriber stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its access is live.
    Live,
    /// Its access has ended.
    Ended,
    /// It never had access.
    Never,
    /// A cut of it is owed on an enabled router.
    Owed,
}

/// A router to be made.
#[derive(Clone, Debug)]
pub struct NewRouter {
    /// Its name.
    pub name: String,
    /// The business it serves.
    pub tenant: Option<TenantId>,
    /// Where it is reached.
    pub address: RouterAddress,
    /// The password of its account.
    pub password: SecretString,
}

/// Changes to a router; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct RouterChange {
    /// Name or IP address.
    pub host: Option<String>,
    /// The API port.
    pub port: Option<u16>,
    /// The account on the router.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Whether it is in anybody's scope.
    pub enabled: Option<bool>,
}

/// What is open on a router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenWork {
    /// Who is owed a cut, by name, or MAC for a removed device.
    pub cuts: Vec<String>,
    /// Who is owed a restore.
    pub restores: Vec<String>,
    /// Names and MACs that are disabled there by us, with nobody live who owns them.
    pub undo: Vec<String>,
}

impl OpenWork {
    /// Tells whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.restores.is_empty() && self.undo.is_empty()
    }
}
