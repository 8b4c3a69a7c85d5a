use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::MemoryStore;
use crate::{ChangeFeed, StoreError};

/// The number of changes so far, and who waits for the next one.
///
/// Those who wait are woken in the order in which they began to: a `watch` channel wakes them in
/// random order, and then one seed tells two stories.
#[derive(Default)]
pub(super) struct Changes {
    count: AtomicU64,
    waiting: Notify,
}

impl Changes {
    pub(super) fn announce(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.waiting.notify_waiters();
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    async fn after(&self, seen: u64) -> u64 {
        loop {
            // Before the count is read: a change in between wakes it, too.
            let next = self.waiting.notified();
            let count = self.count();
            if count != seen {
                return count;
            }
            next.await;
        }
    }
}

struct Feed {
    store: MemoryStore,
    seen: u64,
}

impl MemoryStore {
    pub(super) fn feed(&self) -> Box<dyn ChangeFeed> {
        Box::new(Feed {
            store: self.clone(),
            seen: self.shared.changes.count(),
        })
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn changed(&mut self) -> Result<(), StoreError> {
        self.seen = self.store.shared.changes.after(self.seen).await;
        Ok(())
    }
}
