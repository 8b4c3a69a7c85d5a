use chrono::{DateTime, Utc};

use super::tables::Tables;
use crate::{
    Access, Conflict, Missing, Paid, Payment, Pending, StoreError, Subscriber, SubscriberId,
    Tenant, TenantId, UndoKey, Username, Want,
};

/// How many tenants are named that know a name.
const NAMED: usize = 3;

impl Tables {
    pub(super) fn pay(
        &mut self,
        payment: &Payment,
        now: DateTime<Utc>,
    ) -> Result<Paid, StoreError> {
        self.check_tenant(payment.tenant)?;
        let key = (payment.tenant, payment.reference.clone());
        if let Some((taken, receipt)) = self.payments.get(&key) {
            payment.is_again(taken).map_err(StoreError::Conflict)?;
            return Ok(Paid {
                receipt: receipt.clone(),
                repeated: true,
                pending: self.pending(receipt.subscriber),
            });
        }
        let name = UndoKey::Name(payment.username.clone());
        let (known, paid) = match self.owners.get(&(payment.tenant, name)).copied() {
            Some(id) => self.pay_known(id, payment, now)?,
            None if payment.create => (None, self.pay_new(payment, now)?),
            None => return Err(StoreError::Missing(Missing::Subscriber)),
        };
        self.note_of(paid.id, payment.event(paid.revision), now);
        let receipt = payment.receipt(known, &paid, now);
        self.payments
            .insert(key, (payment.clone(), receipt.clone()));
        Ok(Paid {
            pending: self.pending(paid.id),
            receipt,
            repeated: false,
        })
    }

    /// Nothing is changed before all is checked.
    fn pay_known(
        &mut self,
        id: SubscriberId,
        payment: &Payment,
        now: DateTime<Utc>,
    ) -> Result<(Option<Access>, Subscriber), StoreError> {
        let known = self.known(id)?.clone();
        let change = payment.change(known.access, now);
        let change = change.map_err(StoreError::Conflict)?;
        let new: Vec<_> = payment
            .devices
            .difference(&known.devices)
            .copied()
            .collect();
        for mac in &new {
            self.check_device(known.tenant, *mac)?;
        }
        let mut paid = self.change_access(id, change, now)?;
        for mac in new {
            paid = self.add_device(id, mac, now)?;
        }
        Ok((Some(known.access), paid))
    }

    fn pay_new(&mut self, payment: &Payment, now: DateTime<Utc>) -> Result<Subscriber, StoreError> {
        self.check_elsewhere(payment.tenant, &payment.username)?;
        let new = payment.subscriber(now);
        let new = new.map_err(StoreError::Conflict)?;
        self.add_subscriber(&new, now)
    }

    /// Fails if somebody would be made without a tenant whom a tenant knows.
    pub(super) fn check_elsewhere(
        &self,
        tenant: Option<TenantId>,
        username: &Username,
    ) -> Result<(), StoreError> {
        let key = UndoKey::Name(username.clone());
        if tenant.is_some() || self.owners.contains_key(&(None, key.clone())) {
            return Ok(());
        }
        let knows = |tenant: &&Tenant| self.owners.contains_key(&(Some(tenant.id), key.clone()));
        let tenants = self.tenants.values().filter(knows);
        let mut slugs: Vec<_> = tenants.map(|tenant| tenant.slug.clone()).collect();
        slugs.sort();
        slugs.truncate(NAMED);
        if slugs.is_empty() {
            return Ok(());
        }
        Err(StoreError::Conflict(Conflict::Elsewhere {
            username: username.clone(),
            tenants: slugs,
        }))
    }

    fn pending(&self, id: SubscriberId) -> Vec<Pending> {
        let owner = self.subscribers.get(&id).filter(|row| !row.is_removed());
        let Some(owner) = owner else {
            return Vec::new();
        };
        let in_scope = self
            .routers
            .values()
            .filter(|row| owner.has_in_scope(&row.router));
        let all = in_scope.map(|row| {
            let mut rows = self.rows().filter(|task| task.router == row.router.id);
            Pending {
                router: row.router.name.clone(),
                restore_owed: rows.any(|task| {
                    task.target.subscriber == id && task.want == Want::Restore && task.is_owed()
                }),
                down_since: row.down_since,
            }
        });
        let mut pending: Vec<_> = all
            .filter(|one| one.restore_owed || one.down_since.is_some())
            .collect();
        pending.sort_by(|a, b| a.router.cmp(&b.router));
        pending
    }
}
