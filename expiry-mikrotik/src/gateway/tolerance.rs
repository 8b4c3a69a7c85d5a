//! How long the silence of one router is borne: longer for one that is slow.

use std::time::Duration;

use crate::proto::Patience;

/// So many writes in a row that time out on a router whose reads are answered make it slow.
const TIME_OUTS: u32 = 2;

/// How much longer than the longest answer silence is borne, at least.
pub(super) const MARGIN: f64 = 1.34;

/// After so many quick flights in a row a router is slow no more.
const QUICK: u32 = 20;

/// The silence that is borne, between the setting `silence` and the setting `command`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    base: Duration,
    most: Duration,
    now: Duration,
    time_outs: u32,
    quick: u32,
    /// How long the last login took.
    login: Option<Duration>,
}

impl Tolerance {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            base: patience.silence,
            most: patience.command.max(patience.silence),
            now: patience.silence,
            time_outs: 0,
            quick: 0,
            login: None,
        }
    }

    pub(super) fn silence(&self) -> Duration {
        self.now
    }

    pub(super) fn is_slow(&self) -> bool {
        self.now > self.base
    }

    /// How long a login may be silent before another is tried beside it. Each that is given up is
    /// finished by the router all the same.
    pub(super) fn login(&self) -> Duration {
        match self.login {
            // Each login would keep it from answering the one before.
            _ if self.is_slow() => self.most,
            Some(usual) => (usual * 2).max(self.base.mul_f64(0.8)),
            None => self.base * 2,
        }
    }

    pub(super) fn logged_in(&mut self, took: Duration) {
        self.login = Some(took);
        self.answered(took);
    }

    /// Notes the longest silence of something that was answered in the end.
    pub(super) fn answered(&mut self, longest: Duration) {
        if longest.mul_f64(MARGIN) > self.now {
            self.quick = 0;
            while self.now < self.most && longest.mul_f64(MARGIN) > self.now {
                self.grow();
            }
        } else if longest * 4 < self.base {
            self.quick += 1;
            if self.quick >= QUICK {
                self.now = self.base;
                self.quick = 0;
            }
        } else {
            self.quick = 0;
        }
    }

    /// Notes that writes were answered.
    pub(super) fn written(&mut self) {
        self.time_outs = 0;
    }

    /// Notes that writes were not answered, by a router that had answered reads just before. Tells
    /// whether more is borne from now on.
    pub(super) fn timed_out(&mut self) -> bool {
        self.quick = 0;
        self.time_outs += 1;
        let grows = self.time_outs >= TIME_OUTS && self.now < self.most;
        if grows {
            self.time_outs = 0;
            self.grow();
        }
        grows
    }

    /// 5, 10, 20, 30 s.
    fn grow(&mut self) {
        self.now = (self.now * 2).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tolerance() -> Tolerance {
        Tolerance::new(Patience::default())
    }

    #[test]
    fn r4_a_slow_router_is_given_longer_up_to_the_limit_of_a_command() {
        let mut tolerance = tolerance();
        for (answer, silence) in [(3, 5), (6, 10), (9, 20), (17, 30), (29, 30), (1, 30)] {
            tolerance.answered(answer * SECOND);
            assert_eq!(tolerance.silence(), silence * SECOND, "{answer}");
        }
        for _ in 0..QUICK {
            tolerance.answered(SECOND);
        }
        assert_eq!(tolerance.silence(), 5 * SECOND);
    }

    #[test]
    fn r4_writes_that_time_out_twice_are_given_longer() {
        let mut tolerance = tolerance();
        let grown: Vec<_> = (0..8).map(|_| tolerance.timed_out()).collect();
        assert_eq!(grown, [false, true, false, true, false, true, false, false]);
        assert_eq!(tolerance.silence(), 30 * SECOND);
    }

    #[test]
    fn r4_a_time_out_now_and_then_is_not_slowness() {
        let mut tolerance = tolerance();
        for _ in 0..9 {
            assert!(!tolerance.timed_out());
            tolerance.written();
        }
        assert_eq!(tolerance.silence(), 5 * SECOND);
    }

    #[test]
    fn r4_a_login_that_is_known_to_be_slow_is_not_begun_again_soon() {
        let mut tolerance = tolerance();
        assert_eq!(tolerance.login(), 10 * SECOND);
        tolerance.logged_in(Duration::from_millis(20));
        assert_eq!(tolerance.login(), 4 * SECOND);
        tolerance.logged_in(3 * SECOND);
        assert_eq!(tolerance.login(), 6 * SECOND);
        tolerance.logged_in(8 * SECOND);
        assert_eq!(tolerance.login(), 30 * SECOND, "no other at all");
    }

    proptest! {
        #[test]
        fn the_silence_stays_between_the_settings(
            steps in vec((0_u8..3, 0_u64..40_000), 0..100),
        ) {
            let mut tolerance = tolerance();
            for (what, took) in steps {
                match what {
                    0 => tolerance.answered(Duration::from_millis(took)),
                    1 => tolerance.written(),
                    _ => drop(tolerance.timed_out()),
                }
                let silence = tolerance.silence();
                prop_assert!((5 * SECOND..=30 * SECOND).contains(&silence));
            }
        }
    }
}
