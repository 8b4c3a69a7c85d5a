use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Shared, WatchError, brake, prune};
use crate::{Brake, Status, StoreError, TaskId};

/// What a single check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OnceReport {
    /// Cuts and restores that were owed at the start.
    pub owed: u64,
    /// Of those, how many are not owed any more.
    pub confirmed: u64,
    /// Everything that is owed now.
    pub still_owed: u64,
    /// Why nothing was cut, or nothing more; empty if nothing was in the way.
    pub brakes: Vec<Brake>,
}

/// How long to wait before it is asked whether everything was tried: twice as long each time, up
/// to the second.
const ASK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) async fn run_once(
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> Result<OnceReport, WatchError> {
    let brakes = brake::look(shared).await.map_err(WatchError::Store)?.brakes;
    if !brakes.is_empty() {
        let owed = status(shared).await?;
        let owed = owed.owed_cuts + owed.owed_restores;
        return Ok(OnceReport {
            owed,
            confirmed: 0,
            still_owed: owed,
            brakes,
        });
    }
    while shared
        .store
        .plan_due(500)
        .await
        .map_err(WatchError::Store)?
        .subscribers
        >= 500
    {}
    let at_start = status(shared).await?;
    let owed: BTreeSet<_> = at_start.owed.iter().filter_map(|item| item.task).collect();
    if let Err(error) = shared.store.nudge().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(
            error,
            "the owners of the routers could not be asked to try now"
        );
    }

    let ours = stop.child_token();
    let watched = async {
        let deadline = Instant::now() + shared.config.patience;
        let mut pause = ASK.0;
        while !ours.is_cancelled() && Instant::now() < deadline {
            sleep(pause).await;
            pause = (pause * 2).min(ASK.1);
            if !shared.brakes().is_empty() {
                break;
            }
            if everything_was_tried(shared, &at_start, &owed)
                .await
                .unwrap_or(false)
            {
                break;
            }
        }
        ours.cancel();
    };
    let (ran, ()) = tokio::join!(shared.run(&ours), watched);
    ran?;
    // Where only single checks run, nobody else does this.
    prune::batch(shared, &mut 0).await;

    let now = status(shared).await?;
    let still: BTreeSet<_> = now.owed.iter().filter_map(|item| item.task).collect();
    Ok(OnceReport {
        owed: count(owed.len()),
        confirmed: count(owed.difference(&still).count()),
        still_owed: now.owed_cuts + now.owed_restores,
        brakes: shared.brakes().clone(),
    })
}

async fn everything_was_tried(
    shared: &Shared,
    at_start: &Status,
    owed: &BTreeSet<TaskId>,
) -> Result<bool, StoreError> {
    let Ok(now) = timeout(Duration::from_secs(5), shared.store.status(u32::MAX)).await else {
        return Ok(false);
    };
    let now = now?;
    let tried = now
        .owed
        .iter()
        .filter(|item| item.task.is_some_and(|task| owed.contains(&task)))
        // What cannot hold is tried at its own pace, however often somebody asks.
        .all(|item| item.cannot_hold || item.attempted_at.is_some_and(|at| at >= at_start.now));
    let served = shared.served();
    let passed = now
        .routers
        .iter()
        .filter(|router| router.enabled)
        .all(|router| router.owner.is_some_and(|o| o != shared.id) || served.contains(&router.id));
    Ok(tried && passed)
}

async fn status(shared: &Shared) -> Result<Status, WatchError> {
    shared
        .store
        .status(u32::MAX)
        .await
        .map_err(WatchError::Store)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
