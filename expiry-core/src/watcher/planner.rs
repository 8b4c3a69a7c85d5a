use std::{convert::Infallible, time::Duration};

use super::{Shared, WatchError, fatal, feed::log_store_failure, heart::Lanes};

/// How many subscribers one transaction plans.
const LIMIT: u32 = 500;

/// Keeps a store that names a deadline but does not plan it from being asked without end.
const LEAST_NAP: Duration = Duration::from_millis(1);

/// The wait after the store failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Plans what is due, for ever: naps until the next deadline, a change, or the sweep.
pub(super) async fn plan(shared: &Shared, lanes: &Lanes) -> Result<(), WatchError> {
    let never: Infallible = plan_for_ever(shared, lanes).await?;
    match never {}
}

async fn plan_for_ever(shared: &Shared, lanes: &Lanes) -> Result<Infallible, WatchError> {
    let mut failures = 0;
    let pulse = shared.progress.planner();
    loop {
        if !shared.tenure.holds() {
            // The heart says when it does. A clock that is not trusted must not say what is due.
            pulse.succeeded();
            pulse.naps(shared.config.interval);
            tokio::select! {
                biased;
                () = tokio::time::sleep(shared.config.interval) => {}
                () = shared.plan.notified() => {}
            }
            continue;
        }
        pulse.calls();
        let nap = match shared.store.plan_due(LIMIT).await {
            Ok(planned) => {
                failures = 0;
                pulse.succeeded();
                lanes.wake();
                if planned.subscribers >= LIMIT {
                    continue;
                }
                let ahead = planned.next_deadline.map(|next| next - planned.now);
                let ahead = ahead.map(|ahead| ahead.to_std().unwrap_or_default());
                let interval = shared.config.interval;
                ahead.unwrap_or(interval).max(LEAST_NAP).min(interval)
            }
            Err(error) => {
                pulse.failed();
                log_store_failure(&mut failures, "planning", &fatal(error)?);
                AGAIN
            }
        };
        pulse.naps(nap);
        tokio::select! {
            biased;
            () = tokio::time::sleep(nap) => {}
            () = shared.plan.notified() => {}
        }
    }
}
