//! The clock of one watcher's machine, and when no cut may be made by it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{Clock, Clocks, testing::TestClock};
use tokio::time::Instant;

/// How far a clock may be off: 5 s, and what a slow database hides.
const TOLERANCE: TimeDelta = TimeDelta::milliseconds(5_600);

/// For how long a heartbeat may not have seen it.
const UNSEEN: Duration = Duration::from_secs(4);

/// How long a brake holds at least.
const MINUTE: Duration = Duration::from_mins(1);

/// A step further than this is a jump, also of a clock that drifts.
const JUMP: i64 = 8;

pub(crate) struct Watching {
    clock: TestClock,
    /// Since when it is off by more than somebody tolerates.
    off: Option<Instant>,
    agrees: Option<Instant>,
    /// How far it was off, at least and at most, since it last agreed for a minute.
    apart: Span,
    /// Somebody looked at the difference and released the brake: so much is borne.
    tolerated: Option<Span>,
    stepped: Option<Instant>,
    /// When the store last came to know it as it is.
    looked: Option<Instant>,
    /// When it jumped, if it did so once within a minute.
    jumped: Option<Instant>,
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
            stepped: None,
            looked: None,
            jumped: None,
        }
    }

    /// Compares it with the database's clock.
    pub(crate) fn compare(&mut self, database: DateTime<Utc>) {
        let apart = self.clock.wall() - database;
        if apart.abs() <= TOLERANCE {
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
        let is_borne = self
            .tolerated
            .is_some_and(|by| apart >= by.least - TOLERANCE && apart <= by.most + TOLERANCE);
        if is_borne {
            self.off = None;
        } else {
            self.off.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that it was stepped by seconds.
    pub(crate) fn stepped(&mut self, seconds: i64) {
        let before = self.stepped.replace(Instant::now());
        // A step there and back that nobody saw is none.
        let is_alone = before.is_none_or(|at| {
            at.elapsed() > MINUTE + UNSEEN && self.looked.is_some_and(|looked| looked > at)
        });
        self.jumped = self.stepped.filter(|_| is_alone && seconds.abs() > JUMP);
    }

    /// The store came to know a reading.
    pub(crate) fn looked(&mut self, then: &Clocks) {
        let now = self.clock.read();
        let booted = |clocks: &Clocks| TimeDelta::from_std(clocks.boot).expect("some hours");
        let moved = now.wall - then.wall - (booted(&now) - booted(then));
        if moved.abs() < TimeDelta::seconds(2) {
            self.looked = Some(Instant::now());
        }
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
        let is_fresh = |jumped: Instant| decided > jumped && decided < jumped + MINUTE;
        self.jumped
            .is_some_and(is_fresh)
            .then_some("its clock jumped less than a minute ago")
    }
}
