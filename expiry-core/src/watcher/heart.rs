use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared, WatchError,
    brake::{self, Judged},
    fatal,
    feed::log_store_failure,
    lane::Lane,
    measured,
    progress::Beat,
};
use crate::{Epoch, Event, Fence, Heartbeat, Ownership, RouterId, StoreError, WatcherKind};

/// The least time between two heartbeats that changes ask for.
const SPACING: Duration = Duration::from_millis(500);

/// The lanes of one watcher, to be woken by its planner.
#[derive(Default)]
pub(super) struct Lanes(Mutex<BTreeMap<RouterId, Handle>>);

struct Handle {
    epoch: Epoch,
    name: String,
    wake: Arc<Notify>,
    ownership: watch::Sender<Ownership>,
    stop: CancellationToken,
    /// The router is not ours any more, but flights of this lane may still be on the wire. Another
    /// lane for the router waits until this one has ended.
    ending: bool,
}

impl Lanes {
    /// Has every lane read its work anew.
    pub(super) fn wake(&self) {
        for lane in self.all().values() {
            lane.wake.notify_one();
        }
    }

    /// Has every lane end after its present turn.
    fn stop(&self) {
        for lane in self.all().values() {
            lane.stop.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<RouterId, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beats, claims and keeps the lanes until `stop`; then drains them and lets go of the routers.
pub(super) async fn beat(
    shared: &Arc<Shared>,
    lanes: &Lanes,
    stop: &CancellationToken,
) -> Result<(), WatchError> {
    let mut running = JoinSet::new();
    let mut failures = 0;
    while !stop.is_cancelled() {
        let started = Instant::now();
        shared.progress.heart().calls();
        let owned = tokio::select! {
            biased;
            owned = beat_once(shared) => owned,
            () = stop.cancelled() => break,
        };
        match owned {
            Ok(owned) => {
                failures = 0;
                shared.progress.heart().succeeded();
                shared.progress.beaten(Beat::Taken);
                keep_lanes(shared, lanes, owned, &mut running);
            }
            Err(error) => {
                shared.progress.heart().failed();
                shared.progress.beaten(Beat::Failed);
                log_store_failure(&mut failures, "heartbeat", &fatal(error)?);
            }
        }
        let pause = if failures == 0 {
            shared.config.heartbeat
        } else {
            Duration::from_secs(1)
        };
        shared.progress.heart().naps(pause);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(started + pause) => break,
                () = shared.changed.notified() => {
                    tokio::select! {
                        biased;
                        () = sleep_until(started + SPACING) => break,
                        () = stop.cancelled() => {}
                    }
                }
                Some(ended) = running.join_next() => {
                    note_end(shared, lanes, ended);
                    shared.changed.notify_one();
                }
            }
        }
    }
    drain(shared, lanes, running).await;
    Ok(())
}

/// Judges the clocks first: while a brake holds, the watcher is seen alive and owns nothing.
async fn beat_once(shared: &Shared) -> Result<Vec<Ownership>, StoreError> {
    let Judged {
        clocks,
        tolerated,
        brakes,
    } = brake::look(shared).await?;
    let beat = Heartbeat {
        place: Some((shared.machine.clone(), clocks.clone())),
        ..heartbeat(shared)
    };
    if !brakes.is_empty() {
        shared.tenure.end();
        shared.store.stand_by(&beat).await?;
        return Ok(Vec::new());
    }
    let start = shared.tenure.start();
    let owned = shared.store.own(&beat).await?;
    if shared.tenure.renew(start, clocks, tolerated) {
        shared.plan.notify_one();
    }
    Ok(owned)
}

fn heartbeat(shared: &Shared) -> Heartbeat {
    Heartbeat {
        watcher: shared.id,
        kind: shared.kind,
        ttl: shared.config.ownership,
        place: None,
        share_limit: shared.config.share_limit_percent(),
        interval: match shared.kind {
            WatcherKind::Watcher => Some(shared.config.interval),
            WatcherKind::Check => shared.every,
        },
    }
}

fn keep_lanes(
    shared: &Arc<Shared>,
    lanes: &Lanes,
    owned: Vec<Ownership>,
    running: &mut JoinSet<(RouterId, Epoch)>,
) {
    let mut owned: BTreeMap<_, _> = owned.into_iter().map(|o| (o.router.id, o)).collect();
    let mut all = lanes.all();
    for (id, lane) in all.iter_mut() {
        let ownership = owned.remove(id);
        let ours = ownership.filter(|o| o.epoch == lane.epoch && !lane.ending);
        if let Some(ownership) = ours {
            lane.ownership.send_replace(ownership);
        } else if !lane.ending {
            lane.ending = true;
            lane.stop.cancel();
            let name = lane.name.clone();
            shared.record(&Event::Disowned { router: *id, name });
        }
    }
    for (id, ownership) in owned {
        let fence = Fence {
            router: id,
            watcher: shared.id,
            epoch: ownership.epoch,
        };
        let wake = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let name = ownership.router.name.clone();
        let (sender, receiver) = watch::channel(ownership);
        shared.record(&Event::Owned {
            router: id,
            name: name.clone(),
        });
        let lane = Lane::new(
            Arc::clone(shared),
            fence,
            receiver,
            Arc::clone(&wake),
            stop.clone(),
        );
        running.spawn(async move {
            lane.serve().await;
            (fence.router, fence.epoch)
        });
        all.insert(
            id,
            Handle {
                epoch: fence.epoch,
                name,
                wake,
                ownership: sender,
                stop,
                ending: false,
            },
        );
    }
}

/// A lane that ended by itself is begun anew at the next heartbeat that still owns its router.
fn note_end(
    shared: &Shared,
    lanes: &Lanes,
    ended: Result<(RouterId, Epoch), tokio::task::JoinError>,
) {
    let mut all = lanes.all();
    match ended {
        Ok((router, epoch)) => {
            let is_its_own = all.get(&router).is_some_and(|lane| lane.epoch == epoch);
            let ended = is_its_own.then(|| all.remove(&router)).flatten();
            if let Some(Handle { name, .. }) = ended.filter(|lane| !lane.ending) {
                shared.record(&Event::Disowned { router, name });
            }
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a lane broke");
            all.retain(|_, lane| !lane.wake_is_orphaned());
        }
    }
}

impl Handle {
    fn wake_is_orphaned(&self) -> bool {
        Arc::strong_count(&self.wake) == 1
    }
}

async fn drain(shared: &Shared, lanes: &Lanes, mut running: JoinSet<(RouterId, Epoch)>) {
    lanes.stop();
    shared.progress.heart().works(shared.config.patience);
    let mut is_orderly = true;
    let all = async { while running.join_next().await.is_some() {} };
    if timeout(shared.config.patience, all).await.is_err() {
        tracing::warn!("some routers did not finish in time; what is owed there stays owed");
        running.shutdown().await;
        is_orderly = false;
    }
    let let_go = async {
        if !is_orderly {
            // What was written last may still arrive: whoever comes next reads these routers whole.
            shared.store.stand_by(&heartbeat(shared)).await?;
        }
        shared.store.release(shared.id).await
    };
    if !matches!(timeout(Duration::from_secs(3), let_go).await, Ok(Ok(()))) {
        tracing::warn!("the routers could not be let go; others take them when the heartbeat ends");
    }
    measured::keep_rest(shared).await;
}
