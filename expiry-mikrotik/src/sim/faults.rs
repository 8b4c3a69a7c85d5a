use std::{borrow::Cow, time::Duration};

use super::Trap;

/// What the network between router and client does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// It works.
    #[default]
    Up,
    /// Connections are refused, those that exist are reset.
    Refused,
    /// Connections are accepted and then nothing passes. Those that exist fall silent, for good.
    BlackHole,
    /// Connections are accepted and closed without a byte, as for a client that is not in the
    /// service's address list. Those that exist stay.
    Filtered,
}

/// What goes wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the connection closes before the answer.
    LoseAnswer,
    /// It is not done, and the connection closes.
    Close,
    /// It is done, and the connection closes in the middle of the answer.
    CutAnswer,
    /// It is done, half of the answer comes, and then nothing on this connection ever again.
    HalfOpen,
    /// It is not done, and nothing comes on this connection ever again.
    Silence,
    /// It is done, and arbitrary bytes come instead of the answer.
    Garbage,
    /// It is done, and a word of 4 GiB is announced instead of the answer.
    HugeWord,
    /// It is not done, and answered as if it were.
    Ignore,
    /// It is refused.
    Refuse(Trap),
    /// It is refused with several `!trap` before the `!done`.
    RefuseTwice(Trap),
    /// It is done, and its answer breaks off after this many rows, with this many `!trap` before the
    /// `!done`: a row vanished while the table was printed.
    BreakOff {
        /// How many rows come before.
        rows: usize,
        /// What is said then.
        trap: Trap,
        /// How often.
        traps: usize,
    },
    /// It is done, and the rows of its answer after this many are missing, without a word of it.
    LoseRows(usize),
    /// The router does nothing at all for this long, then goes on with it.
    Stall(Duration),
    /// It is not done, the router says `!fatal` and closes.
    Fatal,
}

/// A fault and the commands it strikes.
#[derive(Clone, Debug)]
pub struct FaultRule {
    command: Cow<'static, str>,
    fault: Fault,
    spare: u64,
    left: Option<u64>,
}

impl FaultRule {
    /// Strikes all commands whose path starts with `command`, such as `/ip/hotspot/active` or
    /// `/ip/hotspot/active/remove`, or `/login`. An empty `command` strikes all but logins.
    pub fn on(command: impl Into<Cow<'static, str>>, fault: Fault) -> Self {
        Self {
            command: command.into(),
            fault,
            spare: 0,
            left: None,
        }
    }

    /// Strikes only the first of them.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Strikes this many of them.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            left: Some(times),
            ..self
        }
    }

    /// Spares this many of them first.
    #[must_use]
    pub fn after(self, spare: u64) -> Self {
        Self { spare, ..self }
    }

    /// Tells whether the rule strikes this command, and counts it.
    pub(super) fn strike(&mut self, command: &str) -> Option<Fault> {
        let fits = match self.command.as_ref() {
            "" => command != "/login",
            path => command.starts_with(path),
        };
        if !fits || self.left == Some(0) {
            return None;
        }
        if self.spare > 0 {
            self.spare -= 1;
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(self.fault.clone())
    }
}
