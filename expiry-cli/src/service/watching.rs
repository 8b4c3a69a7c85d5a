use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use expiry_core::{Event, EventSink, Status, Store, watcher::Progress};
use tokio_util::sync::CancellationToken;

use super::{Manager, Serving, tell};
use crate::{error::CliError, log::EventLog, output::time, settings::Settings, wiring};

/// Most routers that the first line names.
const NAMED: usize = 20;

/// The watcher that runs in this process, if one does.
#[derive(Clone, Debug, Default)]
pub struct Inside(Arc<OnceLock<Progress>>);

impl Inside {
    /// Says what is wrong with it: it hangs, or has only failed for a minute or longer.
    pub fn unwell(&self) -> Option<String> {
        Some(self.0.get()?.unwell()?.to_string())
    }
}

/// Runs a watcher until `stop` is cancelled, and tells the log and the service manager how it does.
pub(crate) async fn watch(
    store: Arc<dyn Store>,
    settings: &Settings,
    inside: &Inside,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    announce(&store.status(0).await?, settings.watcher.interval);
    let events = Arc::new(Listeners::default());
    let watcher = wiring::watcher(store, Arc::clone(&events) as _, settings);
    let manager = Manager::from_environment(|name| std::env::var_os(name));
    let progress = watcher.progress();
    let progress = inside.0.get_or_init(|| progress);
    let patience = settings.watcher.patience;
    let told = tell(&manager, progress, &events.serving, stop, patience);
    tokio::select! {
        ended = watcher.run(stop.clone()) => Ok(ended?),
        never = told => match never {},
    }
}

/// Hears of everything that the watcher does.
#[derive(Debug, Default)]
struct Listeners {
    log: EventLog,
    serving: Serving,
}

impl EventSink for Listeners {
    fn record(&self, event: &Event) {
        self.log.record(event);
        self.serving.record(event);
    }
}

fn announce(status: &Status, interval: Duration) {
    let enabled = status.routers.iter().filter(|router| router.enabled);
    let names: Vec<_> = enabled
        .clone()
        .take(NAMED)
        .map(|router| router.name.as_str())
        .collect();
    let more = enabled.count() - names.len();
    tracing::info!(
        routers = names.join(", "),
        more_routers = more,
        live_subscribers = status.live_subscribers,
        owed_cuts = status.owed_cuts,
        owed_restores = status.owed_restores,
        next_deadline = status.next_deadline.map(time),
        interval_s = interval.as_secs_f64(),
        "watching"
    );
}
