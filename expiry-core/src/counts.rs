//! What attempts came to, and how long routers took to answer, as counters.

use std::collections::BTreeMap;

use crate::{Histogram, Outcome, Progress, RouterId, State, Want};

/// What an attempt at a cut came to, or a look at one that was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CutResult {
    /// A read-back showed nothing left.
    Confirmed,
    /// Something was left, or the router failed meanwhile: it stays owed.
    Unconfirmed,
    /// A confirmed cut was found undone.
    Returned,
}

impl CutResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Unconfirmed, Self::Returned];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Returned => "returned",
        }
    }

    /// Reads the word for it.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Tells what a recorded outcome counts as; a look that agrees, or fails, counts as nothing.
    pub fn of(want: Want, before: &Progress, outcome: &Outcome) -> Option<Self> {
        match (outcome, want, before.state) {
            (Outcome::Returned { .. }, Want::Cut, _) => Some(Self::Returned),
            (Outcome::Confirmed { .. }, Want::Cut, State::Owed) => Some(Self::Confirmed),
            (Outcome::Unconfirmed { .. }, Want::Cut, State::Owed) => Some(Self::Unconfirmed),
            (_, Want::Restore, _) | (_, Want::Cut, State::Confirmed) => None,
        }
    }
}

/// What was counted on one router since it is known. Counts only ever grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterCounts {
    /// Its number.
    pub id: RouterId,
    /// Its name.
    pub router: String,
    /// Attempts at cuts by what they came to; those that never were are missing.
    pub cuts: BTreeMap<CutResult, u64>,
    /// From a request until the router had answered it. One that failed is not counted. The few
    /// of the last seconds before a watcher was killed, or while it stopped, may be lost, and those whose
    /// record got no answer counted twice.
    pub requests: Histogram,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;

    #[test]
    fn attempts_and_returns_count_and_looks_that_find_nothing_new_do_not() {
        let confirmed = Outcome::Confirmed {
            next_look: Some(Duration::ZERO),
        };
        let returned = Outcome::Returned {
            way_in: None,
            retry_in: Duration::ZERO,
        };
        let failed = Outcome::Unconfirmed {
            error: "left".into(),
            online: None,
            retry_in: Duration::ZERO,
        };
        let now = DateTime::UNIX_EPOCH;
        let mut progress = Progress::owed(now);
        let mut counted = Vec::new();
        for outcome in [&failed, &confirmed, &confirmed, &failed, &returned] {
            counted.push(CutResult::of(Want::Cut, &progress, outcome));
            assert_eq!(CutResult::of(Want::Restore, &progress, outcome), None);
            progress = progress.after(outcome, now);
        }
        assert_eq!(
            counted,
            [
                Some(CutResult::Unconfirmed),
                Some(CutResult::Confirmed),
                None,
                None,
                Some(CutResult::Returned)
            ]
        );
    }
}
