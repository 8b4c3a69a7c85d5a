use std::time::Duration;

use crate::RetryPolicy;

/// How a watcher behaves.
#[derive(Clone, Debug)]
pub struct WatcherConfig {
    /// The longest nap: the sweep of the database behind every hint.
    pub interval: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// How long others respect an ownership after the last heartbeat.
    pub ownership: Duration,
    /// When to look again at a confirmed result, counted from its confirmation, in order.
    pub looks: Vec<Duration>,
    /// Waits between tries.
    pub retry: RetryPolicy,
    /// Time between proofs that an idle connection still works.
    pub keepalive: Duration,
    /// Most tasks that share one cut.
    pub batch: u32,
    /// Most tasks of a batch that may be backlog, and the pause after such a batch.
    pub backlog: (u32, Duration),
    /// Whether a bypass binding also belongs to the subscriber whose name its comment equals.
    pub comments: bool,
    /// Nobody is cut, by any watcher, while changes have ended the access of more than this share
    /// of the subscribers, in percent from 1 to 100, until somebody releases the brake.
    pub share_limit: Option<u8>,
    /// How long a graceful stop, or a single check, may take.
    pub patience: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for WatcherConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            heartbeat: Duration::from_secs(3),
            ownership: Duration::from_secs(15),
            looks: [1, 3, 10].map(Duration::from_secs).into(),
            retry: RetryPolicy::default(),
            keepalive: Duration::from_secs(20),
            batch: 128,
            backlog: (64, Duration::from_secs(1)),
            comments: false,
            share_limit: None,
            patience: Duration::from_secs(20),
            seed: 0,
        }
    }
}
