//! Work that callers may ask for only so often.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// So many at once, and so many within a minute.
#[derive(Debug)]
pub(crate) struct Pace {
    at_once: Arc<Semaphore>,
    a_minute: usize,
    began: Mutex<VecDeque<Instant>>,
}

const MINUTE: Duration = Duration::from_mins(1);

impl Pace {
    pub(crate) fn new(at_once: usize, a_minute: usize) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            a_minute,
            began: Mutex::default(),
        }
    }

    /// Begins one, which ends when what is returned is dropped.
    ///
    /// # Errors
    /// After how long it may be tried again.
    pub(crate) fn begin(&self) -> Result<OwnedSemaphorePermit, Duration> {
        let soon = Duration::from_secs(1);
        let turn = Arc::clone(&self.at_once).try_acquire_owned();
        let turn = turn.map_err(|_| soon)?;
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while began.front().is_some_and(|first| now - *first >= MINUTE) {
            began.pop_front();
        }
        if began.len() >= self.a_minute {
            let first = began.front().copied().unwrap_or(now);
            return Err(MINUTE.saturating_sub(now - first).max(soon));
        }
        began.push_back(now);
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once() {
        let pace = Pace::new(2, 100);
        let first = pace.begin().expect("begun");
        let _second = pace.begin().expect("begun");
        assert_eq!(pace.begin().err(), Some(Duration::from_secs(1)));
        drop(first);
        assert!(pace.begin().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_a_minute() {
        let pace = Pace::new(2, 3);
        for _ in 0..3 {
            assert!(pace.begin().is_ok());
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        for _ in 0..100 {
            assert_eq!(pace.begin().err(), Some(Duration::from_secs(30)));
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(pace.begin().is_ok());
        assert!(pace.begin().is_err(), "the minute slides");
    }
}
