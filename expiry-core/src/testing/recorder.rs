use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::{Event, EventSink, LagKind};

/// Keeps all events of a watcher, for tests that wait for them.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<Vec<Event>>,
    news: Notify,
}

impl Recorder {
    /// Returns all events so far.
    pub fn all(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// Counts the events so far that are as wanted.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.lock().iter().filter(|event| wanted(event)).count()
    }

    /// Waits until `count` events are as wanted, and returns them.
    ///
    /// # Panics
    /// If that takes longer than `patience`; then it says what happened instead.
    pub async fn wait_for(
        &self,
        patience: Duration,
        count: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Vec<Event> {
        let enough = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                let found: Vec<_> = self.all().into_iter().filter(|e| wanted(e)).collect();
                if found.len() >= count {
                    return found;
                }
                news.await;
            }
        };
        let Ok(found) = timeout(patience, enough).await else {
            panic!("waited {patience:?} for {count}, have {:#?}", self.all());
        };
        found
    }

    /// Waits until `count` cuts that are as wanted are confirmed, and returns the lag of each and
    /// whether it counts as an outage's.
    ///
    /// # Panics
    /// If that takes longer than `patience`.
    pub async fn wait_for_cuts(
        &self,
        patience: Duration,
        count: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Vec<(Duration, bool)> {
        let is_wanted = |event: &Event| matches!(event, Event::Cut { .. }) && wanted(event);
        let cuts = self.wait_for(patience, count, is_wanted).await;
        let lag = |event: &Event| {
            if let Event::Cut { waited, .. } = event {
                Some((waited.span, waited.kind == LagKind::Outage))
            } else {
                None
            }
        };
        cuts.iter().filter_map(lag).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Recorder {
    fn record(&self, event: &Event) {
        self.lock().push(event.clone());
        self.news.notify_waiters();
    }
}
