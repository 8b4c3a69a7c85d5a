use std::time::Duration;

use expiry_core::{
    AuditKind, Conflict, Fence, Hardware, LOOKS_AFTER_RESTART, RESTART_TOLERANCE, RouterFacts,
    RouterState,
};

use super::{Tx, audit, ownership, routers};
use crate::{
    error::Result,
    row::{span, storable},
};

/// Records how a router is. The caller keeps every other call of this kind out, so that no two
/// routers get the same serial number.
pub(super) async fn router_state(tx: &mut Tx, fence: &Fence, state: &RouterState) -> Result<()> {
    ownership::hold(tx, fence).await?;
    note_turn(tx, fence, state).await?;
    match state {
        RouterState::Reached(facts) => {
            let has_restarted = has_restarted(tx, fence, facts).await?;
            reached(tx, fence, facts, has_restarted).await
        }
        RouterState::Restarted(facts) => reached(tx, fence, facts, true).await,
        RouterState::Hindered(error) => {
            sqlx::query("UPDATE router SET attempted_at = $2, last_error = $3 WHERE id = $1")
                .bind(fence.router.0)
                .bind(tx.now)
                .bind(storable(error))
                .execute(tx.conn())
                .await?;
            Ok(())
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

/// When the router was started, by the clock of the database.
fn booted_at(tx: &Tx, facts: &RouterFacts) -> Option<i64> {
    let up_for = facts.up_for()?;
    Some(tx.now.saturating_sub(span(up_for)))
}

/// Tells whether the router seems to have started later than when it last told, perhaps to another
/// watcher.
async fn has_restarted(tx: &mut Tx, fence: &Fence, facts: &RouterFacts) -> Result<bool> {
    let known: Option<i64> = sqlx::query_scalar("SELECT booted_at FROM router WHERE id = $1")
        .bind(fence.router.0)
        .fetch_one(tx.conn())
        .await?;
    let both = known.zip(booted_at(tx, facts));
    Ok(both.is_some_and(|(then, now)| now - then > span(RESTART_TOLERANCE)))
}

async fn reached(
    tx: &mut Tx,
    fence: &Fence,
    facts: &RouterFacts,
    has_restarted: bool,
) -> Result<()> {
    sqlx::query(
        "UPDATE router SET attempted_at = $2, last_error = NULL, down_since = NULL,
             back_at = CASE WHEN $6 OR down_since IS NOT NULL THEN $2 ELSE back_at END,
             said_at = $2, version = $3, board = $4, skew_us = $5,
             booted_at = COALESCE($7, booted_at)
         WHERE id = $1",
    )
    .bind(fence.router.0)
    .bind(tx.now)
    .bind(facts.version.as_deref().map(storable))
    .bind(facts.board.as_deref().map(storable))
    .bind(facts.clock.map(|clock| clock.timestamp_micros() - tx.now))
    .bind(has_restarted)
    .bind(booted_at(tx, facts))
    .execute(tx.conn())
    .await?;
    if has_restarted {
        look_again(tx, fence).await?;
    }
    recognise(tx, fence, facts).await
}

/// Has the latest confirmed cuts looked at again.
async fn look_again(tx: &mut Tx, fence: &Fence) -> Result<()> {
    sqlx::query(
        "UPDATE enforcement SET next_at = $2 WHERE id IN (
             SELECT id FROM enforcement
             WHERE router_id = $1 AND want = 'cut' AND state = 'confirmed'
             ORDER BY confirmed_at DESC, id DESC LIMIT $3)",
    )
    .bind(fence.router.0)
    .bind(tx.now)
    .bind(i64::from(LOOKS_AFTER_RESTART))
    .execute(tx.conn())
    .await?;
    Ok(())
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
        (RouterState::Reached(_) | RouterState::Restarted(_), Some(since)) => {
            let down_for = u64::try_from(tx.now - since).unwrap_or_default();
            AuditKind::RouterUp {
                down_for: Duration::from_micros(down_for),
            }
        }
        (RouterState::Failed(_), Some(_))
        | (RouterState::Reached(_) | RouterState::Restarted(_), None)
        | (RouterState::Hindered(_), _) => return Ok(()),
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
