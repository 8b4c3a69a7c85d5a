//! Answers that are read once for all who ask.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use expiry_core::StoreError;
use futures::{FutureExt, future::Shared};
use tokio::time::{Instant, sleep_until};

/// Nothing that is older is told.
const OLDEST: Duration = Duration::from_secs(1);

type Loaded<T> = Result<Arc<T>, Arc<StoreError>>;
type Flight<T> = Shared<Pin<Box<dyn Future<Output = Loaded<T>> + Send>>>;
type Load<T> =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>> + Send + Sync>;

/// A failure is told to all who ask for so long after its reading began.
const FAILED: Duration = Duration::from_millis(500);

/// A value that is at most a second old, but to who waited for a reading that took longer. However
/// many ask, one reading at a time is under way, whether they succeed or fail. While the value is
/// asked for, the next reading begins shortly before it gets too old, so that hardly
/// anybody ever waits for one: that costs hardly more readings than asking once a second.
pub(crate) struct Cached<T>(Arc<Shelf<T>>);

struct Shelf<T> {
    load: Load<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    failure: Option<(Arc<StoreError>, Instant)>,
    /// Counts what was forgotten: a reading that began before is not kept.
    generation: u64,
    flight: Option<Flight<T>>,
    /// Whether anybody asked since the last reading began.
    asked: bool,
}

impl<T: Send + Sync + 'static> Cached<T> {
    pub(crate) fn new<F>(load: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        Self(Arc::new(Shelf {
            load: Box::new(move || Box::pin(load())),
            state: Mutex::new(State {
                value: None,
                failure: None,
                generation: 0,
                flight: None,
                asked: false,
            }),
        }))
    }

    /// Returns the value. A reading goes on if the caller is dropped: others may wait for it.
    pub(crate) async fn get(&self) -> Loaded<T> {
        let flight = {
            let mut state = self.0.state();
            state.asked = true;
            match (&state.value, &state.failure) {
                (Some((value, since)), _) if since.elapsed() <= OLDEST => {
                    return Ok(Arc::clone(value));
                }
                (_, Some((error, since))) if since.elapsed() <= FAILED => {
                    return Err(Arc::clone(error));
                }
                _ => self.0.flight(&mut state),
            }
        };
        flight.await
    }

    /// Has the next who asks get what is true after this.
    pub(crate) fn forget(&self) {
        let mut state = self.0.state();
        state.generation += 1;
        (state.value, state.failure, state.flight) = (None, None, None);
    }
}

impl<T: Send + Sync + 'static> Shelf<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reading that is under way, or begins one.
    fn flight(self: &Arc<Self>, state: &mut State<T>) -> Flight<T> {
        let flight = state.flight.get_or_insert_with(|| {
            state.asked = false;
            self.start(state.generation)
        });
        flight.clone()
    }

    fn start(self: &Arc<Self>, generation: u64) -> Flight<T> {
        let kept = Arc::clone(self);
        let load = (self.load)();
        let began = Instant::now();
        let reading = tokio::spawn(async move {
            let loaded = load.await.map(Arc::new).map_err(Arc::new);
            let mut state = kept.state();
            if state.generation != generation {
                return loaded;
            }
            state.flight = None;
            match &loaded {
                Ok(value) => {
                    state.value = Some((Arc::clone(value), began));
                    state.failure = None;
                    tokio::spawn(Arc::clone(&kept).renew(began, began.elapsed()));
                }
                Err(error) => state.failure = Some((Arc::clone(error), began)),
            }
            drop(state);
            loaded
        });
        let kept = Arc::clone(self);
        let flight = async move {
            match reading.await {
                Ok(loaded) => loaded,
                Err(panicked) => {
                    let mut state = kept.state();
                    if state.generation == generation {
                        state.flight = None;
                    }
                    Err(Arc::new(StoreError::Unavailable(Box::new(panicked))))
                }
            }
        };
        flight.boxed().shared()
    }

    /// Begins the next reading in time for twice what the last one took, if anybody asked meanwhile;
    /// for slow readings later than that, or they would be many.
    async fn renew(self: Arc<Self>, began: Instant, took: Duration) {
        let ahead = (took * 2).clamp(OLDEST / 50, OLDEST / 10);
        sleep_until(began + OLDEST - ahead).await;
        let mut state = self.state();
        let is_of_this = state.value.as_ref().is_some_and(|(_, of)| *of == began);
        if state.asked && is_of_this {
            drop(self.flight(&mut state));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use rstest::rstest;
    use tokio::time::sleep;

    use super::*;

    fn counting(takes: Duration) -> (Arc<AtomicU32>, Cached<u32>) {
        let count = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&count);
        let cached = Cached::new(move || {
            let number = shared.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                sleep(takes).await;
                Ok(number)
            }
        });
        (count, cached)
    }

    #[tokio::test(start_paused = true)]
    async fn r9_a_thousand_callers_at_once_are_one_reading() {
        let (count, cached) = counting(Duration::from_millis(30));
        let values = join_all((0..1_000).map(|_| cached.get())).await;
        assert!(
            values
                .iter()
                .all(|value| **value.as_ref().expect("read") == 1)
        );
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[rstest]
    #[tokio::test(start_paused = true)]
    async fn r9_nothing_older_than_a_second_is_told_and_readings_are_one_a_second(
        #[values(5, 100, 333)] every: u64,
        #[values(5, 20, 50, 300)] takes: u64,
    ) {
        let (every, takes) = (Duration::from_millis(every), Duration::from_millis(takes));
        let (count, cached) = counting(takes);
        let began = Instant::now();
        let mut waited = 0;
        while began.elapsed() < Duration::from_secs(10) {
            let asked = Instant::now();
            cached.get().await.expect("read");
            waited += u32::from(asked.elapsed() > Duration::ZERO);
            sleep(every).await;
        }
        let readings = count.load(Ordering::Relaxed);
        assert!((8..=12).contains(&readings), "{readings}");
        let is_fast = takes <= Duration::from_millis(50);
        assert!(!is_fast || waited == 1, "only the first waits: {waited}");
        sleep(Duration::from_secs(3)).await;
        assert!(count.load(Ordering::Relaxed) <= readings + 1, "nobody asks");
        let value = *cached.get().await.expect("read");
        assert!(value > readings, "too old to be told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_for_a_moment_and_not_kept() {
        let failed = AtomicU32::new(0);
        let cached = Cached::new(move || {
            let first = failed.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    Err(StoreError::Unavailable("gone".into()))
                } else {
                    Ok(7)
                }
            }
        });
        for _ in 0..9 {
            assert!(cached.get().await.is_err());
        }
        sleep(FAILED * 2).await;
        assert_eq!(*cached.get().await.expect("read"), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_forgotten_is_told_to_nobody_who_asks_later() {
        let (count, cached) = counting(Duration::from_millis(30));
        let cached = Arc::new(cached);
        let asked = Arc::clone(&cached);
        let early = tokio::spawn(async move { asked.get().await });
        sleep(Duration::from_millis(10)).await;
        cached.forget();
        assert_eq!(*cached.get().await.expect("read"), 2);
        assert_eq!(*early.await.expect("no panic").expect("read"), 1);
        assert_eq!(*cached.get().await.expect("read"), 2, "the later one");
        cached.forget();
        assert_eq!(*cached.get().await.expect("read"), 3);
        sleep(Duration::from_secs(3)).await;
        assert!(count.load(Ordering::Relaxed) <= 4, "nobody asks");
    }
}
