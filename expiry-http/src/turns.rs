//! Work that is done for all who ask for it at once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use expiry_core::StoreError;
use futures::{FutureExt, future::Shared};

use crate::problem::Problem;

/// Work that somebody may wait for, or many.
pub(crate) type Turn<T> = Shared<Pin<Box<dyn Future<Output = Option<Arc<T>>> + Send>>>;

/// One turn at a time. Who asks while one is under way gets the next, with all others who ask
/// meanwhile: what a turn tells was found after all of them had asked.
pub(crate) struct Turns<T> {
    next: Arc<Mutex<Option<Turn<T>>>>,
    running: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            next: Arc::default(),
            running: Arc::default(),
        }
    }
}

impl<T: Send + Sync + 'static> Turns<T> {
    /// Returns the turn that begins next. It goes on if nobody waits for it. `None`: it panicked.
    pub(crate) fn take<F>(&self, work: impl FnOnce() -> F) -> Turn<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut next = locked(&self.next);
        let waiting = next.clone();
        waiting.unwrap_or_else(|| next.insert(self.start(work())).clone())
    }

    fn start(&self, work: impl Future<Output = T> + Send + 'static) -> Turn<T> {
        let (next, running) = (Arc::clone(&self.next), Arc::clone(&self.running));
        let turn = tokio::spawn(async move {
            let _running = running.lock().await;
            *locked(&next) = None;
            Arc::new(work.await)
        });
        let turn = async move {
            turn.await
                .inspect_err(|panicked| tracing::error!(%panicked, "work for a request broke"))
                .ok()
        };
        turn.boxed().shared()
    }
}

impl<T: Send + Sync + 'static> Turns<Result<Arc<T>, StoreError>> {
    /// Reads something of the store, as it is after the call.
    pub(crate) async fn read<F>(&self, read: impl FnOnce() -> F) -> Result<Arc<T>, Problem>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let turn = self.take(|| read().map(|found| found.map(Arc::new))).await;
        let found = turn.ok_or_else(Problem::internal)?;
        found
            .as_ref()
            .as_ref()
            .map(Arc::clone)
            .map_err(Problem::of_store)
    }
}

fn locked<T>(next: &Mutex<Option<Turn<T>>>) -> MutexGuard<'_, Option<Turn<T>>> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const LONG: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn r9_a_thousand_who_ask_while_a_turn_is_under_way_share_the_next() {
        let (turns, count) = (Turns::default(), Arc::new(AtomicU32::new(0)));
        let take = || {
            turns.take(|| {
                let count = Arc::clone(&count);
                async move {
                    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                    sleep(LONG).await;
                    number
                }
            })
        };
        let later = async {
            sleep(LONG / 3).await;
            join_all((0..1_000).map(|_| take())).await
        };
        let began = Instant::now();
        let (first, later) = tokio::join!(take(), later);
        assert_eq!(first.as_deref(), Some(&1));
        assert!(later.iter().all(|turn| turn.as_deref() == Some(&2)));
        assert_eq!(began.elapsed(), 2 * LONG);
        assert_eq!(take().await.as_deref(), Some(&3), "nothing is kept");
    }

    #[tokio::test]
    async fn a_turn_that_breaks_is_told_and_the_next_is_another() {
        let turns = Turns::default();
        let broken = turns.take(|| async { panic!("broken on purpose") }).await;
        assert_eq!(broken, None::<Arc<u32>>);
        assert_eq!(turns.take(|| async { 7 }).await.as_deref(), Some(&7));
    }
}
