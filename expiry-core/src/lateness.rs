//! What is late, and whose fault that is: the one place that says which confirmations count as lag,
//! and which owed cuts are late now.
//!
//! An end of access that was past already when it came to be known here, when its router came into
//! scope, or when somebody began to watch, could be seen in time by nobody. Its cut is owed like any
//! other, but says nothing of how prompt cuts are: it is *known late*, and counted apart.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Progress, Want};

/// An end that is past by no more than this when it is written is one that ended just now, by a clock
/// that is not the database's: clocks may be so far apart before a brake holds.
pub const JUST_NOW: TimeDelta = TimeDelta::seconds(5);

/// An end that passed longer than this before anybody watched was seen by nobody in time, and a cut
/// that was due longer than this when it was planned is backlog. Within it another watcher takes over
/// from one that fell silent.
pub const UNSEEN_AFTER: TimeDelta = TimeDelta::seconds(30);

/// An owed cut that is due for no longer than this is being made, and nobody is late.
pub const LATE_AFTER: TimeDelta = TimeDelta::seconds(5);

/// Returns when an end came to be known late; `None` if it was known in time.
///
/// `known_at` is when it was written, or when its router came into scope: whichever is later.
pub fn known_late(end: DateTime<Utc>, known_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (known_at - end > JUST_NOW).then_some(known_at)
}

/// Returns when an end that time alone made due came to be known late: at its planning, if it had
/// passed long before anybody watched. `watched_since` is `None` while nobody watches.
pub fn seen_late(
    end: DateTime<Utc>,
    watched_since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    (watched_since.unwrap_or(now) - end > UNSEEN_AFTER).then_some(now)
}

/// Since when something is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owing {
    /// When access ended, or was given back.
    pub due_at: DateTime<Utc>,
    /// When that came to be known, if it was known late.
    pub known_late_at: Option<DateTime<Utc>>,
    /// Whether it comes after fresh work.
    pub backlog: bool,
    /// When a cut was first confirmed before it became owed again: it has had its lag.
    pub confirmed_at: Option<DateTime<Utc>>,
}

impl Owing {
    /// Returns since when a task is owed that is planned anew.
    ///
    /// `standing` is what the row said before, if it was owed in the same direction. What is owed
    /// already goes on being owed since then, whatever plans it anew: a device that is added, a list,
    /// another end. Only what was due ahead of the clock, or a restore that had been confirmed, begins
    /// anew.
    #[must_use]
    pub fn planned_anew(self, want: Want, standing: Option<Self>, now: DateTime<Utc>) -> Self {
        let standing = standing.filter(|standing| standing.due_at <= now);
        match (want, standing) {
            (Want::Cut, Some(standing)) => standing,
            (Want::Restore, Some(standing)) if standing.confirmed_at.is_none() => standing,
            (Want::Cut | Want::Restore, _) => self,
        }
    }
}

/// What a first confirmation counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LagKind {
    /// Somebody watched and the router answered.
    #[default]
    Prompt,
    /// It waited for a router that was down.
    Outage,
    /// The end was known late: what is counted is the time since it was known, and that is no lag.
    KnownLate,
}

impl LagKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Prompt, Self::Outage, Self::KnownLate];

    /// Returns the word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Outage => "outage",
            Self::KnownLate => "known_late",
        }
    }

    /// Reads the word kept in the store.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How long a first confirmation took, and what that counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// From the end of access, or the payment, until the confirmation; of an end that was known late,
    /// from when it was known.
    pub span: Duration,
    /// What it counts as.
    pub kind: LagKind,
}

impl Waited {
    /// Judges a confirmation at `now`. `back_at` is when the router last came back from an outage.
    pub fn until(
        now: DateTime<Utc>,
        due_at: DateTime<Utc>,
        known_late_at: Option<DateTime<Utc>>,
        back_at: Option<DateTime<Utc>>,
    ) -> Self {
        let (since, kind) = match known_late_at {
            Some(known) => (known, LagKind::KnownLate),
            None if back_at.is_some_and(|back| back > due_at) => (due_at, LagKind::Outage),
            None => (due_at, LagKind::Prompt),
        };
        let span = (now - since).to_std().unwrap_or_default();
        Self { span, kind }
    }

    /// Returns the lag; an end that was known late has none.
    pub fn lag(self) -> Option<Duration> {
        (self.kind != LagKind::KnownLate).then_some(self.span)
    }
}

/// How an owed cut stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// It was due a moment ago: it is being made.
    Fresh,
    /// Somebody may be online who should be off by now.
    Late,
    /// The end was known late, and its cut has not been made yet.
    Backlog,
}

impl Lateness {
    /// Judges an owed cut. Who came back after a cut is late, however late the end was known.
    pub fn of(
        due_at: DateTime<Utc>,
        known_late_at: Option<DateTime<Utc>>,
        progress: &Progress,
        now: DateTime<Utc>,
    ) -> Self {
        if Self::is_backlog(known_late_at, progress) {
            Self::Backlog
        } else if now - due_at > LATE_AFTER {
            Self::Late
        } else {
            Self::Fresh
        }
    }
}

impl Lateness {
    /// Tells whether an owed cut is [`Lateness::Backlog`], whatever the time.
    pub fn is_backlog(known_late_at: Option<DateTime<Utc>>, progress: &Progress) -> bool {
        known_late_at.is_some() && progress.confirmed_at.is_none() && progress.returns == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + seconds)
    }

    fn owing(due: i64) -> Owing {
        Owing {
            due_at: at(due),
            known_late_at: known_late(at(due), at(0)),
            backlog: false,
            confirmed_at: None,
        }
    }

    #[test]
    fn r9_an_end_of_long_ago_is_known_late_and_one_of_just_now_is_not() {
        assert_eq!(known_late(at(0), at(5)), None);
        assert_eq!(known_late(at(0), at(6)), Some(at(6)));
        assert_eq!(known_late(at(10), at(6)), None);
    }

    #[test]
    fn r9_what_nobody_watched_is_seen_late_and_what_a_watcher_missed_is_not() {
        assert_eq!(seen_late(at(0), Some(at(31)), at(40)), Some(at(40)));
        assert_eq!(seen_late(at(0), Some(at(30)), at(4_000)), None);
        assert_eq!(seen_late(at(0), None, at(31)), Some(at(31)));
        assert_eq!(seen_late(at(0), None, at(30)), None);
    }

    #[test]
    fn r9_a_confirmation_counts_once_and_what_was_known_late_has_no_lag() {
        let of = |known, back| {
            let waited = Waited::until(at(60), at(0), known, back);
            (waited.kind, waited.span.as_secs(), waited.lag().is_some())
        };
        assert_eq!(of(None, None), (LagKind::Prompt, 60, true));
        assert_eq!(of(None, Some(at(-1))), (LagKind::Prompt, 60, true));
        assert_eq!(of(None, Some(at(1))), (LagKind::Outage, 60, true));
        assert_eq!(of(Some(at(50)), None), (LagKind::KnownLate, 10, false));
        assert_eq!(
            of(Some(at(50)), Some(at(1))),
            (LagKind::KnownLate, 10, false)
        );
    }

    #[test]
    fn r9_who_came_back_is_late_however_late_the_end_was_known() {
        let mut progress = Progress::owed(at(0));
        let of = |progress: &Progress, due, known| Lateness::of(at(due), known, progress, at(0));
        assert_eq!(of(&progress, -5, None), Lateness::Fresh);
        assert_eq!(of(&progress, -6, None), Lateness::Late);
        assert_eq!(of(&progress, -6, Some(at(-1))), Lateness::Backlog);
        progress.returns = 1;
        assert_eq!(of(&progress, -6, Some(at(-1))), Lateness::Late);
        progress.returns = 0;
        progress.confirmed_at = Some(at(-3));
        assert_eq!(of(&progress, -6, Some(at(-1))), Lateness::Late);
    }

    #[test]
    fn a_restore_that_had_been_confirmed_begins_anew_and_a_cut_keeps_its_lag() {
        let standing = Owing {
            confirmed_at: Some(at(-90)),
            ..owing(-100)
        };
        let anew = owing(0);
        assert_eq!(
            anew.planned_anew(Want::Restore, Some(standing), at(0)),
            anew
        );
        assert_eq!(
            anew.planned_anew(Want::Cut, Some(standing), at(0)),
            standing
        );
    }

    proptest! {
        #[test]
        fn r9_what_is_owed_is_never_owed_since_later(
            first in -1_000..=0i64,
            again in proptest::collection::vec(-1_000..=0i64, 1..10),
        ) {
            for want in [Want::Cut, Want::Restore] {
                let standing = owing(first);
                let mut now = standing;
                for due in &again {
                    now = owing(*due).planned_anew(want, Some(now), at(0));
                }
                prop_assert_eq!(now, standing);
            }
        }

        #[test]
        fn what_was_due_ahead_of_the_clock_begins_anew(ahead in 1..1_000i64, due in -1_000..=0i64) {
            let anew = owing(due);
            let standing = owing(ahead);
            prop_assert_eq!(anew.planned_anew(Want::Cut, Some(standing), at(0)), anew);
        }
    }
}
