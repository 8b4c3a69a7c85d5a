use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::{Query, Router, RouterFacts, RouterId, RowId, RowKind, Sighting};

/// What to switch off before sessions are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOrder {
    /// Accounts to disable.
    pub users: Vec<RowId>,
    /// Cookies to remove.
    pub cookies: Vec<RowId>,
    /// Bindings to disable.
    pub bindings: Vec<RowId>,
}

/// What to remove once every way back in is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropOrder {
    /// Sessions.
    pub actives: Vec<RowId>,
    /// Hosts.
    pub hosts: Vec<RowId>,
    /// Tracked connections.
    pub connections: Vec<RowId>,
}

/// What to switch on again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnblockOrder {
    /// Accounts to enable.
    pub users: Vec<RowId>,
    /// Bindings to enable.
    pub bindings: Vec<RowId>,
}

/// A single write that the router refused. That a row is gone already is no refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the row that was to be written.
    pub kind: RowKind,
    /// The row that was to be written.
    pub row: RowId,
    /// What the router said.
    pub message: String,
}

/// Talks to routers, one method for each flight on the wire.
///
/// A flight sends all its commands before it waits and returns when each has been answered. The
/// gateway keeps at most one logged-in connection for each router and is used by one caller at a
/// time for each router.
///
/// `look`, `sessions` and `probe` connect when they have to, and check that the box that answers
/// is the one in `router.seen`. `block`, `drop_rows` and `unblock` never connect: row ids are good
/// only on the connection they were read from, so they fail with [`GatewayError::Disconnected`]
/// once it is gone. A write that was sent may have happened even if the answer is an error, so the
/// caller always reads back.
///
/// An answer that the router breaks off is asked for again within the flight. If it does not come
/// to its end, the rows that came are good, and [`Sighting::broken_off`] says what they lack.
///
/// Every future may be dropped at any await; the connection is then closed, and whatever was sent
/// may have happened.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RouterGateway: Send + Sync {
    /// Reads the rows that fit `query`. Changes nothing.
    async fn look(&self, router: &Router, query: &Query) -> Result<Sighting, GatewayError>;

    /// Writes `order`, and in the same flight reads the sessions, hosts and (if asked)
    /// connections that fit `query`. Whether a row was read before or after the writes is open.
    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError>;

    /// Removes rows.
    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError>;

    /// Enables rows.
    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError>;

    /// Reads all sessions, all bypassed hosts and all enabled bypass bindings.
    async fn sessions(&self, router: &Router) -> Result<Sighting, GatewayError>;

    /// Asks what the router is. Connects if there is no connection, and proves one that there is.
    async fn probe(&self, router: &Router) -> Result<RouterFacts, GatewayError>;

    /// Closes the connection to a router, if there is one.
    async fn close(&self, router: RouterId);

    /// Counts the connections that were made to a router: a flight may have made a new one, to a
    /// router that has restarted.
    async fn dialled(&self, router: RouterId) -> u64 {
        let _ = router;
        0
    }

    /// Waits until the connection to a router ends, while no flight is under way on it. Never
    /// returns if there is none. Cancel safe.
    async fn hung_up(&self, router: RouterId) {
        let _ = router;
        std::future::pending::<()>().await;
    }
}

/// Why a flight failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No TCP connection: name lookup, refused, unreachable, timed out.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Connected, but no byte came for this long while something was outstanding.
    #[error("no answer for {} s", after.as_secs_f32())]
    TimedOut {
        /// The silence that was waited for.
        after: Duration,
    },
    /// The connection ended or broke, or there is none and this flight must not make one.
    #[error("connection lost: {reason}")]
    Disconnected {
        /// How.
        reason: String,
    },
    /// The router refused the account. Now and then a right password is refused, too.
    #[error("login refused: {message}")]
    Login {
        /// What the router said.
        message: String,
    },
    /// The peer does not speak the RouterOS API as it should.
    #[error("not a RouterOS API answer: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
    /// The router answered a read with an error: menu missing, permission missing.
    #[error("the router refused `{command}`: {message}")]
    Refused {
        /// The command.
        command: String,
        /// What the router said.
        message: String,
    },
    /// Another box answers at the address.
    #[error("another router answers there: expected {expected}, found {found}")]
    WrongRouter {
        /// Identity and serial number on record.
        expected: String,
        /// Identity and serial number that answered.
        found: String,
    },
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The router cannot be reached or does not answer.
    Unreachable,
    /// The account or the box is wrong: trying fast does more harm than good.
    Rejected,
    /// The router answers, and says no.
    Answered,
}

impl GatewayError {
    /// Classifies the failure; retry code reads nothing else.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Disconnected { .. }
            | Self::Protocol { .. } => FailureKind::Unreachable,
            Self::Login { .. } | Self::WrongRouter { .. } => FailureKind::Rejected,
            Self::Refused { .. } => FailureKind::Answered,
        }
    }
}
