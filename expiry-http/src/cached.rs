//! Answers that are read once for all who ask.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use expiry_core::StoreError;
use tokio::time::{Instant, sleep_until};

use crate::turns::{Turn, Turns};

/// Nothing that is older is told.
const OLDEST: Duration = Duration::from_secs(1);

type Loaded<T> = Result<Arc<T>, Arc<StoreError>>;
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
    readings: Turns<Loaded<T>>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    failure: Option<(Arc<StoreError>, Instant)>,
    /// The reading that who asks now waits for.
    reading: Option<Turn<Loaded<T>>>,
    /// Counts the changes: what was read before one is not kept.
    generation: u64,
    /// Whether anybody asked since the last reading was asked for.
    asked: bool,
}

impl<T: Send + Sync + 'static> Cached<T> {
    pub(crate) fn new<F>(load: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        Self(Arc::new(Shelf {
            load: Box::new(move || Box::pin(load())),
            readings: Turns::default(),
            state: Mutex::new(State {
                value: None,
                failure: None,
                reading: None,
                generation: 0,
                asked: false,
            }),
        }))
    }

    /// Returns the value. A reading goes on if the caller is dropped: others may wait for it.
    pub(crate) async fn get(&self) -> Loaded<T> {
        let reading = {
            let mut state = self.0.state();
            state.asked = true;
            match (&state.value, &state.failure) {
                (Some((value, since)), _) if since.elapsed() <= OLDEST => {
                    return Ok(Arc::clone(value));
                }
                (_, Some((error, since))) if since.elapsed() <= FAILED => {
                    return Err(Arc::clone(error));
                }
                _ => self.0.reading(&mut state),
            }
        };
        if let Some(loaded) = reading.await {
            return Loaded::clone(&loaded);
        }
        self.0.state().reading = None;
        let broken = "the reading broke; the log says how";
        Err(Arc::new(StoreError::Unavailable(broken.into())))
    }

    /// What is read was changed: who asks after this gets what is true after it.
    pub(crate) fn forget(&self) {
        let mut state = self.0.state();
        state.generation += 1;
        (state.value, state.reading) = (None, None);
    }
}

impl<T: Send + Sync + 'static> Shelf<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reading that is under way, or the next.
    fn reading(self: &Arc<Self>, state: &mut State<T>) -> Turn<Loaded<T>> {
        let reading = state.reading.get_or_insert_with(|| {
            state.asked = false;
            self.readings.take(|| Arc::clone(self).read())
        });
        reading.clone()
    }

    async fn read(self: Arc<Self>) -> Loaded<T> {
        let generation = self.state().generation;
        let began = Instant::now();
        let loaded = (self.load)().await.map(Arc::new).map_err(Arc::new);
        let mut state = self.state();
        if state.generation != generation {
            return loaded;
        }
        state.reading = None;
        match &loaded {
            Ok(value) => {
                state.value = Some((Arc::clone(value), began));
                state.failure = None;
                tokio::spawn(Arc::clone(&self).renew(began, began.elapsed()));
            }
            Err(error) => state.failure = Some((Arc::clone(error), began)),
        }
        drop(state);
        loaded
    }

    /// Begins the next reading in time for twice what the last one took, if anybody asked meanwhile;
    /// for slow readings later than that, or they would be many.
    async fn renew(self: Arc<Self>, began: Instant, took: Duration) {
        let ahead = (took * 2).clamp(OLDEST / 50, OLDEST / 10);
        sleep_until(began + OLDEST - ahead).await;
        let mut state = self.state();
        let is_of_this = state.value.as_ref().is_some_and(|(_, of)| *of == began);
        if state.asked && is_of_this {
            drop(self.reading(&mut state));
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
    async fn who_asks_after_a_change_gets_what_is_true_after_it() {
        let (count, cached) = counting(Duration::from_millis(30));
        let early = cached.get();
        let later = async {
            sleep(Duration::from_millis(10)).await;
            cached.forget();
            let value = cached.get().await;
            (*value.expect("read"), *cached.get().await.expect("kept"))
        };
        let (early, later) = tokio::join!(early, later);
        assert_eq!((*early.expect("read"), later), (1, (2, 2)));
        cached.forget();
        assert_eq!(*cached.get().await.expect("read"), 3);
        sleep(Duration::from_secs(3)).await;
        assert!(count.load(Ordering::Relaxed) <= 4, "nobody asks");
    }

    #[tokio::test(start_paused = true)]
    async fn r9_however_much_changes_one_reading_at_a_time_is_under_way() {
        const TAKES: Duration = Duration::from_millis(100);
        let (count, cached) = counting(TAKES);
        let began = Instant::now();
        let changes = (0..300).map(async |n| {
            sleep(Duration::from_millis(n)).await;
            cached.forget();
            let before = count.load(Ordering::Relaxed);
            assert!(*cached.get().await.expect("read") > before);
        });
        join_all(changes).await;
        assert!(began.elapsed() <= TAKES * 5, "{:?}", began.elapsed());
        assert!(count.load(Ordering::Relaxed) <= 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_breaks_is_told_and_the_next_is_another() {
        let broken = AtomicU32::new(0);
        let cached = Cached::new(move || {
            let first = broken.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                assert!(!first, "broken on purpose");
                Ok(7)
            }
        });
        assert!(cached.get().await.is_err());
        sleep(FAILED * 2).await;
        assert_eq!(*cached.get().await.expect("read"), 7);
    }
}
