//! Counts and lists for pages that show everything at a glance, in one state of the database.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use expiry_core::{Overdue, SubscriberId, Summary, TenantSummary, Unconfirmed, UnconfirmedOn};
use sqlx::QueryBuilder;

use super::{CHUNK, Db, Tx, explain, keys::push_numbers, status};
use crate::{
    error::Result,
    row::{Cell, instant, span},
};

macro_rules! owed_cuts {
    () => {
        concat!(
            "SELECT e.subscriber_id, e.router_id, e.due_at AS since, e.online, s.ends_at, ",
            status::is_backlog!("e."),
            " AS backlog
         FROM enforcement e JOIN router r ON r.id = e.router_id AND r.enabled
         JOIN subscriber s ON s.id = e.subscriber_id AND s.ends_at <= $1
         WHERE e.next_at IS NOT NULL AND e.state = 'owed' AND e.want = 'cut' AND e.due_at <= $1
         UNION ALL
         SELECT s.id, r.id, s.ends_at, FALSE, s.ends_at, FALSE
         FROM subscriber s
         JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
              AND (s.router_id IS NULL OR s.router_id = r.id)
         WHERE s.planned_revision < s.revision AND s.ends_at <= $1"
        )
    };
}

/// How many subscribers of each tenant have ended and are owed a cut, and how many of those are late.
const OWED_BY_TENANT: &str = concat!(
    "SELECT s.tenant_id, COUNT(DISTINCT o.subscriber_id),
         COUNT(DISTINCT CASE WHEN NOT o.backlog AND o.since < $2 THEN o.subscriber_id END) FROM (",
    owed_cuts!(),
    ") AS o JOIN subscriber s ON s.id = o.subscriber_id GROUP BY s.tenant_id"
);

/// Who has ended and is owed a cut, with the number of devices.
const OVERDUE: &str = concat!(
    "SELECT o.subscriber_id, (SELECT COUNT(*) FROM device d WHERE d.subscriber_id = o.subscriber_id)
     FROM (",
    owed_cuts!(),
    ") AS o GROUP BY o.subscriber_id"
);

/// Who has ended first and is owed a cut, with each router where it is.
const UNCONFIRMED: &str = concat!(
    "WITH o AS (",
    owed_cuts!(),
    ") SELECT o.subscriber_id, s.username, t.slug, o.ends_at, r.name, MIN(o.since),
           CAST(MAX(CASE WHEN o.online THEN 1 ELSE 0 END) AS BIGINT)
       FROM o
       JOIN subscriber s ON s.id = o.subscriber_id
       JOIN tenant t ON t.id = s.tenant_id
       JOIN router r ON r.id = o.router_id
       WHERE o.subscriber_id IN (SELECT x.subscriber_id FROM o x GROUP BY x.subscriber_id
                                 ORDER BY MIN(x.ends_at), x.subscriber_id LIMIT $2)
       GROUP BY o.subscriber_id, s.username, t.slug, o.ends_at, r.name
       ORDER BY r.name"
);

pub(super) async fn summary(tx: &mut Tx, soon: Duration, limit: u32) -> Result<Summary> {
    let tenants = tenants(tx, soon).await?;
    let live = tenants.iter().map(|tenant| tenant.live).sum();
    let owed = status::owed_subscribers(tx).await?;
    let until = tx.now.saturating_add(span(soon));
    Ok(Summary {
        status: status::of_counts(tx, live, owed, Vec::new()).await?,
        expiring: tenants.iter().map(|tenant| tenant.expiring).sum(),
        tenants,
        soon: explain::upcoming(tx, until, limit).await?,
        unconfirmed: unconfirmed(tx, limit).await?,
    })
}

pub(super) async fn overdue(tx: &mut Tx) -> Result<Overdue> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(OVERDUE)
        .bind(tx.now)
        .fetch_all(tx.conn())
        .await?;
    let mut subscribers = BTreeMap::new();
    for (subscriber, devices) in rows {
        subscribers.insert(SubscriberId(subscriber), status::count_of(devices)?);
    }
    let now = instant(tx.now)?;
    Ok(Overdue { now, subscribers })
}

pub(super) async fn live_among(
    tx: &mut Tx,
    subscribers: &BTreeSet<SubscriberId>,
) -> Result<BTreeSet<SubscriberId>> {
    let ids: Vec<_> = subscribers.iter().map(|id| id.0).collect();
    let mut live = BTreeSet::new();
    for ids in ids.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new("SELECT id FROM subscriber WHERE id IN ");
        push_numbers(&mut query, ids.iter().copied());
        query
            .push(" AND (access = 'forever' OR ends_at > ")
            .push_bind(tx.now);
        query.push(")");
        let found: Vec<i64> = query.build_query_scalar().fetch_all(tx.conn()).await?;
        live.extend(found.into_iter().map(SubscriberId));
    }
    Ok(live)
}

async fn tenants(tx: &mut Tx, soon: Duration) -> Result<Vec<TenantSummary>> {
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as("SELECT id, slug, name FROM tenant ORDER BY slug")
            .fetch_all(tx.conn())
            .await?;
    let live: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, COUNT(*), COUNT(*) FILTER (WHERE ends_at <= $2) FROM subscriber
         WHERE planned_revision < revision AND ends_at > $1 GROUP BY tenant_id",
    )
    .bind(tx.now)
    .bind(tx.now.saturating_add(span(soon)))
    .fetch_all(tx.conn())
    .await?;
    let forever: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, COUNT(*) FROM subscriber WHERE access = 'forever' GROUP BY tenant_id",
    )
    .fetch_all(tx.conn())
    .await?;
    let owed: Vec<(i64, i64, i64)> = sqlx::query_as(OWED_BY_TENANT)
        .bind(tx.now)
        .bind(status::late_before(tx))
        .fetch_all(tx.conn())
        .await?;
    let mut counts: BTreeMap<i64, [u64; 4]> = BTreeMap::new();
    for (tenant, live, expiring) in live {
        let of = counts.entry(tenant).or_default();
        of[0] += status::count_of(live)?;
        of[1] += status::count_of(expiring)?;
    }
    for (tenant, live) in forever {
        counts.entry(tenant).or_default()[0] += status::count_of(live)?;
    }
    for (tenant, owed, late) in owed {
        let of = counts.entry(tenant).or_default();
        of[2] += status::count_of(owed)?;
        of[3] += status::count_of(late)?;
    }
    let tenants = rows.into_iter().map(|(id, slug, name)| {
        let [live, expiring, owed, late] = counts.get(&id).copied().unwrap_or_default();
        TenantSummary {
            slug: status::slug(slug),
            name,
            live,
            expiring,
            owed,
            late,
        }
    });
    Ok(tenants.collect())
}

async fn unconfirmed(tx: &mut Tx, limit: u32) -> Result<Vec<Unconfirmed>> {
    let rows: Vec<(i64, String, String, i64, String, i64, i64)> = sqlx::query_as(UNCONFIRMED)
        .bind(tx.now)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?;
    let mut found: BTreeMap<i64, Unconfirmed> = BTreeMap::new();
    for (id, username, tenant, ended_at, router, since, online) in rows {
        let cell = |column| Cell {
            table: "subscriber",
            column,
            key: id,
        };
        let on = UnconfirmedOn {
            router,
            since: instant(since)?,
            online: online != 0,
        };
        if let Some(one) = found.get_mut(&id) {
            one.routers.push(on);
        } else {
            let one = Unconfirmed {
                subscriber: SubscriberId(id),
                username: cell("username").parse(&username)?,
                tenant: status::slug(tenant),
                ended_at: cell("ends_at").time(ended_at)?,
                routers: vec![on],
            };
            found.insert(id, one);
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|one| (one.ended_at, one.subscriber));
    Ok(found)
}
