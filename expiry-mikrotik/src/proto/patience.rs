use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long to wait for a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence after which a connection with work outstanding is dead.
    pub silence: Duration,
    /// The same after a burst: small boards stall for that long.
    pub silence_after_burst: Duration,
    /// More answers than this within [`Self::burst_within`] are a burst.
    pub burst: usize,
    /// See [`Self::burst`].
    pub burst_within: Duration,
    /// The longest time from sending a command to the end of its answer.
    pub command: Duration,
}

impl Default for Patience {
    /// 5 s of silence, 30 s after more than 100 answers in 10 s, 30 s for a command.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(5),
            silence_after_burst: Duration::from_secs(30),
            burst: 100,
            burst_within: Duration::from_secs(10),
            command: Duration::from_secs(30),
        }
    }
}

/// When to give a connection up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// What will have been waited by then.
    pub after: Duration,
}

/// Applies [`Patience`] to what happens on a connection.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Patience,
    quiet_since: Option<Instant>,
    answers: VecDeque<Instant>,
}

impl Watch {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            quiet_since: None,
            answers: VecDeque::new(),
        }
    }

    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Work became outstanding where there was none.
    pub(super) fn work_began(&mut self, now: Instant) {
        self.quiet_since = Some(now);
    }

    /// At least one byte came.
    pub(super) fn bytes_came(&mut self, now: Instant) {
        self.quiet_since = Some(now);
    }

    /// A command was answered to its end.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answers.push_back(now);
        if self.answers.len() > self.patience.burst.saturating_add(1) {
            self.answers.pop_front();
        }
    }

    /// Returns the deadline of a connection whose oldest outstanding command was sent at `sent`.
    pub(super) fn deadline(&self, sent: Instant) -> Deadline {
        let quiet_since = self.quiet_since.unwrap_or(sent);
        let silence = if self.is_burst_before(quiet_since) {
            self.patience.silence_after_burst
        } else {
            self.patience.silence
        };
        let by_silence = Deadline {
            at: quiet_since + silence,
            after: silence,
        };
        let by_command = Deadline {
            at: sent + self.patience.command,
            after: self.patience.command,
        };
        if by_command.at < by_silence.at {
            by_command
        } else {
            by_silence
        }
    }

    fn is_burst_before(&self, moment: Instant) -> bool {
        self.answers.len() > self.patience.burst
            && self.answers.front().is_some_and(|first| {
                moment.saturating_duration_since(*first) <= self.patience.burst_within
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn r4_five_seconds_of_silence_are_the_end() {
        let t0 = start();
        let mut watch = Watch::new(Patience::default());
        watch.work_began(t0);
        watch.bytes_came(t0 + 2 * SECOND);
        let deadline = watch.deadline(t0);
        assert_eq!(deadline.at, t0 + 7 * SECOND);
        assert_eq!(deadline.after, 5 * SECOND);
    }

    #[test]
    fn r4_a_trickle_of_bytes_does_not_extend_a_command_beyond_its_limit() {
        let t0 = start();
        let mut watch = Watch::new(Patience::default());
        watch.work_began(t0);
        watch.bytes_came(t0 + 29 * SECOND);
        assert_eq!(watch.deadline(t0).at, t0 + 30 * SECOND);
    }

    #[test]
    fn r4_silence_after_more_than_a_hundred_answers_is_borne_longer() {
        let t0 = start();
        for (answers, expected) in [(100, 5 * SECOND), (101, 30 * SECOND)] {
            let mut watch = Watch::new(Patience::default());
            for _ in 0..answers {
                watch.answered(t0);
            }
            watch.bytes_came(t0 + 10 * SECOND);
            assert_eq!(watch.deadline(t0 + 10 * SECOND).after, expected);
        }
    }

    #[test]
    fn r4_a_burst_long_ago_earns_no_patience() {
        let t0 = start();
        let mut watch = Watch::new(Patience::default());
        for _ in 0..500 {
            watch.answered(t0);
        }
        watch.work_began(t0 + 11 * SECOND);
        assert_eq!(watch.deadline(t0 + 11 * SECOND).after, 5 * SECOND);
    }
}
