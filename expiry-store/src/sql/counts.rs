//! What attempts at cuts came to, and how long routers took to answer.

use std::{collections::BTreeMap, time::Duration};

use expiry_core::{CutResult, Histogram, RouterCounts, RouterId};
use sqlx::QueryBuilder;

use super::{CHUNK, Db, Tx};
use crate::{
    audit_row::{bound, bound_to_column},
    error::Result,
    row::{Cell, span},
};

/// Counts what attempts on a router came to.
pub(super) async fn count_cuts(
    tx: &mut Tx,
    router: RouterId,
    results: impl IntoIterator<Item = CutResult>,
) -> Result<()> {
    let mut counts: BTreeMap<_, i64> = BTreeMap::new();
    for result in results {
        *counts.entry(result).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("INSERT INTO cut_count (router_id, result, count) ");
    query.push_values(counts, |mut values, (result, count)| {
        values
            .push_bind(router.0)
            .push_bind(result.as_str())
            .push_bind(count);
    });
    query.push(
        " ON CONFLICT (router_id, result) DO UPDATE SET count = cut_count.count + excluded.count",
    );
    query.build().execute(tx.conn()).await?;
    Ok(())
}

/// Adds to how long routers took to answer.
pub(super) async fn note_requests(
    tx: &mut Tx,
    requests: &BTreeMap<RouterId, Histogram>,
) -> Result<()> {
    let buckets = requests.iter().flat_map(|(router, histogram)| {
        histogram
            .buckets()
            .map(|(bound, count, sum, max)| (router.0, bound_to_column(bound), count, sum, max))
    });
    let buckets: Vec<_> = buckets.collect();
    for buckets in buckets.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO request_bucket (router_id, bound_us, count, sum_us, max_us) ",
        );
        query.push_values(buckets, |mut values, (router, bound, count, sum, max)| {
            values
                .push_bind(*router)
                .push_bind(*bound)
                .push_bind(i64::try_from(*count).unwrap_or(i64::MAX))
                .push_bind(span(*sum))
                .push_bind(span(*max));
        });
        query.push(
            " ON CONFLICT (router_id, bound_us) DO UPDATE SET
                  count = request_bucket.count + excluded.count,
                  sum_us = request_bucket.sum_us + excluded.sum_us,
                  max_us = CASE WHEN excluded.max_us > request_bucket.max_us
                                THEN excluded.max_us ELSE request_bucket.max_us END",
        );
        query.build().execute(tx.conn()).await?;
    }
    Ok(())
}

/// Reads what was counted on the routers that are known, by name.
pub(super) async fn read(tx: &mut Tx) -> Result<Vec<RouterCounts>> {
    let routers: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM router ORDER BY name")
        .fetch_all(tx.conn())
        .await?;
    let mut cuts = cuts(tx).await?;
    let mut requests = requests(tx).await?;
    let routers = routers.into_iter().map(|(id, router)| RouterCounts {
        id: RouterId(id),
        router,
        cuts: cuts.remove(&id).unwrap_or_default(),
        requests: requests.remove(&id).unwrap_or_default(),
    });
    Ok(routers.collect())
}

async fn cuts(tx: &mut Tx) -> Result<BTreeMap<i64, BTreeMap<CutResult, u64>>> {
    let rows: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT router_id, result, count FROM cut_count")
            .fetch_all(tx.conn())
            .await?;
    let mut cuts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (router, word, count) in rows {
        let cell = |column| Cell {
            table: "cut_count",
            column,
            key: router,
        };
        let result = cell("result").cut_result(&word)?;
        let of = cuts.entry(router).or_default();
        of.insert(result, cell("count").number(count)?);
    }
    Ok(cuts)
}

async fn requests(tx: &mut Tx) -> Result<BTreeMap<i64, Histogram>> {
    let rows: Vec<(i64, i64, i64, i64, i64)> =
        sqlx::query_as("SELECT router_id, bound_us, count, sum_us, max_us FROM request_bucket")
            .fetch_all(tx.conn())
            .await?;
    let mut requests: BTreeMap<_, Histogram> = BTreeMap::new();
    for (router, bound_us, count, sum, max) in rows {
        let cell = |column| Cell {
            table: "request_bucket",
            column,
            key: router,
        };
        let time = |column, micros| cell(column).number(micros).map(Duration::from_micros);
        requests.entry(router).or_default().put(
            bound(cell("bound_us"), bound_us)?,
            cell("count").number(count)?,
            time("sum_us", sum)?,
            time("max_us", max)?,
        );
    }
    Ok(requests)
}
