use std::time::Duration;

use super::Shared;
use crate::{ChangeFeed, StoreError};

/// Wakes the heart and the planner whenever the data changes. Never returns.
pub(super) async fn listen(shared: &Shared) {
    let mut broken = false;
    loop {
        let error = match shared.store.changes().await {
            Ok(feed) => {
                // What changed before the feed was open is read now.
                wake(shared);
                broken = false;
                until_it_breaks(shared, feed).await
            }
            Err(error) => error,
        };
        if !broken {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no word of changes from the store; the sweep goes on"
            );
            broken = true;
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn until_it_breaks(shared: &Shared, mut feed: Box<dyn ChangeFeed>) -> StoreError {
    loop {
        match feed.changed().await {
            Ok(()) => wake(shared),
            Err(error) => return error,
        }
    }
}

const RECONNECT: Duration = Duration::from_secs(1);

fn wake(shared: &Shared) {
    shared.plan.notify_one();
    shared.changed.notify_one();
}

/// Logs a store failure the first time in a row.
pub(super) fn log_store_failure(streak: &mut u32, what: &str, error: &StoreError) {
    if *streak == 0 {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, what, "the store failed; trying again");
    }
    *streak += 1;
}
