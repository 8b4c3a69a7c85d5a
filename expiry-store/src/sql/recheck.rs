use std::collections::BTreeSet;

use expiry_core::{RouterId, UndoKey};

use super::{Tx, cut, keys::split, restore, signal, undo, work};
use crate::{error::Result, row::instant};

/// Owes a look in both directions at what may have been written behind the owner's back.
pub(super) async fn recheck(tx: &mut Tx, router: RouterId, keys: &[UndoKey]) -> Result<()> {
    undo::reopen(tx, router, keys).await?;
    let (names, macs) = split(keys);
    let now = instant(tx.now)?;
    let owners = work::owners(tx, router, &names, &macs).await?;
    let (live, others): (Vec<_>, Vec<_>) = owners.iter().partition(|owner| owner.is_live(now));
    restore::owe_explained(tx, Some(router.0)).await?;
    let explained: BTreeSet<_> = live.iter().map(|owner| &owner.key).collect();
    let keys: BTreeSet<_> = keys.iter().filter(|key| !explained.contains(key)).collect();
    cut::removed_again(tx, router, &keys).await?;
    let ended = others.iter().filter(|owner| owner.has_ended(now));
    let ended: BTreeSet<_> = ended.map(|owner| owner.subscriber.id.0).collect();
    cut::again(tx, router, &ended).await?;
    cut::plan_missing(tx, ended, router).await?;
    signal(tx.conn()).await
}

/// Has everything that is owed and waits tried now.
pub(super) async fn nudge(tx: &mut Tx) -> Result<()> {
    sqlx::query(
        "UPDATE enforcement SET next_at = $1
         WHERE state = 'owed' AND next_at > $1 AND returns < $2",
    )
    .bind(tx.now)
    .bind(i64::from(expiry_core::RETURNS_UNTIL_CANNOT_HOLD))
    .execute(tx.conn())
    .await?;
    sqlx::query("UPDATE router SET nudged_at = $1 WHERE enabled")
        .bind(tx.now)
        .execute(tx.conn())
        .await?;
    signal(tx.conn()).await
}
