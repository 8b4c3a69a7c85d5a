//! Payments: each adds what it buys once, whoever sends it again.
//!
//! Orders are carried out one after another, so whoever finds no row of a reference is the first.

use expiry_core::{Missing, Paid, Payment, Pending, Receipt, SubscriberId};
use sqlx::FromRow;

use super::{Tx, audit, subscribers, tenants};
use crate::{
    error::Result,
    row::{Cell, instant, tenant_number},
};

pub(super) async fn pay(tx: &mut Tx, payment: &Payment) -> Result<Paid> {
    tenants::require(tx, payment.tenant).await?;
    if let Some((taken, receipt)) = taken(tx, payment).await? {
        payment.is_again(&taken)?;
        return Ok(Paid {
            pending: pending(tx, receipt.subscriber).await?,
            receipt,
            repeated: true,
        });
    }
    let receipt = take(tx, payment).await?;
    record(tx, payment, &receipt).await?;
    Ok(Paid {
        pending: pending(tx, receipt.subscriber).await?,
        receipt,
        repeated: false,
    })
}

/// Reads the payment that has the reference, and what came of it.
async fn taken(tx: &mut Tx, payment: &Payment) -> Result<Option<(Payment, Receipt)>> {
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT request, receipt FROM payment WHERE tenant_id = $1 AND reference = $2",
    )
    .bind(tenant_number(payment.tenant))
    .bind(payment.reference.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let Some((request, receipt)) = row else {
        return Ok(None);
    };
    let cell = |column| Cell {
        table: "payment",
        column,
        key: payment.reference.as_str(),
    };
    let request = serde_json::from_str(&request).map_err(|e| cell("request").corrupt(e))?;
    let receipt = serde_json::from_str(&receipt).map_err(|e| cell("receipt").corrupt(e))?;
    Ok(Some((request, receipt)))
}

async fn take(tx: &mut Tx, payment: &Payment) -> Result<Receipt> {
    let at = instant(tx.now)?;
    let (known, paid) = match subscribers::find(tx, payment.tenant, &payment.username).await? {
        Some(known) => {
            let change = payment.change(known.access, at)?;
            let mut paid = subscribers::change_access(tx, known.id, change).await?;
            for &mac in payment.devices.difference(&known.devices) {
                paid = subscribers::add_device(tx, known.id, mac).await?;
            }
            (Some(known), paid)
        }
        None if payment.create => {
            subscribers::check_elsewhere(tx, payment.tenant, &payment.username).await?;
            let new = payment.subscriber(at)?;
            (None, subscribers::add(tx, &new).await?)
        }
        None => return Err(Missing::Subscriber.into()),
    };
    audit::note(tx, &paid, payment.event(paid.revision)).await?;
    Ok(payment.receipt(known.map(|known| known.access), &paid, at))
}

async fn record(tx: &mut Tx, payment: &Payment, receipt: &Receipt) -> Result<()> {
    let encoded = |e| sqlx::Error::Encode(Box::new(e));
    let request = serde_json::to_string(payment).map_err(encoded)?;
    let receipt = serde_json::to_string(receipt).map_err(encoded)?;
    sqlx::query(
        "INSERT INTO payment (tenant_id, reference, at, request, receipt)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant_number(payment.tenant))
    .bind(payment.reference.as_str())
    .bind(tx.now)
    .bind(request)
    .bind(receipt)
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    id: i64,
    name: String,
    down_since: Option<i64>,
    restore_owed: bool,
}

/// Lists the routers on which a subscriber may not be online yet. One that was removed has none.
async fn pending(tx: &mut Tx, subscriber: SubscriberId) -> Result<Vec<Pending>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM (
             SELECT r.id, r.name, r.down_since,
                 EXISTS (SELECT 1 FROM enforcement e
                         WHERE e.router_id = r.id AND e.subscriber_id = s.id
                           AND e.want = 'restore' AND e.state = 'owed') AS restore_owed
             FROM subscriber s JOIN router r ON r.tenant_id = s.tenant_id
             WHERE s.id = $1 AND s.removed_at IS NULL AND r.enabled
               AND (s.router_id IS NULL OR s.router_id = r.id)
         ) AS scope
         WHERE restore_owed OR down_since IS NOT NULL ORDER BY name",
    )
    .bind(subscriber.0)
    .fetch_all(tx.conn())
    .await?;
    let pending = rows.into_iter().map(|row| {
        let cell = Cell {
            table: "router",
            column: "down_since",
            key: row.id,
        };
        Ok(Pending {
            down_since: cell.maybe_time(row.down_since)?,
            router: row.name,
            restore_owed: row.restore_owed,
        })
    });
    pending.collect()
}
