//! A database that is put back to an earlier state: a backup is restored, or a standby that lagged
//! takes over. What happened since then is forgotten, and nobody can promise what only the
//! forgotten rows said:
//!
//! - What we switched off since then counts as switched off before us: it stays so, whoever pays.
//!   The other way round, what the operator switched off since we had undone our own is undone once
//!   more.
//! - Whoever became known since then is a stranger.
//! - How far changes have ended too many is counted from what is left.
//!
//! What is promised as ever: everybody whose access is over by what stands in the database now is
//! off, nobody else is taken, and one watcher at a time records and writes. Epochs come from the
//! clock, so none that is forgotten is given out again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use expiry_core::{
    BrakeStore, Clock, RouterId,
    testing::{MemoryStore, memory::Backup},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    orders::Way,
    plan::{Plan, Step},
    ports::lock,
    world::World,
};

/// How often the database is kept.
const EVERY: Duration = Duration::from_millis(500);

/// For how long.
const KEPT: usize = 100;

/// The database as it was in the last minute.
pub(crate) struct Past {
    kept: Arc<Mutex<VecDeque<(Instant, Backup)>>>,
    keeper: JoinHandle<()>,
}

impl Past {
    /// Keeps what a plan needs.
    pub(crate) fn of(plan: &Plan, store: &MemoryStore) -> Option<Self> {
        let needs = |(_, step): &(u64, Step)| matches!(step, Step::PutBack(_));
        plan.steps
            .iter()
            .any(needs)
            .then(|| Self::begin(store.clone()))
    }

    fn begin(store: MemoryStore) -> Self {
        let kept = Arc::<Mutex<VecDeque<_>>>::default();
        let past = Arc::clone(&kept);
        let keeper = tokio::spawn(async move {
            loop {
                keep(&past, store.backup());
                sleep(EVERY).await;
            }
        });
        Self { kept, keeper }
    }

    fn before(&self, ago: Duration) -> Option<Backup> {
        let kept = lock(&self.kept);
        let mut latest = kept.iter().rev();
        let found = latest.find(|(at, _)| at.elapsed() >= ago);
        found.map(|(_, backup)| backup.clone())
    }

    /// Nothing is put back to what was before this.
    fn forget(&self) {
        lock(&self.kept).clear();
    }
}

fn keep(past: &Mutex<VecDeque<(Instant, Backup)>>, backup: Backup) {
    let mut kept = lock(past);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back((Instant::now(), backup));
}

impl Drop for Past {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl World {
    pub(crate) async fn put_back(&mut self, ago: Duration) {
        let backup = self.past.as_ref().and_then(|past| past.before(ago));
        let Some(backup) = backup else {
            return;
        };
        let owners = self.store.put_back(&backup);
        let mut machines = Vec::new();
        for clock in &self.clocks {
            let known = self.store.machine(&clock.machine().id).await;
            machines.push(known.expect("the store is there").state);
        }
        self.truth.put_back(&owners, machines);
        for (router, who) in self.places.clone() {
            if self.found(who).await.is_none() {
                self.let_in.insert((router, self.plan.cast.like(who)));
            }
            for way in self.ways_of(who) {
                self.forget_way(router, way);
            }
        }
    }

    /// The database knows of a new router only from now on: it has to stay known.
    pub(crate) fn forget_past(&self) {
        if let Some(past) = &self.past {
            past.forget();
        }
    }

    fn ways_of(&self, who: usize) -> [Way; 3] {
        let mac = self.plan.cast.mac(who);
        [
            Way::Account(self.plan.cast.account(who)),
            Way::Account(mac.to_string()),
            Way::Binding(mac),
        ]
    }

    /// Takes in what the database knows no longer, or knows again, of a way in that is closed.
    fn forget_way(&mut self, router: RouterId, way: Way) {
        let is_disabled = self
            .gateway
            .with(router, |hotspot| way.is_disabled(hotspot));
        if is_disabled != Some(true) {
            return;
        }
        if self.is_to_be_undone(router, &way) {
            self.by_hand.remove(&(router, way));
        } else {
            self.truth.forgotten(router, way);
        }
    }
}
