//! Whose turn it is to write: the watchers go first.
//!
//! SQLite lets one connection write at a time, and whoever waits asks again and again, in no order.
//! Orders that follow each other without a pause would keep a watcher from its turn for seconds. So
//! they stand back, by two locks of the kernel on empty files beside the database:
//!
//! - `-watcher` is shared by all watchers that want to write or do. An order waits until nobody has
//!   it, or until its patience ends: a watcher without a pause does not keep a payment out.
//! - `-orders` is held by the one order whose turn it is, until its transaction has ended. So a
//!   watcher that comes finds one order ahead of it at most, however many processes give orders.
//!
//! Both are a courtesy. They go with their process, however that ends; each wait for them has a limit,
//! after which, or where the files cannot be opened, SQLite's own lock decides alone.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use expiry_core::StoreError;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout},
};

use super::file::beside;
use crate::error::Result;

/// How long an order waits for those that were given to this process before. Then it is refused.
const IN_LINE: Duration = Duration::from_secs(5);

/// How long an order waits for one of another process. A process that was stopped must not keep all
/// others from writing.
const ANOTHER: Duration = Duration::from_secs(2);

/// How long an order lets watchers go first.
const LET_BY: Duration = Duration::from_millis(100);

/// How long a watcher waits to say that it wants to write: orders hold its lock for an instant.
const ANNOUNCED: Duration = Duration::from_millis(20);

/// Between two tries to take a lock.
const AGAIN: Duration = Duration::from_millis(1);

/// The ways to a turn.
pub(super) struct Turns {
    file: PathBuf,
    watcher: PathBuf,
    orders: PathBuf,
    /// The orders of this process, one after the other.
    line: Arc<Mutex<()>>,
}

/// A turn to write. Whoever drops it gives it back.
#[derive(Default)]
pub(crate) struct Turn {
    _lock: Option<File>,
    _place: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            watcher: beside(file, "-watcher"),
            orders: beside(file, "-orders"),
            line: Arc::default(),
        }
    }

    /// Has orders stand back.
    pub(super) async fn of_watcher(&self) -> Turn {
        let lock = self.open(&self.watcher);
        if let Some(lock) = &lock {
            until(ANNOUNCED, || lock.try_lock_shared().is_ok()).await;
        }
        Turn {
            _lock: lock,
            _place: None,
        }
    }

    /// Waits until no watcher wants to write, and no other order is ahead.
    pub(super) async fn of_order(&self) -> Result<Turn> {
        let place = timeout(IN_LINE, Arc::clone(&self.line).lock_owned()).await;
        let place = place.map_err(|_| StoreError::Busy)?;
        let lock = self.open(&self.orders);
        if let Some(lock) = &lock {
            until(ANOTHER, || lock.try_lock().is_ok()).await;
        }
        if let Some(watchers) = self.open(&self.watcher) {
            until(LET_BY, || watchers.try_lock().is_ok()).await;
        }
        Ok(Turn {
            _lock: lock,
            _place: Some(place),
        })
    }

    /// Opens a file to lock, if that is possible.
    fn open(&self, path: &Path) -> Option<File> {
        let opened = match OpenOptions::new().read(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path),
            opened => opened,
        };
        opened
            .inspect_err(|error| {
                tracing::debug!(%error, path = %path.display(), "no turn is taken");
            })
            .ok()
    }

    /// Makes a file that everybody may open who may open the database.
    fn make(&self, path: &Path) -> io::Result<File> {
        let database = std::fs::metadata(&self.file)?;
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .mode(database.mode() & 0o666)
            .open(path)?;
        let found = made.metadata()?;
        if (found.uid(), found.gid()) != (database.uid(), database.gid()) {
            // Only root may, and only root needs to.
            drop(fchown(&made, Some(database.uid()), Some(database.gid())));
        }
        Ok(made)
    }
}

/// Tries until it succeeds, for so long at most.
async fn until(limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() && Instant::now() < end {
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(directory: &Path) -> Turns {
        let file = directory.join("a.db");
        std::fs::write(&file, "").expect("written");
        Turns::new(&file)
    }

    #[tokio::test]
    async fn an_order_waits_for_a_watcher_and_not_for_ever() {
        let directory = tempfile::tempdir().expect("directory");
        let [watcher, frontend] = [turns(directory.path()), turns(directory.path())];
        let (first, second) = (watcher.of_watcher().await, watcher.of_watcher().await);
        let began = Instant::now();
        drop(frontend.of_order().await.expect("its turn at last"));
        assert!(began.elapsed() >= LET_BY);

        drop(first);
        let mut waiting = Box::pin(frontend.of_order());
        assert!(timeout(LET_BY / 4, &mut waiting).await.is_err());
        drop(second);
        waiting.await.expect("its turn");
    }

    #[tokio::test]
    async fn a_watcher_waits_for_no_order_and_an_order_for_that_of_another_process() {
        let directory = tempfile::tempdir().expect("directory");
        let [one, other] = [turns(directory.path()), turns(directory.path())];
        let order = one.of_order().await.expect("its turn");
        let began = Instant::now();
        drop(one.of_watcher().await);
        assert!(began.elapsed() < LET_BY);
        let mut waiting = Box::pin(other.of_order());
        assert!(timeout(LET_BY, &mut waiting).await.is_err());
        drop(order);
        waiting.await.expect("its turn");
    }

    #[tokio::test]
    async fn where_no_file_can_be_made_everybody_has_a_turn() {
        let directory = tempfile::tempdir().expect("directory");
        let nowhere = Turns::new(&directory.path().join("absent/a.db"));
        let _watcher = nowhere.of_watcher().await;
        nowhere.of_order().await.expect("its turn");
    }
}
