//! The flights of a restore: what we disabled is enabled again for who paid, and read back.

use std::time::Duration;

use super::turn::{Touched, Turn, TurnError, Written};
use crate::{
    DropOrder, GatewayError, RowId, Sighting, State, Task, UnblockOrder, Undo,
    decide::{RestorePlan, hosts_to_renew, plan_restore},
};

/// A look this long after a restore was confirmed does not disturb what it finds.
const LATEST: Duration = Duration::from_secs(30);

/// Undoes what we did, for those who paid: enable, read back, record. Tells what came of the writes.
pub(super) async fn run(
    turn: &Turn<'_>,
    tasks: Vec<Task>,
    seen: &Sighting,
    touched: &mut Touched,
) -> Result<Written, TurnError> {
    let mut results = Vec::new();
    let mut pending = Vec::new();
    let mut hosts = Vec::new();
    let gap = seen.gap();
    for task in &tasks {
        let RestorePlan { order, undone } = plan_restore(task, seen);
        match (order.is_empty(), task.progress.state) {
            (true, _) if let Some(gap) = &gap => {
                results.push((task, turn.unconfirmed(task, gap.clone(), None), Vec::new()));
            }
            (true, state) => {
                // An earlier attempt may have been broken off after it enabled the binding.
                if state == State::Owed {
                    hosts.extend(hosts_to_renew(task, seen));
                }
                results.push((task, turn.confirmed(task), undone));
            }
            (false, State::Owed) => pending.push((task, order)),
            // By now it is rather somebody else's doing than a write of ours that came late.
            (false, State::Confirmed) if turn.since_confirmed(task) > LATEST => {
                results.push((task, turn.confirmed(task), Vec::new()));
            }
            (false, State::Confirmed) => {
                results.push((task, turn.returned(task, None), undone));
            }
        }
    }
    let renewed = !hosts.is_empty();
    renew(turn, hosts).await?;
    turn.settle(results, touched).await?;
    if pending.is_empty() {
        return Ok(if renewed {
            Written::Taken
        } else {
            Written::Nothing
        });
    }

    let asked = turn.shared.clock.boot();
    let standing = turn.standing(pending.iter().map(|(task, _)| *task)).await?;
    pending.retain(|(task, _)| standing.contains(&(*task).into()));
    let order = merged(pending.iter().map(|(_, order)| order));
    turn.trust()?;
    let keys = |undo: &Undo| undo.key.clone();
    let first = touched.add(
        pending
            .iter()
            .flat_map(|(task, _)| task.undo.iter().map(keys)),
    );
    let refusals = turn
        .shared
        .gateway
        .unblock(&turn.login.router, &order)
        .await?;
    turn.answered(asked, &first, touched);

    let pending: Vec<Task> = pending.into_iter().map(|(task, _)| task.clone()).collect();
    let back = match turn
        .shared
        .gateway
        .look(turn.login, &turn.query(&pending))
        .await
    {
        Ok(back) => back,
        Err(GatewayError::Refused { message, .. }) => {
            let outcome = |task| turn.unconfirmed(task, message.clone(), None);
            let results = pending.iter().map(|task| (task, outcome(task), Vec::new()));
            turn.settle(results.collect(), touched).await?;
            return Ok(Written::answered(&refusals));
        }
        Err(error) => return Err(error.into()),
    };
    let hosts = pending
        .iter()
        .flat_map(|task| hosts_to_renew(task, &back))
        .collect();
    renew(turn, hosts).await?;
    let gap = back.gap();
    let results = pending.iter().map(|task| {
        let RestorePlan { order, undone } = plan_restore(task, &back);
        if let (true, Some(gap)) = (order.is_empty(), &gap) {
            return (task, turn.unconfirmed(task, gap.clone(), None), Vec::new());
        }
        if order.is_empty() {
            return (task, turn.confirmed(task), undone);
        }
        let error = refusals.first().map_or_else(
            || "still disabled after it was enabled".into(),
            |refusal| format!("the router refused to enable: {}", refusal.message),
        );
        (task, turn.unconfirmed(task, error, None), Vec::new())
    });
    turn.settle(results.collect(), touched).await?;
    Ok(Written::answered(&refusals))
}

/// A device that stayed in range keeps its host row from before its binding was enabled, and some
/// routers read bindings only for new ones.
async fn renew(turn: &Turn<'_>, hosts: Vec<RowId>) -> Result<(), TurnError> {
    if hosts.is_empty() {
        return Ok(());
    }
    turn.trust()?;
    let order = DropOrder {
        hosts,
        ..DropOrder::default()
    };
    turn.shared
        .gateway
        .drop_rows(&turn.login.router, &order)
        .await?;
    Ok(())
}

fn merged<'a>(orders: impl Iterator<Item = &'a UnblockOrder>) -> UnblockOrder {
    let mut all = UnblockOrder::default();
    for order in orders {
        all.users.extend(order.users.iter().cloned());
        all.bindings.extend(order.bindings.iter().cloned());
    }
    for ids in [&mut all.users, &mut all.bindings] {
        ids.sort();
        ids.dedup();
    }
    all
}
