use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Agreement, Apart, Clocks};

/// A brake ends by itself when the clocks have agreed for so long.
pub const AGREED_FOR: Duration = Duration::from_mins(1);

/// What is known of a machine's clock, and kept for every watcher that runs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineState {
    /// What the clocks showed last.
    pub last: Clocks,
    /// The brake, if it holds.
    pub brake: Option<ClockBrake>,
    /// Since when, by the boot clock of `last`, the machine's clock and the database's have agreed
    /// without a break.
    pub agreed_since: Option<Duration>,
    /// How far the database's clock was ahead when somebody released the brake: the clocks may
    /// differ by that, until they have agreed again.
    pub tolerated: Option<TimeDelta>,
}

/// Why a machine's clock is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockBrake {
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// How far the database's clock was ahead when they last differed.
    pub apart: Option<TimeDelta>,
    /// How far the machine's clock last jumped.
    pub jumped: Option<TimeDelta>,
}

/// One look at a machine's clocks and the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the machine's clocks show.
    pub clocks: Clocks,
    /// How far the database's clock is ahead.
    pub apart: Apart,
    /// Whether the kernel holds its clock for synchronised; asked for only while
    /// [`MachineState::waits_for_synchronisation`].
    pub synchronised: Option<bool>,
}

impl MachineState {
    /// Tells how long the clocks had agreed at the last reading.
    pub fn agreed_for(&self) -> Option<Duration> {
        Some(self.last.boot.saturating_sub(self.agreed_since?))
    }

    /// Tells whether nothing but a synchronised clock is missing for the brake to end at `clocks`.
    pub fn waits_for_synchronisation(&self, clocks: &Clocks) -> bool {
        let has_jumped = self
            .brake
            .as_ref()
            .is_some_and(|brake| brake.jumped.is_some());
        has_jumped && self.have_agreed_long_enough(clocks)
    }

    /// Returns the state after somebody released the brake.
    #[must_use]
    pub fn released(&self) -> Self {
        let differing = self.brake.as_ref().filter(|_| self.agreed_since.is_none());
        Self {
            brake: None,
            tolerated: differing.and_then(|brake| brake.apart).or(self.tolerated),
            ..self.clone()
        }
    }

    fn have_agreed_long_enough(&self, clocks: &Clocks) -> bool {
        self.last.boot_id == clocks.boot_id
            && self
                .agreed_since
                .is_some_and(|since| clocks.boot.saturating_sub(since) >= AGREED_FOR)
    }
}

/// Judges a machine's clock by what is known of it and a new reading, at `now` by the database's
/// clock.
pub fn judge(known: Option<&MachineState>, reading: &Reading, now: DateTime<Utc>) -> MachineState {
    let Reading {
        clocks,
        apart,
        synchronised,
    } = reading;
    let agreement = apart.agreement();
    let jumped = known.and_then(|known| clocks.jumped_since(&known.last));
    let unbroken = known
        .filter(|known| known.last.boot_id == clocks.boot_id && jumped.is_none())
        .and_then(|known| known.agreed_since);
    let mut next = MachineState {
        last: clocks.clone(),
        brake: known.and_then(|known| known.brake.clone()),
        agreed_since: match agreement {
            Agreement::Agree => unbroken.or(Some(clocks.boot)),
            Agreement::Unsure => unbroken,
            Agreement::Differ(_) => None,
        },
        tolerated: known.and_then(|known| known.tolerated),
    };
    let is_over = agreement == Agreement::Agree && next.have_agreed_long_enough(clocks);
    next.tolerated = next.tolerated.filter(|_| !is_over);
    let differ = agreement.intolerable(next.tolerated);
    if differ.is_some() || jumped.is_some() {
        let brake = next.brake.get_or_insert(ClockBrake {
            since: now,
            apart: None,
            jumped: None,
        });
        brake.apart = differ.or(brake.apart);
        brake.jumped = jumped.or(brake.jumped);
    } else if is_over {
        next.brake = next
            .brake
            .take()
            .filter(|brake| brake.jumped.is_some() && *synchronised != Some(true));
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SECOND: u64 = 1_000;

    /// A machine and a database, seen from time to time.
    #[derive(Clone)]
    struct Bench {
        state: Option<MachineState>,
        passed_ms: u64,
        wall_ms: i64,
        database_ms: i64,
        synchronised: Option<bool>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                state: None,
                passed_ms: 0,
                wall_ms: 0,
                database_ms: 0,
                synchronised: None,
            }
        }

        /// Lets time pass, then judges. Tells whether the machine is braked.
        fn after(&mut self, ms: u64) -> bool {
            self.passed_ms += ms;
            let passed = i64::try_from(self.passed_ms).expect("small");
            let time = |offset: i64| {
                DateTime::from_timestamp_millis(1_800_000_000_000 + passed + offset)
                    .expect("in range")
            };
            let clocks = Clocks {
                boot_id: "a".into(),
                boot: Duration::from_millis(self.passed_ms),
                wall: time(self.wall_ms),
            };
            let synchronised = self
                .state
                .as_ref()
                .filter(|state| state.waits_for_synchronisation(&clocks))
                .and(self.synchronised);
            let wall = clocks.wall;
            let reading = Reading {
                clocks,
                apart: Apart::between(wall, time(self.database_ms), wall),
                synchronised,
            };
            self.state = Some(judge(self.state.as_ref(), &reading, time(self.database_ms)));
            self.brake().is_some()
        }

        fn brake(&self) -> Option<&ClockBrake> {
            self.state.as_ref()?.brake.as_ref()
        }

        fn release(&mut self) {
            self.state = self.state.as_ref().map(MachineState::released);
        }
    }

    #[test]
    fn r10_clocks_that_agree_brake_nothing() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            assert!(!bench.after(3 * SECOND));
        }
    }

    #[test]
    fn r10_clocks_that_differ_brake_until_they_have_agreed_for_a_minute() {
        let mut bench = Bench::new();
        bench.wall_ms = 6_000;
        assert!(bench.after(0), "at the first look already");
        assert_eq!(
            bench.brake().and_then(|brake| brake.apart),
            Some(TimeDelta::milliseconds(-6_000))
        );
        let mut bench = Bench::new();
        bench.database_ms = -8_000;
        assert!(bench.after(0));
        bench.database_ms = 0;
        for _ in 0..20 {
            assert!(bench.after(3 * SECOND), "after {} ms", bench.passed_ms);
        }
        assert!(!bench.after(3 * SECOND));
    }

    #[test]
    fn r10_a_difference_in_between_begins_the_minute_anew() {
        let mut bench = Bench::new();
        bench.database_ms = 8_000;
        bench.after(0);
        bench.database_ms = 0;
        bench.after(SECOND);
        bench.after(50 * SECOND);
        bench.database_ms = 9_000;
        assert!(bench.after(SECOND));
        bench.database_ms = 0;
        bench.after(SECOND);
        assert!(bench.after(59 * SECOND));
        assert!(!bench.after(SECOND));
    }

    #[rstest]
    #[case::ahead(3_600_000)]
    #[case::back(-3_600_000)]
    fn r10_a_jump_brakes_until_the_kernel_reports_a_synchronised_clock(#[case] by_ms: i64) {
        let mut bench = Bench::new();
        bench.after(0);
        // The database's clock is this machine's.
        bench.wall_ms = by_ms;
        bench.database_ms = by_ms;
        assert!(bench.after(3 * SECOND));
        assert_eq!(
            bench.brake().and_then(|brake| brake.jumped),
            Some(TimeDelta::milliseconds(by_ms))
        );
        for synchronised in [None, Some(false)] {
            bench.synchronised = synchronised;
            assert!(bench.after(600 * SECOND));
        }
        bench.synchronised = Some(true);
        assert!(!bench.after(3 * SECOND));
    }

    #[test]
    fn r10_a_jump_back_to_the_right_time_is_another_jump() {
        let mut bench = Bench::new();
        bench.synchronised = Some(true);
        bench.after(0);
        bench.wall_ms = 60_000;
        bench.database_ms = 60_000;
        bench.after(SECOND);
        bench.after(55 * SECOND);
        bench.wall_ms = 0;
        bench.database_ms = 0;
        assert!(bench.after(SECOND));
        assert!(bench.after(59 * SECOND));
        assert!(!bench.after(SECOND));
    }

    #[test]
    fn r10_two_looks_a_minute_apart_end_a_brake_as_well_as_many() {
        let mut bench = Bench::new();
        bench.synchronised = Some(true);
        bench.after(0);
        bench.wall_ms = -60_000;
        bench.database_ms = -60_000;
        assert!(bench.after(60 * SECOND));
        assert!(!bench.after(60 * SECOND));
    }

    #[test]
    fn r10_a_release_stands_while_the_clocks_differ_and_ends_when_they_have_agreed() {
        let mut bench = Bench::new();
        bench.database_ms = 8_000;
        assert!(bench.after(0));
        bench.release();
        for _ in 0..10 {
            assert!(!bench.after(30 * SECOND));
        }
        bench.database_ms = 0;
        bench.after(SECOND);
        assert!(!bench.after(61 * SECOND));
        bench.database_ms = 8_000;
        assert!(bench.after(SECOND), "a new difference is a new brake");
    }

    #[rstest]
    #[case::as_it_was(60_000, false)]
    #[case::a_little_more(65_000, false)]
    #[case::less(6_000, false)]
    #[case::none(0, false)]
    #[case::more(65_001, true)]
    #[case::much_more(3_600_000, true)]
    #[case::the_other_way(-5_001, true)]
    fn r10_a_release_stands_for_the_difference_that_was_released(
        #[case] later_ms: i64,
        #[case] brakes: bool,
    ) {
        for sign in [1, -1] {
            let mut bench = Bench::new();
            bench.database_ms = sign * 60_000;
            assert!(bench.after(0));
            bench.release();
            assert!(!bench.after(30 * SECOND));
            bench.database_ms = sign * later_ms;
            assert_eq!(bench.after(30 * SECOND), brakes);
        }
    }

    #[test]
    fn r10_each_release_stands_for_the_difference_of_its_own_moment() {
        let mut bench = Bench::new();
        bench.database_ms = 8_000;
        bench.after(0);
        bench.release();
        bench.database_ms = 60_000;
        assert!(bench.after(SECOND));
        bench.release();
        assert!(!bench.after(SECOND));
        bench.database_ms = 66_000;
        assert!(bench.after(SECOND));
    }

    #[test]
    fn r10_a_release_does_not_forgive_the_next_jump() {
        let mut bench = Bench::new();
        bench.after(0);
        bench.wall_ms = 60_000;
        bench.database_ms = 60_000;
        assert!(bench.after(SECOND));
        bench.release();
        assert!(!bench.after(SECOND));
        bench.wall_ms = 0;
        bench.database_ms = 0;
        assert!(bench.after(SECOND));
    }

    #[test]
    fn r10_a_release_after_the_clocks_agreed_forgives_no_new_difference() {
        let mut bench = Bench::new();
        bench.database_ms = 8_000;
        bench.after(0);
        bench.database_ms = 0;
        bench.after(SECOND);
        bench.release();
        bench.database_ms = 8_000;
        assert!(bench.after(SECOND));
    }

    #[test]
    fn r10_nothing_to_release_changes_nothing() {
        let mut bench = Bench::new();
        bench.after(0);
        let before = bench.state.clone();
        bench.release();
        assert_eq!(bench.state, before);
    }

    proptest! {
        #[test]
        fn r10_no_brake_ends_within_a_minute_of_trouble(
            steps in proptest::collection::vec((1..30_000u64, -20_000..20_000i64, -20_000..20_000i64), 1..60)
        ) {
            let mut bench = Bench::new();
            bench.synchronised = Some(true);
            let mut trouble_at = None;
            let mut offset = (0, 0);
            bench.after(0);
            for (ms, wall, database) in steps {
                // Two steps of three change nothing.
                if ms % 3 == 0 {
                    (bench.wall_ms, bench.database_ms) = (wall, database);
                }
                let moved = (bench.wall_ms - offset.0).abs() > 5_100;
                let differ = (bench.wall_ms - bench.database_ms).abs() > 5_000;
                offset = (bench.wall_ms, bench.database_ms);
                let braked = bench.after(ms);
                if moved || differ {
                    trouble_at = Some(bench.passed_ms);
                    prop_assert!(braked);
                }
                if !braked && let Some(at) = trouble_at {
                    prop_assert!(bench.passed_ms - at >= 60_000);
                }
            }
        }
    }
}
