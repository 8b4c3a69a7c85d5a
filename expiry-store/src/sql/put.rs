//! Many subscribers at once: what is there is read, compared in memory, and what differs is
//! written, a few hundred rows by each statement.

use std::collections::{BTreeMap, BTreeSet};

use expiry_core::{
    AuditEntry, Field, PutOptions, PutReport, PutSubscriber, RouterId, StoreError, Subscriber,
    SubscriberId, TenantId,
    put::{Change, Known, Merged, merge},
};
use sqlx::QueryBuilder;

use super::{
    CHUNK, Db, Tx, audit, count_anew,
    cut::{self, Due, Removed},
    keys::push_texts,
    planning::{self, Changed},
    scope, share, subscribers,
};
use crate::{
    error::Result,
    row::{SubscriberRow, instant, tenant_id, tenant_number},
};

/// From so many rows on the planner of statements is told.
const BULK: usize = 1_000;

pub(super) async fn put(
    tx: &mut Tx,
    rows: &[PutSubscriber],
    options: PutOptions,
) -> Result<PutReport> {
    let known = known(tx, rows).await?;
    let now = instant(tx.now)?;
    let merged = merge(rows, &known, options.shorten, now).map_err(StoreError::Rows)?;
    drop(known);
    let report = merged.report(now);
    if !options.dry_run && (report.made, report.updated) != (0, 0) {
        write(tx, merged).await?;
    }
    Ok(report)
}

async fn write(tx: &mut Tx, merged: Merged) -> Result<()> {
    let Merged { made, changed, .. } = merged;
    let mut removed = Vec::new();
    for change in &changed {
        removed.extend(change.removed().map(|mac| Removed {
            subscriber: change.after.id.0,
            mac,
            router: None,
        }));
    }
    subscribers::delete_devices(tx, &removed).await?;
    let after: Vec<_> = changed.iter().map(|change| &change.after).collect();
    subscribers::update(tx, &after).await?;
    let made = subscribers::insert(tx, &made).await?;
    let mut added = Vec::new();
    for change in &changed {
        added.extend(change.added().map(|mac| (&change.after, mac)));
    }
    subscribers::insert_devices(tx, &added).await?;

    let mut entries: Vec<_> = changed.iter().flat_map(Change::entries).collect();
    entries.extend(made.iter().map(AuditEntry::added));
    audit::record(tx, &entries).await?;
    scope::moved(tx, &changed).await?;
    cut::plan_devices(tx, &removed).await?;
    let is_bulk = changed.len() + made.len() > BULK;
    if is_bulk {
        count_anew(tx.conn()).await?;
    }
    added.extend(subscribers::devices_of(&made));
    planning::adopt_devices(tx, &added).await?;
    let updates = changed.iter().map(|change| Changed {
        subscriber: &change.after,
        due: if change.is_of_access() {
            Due::End
        } else {
            Due::Now
        },
    });
    let makings = made.iter().map(|subscriber| Changed {
        subscriber,
        due: Due::End,
    });
    let all: Vec<_> = updates.chain(makings).collect();
    planning::changed(tx, &all).await?;
    if is_bulk {
        count_anew(tx.conn()).await?;
    }
    let now = instant(tx.now)?;
    let ended = changed.iter().filter(|change| change.takes_off(now));
    let ended = ended.map(|change| change.after.id.0);
    let over = made.iter().filter(|made| made.access.has_ended(now));
    let ended: Vec<_> = ended.chain(over.map(|made| made.id.0)).collect();
    share::note_ended(tx, &ended).await
}

async fn known(tx: &mut Tx, rows: &[PutSubscriber]) -> Result<Known> {
    let tenants: Vec<i64> = sqlx::query_scalar("SELECT id FROM tenant WHERE id <> 0")
        .fetch_all(tx.conn())
        .await?;
    let routers: Vec<(i64, String, i64)> = sqlx::query_as("SELECT id, name, tenant_id FROM router")
        .fetch_all(tx.conn())
        .await?;
    let routers = routers
        .into_iter()
        .map(|(id, name, tenant)| (RouterId(id), (name, tenant_id(tenant))));
    Ok(Known {
        tenants: tenants.into_iter().map(TenantId).collect(),
        routers: routers.collect(),
        subscribers: concerned(tx, rows).await?,
    })
}

/// Reads the subscribers whom a list names, and others who own devices that it names.
async fn concerned(tx: &mut Tx, rows: &[PutSubscriber]) -> Result<Vec<Subscriber>> {
    let asked = rows
        .iter()
        .map(|row| (row.tenant, row.username.to_string()));
    let named = matching(
        tx,
        "SELECT s.id, s.tenant_id, s.username, s.service, s.access, s.ends_at, s.revision,
             s.router_id, s.macs
         FROM subscriber s WHERE s.removed_at IS NULL AND s.tenant_id = ",
        " AND s.username IN ",
        asked.collect(),
    )
    .await?;
    let owned: BTreeSet<_> = named
        .values()
        .flat_map(|owner| owner.devices.iter().map(|mac| (owner.tenant, *mac)))
        .collect();
    let wanted = rows.iter().flat_map(|row| {
        let devices = match &row.devices {
            Field::Keep => None,
            Field::Set(devices) => Some(devices),
        };
        let devices = devices.into_iter().flatten();
        devices.map(|mac| (row.tenant, *mac))
    });
    let foreign = wanted
        .filter(|device| !owned.contains(device))
        .map(|(tenant, mac)| (tenant, mac.to_string()));
    let mut concerned = matching(
        tx,
        "SELECT DISTINCT s.id, s.tenant_id, s.username, s.service, s.access, s.ends_at, s.revision,
             s.router_id, s.macs
         FROM device d JOIN subscriber s ON s.id = d.subscriber_id WHERE d.tenant_id = ",
        " AND d.mac IN ",
        foreign.collect(),
    )
    .await?;
    concerned.extend(named);
    Ok(concerned.into_values().collect())
}

/// Reads the subscribers that a query finds by texts within a tenant.
async fn matching(
    tx: &mut Tx,
    within_tenant: &str,
    among: &str,
    texts: BTreeSet<(Option<TenantId>, String)>,
) -> Result<BTreeMap<SubscriberId, Subscriber>> {
    let mut by_tenant: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (tenant, text) in texts {
        let texts = by_tenant.entry(tenant_number(tenant)).or_default();
        texts.push(text);
    }
    let mut found = BTreeMap::new();
    for (tenant, texts) in by_tenant {
        for texts in texts.chunks(CHUNK) {
            let mut query = QueryBuilder::<Db>::new(within_tenant);
            query.push_bind(tenant).push(among);
            push_texts(&mut query, texts.iter().cloned());
            let rows: Vec<SubscriberRow> = query.build_query_as().fetch_all(tx.conn()).await?;
            for row in rows {
                let subscriber = Subscriber::try_from(row)?;
                found.insert(subscriber.id, subscriber);
            }
        }
    }
    Ok(found)
}
