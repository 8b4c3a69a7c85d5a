use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Clocks that are further apart than this do not agree, and a wall clock that moves further at
/// once has jumped.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// A clock that is being corrected runs fast or slow by at most one part in this many.
const SLEW: i32 = 2000;

/// The machine on which a watcher runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine {
    /// What tells it from others, the same after a restart.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// What a machine's clocks showed at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Which start of the machine it was.
    pub boot_id: String,
    /// The time since that start, suspended time included.
    pub boot: Duration,
    /// The wall time.
    pub wall: DateTime<Utc>,
}

impl Clocks {
    /// Returns how far the wall clock has jumped since `earlier`, if it has: against the boot
    /// clock, or, after a restart, back behind what it showed before. Suspended time is no jump,
    /// nor is a slow correction.
    pub fn jumped_since(&self, earlier: &Self) -> Option<TimeDelta> {
        let passed = self.wall - earlier.wall;
        if self.boot_id != earlier.boot_id {
            return (passed < -TOLERANCE).then_some(passed);
        }
        let booted = delta(self.boot) - delta(earlier.boot);
        let moved = passed - booted;
        let allowed = TOLERANCE + booted.abs() / SLEW;
        (moved.abs() > allowed).then_some(moved)
    }
}

/// How far the database's clock is ahead of a machine's: as far as one question and its answer can
/// tell, since the database read its clock somewhere in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    least: TimeDelta,
    most: TimeDelta,
}

/// What a comparison of two clocks came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// They agree.
    Agree,
    /// The answer took too long to tell.
    Unsure,
    /// The database's clock is ahead by at least this much, or behind if negative.
    Differ(TimeDelta),
}

impl Agreement {
    /// Returns by how much the clocks differ, unless they may: by what is `tolerated` or less, and
    /// a little more than that.
    pub fn intolerable(self, tolerated: Option<TimeDelta>) -> Option<TimeDelta> {
        let Self::Differ(ahead) = self else {
            return None;
        };
        let zero = TimeDelta::zero();
        let by = tolerated.unwrap_or_default();
        let is_tolerated = ahead <= by.max(zero) + TOLERANCE && ahead >= by.min(zero) - TOLERANCE;
        Some(ahead).filter(|_| !is_tolerated)
    }
}

impl Apart {
    /// Takes the machine's wall time before the question and after the answer, and the database's
    /// time in the answer.
    pub fn between(before: DateTime<Utc>, database: DateTime<Utc>, after: DateTime<Utc>) -> Self {
        let (one, other) = (database - before, database - after);
        Self {
            least: one.min(other),
            most: one.max(other),
        }
    }

    /// Returns by how much the database's clock is ahead at least, or behind if negative.
    pub fn certain(self) -> TimeDelta {
        self.least.max(TimeDelta::zero()) + self.most.min(TimeDelta::zero())
    }

    /// Tells whether the clocks agree. They differ only if that is certain: a slow database is not
    /// a wrong clock.
    pub fn agreement(self) -> Agreement {
        let ahead = self.certain();
        if ahead.abs() > TOLERANCE {
            Agreement::Differ(ahead)
        } else if self.least >= -TOLERANCE && self.most <= TOLERANCE {
            Agreement::Agree
        } else {
            Agreement::Unsure
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn clocks(boot_id: &str, boot_ms: u64, wall_ms: i64) -> Clocks {
        Clocks {
            boot_id: boot_id.into(),
            boot: Duration::from_millis(boot_ms),
            wall: at(wall_ms),
        }
    }

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).expect("in range")
    }

    #[rstest]
    #[case::time_passes_and_the_machine_sleeps(clocks("a", 9_000_000, 9_000_000), None)]
    #[case::a_step_that_counts_as_none(clocks("a", 1_000, 6_000), None)]
    #[case::a_step_ahead(clocks("a", 1_000, 6_001 + 1_000), Some(6_001))]
    #[case::a_step_back(clocks("a", 1_000, -6_000), Some(-7_000))]
    #[case::an_hour_of_slow_correction(clocks("a", 3_600_000, 3_606_700), None)]
    #[case::more_than_a_correction(clocks("a", 3_600_000, 3_607_000), Some(7_000))]
    #[case::a_restart(clocks("b", 10, 60_000), None)]
    #[case::a_restart_with_a_clock_ahead(clocks("b", 10, 900_000_000), None)]
    #[case::a_restart_with_a_clock_behind(clocks("b", 10, -5_001), Some(-5_001))]
    #[case::a_restored_snapshot(clocks("a", 0, 60_000), Some(60_000))]
    fn r10_a_jump_is_told_from_time_that_passes(
        #[case] later: Clocks,
        #[case] jumped_ms: Option<i64>,
    ) {
        let jumped = later.jumped_since(&clocks("a", 0, 0));
        assert_eq!(jumped.map(|by| by.num_milliseconds()), jumped_ms);
    }

    #[rstest]
    #[case::at_once(0, 0, 0, Agreement::Agree)]
    #[case::within_the_tolerance(0, 5_000, 0, Agreement::Agree)]
    #[case::ahead(0, 5_001, 0, Agreement::Differ(TimeDelta::milliseconds(5_001)))]
    #[case::behind(0, -9_000, 10, Agreement::Differ(TimeDelta::milliseconds(-9_000)))]
    #[case::an_answer_that_took_too_long(0, 10_000, 20_000, Agreement::Unsure)]
    #[case::a_slow_answer_of_a_wrong_clock(
        0,
        60_000,
        20_000,
        Agreement::Differ(TimeDelta::seconds(40))
    )]
    fn r10_a_slow_database_is_not_a_wrong_clock(
        #[case] before: i64,
        #[case] database: i64,
        #[case] after: i64,
        #[case] expected: Agreement,
    ) {
        let apart = Apart::between(at(before), at(database), at(after));
        assert_eq!(apart.agreement(), expected);
    }

    proptest! {
        #[test]
        fn r10_clocks_that_agree_are_never_said_to_differ(
            before in 0..1_000_000i64, took in 0..60_000i64, part in 0.0..=1.0f64,
            apart in -5_000..=5_000i64
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss,
                     reason = "milliseconds of a minute")]
            let read_at = before + (took as f64 * part) as i64;
            let seen = Apart::between(at(before), at(read_at + apart), at(before + took));
            prop_assert!(!matches!(seen.agreement(), Agreement::Differ(_)));
        }

        #[test]
        fn r10_time_that_passes_is_never_a_jump(
            passed in 0..100_000_000u64, slew in -1.0..=1.0f64
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss,
                     reason = "milliseconds of a day")]
            let moved = (passed as f64 / f64::from(SLEW) * slew) as i64;
            let passed_ms = i64::try_from(passed).expect("small");
            let later = clocks("a", passed, passed_ms + moved);
            prop_assert_eq!(later.jumped_since(&clocks("a", 0, 0)), None);
        }
    }
}
