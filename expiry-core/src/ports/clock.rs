use std::time::Duration;

use chrono::{DateTime, Utc};

/// The watcher's own clock. It decides how long to nap and whether an ownership can still be
/// trusted; it never decides that access has ended.
pub trait Clock: Send + Sync {
    /// Returns the wall time. It may step in either direction.
    fn wall(&self) -> DateTime<Utc>;

    /// Returns the time since the machine started, suspended time included. It never steps back.
    fn boot(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port that others are told to use"
    )]
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn boot(&self) -> Duration {
        #[cfg(target_os = "linux")]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}
