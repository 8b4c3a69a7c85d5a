//! The clock of one watcher's machine, and when no cut may be made by it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{Clock, Clocks, MachineState, testing::TestClock};
use tokio::time::Instant;

/// How far a clock may be off: 5 s, and what a slow database hides.
const TOLERANCE: TimeDelta = TimeDelta::milliseconds(5_600);

/// From here on a watcher may find that its clock does not agree, and what somebody releases then is
/// borne: 5 s, less what a slow database hides.
const DOUBT: TimeDelta = TimeDelta::milliseconds(4_400);

/// For how long a heartbeat may not have seen it.
const UNSEEN: Duration = Duration::from_secs(4);

/// How long a brake holds at least.
const MINUTE: Duration = Duration::from_mins(1);

/// A clock that is further from where it should be by the last reading that the store has has
/// jumped. Nobody can tell from less than two readings: what a clock drifted while it was not read
/// is undone by a step back to the right time.
const JUMP: TimeDelta = TimeDelta::seconds(6);

pub(crate) struct Watching {
    clock: TestClock,
    /// Since when it is off by more than somebody tolerates.
    off: Option<Instant>,
    agrees: Option<Instant>,
    /// How far it was off, at least and at most, since it last agreed for a minute.
    apart: Span,
    /// Somebody looked at the difference and released the brake: so much is borne.
    tolerated: Option<Span>,
    /// What the store last came to know of it.
    known: Option<Clocks>,
    /// When it jumped, and whether the store has seen that it did.
    jumped: Option<(Instant, bool)>,
}

#[derive(Clone, Copy, Default)]
struct Span {
    least: TimeDelta,
    most: TimeDelta,
}

impl Span {
    fn with(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

impl Watching {
    pub(crate) fn new(clock: TestClock) -> Self {
        Self {
            clock,
            off: None,
            agrees: None,
            apart: Span::default(),
            tolerated: None,
            known: None,
            jumped: None,
        }
    }

    /// Compares it with the database's clock.
    pub(crate) fn compare(&mut self, database: DateTime<Utc>) {
        let apart = self.clock.wall() - database;
        if apart.abs() <= DOUBT {
            self.off = None;
            self.agrees.get_or_insert_with(Instant::now);
            return;
        }
        let agreed = self.agrees.take();
        if agreed.is_some_and(|since| since.elapsed() >= MINUTE) {
            self.tolerated = None;
            self.apart = Span::default();
        }
        self.apart = self.apart.with(Span {
            least: apart,
            most: apart,
        });
        let by = self.tolerated.unwrap_or_default();
        let is_borne = apart >= by.least - TOLERANCE && apart <= by.most + TOLERANCE;
        if is_borne {
            self.off = None;
        } else {
            self.off.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that it was stepped. A jump that nobody saw is none when it is undone.
    pub(crate) fn stepped(&mut self) {
        let seen = self.jumped.filter(|(_, is_seen)| *is_seen);
        let moved = self.known.as_ref().map(|known| self.moved_since(known));
        self.jumped = match moved {
            Some(moved) if moved.abs() > JUMP => Some((Instant::now(), false)),
            Some(_) | None => seen,
        };
    }

    /// The store came to know a reading.
    pub(crate) fn looked(&mut self, then: &Clocks) {
        let is_newer = |known: &Clocks| known.boot < then.boot;
        if !self.known.as_ref().is_none_or(is_newer) {
            return;
        }
        let before = self.known.replace(then.clone());
        let is_as_it_was = self.moved_since(then).abs() < TimeDelta::seconds(2);
        // What a clock drifted since it was stepped may have undone so much of the step that nobody
        // can tell any more.
        let is_hidden = before.is_some_and(|before| moved(&before, then).abs() <= JUMP);
        if is_as_it_was {
            let seen = self.jumped.filter(|(_, is_seen)| *is_seen || !is_hidden);
            self.jumped = seen.map(|(at, _)| (at, true));
        }
    }

    /// The store was put back to an earlier reading. A jump since then is seen again by that, unless
    /// it is undone; one from before stands as far as its brake does.
    pub(crate) fn put_back(&mut self, state: Option<MachineState>) {
        let is_braked = state.as_ref().is_some_and(|state| state.brake.is_some());
        self.known = state.map(|state| state.last);
        let has_moved = |known: &Clocks| self.moved_since(known).abs() > JUMP;
        let stays = is_braked || self.known.as_ref().is_some_and(has_moved);
        let jumped = self.jumped.filter(|_| stays);
        self.jumped = jumped.map(|(at, _)| (at, is_braked));
    }

    /// Returns how much further its wall time moved than its boot time, since a reading.
    fn moved_since(&self, then: &Clocks) -> TimeDelta {
        moved(then, &self.clock.read())
    }

    /// Its machine slept, which is time by the clock that a brake goes by.
    pub(crate) fn slept(&mut self, time: Duration) {
        let earlier = |(at, is_seen): (Instant, bool)| Some((at.checked_sub(time)?, is_seen));
        self.jumped = self.jumped.and_then(earlier);
    }

    /// Somebody accepts it as it is.
    pub(crate) fn release(&mut self) {
        self.tolerated = Some(self.tolerated.unwrap_or_default().with(self.apart));
        self.off = None;
        self.jumped = None;
    }

    /// Says why nothing may be written that was decided at a moment.
    pub(crate) fn brake_at(&self, decided: Instant) -> Option<&'static str> {
        let off = self
            .off
            .map(|since| decided.saturating_duration_since(since));
        if off.is_some_and(|for_so_long| for_so_long > UNSEEN) {
            return Some("its clock is off");
        }
        let is_fresh = |(jumped, _): (Instant, bool)| decided > jumped && decided < jumped + MINUTE;
        self.jumped
            .is_some_and(is_fresh)
            .then_some("its clock jumped less than a minute ago")
    }
}

/// Returns how much further wall time moved than boot time, between two readings.
fn moved(then: &Clocks, now: &Clocks) -> TimeDelta {
    let booted = |clocks: &Clocks| TimeDelta::from_std(clocks.boot).expect("some hours");
    now.wall - then.wall - (booted(now) - booted(then))
}
