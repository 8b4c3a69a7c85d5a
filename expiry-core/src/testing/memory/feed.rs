use async_trait::async_trait;
use tokio::sync::watch;

use super::MemoryStore;
use crate::{ChangeFeed, StoreError};

pub(super) struct Changes(watch::Sender<()>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Changes {
    pub(super) fn announce(&self) {
        self.0.send_replace(());
    }
}

/// Keeps the store, so that the sender outlives every feed.
struct Feed {
    store: MemoryStore,
    seen: watch::Receiver<()>,
}

impl MemoryStore {
    pub(super) fn feed(&self) -> Box<dyn ChangeFeed> {
        Box::new(Feed {
            store: self.clone(),
            seen: self.shared.changes.0.subscribe(),
        })
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn changed(&mut self) -> Result<(), StoreError> {
        if self.seen.changed().await.is_err() {
            self.seen = self.store.shared.changes.0.subscribe();
        }
        Ok(())
    }
}
