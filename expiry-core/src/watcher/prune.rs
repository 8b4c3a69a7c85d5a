use std::time::Duration;

use tokio::time::sleep;

use super::{Shared, brake, feed::log_store_failure};
use crate::Pruned;

/// How long a fresh watcher waits: at its start it has better things to do.
const FIRST: Duration = Duration::from_mins(1);

/// The pause after all that is old was dropped.
const PACE: Duration = Duration::from_hours(1);

/// The pause between two batches, so that nobody waits long for the database.
const BREATH: Duration = Duration::from_secs(1);

/// Most rows of each kind that are dropped at once.
const BATCH: u32 = 500;

/// Drops what is older than it has to be kept, at a slow pace. Never returns.
pub(super) async fn prune(shared: &Shared) {
    let mut failures = 0;
    sleep(FIRST).await;
    loop {
        let more = batch(shared, &mut failures).await;
        sleep(if more { BREATH } else { PACE }).await;
    }
}

/// Drops one batch; tells whether more may be left. A failure waits for the next time. So does a
/// brake: by a clock that is far ahead everything is old.
pub(super) async fn batch(shared: &Shared, failures: &mut u32) -> bool {
    let pruned = async {
        if brake::look(shared).await?.brakes.is_empty() {
            shared.store.prune(shared.config.keep, BATCH).await
        } else {
            Ok(Pruned::default())
        }
    };
    match pruned.await {
        Ok(pruned) => {
            *failures = 0;
            if pruned.events + pruned.undo > 0 {
                tracing::debug!(events = pruned.events, undo = pruned.undo, "pruned");
            }
            pruned.events.max(pruned.undo) >= u64::from(BATCH)
        }
        Err(error) => {
            log_store_failure(failures, "pruning", &error);
            false
        }
    }
}
