//! Being a service: what the service manager is told, and when.

mod notify;
mod serving;
mod watching;

use std::{convert::Infallible, time::Duration};

use expiry_core::watcher::{Beat, Progress};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub use self::watching::Inside;
pub(crate) use self::watching::watch;
use self::{notify::Manager, serving::Serving};

/// How often the line that people see is brought up to date.
const REFRESH: Duration = Duration::from_secs(5);

/// What a stop may take beyond the watcher's patience.
const TO_LET_GO: Duration = Duration::from_secs(5);

/// Tells the service manager how the watcher does, until it is dropped: ready with the first
/// heartbeat, alive for as long as the loops get something done, and that it stops.
async fn tell(
    manager: &Manager,
    progress: &Progress,
    serving: &Serving,
    stop: &CancellationToken,
    patience: Duration,
) -> Infallible {
    let mut beats = progress.beats();
    let mut line = Line::new(manager);
    line.say("waiting for the first heartbeat");
    let often = manager.watchdog().map_or(REFRESH, |watchdog| watchdog / 3);
    let mut ticks = interval(often.clamp(Duration::from_millis(1), REFRESH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ready, mut stopping) = (false, false);
    let mut is_unwell = false;
    loop {
        tokio::select! {
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                manager.stopping(patience + TO_LET_GO);
                line.say("stopping: finishing what is on the wire");
            }
            () = next(&mut beats) => {
                if !ready && *beats.borrow() == Beat::Taken {
                    ready = true;
                    manager.ready();
                }
            }
            _ = ticks.tick() => {
                let unwell = progress.unwell();
                match unwell {
                    None => manager.alive(),
                    Some(_) if is_unwell || stopping => {}
                    Some(unwell) if manager.watchdog().is_some() => tracing::error!(
                        "{unwell}: the service manager is told nothing until that is over, so that \
                         it restarts the service"
                    ),
                    Some(unwell) => tracing::error!("{unwell}: trying again"),
                }
                is_unwell = unwell.is_some();
            }
        }
        let beat = *beats.borrow();
        match beat {
            _ if stopping => {}
            Beat::None => {}
            Beat::Taken => line.say(&serving.to_string()),
            Beat::Failed => {
                line.say("the database takes no heartbeat, the log says why; trying again");
            }
        }
    }
}

/// Tells the service manager that there is somebody to talk to, and that the process lives, until it
/// stops: for a service without a watcher of its own.
pub(crate) async fn attend(line: &str, stop: &CancellationToken, patience: Duration) -> Infallible {
    let manager = Manager::from_environment(|name| std::env::var_os(name));
    manager.ready();
    manager.status(line);
    let often = manager.watchdog().map_or(REFRESH, |watchdog| watchdog / 3);
    let mut ticks = interval(often.clamp(Duration::from_millis(1), REFRESH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                manager.stopping(patience + TO_LET_GO);
            }
            _ = ticks.tick() => manager.alive(),
        }
    }
}

/// Waits for the next change; for ever once there is none to come.
async fn next(beats: &mut watch::Receiver<Beat>) {
    if beats.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The line that people see, told only when it changes.
struct Line<'a> {
    manager: &'a Manager,
    said: String,
}

impl<'a> Line<'a> {
    fn new(manager: &'a Manager) -> Self {
        let said = String::new();
        Self { manager, said }
    }

    fn say(&mut self, line: &str) {
        if self.said != line {
            self.manager.status(line);
            line.clone_into(&mut self.said);
        }
    }
}

#[cfg(test)]
mod tests;
