//! What a transaction is for, and so which others it keeps out.

use std::time::Duration;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sees one state of the database and changes nothing.
    Read,
    /// As `Read`, for the heart, which waits for no planning.
    Glance,
    /// Changes who may be online or what is owed: alone among `Plan` and `Record`.
    Plan,
    /// As `Plan`, because a person or a program ordered it: where there is one writer, watchers go
    /// first.
    Order,
    /// As `Plan`, and touches all routers: alone among `Claim`, too. People order two of these, to end a
    /// brake and to have the watcher look at once: they help it, and stand in its queue.
    PlanAndClaim,
    /// Records results of one router, whose row it holds: keeps only `Plan` out.
    Record,
    /// Changes who serves which router, or which box it is: alone among `Claim`.
    Claim,
}

impl Mode {
    /// Tells whether anything is changed.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Glance)
    }
}

/// How long a step that a router's owner waits for may take.
pub(crate) const SHORT: Duration = Duration::from_secs(10);

/// How long a change may take that touches all subscribers.
pub(crate) const LONG: Duration = Duration::from_mins(1);
