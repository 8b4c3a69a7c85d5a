//! When a subscriber may be online, and how that changes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The right to be online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "at", rename_all = "lowercase")]
pub enum Access {
    /// No access was ever bought: nothing is allowed and nothing is owed.
    None,
    /// Live before this instant, ended from it on.
    Until(DateTime<Utc>),
    /// Live without end.
    Forever,
}

/// What a frontend asks to do to an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// Add this much to the end that is still ahead, else to now.
    Extend(Duration),
    /// Let it end then, unless it goes on for longer already.
    ExtendTo(DateTime<Utc>),
    /// Set it, whatever it was.
    Set(Access),
    /// End it now.
    Revoke,
}

impl Access {
    /// Tells whether the subscriber may be online at `now`.
    pub fn is_live(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::None => false,
            Self::Until(end) => now < end,
            Self::Forever => true,
        }
    }

    /// Tells whether access had an end, and it is past at `now`.
    pub fn has_ended(self, now: DateTime<Utc>) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Returns the instant from which a cut is owed, if access has an end.
    pub fn end(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Until(end) => Some(end),
            Self::None | Self::Forever => None,
        }
    }

    /// Tells whether access goes on for longer than until `end`: to let it end then takes away from it.
    pub fn goes_beyond(self, end: DateTime<Utc>) -> bool {
        match self {
            Self::None => false,
            Self::Until(until) => Self::Until(end).in_micros().end() < Some(until),
            Self::Forever => true,
        }
    }

    /// Returns the access that a store keeps: an end of whole microseconds, rounded up, so that
    /// nothing ends early.
    #[must_use]
    pub fn in_micros(self) -> Self {
        match self {
            Self::Until(end) => {
                let part = i64::from(end.timestamp_subsec_nanos() % 1_000);
                let rest = TimeDelta::nanoseconds((1_000 - part) % 1_000);
                Self::Until(end.checked_add_signed(rest).unwrap_or(end))
            }
            Self::None | Self::Forever => self,
        }
    }

    /// Applies a change asked for at `now`. Extending `forever` leaves it; an end beyond the year
    /// 9999 becomes that year's last second.
    #[must_use]
    pub fn changed(self, change: AccessChange, now: DateTime<Utc>) -> Self {
        match change {
            AccessChange::Set(access) => access,
            AccessChange::Revoke => Self::Until(now),
            AccessChange::ExtendTo(end) => match self {
                Self::Forever => Self::Forever,
                Self::None => Self::Until(end),
                Self::Until(before) => Self::Until(end.max(before)),
            },
            AccessChange::Extend(by) => match self {
                Self::Forever => Self::Forever,
                Self::None => Self::Until(later(now, by)),
                Self::Until(end) => Self::Until(later(end.max(now), by)),
            },
        }
    }
}

/// The last instant that RFC 3339 can write.
const LAST: i64 = 253_402_300_799;

fn later(from: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let last = DateTime::from_timestamp(LAST, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| from.checked_add_signed(by))
        .map_or(last, |end| end.min(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    #[test]
    fn access_ends_at_its_deadline_not_after_it() {
        let access = Access::Until(at(100));
        assert!(access.is_live(at(99)));
        assert!(!access.is_live(at(100)));
    }

    #[test]
    fn extending_an_ended_access_counts_from_now() {
        let access =
            Access::Until(at(100)).changed(AccessChange::Extend(Duration::from_secs(10)), at(500));
        assert_eq!(access, Access::Until(at(510)));
    }

    #[test]
    fn r1_an_end_between_two_microseconds_is_the_later() {
        let end = |nanos| DateTime::from_timestamp(100, nanos).map(Access::Until);
        assert_eq!(end(1_001).map(Access::in_micros), end(2_000));
        assert_eq!(end(2_000).map(Access::in_micros), end(2_000));
        assert_eq!(
            end(999_999_999).map(Access::in_micros),
            Some(Access::Until(at(101)))
        );
    }

    #[test]
    fn extending_to_an_end_takes_nothing_from_who_has_more() {
        for (before, after) in [
            (Access::None, Access::Until(at(100))),
            (Access::Until(at(99)), Access::Until(at(100))),
            (Access::Until(at(101)), Access::Until(at(101))),
            (Access::Forever, Access::Forever),
        ] {
            assert_eq!(
                before.changed(AccessChange::ExtendTo(at(100)), at(50)),
                after
            );
        }
    }

    proptest! {
        #[test]
        fn extending_never_shortens(end in 0..4_000_000_000i64, now in 0..4_000_000_000i64, by: u64) {
            let before = Access::Until(at(end));
            let after = before.changed(AccessChange::Extend(Duration::from_secs(by)), at(now));
            prop_assert!(after.end() >= before.end());
            if by > 0 {
                prop_assert!(after.is_live(at(now)));
            }
        }

        #[test]
        fn revoked_access_is_over_at_once(end in 0..4_000_000_000i64, now in 0..4_000_000_000i64) {
            let after = Access::Until(at(end)).changed(AccessChange::Revoke, at(now));
            prop_assert!(!after.is_live(at(now)));
        }
    }
}
