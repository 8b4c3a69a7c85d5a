use std::{fmt, time::Duration};

use async_trait::async_trait;
use thiserror::Error;

use crate::{
    Cause, NoPassword, NoPasswordCause, Query, Router, RouterFacts, RouterId, RouterLogin, RowId,
    RowKind, Sighting, Step, Survey, Trouble,
};

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

/// What a connection to a router is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is being made.
    Connect,
    /// It logs in.
    Login,
    /// It asks the router what it is.
    Introduction,
    /// It has asked something.
    Reading,
    /// It has sent changes, which may have been made.
    Writing,
}

impl Phase {
    /// Names the setting that says how long it may take, in section `[gateway]`.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Login | Self::Introduction => "login",
            Self::Reading => "command",
            Self::Writing => "silence",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Login => "the login",
            Self::Introduction => "the question what the router is",
            Self::Reading => "a question",
            Self::Writing => "a change",
        })
    }
}

/// What a flight waits for right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What the connection is at.
    pub phase: Phase,
    /// For how long nothing was heard.
    pub silent_for: Duration,
    /// How long that is borne before the connection counts as dead.
    pub limit: Duration,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no answer to {} for {} s; up to {} s are waited (`{}` in [gateway])",
            self.phase,
            self.silent_for.as_secs(),
            self.limit.as_secs_f32(),
            self.phase.setting()
        )
    }
}

/// Talks to routers, one method for each flight on the wire.
///
/// A flight sends all its commands before it waits and returns when each has been answered. The
/// gateway keeps at most one logged-in connection for each router and is used by one caller at a
/// time for each router.
///
/// `look`, `sessions` and `probe` connect when they have to, and check that the box that answers
/// is the one in `router.seen`. `block`, `drop_rows` and `unblock` never connect, so they need no
/// password: row ids are good only on the connection they were read from, so they fail with
/// [`GatewayError::Disconnected`] once it is gone. A write that was sent may have happened even if the answer is an error, so the
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
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError>;

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
    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError>;

    /// Asks what the router is. Connects if there is no connection, and proves one that there is.
    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError>;

    /// Asks what is set up on the router, for people who test it. Nothing is decided by it.
    async fn survey(&self, login: &RouterLogin) -> Result<Survey, GatewayError> {
        let _ = login;
        Ok(Survey::default())
    }

    /// Closes the connection to a router, if there is one.
    async fn close(&self, router: RouterId);

    /// Tells what a flight to a router waits for right now; `None` if it is not waited for.
    fn waiting(&self, router: RouterId) -> Option<Waiting> {
        let _ = router;
        None
    }

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
    /// No TCP connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What kind of failure it is.
        how: Unreached,
        /// What the system said.
        reason: String,
    },
    /// Connected, but the login was not answered in time.
    #[error("connected, but no answer to the login for {} s", after.as_secs_f32())]
    LoginTimedOut {
        /// What was waited for it.
        after: Duration,
    },
    /// The connection was closed before the router said anything.
    #[error("the connection was closed without a word{}", if *.spoken { " when the login had been sent" } else { "" })]
    Closed {
        /// Whether the peer is known to have waited for our words first. A router that turns
        /// somebody away does not.
        spoken: bool,
    },
    /// Something else than the RouterOS API answers at the port.
    #[error("{speaks} answers there")]
    Stranger {
        /// What it speaks.
        speaks: Speaks,
    },
    /// Logged in, but no byte came for this long while something was outstanding.
    #[error("no answer for {} s", after.as_secs_f32())]
    TimedOut {
        /// The silence that was waited for.
        after: Duration,
    },
    /// As [`Self::TimedOut`], of a router that has answered before and after: it is slow, and is
    /// given longer from now on.
    #[error(
        "no answer for {} s; the router is slow, from now on up to {} s are waited \
         (`silence` in [gateway], at most `command`)",
        after.as_secs_f32(), now.as_secs_f32()
    )]
    Slow {
        /// The silence that was waited for.
        after: Duration,
        /// The silence that is borne from now on.
        now: Duration,
    },
    /// The connection ended or broke, or there is none and this flight must not make one.
    #[error("connection lost: {reason}")]
    Disconnected {
        /// How.
        reason: String,
    },
    /// There is no password to log in with.
    #[error("no password: {cause}")]
    NoPassword {
        /// Why not.
        cause: NoPasswordCause,
    },
    /// The router refused the account. Now and then a right password is refused, too.
    #[error("login refused: {message}")]
    Login {
        /// What the router said.
        message: String,
    },
    /// The router asks for the challenge login of RouterOS before 6.43.
    #[error("the router asks for the login of RouterOS before 6.43")]
    TooOld,
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
    /// The box that answers is on record as another router.
    #[error("the same box as router `{router}` (serial number {serial})")]
    SameBox {
        /// The other router.
        router: String,
        /// The serial number of both.
        serial: String,
    },
}

/// How making a connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The name is unknown.
    NotFound,
    /// The host refuses.
    Refused,
    /// No way leads there.
    NoRoute,
    /// Nothing answers in time.
    TimedOut,
    /// In another way.
    Other,
}

/// What a peer speaks that is not the RouterOS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// TLS.
    Tls,
    /// SSH.
    Ssh,
    /// HTTP.
    Http,
    /// The greeting of an FTP or mail server.
    Greeting,
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::Ssh => "an SSH server",
            Self::Http => "a web server",
            Self::Greeting => "an FTP or mail server",
        })
    }
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

impl From<NoPassword> for GatewayError {
    fn from(error: NoPassword) -> Self {
        Self::NoPassword { cause: error.cause }
    }
}

impl GatewayError {
    /// Classifies the failure; retry code reads nothing else.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Connect { .. }
            | Self::LoginTimedOut { .. }
            | Self::Closed { .. }
            | Self::Stranger { .. }
            | Self::TimedOut { .. }
            | Self::Slow { .. }
            | Self::Disconnected { .. }
            | Self::Protocol { .. } => FailureKind::Unreachable,
            Self::NoPassword { .. }
            | Self::Login { .. }
            | Self::TooOld
            | Self::WrongRouter { .. }
            | Self::SameBox { .. } => FailureKind::Rejected,
            Self::Refused { .. } => FailureKind::Answered,
        }
    }

    /// Says in one line which step failed, what was seen, what that means and the way out, for a
    /// router of this name if it has one.
    pub fn told(&self, router: Option<&str>) -> String {
        Trouble::from(self.clone()).told(router)
    }

    /// Names the cause, for people.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Connect { how, .. } => match how {
                Unreached::NotFound => Cause::HostNotFound,
                Unreached::Refused => Cause::ConnectionRefused,
                Unreached::NoRoute => Cause::NoRoute,
                Unreached::TimedOut => Cause::ConnectTimedOut,
                Unreached::Other => Cause::ConnectFailed,
            },
            Self::LoginTimedOut { .. } => Cause::LoginSilent,
            Self::Closed { spoken: false } => Cause::ClosedAtOnce,
            Self::Closed { spoken: true } => Cause::ClosedAtLogin,
            Self::Stranger { speaks } => match speaks {
                Speaks::Tls => Cause::TlsPort,
                Speaks::Ssh => Cause::SshPort,
                Speaks::Http => Cause::HttpPort,
                Speaks::Greeting => Cause::GreetingPort,
            },
            Self::TimedOut { .. } | Self::Slow { .. } => Cause::AnswerTimedOut,
            Self::Disconnected { .. } => Cause::ConnectionLost,
            Self::NoPassword { cause } => cause.cause(),
            Self::Login { message } if message.contains("not allowed") => Cause::NoApiPolicy,
            Self::Login { .. } => Cause::LoginRefused,
            Self::TooOld => Cause::TooOld,
            Self::Protocol { .. } => Cause::OtherProtocol,
            Self::Refused { command, message } => Cause::of_trap(Step::Read, command, message),
            Self::WrongRouter { .. } => Cause::OtherBox,
            Self::SameBox { .. } => Cause::SameBox,
        }
    }
}
