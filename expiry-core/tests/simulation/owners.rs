//! Who may record what a router answers, and write to it: one watcher at a time, by what the store
//! said to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use expiry_core::{Epoch, Fence, Ownership, RouterId, WatcherId};
use tokio::time::Instant;

/// Nobody takes a router from a watcher whose last heartbeat is younger than this.
const RESPECT: Duration = Duration::from_secs(14);

struct Owner {
    watcher: WatcherId,
    epoch: Epoch,
    since: Instant,
}

#[derive(Default)]
pub(crate) struct Owners {
    routers: BTreeMap<RouterId, Owner>,
    /// The last epoch of each router that the database knows of.
    epochs: BTreeMap<RouterId, Epoch>,
    /// All that were ever given out.
    given: BTreeSet<(RouterId, Epoch)>,
    beats: BTreeMap<WatcherId, Instant>,
}

impl Owners {
    /// Takes in the answer to a heartbeat. Returns what it breaks.
    pub(crate) fn claimed(&mut self, watcher: WatcherId, owned: &[Ownership]) -> Vec<String> {
        self.beats.insert(watcher, Instant::now());
        let is_owned = |router| owned.iter().any(|one| one.router.id == router);
        self.routers
            .retain(|router, owner| owner.watcher != watcher || is_owned(*router));
        let mut broken = Vec::new();
        for Ownership { router, epoch, .. } in owned {
            let (id, epoch) = (router.id, *epoch);
            let before = self.routers.get(&id);
            if before.is_some_and(|one| (one.watcher, one.epoch) == (watcher, epoch)) {
                continue;
            }
            let others = before.filter(|one| one.watcher != watcher);
            let beat = others.and_then(|one| self.beats.get(&one.watcher));
            if beat.is_some_and(|at| at.elapsed() < RESPECT) {
                broken.push(format!("r{id} is taken from who is alive (R8)"));
            }
            let last = self.epochs.insert(id, epoch);
            if last.is_some_and(|last| last >= epoch) || !self.given.insert((id, epoch)) {
                broken.push(format!("an epoch of r{id} is given out again (R8)"));
            }
            let since = Instant::now();
            let claimed = Owner {
                watcher,
                epoch,
                since,
            };
            self.routers.insert(id, claimed);
        }
        broken
    }

    /// Returns who owns a router, and since when.
    pub(crate) fn owner(&self, router: RouterId) -> Option<(WatcherId, Instant)> {
        let owner = self.routers.get(&router)?;
        Some((owner.watcher, owner.since))
    }

    /// Tells whether a heartbeat is certainly young enough for its watcher to be alive.
    pub(crate) fn are_alive(&self) -> bool {
        let mut beats = self.beats.values();
        beats.any(|at| at.elapsed() < Duration::from_secs(10))
    }

    /// A watcher serves nothing any more.
    pub(crate) fn released(&mut self, watcher: WatcherId) {
        self.routers.retain(|_, owner| owner.watcher != watcher);
        self.beats.remove(&watcher);
    }

    /// A router was taken from its owner, or stands for another box.
    pub(crate) fn disowned(&mut self, router: RouterId) {
        self.routers.remove(&router);
    }

    /// The database knows of these, and of no later claim or heartbeat.
    pub(crate) fn put_back(&mut self, owners: &[Fence]) {
        self.beats.clear();
        self.epochs = owners.iter().map(|one| (one.router, one.epoch)).collect();
        let since = Instant::now();
        let owners = owners.iter().map(|one| {
            let owner = Owner {
                watcher: one.watcher,
                epoch: one.epoch,
                since,
            };
            (one.router, owner)
        });
        self.routers = owners.collect();
    }

    /// The database's clock was stepped: old heartbeats say nothing.
    pub(crate) fn forget_beats(&mut self) {
        self.beats.clear();
    }

    /// Tells whether a record is its owner's.
    pub(crate) fn may_record(&self, fence: &Fence) -> bool {
        let owner = self.routers.get(&fence.router);
        owner.is_some_and(|one| (one.watcher, one.epoch) == (fence.watcher, fence.epoch))
    }
}
