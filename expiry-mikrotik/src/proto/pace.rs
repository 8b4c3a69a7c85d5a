use std::time::Duration;

/// How long an answer may be late beside the fastest of its connection. Small boards answer the
/// first hundred commands at once and then ever more slowly; what is sent on to them makes it
/// worse.
const LATE: Duration = Duration::from_millis(500);

/// Narrows the window of outstanding commands while answers slow down.
#[derive(Debug)]
pub(super) struct Pace {
    window: usize,
    least: usize,
    fastest: Option<Duration>,
    /// So many answers still speak of a wider window.
    stale: usize,
}

impl Pace {
    pub(super) fn new(window: usize, least: usize) -> Self {
        Self {
            window: window.max(1),
            least: least.clamp(1, window.max(1)),
            fastest: None,
            stale: 0,
        }
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Starts anew from this window.
    pub(super) fn set_window(&mut self, window: usize) {
        self.window = window.max(1);
        self.stale = 0;
    }

    /// Notes how long the router took for a command whose answer has no rows: with rows it depends
    /// on how many.
    pub(super) fn answered(&mut self, took: Duration) {
        let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
        self.fastest = Some(fastest);
        if self.stale > 0 {
            self.stale -= 1;
        } else if took.saturating_sub(fastest) > LATE {
            self.stale = self.window;
            self.window = (self.window / 2).max(self.least).min(self.window);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn answer(pace: &mut Pace, times: usize, took: Duration) -> usize {
        for _ in 0..times {
            pace.answered(took);
        }
        pace.window()
    }

    #[test]
    fn r7_the_window_is_halved_once_for_each_window_of_late_answers() {
        let mut pace = Pace::new(32, 4);
        assert_eq!(answer(&mut pace, 100, MS), 32);
        assert_eq!(answer(&mut pace, 1, 600 * MS), 16);
        assert_eq!(answer(&mut pace, 32, 600 * MS), 16, "sent before");
        assert_eq!(answer(&mut pace, 1, 600 * MS), 8);
        assert_eq!(answer(&mut pace, 1_000, 600 * MS), 4);
    }

    #[test]
    fn a_long_way_is_not_a_slow_router() {
        let mut pace = Pace::new(32, 4);
        assert_eq!(answer(&mut pace, 1_000, 700 * MS), 32);
    }

    proptest! {
        #[test]
        fn the_window_stays_within_its_bounds(
            window in 0_usize..100,
            least in 0_usize..100,
            took in proptest::collection::vec(0_u64..5_000, 0..300),
        ) {
            let mut pace = Pace::new(window, least);
            for took in took {
                pace.answered(Duration::from_millis(took));
                prop_assert!((1..=window.max(1)).contains(&pace.window()));
            }
        }
    }
}
