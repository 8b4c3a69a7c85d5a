use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::Clock;

/// A clock that moves with Tokio's time, paused or not, and can be made to jump.
///
/// Clones share one time. A second clock made from the same start drifts from the first only by
/// the jumps that either was told to make.
#[derive(Clone, Debug)]
pub struct TestClock {
    origin: Instant,
    start: DateTime<Utc>,
    offsets: Arc<Mutex<Offsets>>,
}

#[derive(Debug, Default)]
struct Offsets {
    wall: TimeDelta,
    boot: Duration,
}

impl TestClock {
    /// Makes a clock that shows `start` now. Its machine started an hour ago.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        let offsets = Offsets {
            wall: TimeDelta::zero(),
            boot: Duration::from_hours(1),
        };
        Self {
            origin: Instant::now(),
            start,
            offsets: Arc::new(Mutex::new(offsets)),
        }
    }

    /// Steps the wall time alone, as an operator or NTP does.
    pub fn step_wall(&self, by: TimeDelta) {
        let mut offsets = self.offsets();
        offsets.wall = offsets.wall.checked_add(&by).unwrap_or(by);
    }

    /// Lets the machine sleep: wall and boot time go on, Tokio's time does not.
    pub fn suspend(&self, duration: Duration) {
        let mut offsets = self.offsets();
        offsets.wall += TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        offsets.boot += duration;
    }

    fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestClock {
    /// Starts on 1 January 2030.
    fn default() -> Self {
        Self::starting_at(DateTime::from_timestamp(1_893_456_000, 0).unwrap_or_default())
    }
}

impl Clock for TestClock {
    fn wall(&self) -> DateTime<Utc> {
        self.start + self.origin.elapsed() + self.offsets().wall
    }

    fn boot(&self) -> Duration {
        self.origin.elapsed() + self.offsets().boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_and_boot_follow_paused_time_and_jump_apart() {
        let clock = TestClock::default();
        let (wall, boot) = (clock.wall(), clock.boot());

        tokio::time::advance(Duration::from_secs(5)).await;
        clock.step_wall(TimeDelta::seconds(-60));
        clock.clone().suspend(Duration::from_secs(100));

        assert_eq!(clock.wall() - wall, TimeDelta::seconds(45));
        assert_eq!(clock.boot(), boot + Duration::from_secs(105));
    }
}
