use std::time::Duration;

use expiry_core::{AuditKind, Conflict, Fence, Hardware, RouterFacts, RouterState};

use super::{Tx, audit, ownership, routers};
use crate::{error::Result, row::storable};

/// Records how a router is. The caller keeps every other call of this kind out, so that no two
/// routers get the same serial number.
pub(super) async fn router_state(tx: &mut Tx, fence: &Fence, state: &RouterState) -> Result<()> {
    ownership::hold(tx, fence).await?;
    note_turn(tx, fence, state).await?;
    match state {
        RouterState::Reached(facts) => {
            sqlx::query(
                "UPDATE router SET attempted_at = $2, last_error = NULL, down_since = NULL,
                     back_at = CASE WHEN down_since IS NULL THEN back_at ELSE $2 END,
                     said_at = $2, version = $3, board = $4, skew_us = $5
                 WHERE id = $1",
            )
            .bind(fence.router.0)
            .bind(tx.now)
            .bind(facts.version.as_deref().map(storable))
            .bind(facts.board.as_deref().map(storable))
            .bind(facts.clock.map(|clock| clock.timestamp_micros() - tx.now))
            .execute(tx.conn())
            .await?;
            recognise(tx, fence, facts).await
        }
        RouterState::Failed(error) => {
            sqlx::query(
                "UPDATE router SET attempted_at = $2, last_error = $3,
                     down_since = COALESCE(down_since, $2)
                 WHERE id = $1",
            )
            .bind(fence.router.0)
            .bind(tx.now)
            .bind(storable(error))
            .execute(tx.conn())
            .await?;
            Ok(())
        }
    }
}

/// Tells the audit when an outage begins or ends.
async fn note_turn(tx: &mut Tx, fence: &Fence, state: &RouterState) -> Result<()> {
    let (tenant, name, down_since): (i64, String, Option<i64>) =
        sqlx::query_as("SELECT tenant_id, name, down_since FROM router WHERE id = $1")
            .bind(fence.router.0)
            .fetch_one(tx.conn())
            .await?;
    let kind = match (state, down_since) {
        (RouterState::Failed(error), None) => AuditKind::RouterDown {
            error: storable(error),
        },
        (RouterState::Reached(_), Some(since)) => {
            let down_for = u64::try_from(tx.now - since).unwrap_or_default();
            AuditKind::RouterUp {
                down_for: Duration::from_micros(down_for),
            }
        }
        (RouterState::Failed(_), Some(_)) | (RouterState::Reached(_), None) => return Ok(()),
    };
    audit::note_router(tx, (fence.router.0, tenant, &name), kind).await
}

/// Takes the first box that answers as the router, and follows the name of a known one.
async fn recognise(tx: &mut Tx, fence: &Fence, facts: &RouterFacts) -> Result<()> {
    let known = routers::require(tx, fence.router).await?.router()?.seen;
    let found = Hardware {
        identity: storable(&facts.hardware.identity),
        serial: facts.hardware.serial.as_deref().map(storable),
    };
    let now_known = match &known {
        None => found,
        Some(known) if known.is_same_box(&found) => Hardware {
            identity: found.identity,
            serial: known.serial.clone().or(found.serial),
        },
        Some(_) => return Ok(()),
    };
    if known.as_ref() == Some(&now_known) {
        return Ok(());
    }
    if let Some(serial) = &now_known.serial {
        let other: Option<String> =
            sqlx::query_scalar("SELECT name FROM router WHERE serial = $1 AND id <> $2")
                .bind(serial)
                .bind(fence.router.0)
                .fetch_optional(tx.conn())
                .await?;
        if let Some(router) = other {
            let serial = serial.clone();
            return Err(Conflict::RouterSerial { serial, router }.into());
        }
    }
    sqlx::query("UPDATE router SET identity = $2, serial = $3 WHERE id = $1")
        .bind(fence.router.0)
        .bind(now_known.identity)
        .bind(now_known.serial)
        .execute(tx.conn())
        .await?;
    Ok(())
}
