//! Answers that are read once for all who ask.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use expiry_core::StoreError;
use futures::{FutureExt, future::Shared};
use tokio::time::Instant;

/// Nothing that is older is told.
const OLDEST: Duration = Duration::from_secs(1);

type Loaded<T> = Result<Arc<T>, Arc<StoreError>>;
type Flight<T> = Shared<Pin<Box<dyn Future<Output = Loaded<T>> + Send>>>;
type Load<T> =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>> + Send + Sync>;

/// A value that is at most a second old. However many ask, one reading at a time is under way. When
/// somebody asks shortly before the value gets too old, the next reading begins already, so that
/// hardly anybody ever waits for one: that costs no more readings than asking once a second.
pub(crate) struct Cached<T> {
    load: Load<T>,
    state: Arc<Mutex<State<T>>>,
}

struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    flight: Option<Flight<T>>,
    /// How long the last reading took.
    took: Duration,
}

impl<T: Send + Sync + 'static> Cached<T> {
    pub(crate) fn new<F>(load: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        Self {
            load: Box::new(move || Box::pin(load())),
            state: Arc::new(Mutex::new(State {
                value: None,
                flight: None,
                took: Duration::ZERO,
            })),
        }
    }

    /// Returns the value. A reading goes on if the caller is dropped: others may wait for it.
    pub(crate) async fn get(&self) -> Loaded<T> {
        let flight = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = state.value.as_ref().and_then(|(value, since)| {
                let left = OLDEST.checked_sub(since.elapsed())?;
                Some((Arc::clone(value), left))
            });
            let ahead = (state.took * 2).min(OLDEST / 4);
            let is_due = fresh.as_ref().is_none_or(|(_, left)| *left <= ahead);
            if is_due && state.flight.is_none() {
                state.flight = Some(self.start());
            }
            match (fresh, &state.flight) {
                (Some((value, _)), _) => return Ok(value),
                (None, Some(flight)) => flight.clone(),
                (None, None) => self.start(),
            }
        };
        flight.await
    }

    fn start(&self) -> Flight<T> {
        let state = Arc::clone(&self.state);
        let load = (self.load)();
        let began = Instant::now();
        let reading = tokio::spawn(async move {
            let loaded = load.await.map(Arc::new).map_err(Arc::new);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.flight = None;
            state.took = began.elapsed();
            if let Ok(value) = &loaded {
                state.value = Some((Arc::clone(value), began));
            }
            loaded
        });
        let state = Arc::clone(&self.state);
        let flight = async move {
            match reading.await {
                Ok(loaded) => loaded,
                Err(panicked) => {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.flight = None;
                    Err(Arc::new(StoreError::Unavailable(Box::new(panicked))))
                }
            }
        };
        flight.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use tokio::time::{advance, sleep};

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

    #[tokio::test(start_paused = true)]
    async fn r9_nothing_older_than_a_second_is_told_and_readings_are_one_a_second() {
        let takes = Duration::from_millis(20);
        let (count, cached) = counting(takes);
        let mut waited = 0;
        for _ in 0..10 * 200 {
            let asked = Instant::now();
            cached.get().await.expect("read");
            waited += u32::from(asked.elapsed() > Duration::ZERO);
            advance(Duration::from_millis(5)).await;
        }
        let readings = count.load(Ordering::Relaxed);
        assert!((10..=11).contains(&readings), "{readings}");
        assert_eq!(waited, 1, "only the first waits");
        advance(Duration::from_secs(1)).await;
        let value = *cached.get().await.expect("read");
        assert!(value > readings, "too old to be told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_and_not_kept() {
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
        assert!(cached.get().await.is_err());
        assert_eq!(*cached.get().await.expect("read"), 7);
    }
}
