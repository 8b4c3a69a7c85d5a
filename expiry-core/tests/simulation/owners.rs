//! Who may record what a router answers: one watcher at a time, by what the store said to whom.

use std::{collections::BTreeMap, time::Duration};

use expiry_core::{Epoch, Fence, Ownership, RouterId, WatcherId};
use tokio::time::Instant;

/// Nobody takes a router from a watcher whose last heartbeat is younger than this.
const RESPECT: Duration = Duration::from_secs(14);

#[derive(Default)]
pub(crate) struct Owners {
    routers: BTreeMap<RouterId, (WatcherId, Epoch)>,
    beats: BTreeMap<WatcherId, Instant>,
}

impl Owners {
    /// Takes in the answer to a heartbeat. Returns what it breaks.
    pub(crate) fn claimed(&mut self, watcher: WatcherId, owned: &[Ownership]) -> Vec<String> {
        self.beats.insert(watcher, Instant::now());
        self.routers.retain(|_, (owner, _)| *owner != watcher);
        let mut broken = Vec::new();
        for Ownership { router, epoch, .. } in owned {
            if let Some((before, last)) = self.routers.insert(router.id, (watcher, *epoch)) {
                let beat = self.beats.get(&before);
                if beat.is_some_and(|at| at.elapsed() < RESPECT) {
                    broken.push(format!("r{} is taken from who is alive (R8)", router.id));
                }
                if last >= *epoch {
                    broken.push(format!(
                        "an epoch of r{} is given out again (R8)",
                        router.id
                    ));
                }
            }
        }
        broken
    }

    /// Tells whether a heartbeat is certainly young enough for its watcher to be alive.
    pub(crate) fn are_alive(&self) -> bool {
        let mut beats = self.beats.values();
        beats.any(|at| at.elapsed() < Duration::from_secs(10))
    }

    /// A watcher serves nothing any more.
    pub(crate) fn released(&mut self, watcher: WatcherId) {
        self.routers.retain(|_, (owner, _)| *owner != watcher);
        self.beats.remove(&watcher);
    }

    /// A router was taken from its owner, or stands for another box.
    pub(crate) fn disowned(&mut self, router: RouterId) {
        self.routers.remove(&router);
    }

    /// The database's clock was stepped: old heartbeats say nothing.
    pub(crate) fn forget_beats(&mut self) {
        self.beats.clear();
    }

    /// Tells whether a record is its owner's.
    pub(crate) fn may_record(&self, fence: &Fence) -> bool {
        self.routers.get(&fence.router) == Some(&(fence.watcher, fence.epoch))
    }
}
