use std::{sync::Mutex, time::Duration};

use expiry_core::{Event, EventSink, RouterId, WayIn};
use tokio::{sync::Notify, time::timeout};

/// Keeps all events.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    news: Notify,
}

impl EventSink for Recorder {
    fn record(&self, event: &Event) {
        self.events.lock().expect("no panic").push(event.clone());
        self.news.notify_waiters();
    }
}

impl Recorder {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.events.lock().expect("no panic").clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.all().iter().filter(|event| wanted(event)).count()
    }

    /// Waits until `count` events are as wanted, and returns them. Gives up after `patience`.
    pub(crate) async fn wait_for(
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

    /// Waits for the confirmed cuts of a router. Returns their lags and whether each is counted
    /// as an outage.
    pub(crate) async fn cuts(
        &self,
        patience: Duration,
        count: usize,
        on: RouterId,
    ) -> Vec<(Duration, bool)> {
        let cuts = self.wait_for(patience, count, is_cut_on(on)).await;
        let lag = |event: &Event| {
            let Event::Cut { lag, outage, .. } = event else {
                unreachable!("matched");
            };
            (*lag, *outage)
        };
        cuts.iter().map(lag).collect()
    }
}

pub(crate) fn is_cut_on(on: RouterId) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Cut { router, .. } if *router == on)
}

pub(crate) fn is_restored(event: &Event) -> bool {
    matches!(event, Event::Restored { .. })
}

pub(crate) fn has_returned(by: WayIn) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Returned { way_in, .. } if *way_in == by)
}
