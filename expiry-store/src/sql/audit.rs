//! The audit and the counters of lags: both are written in the transaction of what they tell of,
//! and here alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use expiry_core::{
    AuditEntry, AuditEvent, AuditId, AuditKind, LagPoint, LagReport, RouterId, RouterLags,
    StoreError, Subscriber, SubscriberId, TenantId, Username, Waited, Want,
};
use sqlx::{FromRow, QueryBuilder};

use super::{
    CHUNK, Db, EVENTS_AFTER, EVENTS_LATEST, EVENTS_OF, EVENTS_OF_FORMER, Tx, keys::push_numbers,
};
use crate::{
    audit_row::{EventRow, bound, bound_column, kind_columns},
    error::Result,
    row::{Cell, micros, span, storable, tenant_id, tenant_number, want_word},
};

const INSERT: &str = "INSERT INTO event (at, kind, detail, tenant_id, subscriber_id, username, \
     device, router_id, router, due_at, lag_us, outage) ";

/// Adds one event about a subscriber.
pub(super) async fn note(tx: &mut Tx, subscriber: &Subscriber, kind: AuditKind) -> Result<()> {
    record(tx, &[AuditEntry::of(subscriber, kind)]).await
}

/// Adds one event about a router.
pub(super) async fn note_router(
    tx: &mut Tx,
    (router, tenant, name): (i64, i64, &str),
    kind: AuditKind,
) -> Result<()> {
    let tenant = tenant_id(tenant);
    record(tx, &[AuditEntry::on(tenant, RouterId(router), name, kind)]).await
}

/// Adds events about targets on a router.
pub(super) async fn record_on(
    tx: &mut Tx,
    router: RouterId,
    mut entries: Vec<AuditEntry>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (tenant, name): (i64, String) =
        sqlx::query_as("SELECT tenant_id, name FROM router WHERE id = $1")
            .bind(router.0)
            .fetch_one(tx.conn())
            .await?;
    for entry in &mut entries {
        entry.tenant = tenant_id(tenant);
        entry.router = Some(router);
        entry.router_name = Some(name.clone());
    }
    name_owners(tx, &mut entries).await?;
    record(tx, &entries).await
}

/// Adds events, many at once.
pub(super) async fn record(tx: &mut Tx, entries: &[AuditEntry]) -> Result<()> {
    let now = tx.now;
    for entries in entries.chunks(CHUNK) {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            rows.push((kind_columns(&entry.kind)?, entry));
        }
        let mut query = QueryBuilder::<Db>::new(INSERT);
        query.push_values(rows, |mut values, ((word, detail), entry)| {
            values
                .push_bind(now)
                .push_bind(word)
                .push_bind(detail.as_deref().map(storable))
                .push_bind(tenant_number(entry.tenant))
                .push_bind(entry.subscriber.map(|id| id.0))
                .push_bind(entry.username.as_ref().map(ToString::to_string))
                .push_bind(entry.device.map(|mac| mac.to_string()))
                .push_bind(entry.router.map(|id| id.0))
                .push_bind(entry.router_name.clone())
                .push_bind(entry.due_at.map(micros))
                .push_bind(entry.lag.map(span))
                .push_bind(entry.outage);
        });
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Adds the event that access ended for those whose deadline has passed unplanned, oldest first,
/// at most `limit`: the same as are planned next.
pub(super) async fn note_ends(tx: &mut Tx, limit: u32) -> Result<()> {
    let now = tx.now;
    let mut query = QueryBuilder::<Db>::new(INSERT);
    query
        .push("SELECT ")
        .push_bind(now)
        .push(
            ", 'access_ended', NULL, tenant_id, id, username, NULL, NULL, NULL, ends_at, NULL, \
             FALSE FROM subscriber WHERE planned_revision < revision AND ends_at <= ",
        )
        .push_bind(now)
        .push(" ORDER BY ends_at, id LIMIT ")
        .push_bind(i64::from(limit));
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// Names the subscribers of entries that have none: a removed device does not know its owner.
async fn name_owners(tx: &mut Tx, entries: &mut [AuditEntry]) -> Result<()> {
    let nameless = entries.iter().filter(|entry| entry.username.is_none());
    let ids: BTreeSet<_> = nameless.filter_map(|entry| entry.subscriber).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("SELECT id, username FROM subscriber WHERE id IN ");
    push_numbers(&mut query, ids.iter().map(|id| id.0));
    let rows: Vec<(i64, String)> = query.build_query_as().fetch_all(tx.conn()).await?;
    let mut names = BTreeMap::new();
    for (id, name) in rows {
        let cell = Cell {
            table: "subscriber",
            column: "username",
            key: id,
        };
        names.insert(SubscriberId(id), cell.parse(&name)?);
    }
    for entry in entries {
        if entry.username.is_none() {
            entry.username = entry.subscriber.and_then(|id| names.get(&id).cloned());
        }
    }
    Ok(())
}

/// Counts first confirmations on a router by their direction.
pub(super) async fn count_lags(
    tx: &mut Tx,
    router: RouterId,
    lags: impl IntoIterator<Item = (Want, Waited)>,
) -> Result<()> {
    let mut buckets: BTreeMap<_, (i64, i64, i64)> = BTreeMap::new();
    for (want, waited) in lags {
        let (count, sum, max) = buckets
            .entry((want, waited.kind, bound_column(waited.span)))
            .or_default();
        let lag = span(waited.span);
        (*count, *sum, *max) = (*count + 1, sum.saturating_add(lag), lag.max(*max));
    }
    if buckets.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO lag_count (router_id, want, kind, bound_us, count, sum_us, max_us) ",
    );
    query.push_values(
        buckets,
        |mut values, ((want, kind, bound), (count, sum, max))| {
            values
                .push_bind(router.0)
                .push_bind(want_word(want))
                .push_bind(kind.as_str())
                .push_bind(bound)
                .push_bind(count)
                .push_bind(sum)
                .push_bind(max);
        },
    );
    query.push(
        " ON CONFLICT (router_id, want, kind, bound_us) DO UPDATE SET
              count = lag_count.count + excluded.count,
              sum_us = lag_count.sum_us + excluded.sum_us,
              max_us = CASE WHEN excluded.max_us > lag_count.max_us THEN excluded.max_us
                            ELSE lag_count.max_us END",
    );
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// Reads on after an event.
pub(super) async fn after(tx: &mut Tx, after: AuditId, limit: u32) -> Result<Vec<AuditEvent>> {
    let rows: Vec<EventRow> = sqlx::query_as(EVENTS_AFTER)
        .bind(after.transaction)
        .bind(after.number)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?;
    decoded(rows)
}

/// Reads the latest events of a subscriber, oldest first.
pub(super) async fn latest_of(
    tx: &mut Tx,
    subscriber: SubscriberId,
    limit: u32,
) -> Result<Vec<AuditEvent>> {
    let mut rows: Vec<EventRow> = sqlx::query_as(EVENTS_OF)
        .bind(subscriber.0)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?;
    rows.reverse();
    decoded(rows)
}

/// Reads the latest events that are final in their order, oldest first.
pub(super) async fn latest(tx: &mut Tx, limit: u32) -> Result<Vec<AuditEvent>> {
    let mut rows: Vec<EventRow> = sqlx::query_as(EVENTS_LATEST)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?;
    rows.reverse();
    decoded(rows)
}

/// Reads the latest events of removed subscribers who had a name and of whom nothing else is left,
/// oldest first.
pub(super) async fn latest_of_former(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    username: &Username,
    limit: u32,
) -> Result<Vec<AuditEvent>> {
    let mut rows: Vec<EventRow> = sqlx::query_as(EVENTS_OF_FORMER)
        .bind(tenant_number(tenant))
        .bind(username.as_str())
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?;
    rows.reverse();
    decoded(rows)
}

/// Reads the latest first confirmations, oldest first.
pub(super) async fn latest_lags(tx: &mut Tx, limit: u32) -> Result<Vec<LagPoint>> {
    let rows: Vec<(i64, i64, i64, bool, String, Option<String>)> = sqlx::query_as(
        "SELECT id, at, lag_us, outage, kind, router FROM event WHERE lag_us IS NOT NULL
         ORDER BY id DESC LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await?;
    let points = rows
        .into_iter()
        .rev()
        .map(|(id, at, lag, outage, kind, router)| {
            let cell = |column| Cell {
                table: "event",
                column,
                key: id,
            };
            let restored = kind == "restore_confirmed";
            Ok(LagPoint {
                at: cell("at").time(at)?,
                lag: Duration::from_micros(cell("lag_us").number(lag)?),
                outage,
                want: if restored { Want::Restore } else { Want::Cut },
                router,
            })
        });
    points.collect()
}

fn decoded(rows: Vec<EventRow>) -> Result<Vec<AuditEvent>> {
    let events = rows.into_iter().map(AuditEvent::try_from);
    Ok(events.collect::<std::result::Result<_, StoreError>>()?)
}

#[derive(FromRow)]
struct Bucket {
    router_id: i64,
    router: Option<String>,
    want: String,
    kind: String,
    bound_us: i64,
    count: i64,
    sum_us: i64,
    max_us: i64,
}

/// Reads how long first confirmations took.
pub(super) async fn lag(tx: &mut Tx) -> Result<LagReport> {
    let rows: Vec<Bucket> = sqlx::query_as(
        "SELECT b.router_id, r.name AS router, b.want, b.kind, b.bound_us, b.count, b.sum_us,
             b.max_us
         FROM lag_count b LEFT JOIN router r ON r.id = b.router_id",
    )
    .fetch_all(tx.conn())
    .await?;
    let mut routers: BTreeMap<Option<i64>, RouterLags> = BTreeMap::new();
    for row in rows {
        let cell = |column| Cell {
            table: "lag_count",
            column,
            key: row.router_id,
        };
        let time = |column, micros| cell(column).number(micros).map(Duration::from_micros);
        let known = row.router.is_some().then_some(row.router_id);
        let of = routers.entry(known).or_insert_with(|| RouterLags {
            id: known.map(RouterId),
            router: row.router.clone(),
            lags: expiry_core::Lags::default(),
        });
        let kind = cell("kind").lag_kind(&row.kind)?;
        of.lags.of(cell("want").want(&row.want)?, kind).put(
            bound(cell("bound_us"), row.bound_us)?,
            cell("count").number(row.count)?,
            time("sum_us", row.sum_us)?,
            time("max_us", row.max_us)?,
        );
    }
    Ok(LagReport::new(routers.into_values().collect()))
}
