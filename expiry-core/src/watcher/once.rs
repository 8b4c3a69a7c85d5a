use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Shared, WatchError, brake, prune};
use crate::{Brake, Cause, StoreError, TaskId, Tries};

/// What a single check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OnceReport {
    /// Cuts and restores that were owed at the start.
    pub owed: u64,
    /// Of those, how many are not owed any more.
    pub confirmed: u64,
    /// Everything that is owed now, but for what waits for a decision.
    pub still_owed: u64,
    /// Routers on which nothing is done until somebody decides.
    pub waiting: Vec<Waiting>,
    /// Why nothing was cut, or nothing more; empty if nothing was in the way.
    pub brakes: Vec<Brake>,
}

/// A router whose box is on record as another router: its cuts are made through that one, as far as
/// they have the same subscribers. What is owed on it stays owed until it is removed or is another
/// box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The router.
    pub router: String,
    /// What was seen there.
    pub seen: String,
    /// How much is owed there.
    pub owed: u64,
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
        let (owed, waiting) = owed(shared).await.map_err(WatchError::Store)?;
        return Ok(OnceReport {
            owed,
            confirmed: 0,
            still_owed: owed,
            waiting,
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
    // It is begun: who asked is told so, whatever happens to the store from here on.
    tried(shared, stop).await.map_err(WatchError::Unread)
}

/// Has everything that is planned tried once.
async fn tried(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<OnceReport, StoreError> {
    let at_start = shared.store.tries().await?;
    let since = at_start.now;
    let owed_then = tasks(at_start);
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
            if everything_was_tried(shared, since, &owed_then)
                .await
                .unwrap_or(false)
            {
                break;
            }
        }
        ours.cancel();
    };
    let (ran, ()) = tokio::join!(shared.run(&ours), watched);
    if let Err(WatchError::Store(error) | WatchError::Unread(error)) = ran {
        return Err(error);
    }
    // Where only single checks run, nobody else does this.
    prune::batch(shared, &mut 0).await;

    let still = tasks(shared.store.tries().await?);
    let (still_owed, waiting) = owed(shared).await?;
    Ok(OnceReport {
        owed: count(owed_then.len()),
        confirmed: count(owed_then.difference(&still).count()),
        still_owed,
        waiting,
        brakes: shared.brakes().clone(),
    })
}

async fn everything_was_tried(
    shared: &Shared,
    since: DateTime<Utc>,
    owed: &BTreeSet<TaskId>,
) -> Result<bool, StoreError> {
    let asked = async { tokio::try_join!(shared.store.tries(), shared.store.status(0)) };
    let Ok(answer) = timeout(Duration::from_secs(5), asked).await else {
        return Ok(false);
    };
    let (tries, now) = answer?;
    let mut tries = tries.tasks.iter().filter(|last| owed.contains(&last.task));
    // What cannot hold is tried at its own pace, however often somebody asks.
    let is_tried = tries.all(|last| last.cannot_hold || last.at.is_some_and(|at| at >= since));
    let served = shared.served();
    let passed = now
        .routers
        .iter()
        .filter(|router| router.enabled)
        .all(|router| router.owner.is_some_and(|o| o != shared.id) || served.contains(&router.id));
    Ok(is_tried && passed)
}

/// Returns how much is owed, and apart from it what waits for a decision.
async fn owed(shared: &Shared) -> Result<(u64, Vec<Waiting>), StoreError> {
    let status = shared.store.status(0).await?;
    let waiting = status.routers.iter().filter_map(|router| {
        let owed = router.owed_cuts + router.owed_restores;
        let cause = router.last_error.as_deref().and_then(Cause::in_line);
        let is_twin = router.enabled && cause == Some(Cause::SameBox);
        (is_twin && owed > 0).then(|| Waiting {
            router: router.name.clone(),
            seen: router.last_error.clone().unwrap_or_default(),
            owed,
        })
    });
    let waiting: Vec<_> = waiting.collect();
    let apart: u64 = waiting.iter().map(|waiting| waiting.owed).sum();
    let owed = status.owed_cuts + status.owed_restores;
    Ok((owed.saturating_sub(apart), waiting))
}

fn tasks(tries: Tries) -> BTreeSet<TaskId> {
    tries.tasks.into_iter().map(|last| last.task).collect()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
