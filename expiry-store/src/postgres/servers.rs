//! Finds the server that takes writes, among one or several, and says why none does.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Error, Executor, Postgres, Row,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgRow},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    address::{Address, Host},
    session::Session,
};

/// What every connection starts with. A transaction whose program fell silent gives its locks up.
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("search_path", "expiry"),
    ("statement_timeout", "60s"),
    ("lock_timeout", "8s"),
    ("idle_in_transaction_session_timeout", "8s"),
];

/// Tells whether the settings of the start hold (a pooler drops them), whether the server follows
/// another one, and whether it takes no writes.
const CHECK: &str = "SELECT current_setting('lock_timeout') = '8s'
             AND current_setting('search_path') = 'expiry',
         pg_is_in_recovery(),
         current_setting('transaction_read_only') = 'on'";

/// A host gets this head start before the next is tried, too.
const HEAD_START: Duration = Duration::from_millis(200);

/// The servers of one address.
pub(super) struct Servers {
    pub(super) address: Address,
    /// Whether a pooler was found at each host, which then is not asked for more than it takes.
    poolers: Vec<AtomicBool>,
    /// The host that was right last; it is tried first.
    right: watch::Sender<usize>,
}

impl Servers {
    pub(super) fn new(address: Address) -> Self {
        Self {
            poolers: address
                .hosts
                .iter()
                .map(|_| AtomicBool::default())
                .collect(),
            address,
            right: watch::Sender::new(0),
        }
    }

    /// Follows which host is the right one.
    pub(super) fn right(&self) -> watch::Receiver<usize> {
        self.right.subscribe()
    }

    /// Connects to the first host that will do. Dropping the future gives up all tries.
    pub(super) async fn connect(&self) -> Result<Session, NoServer> {
        let any = self.address.any;
        let (index, session) = self
            .first(|index, host| {
                let known = self.poolers.get(index);
                let is_pooler = known.is_some_and(|known| known.load(Ordering::Relaxed));
                enter(host, any, is_pooler)
            })
            .await?;
        if let Some(known) = self.poolers.get(index) {
            known.store(session.is_pooled, Ordering::Relaxed);
        }
        Ok(session)
    }

    /// Listens at the first host that will do, and says which that is.
    pub(super) async fn listen(
        &self,
        channel: &'static str,
    ) -> Result<(usize, PgListener), NoServer> {
        let (any, wait) = (self.address.any, self.address.wait);
        self.first(|_, host| listen(host, any, wait, channel)).await
    }

    /// Tries all hosts, the right one of the last time first. One that does not answer costs the
    /// others no more than a head start.
    async fn first<T: Send + 'static, F>(
        &self,
        reach: impl Fn(usize, Host) -> F,
    ) -> Result<(usize, T), NoServer>
    where
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let hosts = &self.address.hosts;
        let right = *self.right.borrow();
        let wait = self.address.wait;
        let mut tries = JoinSet::new();
        let mut head_start = Duration::ZERO;
        for index in (right..hosts.len()).chain(0..right) {
            let Some(host) = hosts.get(index) else {
                continue;
            };
            let reached = reach(index, host.clone());
            let before = head_start;
            head_start += HEAD_START;
            tries.spawn(async move {
                sleep(before).await;
                let reached = timeout(wait, reached).await;
                (index, reached.unwrap_or(Err(Refusal::Silent(wait))))
            });
        }
        let mut refusals = BTreeMap::new();
        while let Some(done) = tries.join_next().await {
            match done {
                Ok((index, Ok(found))) => {
                    self.right.send_if_modified(|right| {
                        let is_another = *right != index;
                        *right = index;
                        is_another
                    });
                    return Ok((index, found));
                }
                Ok((index, Err(refusal))) => {
                    refusals.insert(index, refusal);
                }
                Err(broken) => {
                    tracing::error!(error = &broken as &dyn std::error::Error, "no connection");
                }
            }
        }
        let shown = |index: usize| hosts.get(index).map(|host| host.shown.clone());
        let refusals = refusals
            .into_iter()
            .filter_map(|(index, refusal)| Some((shown(index)?, refusal)));
        Err(NoServer {
            refusals: refusals.collect(),
            is_unnamed: self.address.is_unnamed,
        })
    }
}

async fn enter(host: Host, any: bool, is_pooler: bool) -> Result<Session, Refusal> {
    let mut conn = if is_pooler {
        plain(&host.options).connect().await?
    } else {
        match with_settings(&host.options).connect().await {
            Err(error) if is_refusal_of_settings(&error) => plain(&host.options).connect().await?,
            connected => connected?,
        }
    };
    let keeps_settings = check(&mut conn, any).await?;
    Ok(Session {
        conn,
        is_pooled: !keeps_settings,
        since: Instant::now(),
    })
}

/// Opens a connection for nothing else. It does not connect again by itself: that would go
/// unnoticed, and what happened meanwhile would be missed.
async fn listen(
    host: Host,
    any: bool,
    wait: Duration,
    channel: &'static str,
) -> Result<PgListener, Refusal> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(wait)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(with_settings(&host.options));
    let listener = PgListener::connect_with(&pool).await;
    let mut listener = match listener {
        Err(error) if is_refusal_of_settings(&error) => return Err(Refusal::Pooler),
        listener => listener?,
    };
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    if !check(&mut listener, any).await? {
        return Err(Refusal::Pooler);
    }
    listener.listen(channel).await?;
    Ok(listener)
}

/// Fails unless the server takes writes, and tells whether it keeps what it was told at the start.
pub(super) async fn check<'c>(
    conn: impl Executor<'c, Database = Postgres>,
    any: bool,
) -> Result<bool, Refusal> {
    let row: PgRow = sqlx::raw_sql(CHECK).fetch_one(conn).await?;
    let (standby, read_only): (bool, bool) = (row.try_get(1)?, row.try_get(2)?);
    match (any, standby, read_only) {
        (false, true, _) => Err(Refusal::Standby),
        (false, false, true) => Err(Refusal::ReadOnly),
        (true, ..) | (false, false, false) => Ok(row.try_get(0)?),
    }
}

fn with_settings(options: &PgConnectOptions) -> PgConnectOptions {
    plain(options).options(SETTINGS)
}

/// What a pooler takes, too.
fn plain(options: &PgConnectOptions) -> PgConnectOptions {
    let options = options
        .clone()
        .extra_float_digits(None)
        .disable_statement_logging();
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("expiry"),
    }
}

/// Poolers take few settings at the start, each with its own words.
fn is_refusal_of_settings(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        let told = error.message();
        told.contains("startup parameter") || told.contains("command-line options")
    })
}

/// Why a host will not do.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It did not let us in for so long.
    Silent(Duration),
    Failed(Error),
    Standby,
    ReadOnly,
    /// It passes no notifications on.
    Pooler,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Refusal {
    fn code(&self) -> Option<String> {
        match self {
            Self::Failed(error) => {
                let code = error.as_database_error().and_then(DatabaseError::code);
                code.map(Into::into)
            }
            Self::Silent(_) | Self::Standby | Self::ReadOnly | Self::Pooler => None,
        }
    }

    /// Tells whether the server, or a pooler before it, has no connection left.
    fn is_full(&self) -> bool {
        self.code().as_deref() == Some("53300")
            || matches!(self, Self::Failed(Error::Database(error))
                if error.message().contains("no more connections allowed"))
    }

    /// Tells whether waiting may help: nobody listens, the connection broke, the server starts,
    /// stops, is to be promoted, or has no connection left.
    fn may_heal(&self) -> bool {
        match (self, self.code()) {
            (Self::Silent(_) | Self::Standby | Self::ReadOnly, _) => true,
            (_, Some(code)) => ["08", "40", "53", "55", "57"]
                .iter()
                .any(|class| code.starts_with(class)),
            (Self::Failed(error), None) => matches!(error, Error::Io(_) | Error::PoolTimedOut),
            (Self::Pooler, None) => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(wait) => write!(f, "no answer within {} s", wait.as_secs()),
            Self::Standby => f.write_str(
                "it takes no writes: it is a standby; name the primary, too, or promote it",
            ),
            Self::ReadOnly => {
                f.write_str("it takes no writes: default_transaction_read_only is on")
            }
            Self::Pooler => f.write_str("it is a pooler, which passes no notifications on"),
            Self::Failed(error) if self.is_full() => write!(
                f,
                "{}: it has no connection left; raise its max_connections, or close some of its \
                 other clients",
                told(error)
            ),
            Self::Failed(error) => f.write_str(&told(error)),
        }
    }
}

/// What the database itself said, without what the driver puts around it.
fn told(error: &Error) -> String {
    match (error, error.as_database_error()) {
        (_, Some(error)) => error.message().into(),
        (Error::Io(error), None) => error.to_string(),
        (error, None) => error.to_string(),
    }
}

/// No host will do.
#[derive(Debug)]
pub(super) struct NoServer {
    refusals: Vec<(String, Refusal)>,
    is_unnamed: bool,
}

impl NoServer {
    /// Tells whether a connection that is given back would help.
    pub(super) fn is_full(&self) -> bool {
        self.refusals.iter().any(|(_, refusal)| refusal.is_full())
    }

    pub(super) fn may_heal(&self) -> bool {
        let mut refusals = self.refusals.iter();
        refusals.any(|(_, refusal)| refusal.may_heal())
    }

    /// Tells whether a pooler is all that is there.
    pub(super) fn is_pooler(&self) -> bool {
        let mut refusals = self.refusals.iter();
        refusals.any(|(_, refusal)| matches!(refusal, Refusal::Pooler))
    }
}

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.refusals.len() > 1 {
            write!(
                f,
                "none of its {} hosts takes writes: ",
                self.refusals.len()
            )?;
        }
        for (number, (host, refusal)) in self.refusals.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{host}: {refusal}")?;
            if self.is_unnamed && refusal.code().as_deref() == Some("3D000") {
                f.write_str(" (the URL names no database, so that of the user was meant)")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for NoServer {}
