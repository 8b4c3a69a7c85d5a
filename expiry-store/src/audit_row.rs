//! Between rows of the audit and the domain.

use std::time::Duration;

use expiry_core::{
    AuditEntry, AuditEvent, AuditId, AuditKind, LAG_BOUNDS, MacAddr, RouterId, StoreError,
    SubscriberId, Username, lag_bound,
};
use serde_json::{Map, Value};
use sqlx::FromRow;

use crate::row::{Cell, span, tenant_id};

/// Stands in the place of an upper bound where there is none.
const BEYOND: i64 = i64::MAX;

/// Returns the word and the detail that stand for a kind.
pub(crate) fn kind_columns(kind: &AuditKind) -> Result<(String, Option<String>), sqlx::Error> {
    let encoded = serde_json::to_value(kind).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    let word = encoded["kind"].as_str().unwrap_or_default().to_owned();
    let detail = encoded.get("detail").map(ToString::to_string);
    Ok((word, detail))
}

fn kind(cell: Cell<i64>, word: String, detail: Option<&str>) -> Result<AuditKind, StoreError> {
    let mut encoded = Map::new();
    encoded.insert("kind".into(), Value::String(word));
    if let Some(detail) = detail {
        let detail = serde_json::from_str(detail).map_err(|e| cell.corrupt(e))?;
        encoded.insert("detail".into(), detail);
    }
    serde_json::from_value(Value::Object(encoded)).map_err(|e| cell.corrupt(e))
}

/// A row of `event`.
#[derive(FromRow)]
pub(crate) struct EventRow {
    xid: i64,
    id: i64,
    at: i64,
    kind: String,
    detail: Option<String>,
    tenant_id: i64,
    subscriber_id: Option<i64>,
    username: Option<String>,
    device: Option<String>,
    router_id: Option<i64>,
    router: Option<String>,
    due_at: Option<i64>,
    lag_us: Option<i64>,
    outage: bool,
}

impl EventRow {
    fn cell(&self, column: &'static str) -> Cell<i64> {
        Cell {
            table: "event",
            column,
            key: self.id,
        }
    }
}

impl TryFrom<EventRow> for AuditEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let name = |name: &String| row.cell("username").parse::<Username>(name);
        let mac = |mac: &String| row.cell("device").parse::<MacAddr>(mac);
        let lag = |lag| row.cell("lag_us").number(lag).map(Duration::from_micros);
        Ok(Self {
            id: AuditId {
                transaction: row.xid,
                number: row.id,
            },
            at: row.cell("at").time(row.at)?,
            entry: AuditEntry {
                tenant: tenant_id(row.tenant_id),
                subscriber: row.subscriber_id.map(SubscriberId),
                username: row.username.as_ref().map(name).transpose()?,
                device: row.device.as_ref().map(mac).transpose()?,
                router: row.router_id.map(RouterId),
                router_name: row.router.clone(),
                due_at: row.cell("due_at").maybe_time(row.due_at)?,
                lag: row.lag_us.map(lag).transpose()?,
                outage: row.outage,
                kind: kind(row.cell("kind"), row.kind.clone(), row.detail.as_deref())?,
            },
        })
    }
}

/// Returns what stands for the bucket that a lag falls into.
pub(crate) fn bound_column(lag: Duration) -> i64 {
    bound_to_column(lag_bound(lag))
}

/// Returns what stands for the bucket with an upper bound.
pub(crate) fn bound_to_column(bound: Option<Duration>) -> i64 {
    bound.map_or(BEYOND, span)
}

/// Reads an upper bound. One of another program version counts as the next one of ours.
pub(crate) fn bound(cell: Cell<i64>, micros: i64) -> Result<Option<Duration>, StoreError> {
    if micros == BEYOND {
        return Ok(None);
    }
    let bound = Duration::from_micros(cell.number(micros)?);
    Ok(LAG_BOUNDS.into_iter().find(|ours| *ours >= bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_back_with_and_without_a_detail() {
        let cell = Cell {
            table: "event",
            column: "kind",
            key: 1,
        };
        let up = AuditKind::RouterUp {
            down_for: Duration::from_millis(1500),
        };
        for known in [AuditKind::AccessEnded, up] {
            let (word, detail) = kind_columns(&known).expect("encoded");
            let read = kind(cell, word, detail.as_deref()).expect("decoded");
            assert_eq!(read, known);
        }
        assert!(kind(cell, "dreamt".into(), None).is_err());
        assert!(kind(cell, "router_up".into(), None).is_err());
    }

    #[test]
    fn a_bound_reads_back_and_a_foreign_one_counts_upwards() {
        let cell = Cell {
            table: "lag_count",
            column: "bound_us",
            key: 1,
        };
        for lag in [Duration::ZERO, Duration::from_secs(7), Duration::MAX] {
            let read = bound(cell, bound_column(lag)).expect("known");
            assert_eq!(read, lag_bound(lag));
        }
        let between = bound(cell, 15_000).expect("known");
        assert_eq!(between, Some(Duration::from_millis(20)));
    }
}
