//! Whose turn it is to write.
//!
//! SQLite lets one connection write at a time, and whoever waits asks again and again, in no order:
//! orders that follow each other without a pause would keep a watcher waiting for seconds. So whoever
//! wants to write stands in a queue, and orders stand in one of their own before that. Then a watcher
//! finds one order ahead of it at most, however many processes give orders, and an order waits for what
//! stood there when it came, so that watchers without a pause do not keep a payment out.
//!
//! This is a courtesy. Each wait has a limit, after which, or where there can be no queue, SQLite's own
//! lock decides alone.

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use expiry_core::StoreError;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout},
};

use super::queue::{Place, Queue};
use crate::{error::Result, mode::Mode};

/// How long an order waits for those that were given to this process before. Then it is refused.
const REFUSED: Duration = Duration::from_secs(5);

/// How long another process is waited for. One that was stopped must not keep all others from writing.
const ANOTHER: Duration = Duration::from_secs(2);

/// Between two looks whether it is one's turn.
const AGAIN: Duration = Duration::from_millis(1);

/// The ways to a turn.
pub(super) struct Turns {
    orders: Line,
    writers: Line,
}

/// A turn to write, or none for who only reads. Whoever drops it gives it back.
#[derive(Default)]
pub(crate) struct Turn {
    _writer: Option<Stand>,
    _order: Option<Stand>,
}

/// One queue: first that of this process, then that of all.
struct Line {
    here: Arc<Mutex<()>>,
    everywhere: Queue,
}

struct Stand {
    _everywhere: Option<Place>,
    _here: OwnedMutexGuard<()>,
}

impl Turns {
    pub(super) fn new(database: &Path) -> Self {
        let line = |number| Line {
            here: Arc::default(),
            everywhere: Queue::new(database, number),
        };
        Self {
            orders: line(0),
            writers: line(1),
        }
    }

    /// Waits for the turn of a transaction; [`StoreError::Busy`] if too many orders are ahead of it.
    pub(super) async fn of(&self, mode: Mode) -> Result<Turn> {
        match mode {
            Mode::Read | Mode::Glance => Ok(Turn::default()),
            Mode::Order => self.of_order().await,
            Mode::Plan | Mode::PlanAndClaim | Mode::Record | Mode::Claim => {
                Ok(self.of_watcher().await)
            }
        }
    }

    async fn of_watcher(&self) -> Turn {
        Turn {
            _writer: Some(self.writers.stand().await),
            _order: None,
        }
    }

    async fn of_order(&self) -> Result<Turn> {
        let order = timeout(REFUSED, self.orders.stand()).await;
        let order = order.map_err(|_| StoreError::Busy)?;
        Ok(Turn {
            _writer: Some(self.writers.stand().await),
            _order: Some(order),
        })
    }
}

impl Line {
    /// Waits until nobody stands ahead.
    async fn stand(&self) -> Stand {
        let here = Arc::clone(&self.here).lock_owned().await;
        let end = Instant::now() + ANOTHER;
        let everywhere = self.enter(end).await;
        while let Some(place) = &everywhere
            && !place.is_first()
            && Instant::now() < end
        {
            sleep(AGAIN).await;
        }
        Stand {
            _everywhere: everywhere,
            _here: here,
        }
    }

    async fn enter(&self, end: Instant) -> Option<Place> {
        loop {
            match self.everywhere.enter() {
                Ok(place) => return Some(place),
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "nobody can queue to write");
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use futures::{FutureExt, future};

    use super::*;

    /// Two processes, as far as the locks are concerned.
    fn two() -> (tempfile::TempDir, [Turns; 2]) {
        let directory = tempfile::tempdir().expect("directory");
        let file: PathBuf = directory.path().join("a.db");
        std::fs::write(&file, "").expect("written");
        let turns = [Turns::new(&file), Turns::new(&file)];
        (directory, turns)
    }

    #[tokio::test]
    async fn a_watcher_finds_one_order_ahead_of_it_however_many_wait() {
        let (_directory, [one, other]) = two();
        let writes = one.of_order().await.expect("a turn");
        let mut waiting: Vec<_> = [&one, &other, &one, &other]
            .map(|turns| Box::pin(turns.of_order()))
            .into();
        for order in &mut waiting {
            assert!(order.now_or_never().is_none());
        }
        let mut watcher = Box::pin(other.of_watcher());
        assert!(watcher.as_mut().now_or_never().is_none());
        drop(writes);
        tokio::select! {
            _ = watcher => {}
            _ = future::select_all(waiting) => panic!("the watcher goes first"),
        }
    }

    #[tokio::test]
    async fn an_order_comes_to_its_turn_among_watchers_without_a_pause() {
        let (_directory, [one, other]) = two();
        let watch = async {
            loop {
                drop(future::join(one.of_watcher(), other.of_watcher()).await);
            }
        };
        tokio::select! {
            () = watch => {}
            () = async { for _ in 0..20 { one.of_order().await.expect("a turn"); } } => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_behind_too_many_is_refused() {
        let (_directory, [one, _]) = two();
        let _writes = one.of_order().await.expect("a turn");
        let refused = one.of_order().await;
        assert!(matches!(
            refused,
            Err(crate::error::Fault::Store(StoreError::Busy))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_is_not_waited_for_long() {
        let (_directory, [stopped, other]) = two();
        let _stopped = stopped.of_order().await.expect("a turn");
        let began = Instant::now();
        drop(other.of_order().await.expect("a turn"));
        drop(other.of_watcher().await);
        assert!(began.elapsed() < 4 * ANOTHER);
    }

    #[tokio::test]
    async fn where_no_file_can_be_made_everybody_has_a_turn() {
        let directory = tempfile::tempdir().expect("directory");
        let nowhere = Turns::new(&directory.path().join("absent/a.db"));
        let _watcher = nowhere.of_watcher().await;
        let other = Turns::new(&directory.path().join("absent/a.db"));
        other.of_order().await.expect("a turn");
    }
}
