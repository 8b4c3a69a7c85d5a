//! Whether a router has restarted since it last told how long it is up.
//!
//! Its own wall clock says nothing: without a battery it starts at 1970. The time since its start
//! is measured against the watcher's clock that counts suspended time.

use std::time::Duration;

/// How long a router was up, as it said between two moments of the watcher's boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uptime {
    pub(super) up_for: Duration,
    pub(super) asked: Duration,
    pub(super) told: Duration,
}

/// Routers tell whole seconds.
const GRAIN: Duration = Duration::from_secs(2);

/// One part in so many by which two clocks may differ.
const DRIFT: u32 = 100;

impl Uptime {
    /// Tells whether the router has restarted since it told `earlier`.
    pub(super) fn restarted_since(self, earlier: Self) -> bool {
        let passed = self.asked.saturating_sub(earlier.told);
        let tolerance = GRAIN + passed / DRIFT;
        self.up_for < earlier.up_for || self.up_for + tolerance < earlier.up_for + passed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uptime(up_for: u64, asked: u64, told: u64) -> Uptime {
        Uptime {
            up_for: Duration::from_millis(up_for / 1_000 * 1_000),
            asked: Duration::from_millis(asked),
            told: Duration::from_millis(told),
        }
    }

    proptest! {
        #[test]
        fn r9_a_router_that_goes_on_has_not_restarted_however_slowly_it_answers(
            up in 0_u64..10_000_000,
            answers in (0_u64..30_000, 0_u64..30_000),
            told in (0_u64..30_000, 0_u64..30_000),
            passed in 60_000_u64..1_000_000_000,
        ) {
            let earlier = uptime(up + answers.0, 0, answers.0 + told.0);
            let later = uptime(up + passed + answers.1, passed, passed + answers.1 + told.1);
            prop_assert!(!later.restarted_since(earlier));
        }

        #[test]
        fn r9_a_router_that_was_up_for_a_while_and_restarts_is_noticed(
            up in 30_000_u64..10_000_000,
            passed in 1_000_u64..600_000,
            since in 0_u64..600_000,
        ) {
            let earlier = uptime(up, 0, 20);
            let later = uptime(since.min(passed), passed, passed + 20);
            prop_assert!(later.restarted_since(earlier));
        }
    }
}
