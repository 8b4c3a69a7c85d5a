use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::{Clock, Machine};

/// A clock that moves with Tokio's time, paused or not, and can be made to jump.
///
/// Clones share one time. A second clock made from the same start drifts from the first only by
/// the jumps that either was told to make.
#[derive(Clone, Debug)]
pub struct TestClock {
    origin: Instant,
    start: DateTime<Utc>,
    machine: &'static str,
    offsets: Arc<Mutex<Offsets>>,
}

#[derive(Debug, Default)]
struct Offsets {
    wall: TimeDelta,
    boot: Duration,
    boots: u32,
    synchronised: Option<bool>,
    /// How fast the wall time runs, in per mille, and since when.
    drift: Option<(i32, Instant)>,
}

impl Offsets {
    /// Returns how far the wall time is off.
    fn wall(&self) -> TimeDelta {
        let drifted = self.drift.map_or(TimeDelta::zero(), |(by, since)| {
            let passed = TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX);
            passed / 1_000 * by
        });
        self.wall + drifted
    }
}

impl TestClock {
    /// Makes a clock that shows `start` now. Its machine started an hour ago.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        let offsets = Offsets {
            wall: TimeDelta::zero(),
            boot: Duration::from_hours(1),
            ..Offsets::default()
        };
        Self {
            origin: Instant::now(),
            start,
            machine: "machine",
            offsets: Arc::new(Mutex::new(offsets)),
        }
    }

    /// Makes the clock of another machine, which shows the same and jumps by itself.
    #[must_use]
    pub fn on_machine(&self, name: &'static str) -> Self {
        let before = self.offsets();
        let offsets = Offsets {
            wall: before.wall(),
            boot: before.boot,
            ..Offsets::default()
        };
        Self {
            origin: self.origin,
            start: self.start,
            machine: name,
            offsets: Arc::new(Mutex::new(offsets)),
        }
    }

    /// Starts the machine anew.
    pub fn reboot(&self) {
        let mut offsets = self.offsets();
        offsets.boots += 1;
        offsets.boot = Duration::ZERO;
    }

    /// Has the kernel say from now on whether its clock is synchronised.
    pub fn synchronise(&self, synchronised: Option<bool>) {
        self.offsets().synchronised = synchronised;
    }

    /// Steps the wall time alone, as an operator or NTP does.
    pub fn step_wall(&self, by: TimeDelta) {
        let mut offsets = self.offsets();
        offsets.wall = offsets.wall.checked_add(&by).unwrap_or(by);
    }

    /// Lets the wall time run fast from now on, or slow if negative, in per mille.
    pub fn drift(&self, per_mille: i32) {
        let mut offsets = self.offsets();
        offsets.wall = offsets.wall();
        offsets.drift = Some((per_mille, Instant::now()));
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

#[async_trait]
impl Clock for TestClock {
    fn wall(&self) -> DateTime<Utc> {
        self.start + self.origin.elapsed() + self.offsets().wall()
    }

    fn boot(&self) -> Duration {
        self.origin.elapsed() + self.offsets().boot
    }

    fn boot_id(&self) -> String {
        format!("{} {}", self.machine, self.offsets().boots)
    }

    fn machine(&self) -> Machine {
        Machine {
            id: format!("id of {}", self.machine),
            name: self.machine.into(),
        }
    }

    async fn is_synchronised(&self) -> Option<bool> {
        self.offsets().synchronised
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

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_drifts_keeps_what_it_has_drifted() {
        let clock = TestClock::default();
        let wall = clock.wall();
        clock.drift(100);
        tokio::time::advance(Duration::from_secs(10)).await;
        clock.drift(-100);
        tokio::time::advance(Duration::from_secs(20)).await;
        clock.drift(0);
        tokio::time::advance(Duration::from_secs(70)).await;

        assert_eq!(clock.wall() - wall, TimeDelta::seconds(99));
    }
}
