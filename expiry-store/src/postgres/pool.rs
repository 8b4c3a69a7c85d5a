//! A few connections that all calls share. What is not needed for a while is closed, so that a
//! watcher at rest holds one of them, and many watchers fit on one server.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use expiry_core::StoreError;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr, SqlStr};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, interval, timeout, timeout_at},
};

use super::{
    servers::{NoServer, SETTINGS, Servers},
    session::Session,
};
use crate::error::Result;

/// How long to wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How long a connection that was at rest may take to begin a transaction. A longer silence is that
/// of a server that is gone.
const AWAKE: Duration = Duration::from_secs(2);

/// The same where a pooler may first have to wait for a connection of its own.
const AWAKE_POOLED: Duration = Duration::from_secs(6);

/// How long taking leave of a server may take.
const LEAVE: Duration = Duration::from_secs(1);

/// All but one connection are closed after so long at rest, the last one later.
const REST: Duration = Duration::from_secs(5);
const LONG_REST: Duration = Duration::from_mins(1);

/// A connection is not kept longer than that: what the server holds for it grows.
const LIFETIME: Duration = Duration::from_mins(30);

/// So many connections are the heart's own: it beats while all others wait for a planning.
const HEART: usize = 2;

/// Whose connections are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    Heart,
    Work,
}

/// The connections of one store.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    servers: Arc<Servers>,
    heart: Arc<Semaphore>,
    work: Arc<Semaphore>,
    most: usize,
    /// The one used last is on top, and taken first.
    resting: Mutex<Vec<Resting>>,
    /// A connection was given back.
    freed: Notify,
}

struct Resting {
    session: Session,
    from: Instant,
}

impl Pool {
    pub(super) fn new(servers: Arc<Servers>, most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, 1000);
        let shared = Arc::new(Shared {
            servers,
            heart: Arc::new(Semaphore::new(HEART)),
            work: Arc::new(Semaphore::new(most)),
            most,
            resting: Mutex::default(),
            freed: Notify::new(),
        });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                match weak.upgrade() {
                    Some(shared) => shared.close_rested().await,
                    None => return,
                }
            }
        });
        Self(shared)
    }

    /// Makes sure that there is a connection.
    pub(super) async fn connect(&self) -> std::result::Result<(), NoServer> {
        let session = self.0.servers.connect().await?;
        self.0.give_back(session);
        Ok(())
    }

    /// Begins a transaction by this statement. The caller ends it before it drops the connection.
    pub(super) async fn begin(&self, share: Share, begin: &'static str) -> Result<Lease> {
        let until = Instant::now() + ACQUIRE;
        let permits = match share {
            Share::Heart => &self.0.heart,
            Share::Work => &self.0.work,
        };
        let permit = timeout_at(until, Arc::clone(permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(StoreError::Unavailable(
                "all connections of this program are busy (max_connections allows no more)".into(),
            )
            .into());
        };
        while let Some(mut session) = self.0.take() {
            let limit = if session.is_pooled {
                AWAKE_POOLED
            } else {
                AWAKE
            };
            let awake = timeout(limit, session_begins(&mut session, begin)).await;
            if let Ok(Ok(())) = awake {
                return Ok(self.lease(session, permit));
            }
            // The others have rested as long: their server is gone, too.
            self.0.forget();
        }
        loop {
            let none = match self.0.servers.connect().await {
                Ok(mut session) => {
                    session_begins(&mut session, begin).await?;
                    return Ok(self.lease(session, permit));
                }
                Err(none) => none,
            };
            let waits = none.is_full() && self.0.others_are_out();
            if !waits || timeout_at(until, self.0.freed.notified()).await.is_err() {
                return Err(StoreError::Unavailable(Box::new(none)).into());
            }
            if let Some(mut session) = self.0.take() {
                session_begins(&mut session, begin).await?;
                return Ok(self.lease(session, permit));
            }
        }
    }

    fn lease(&self, session: Session, permit: OwnedSemaphorePermit) -> Lease {
        Lease {
            held: Some(session),
            pool: Arc::clone(&self.0),
            _permit: permit,
        }
    }
}

async fn session_begins(session: &mut Session, begin: &'static str) -> sqlx::Result<()> {
    let begin = if session.is_pooled {
        with_settings(begin)
    } else {
        begin.into_sql_str()
    };
    session.execute(begin).await.map(drop)
}

/// Behind a pooler, settings hold for one transaction.
fn with_settings(begin: &str) -> SqlStr {
    let settings = SETTINGS.map(|(key, value)| format!("; SET LOCAL {key} = '{value}'"));
    AssertSqlSafe(format!("{begin}{}", settings.concat())).into_sql_str()
}

impl Shared {
    fn resting(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Session> {
        self.resting().pop().map(|resting| resting.session)
    }

    fn give_back(&self, session: Session) {
        if session.since.elapsed() < LIFETIME {
            let from = Instant::now();
            self.resting().push(Resting { session, from });
        }
        self.freed.notify_one();
    }

    /// Closes all that rest.
    fn forget(&self) {
        self.resting().clear();
    }

    /// Tells whether somebody else of this program has a connection, and will give it back.
    fn others_are_out(&self) -> bool {
        let free = self.work.available_permits() + self.heart.available_permits();
        free + 1 < self.most + HEART
    }

    async fn close_rested(&self) {
        let rested = {
            let mut resting = self.resting();
            let last = resting.len().saturating_sub(1);
            let mut rested = Vec::new();
            let mut kept = Vec::with_capacity(resting.len());
            for (place, one) in resting.drain(..).enumerate() {
                let limit = if place == last { LONG_REST } else { REST };
                if one.from.elapsed() < limit {
                    kept.push(one);
                } else {
                    rested.push(one.session);
                }
            }
            *resting = kept;
            rested
        };
        for session in rested {
            // A server that is gone is told nothing, and need not be waited for.
            if timeout(LEAVE, session.close()).await.is_err() {
                tracing::debug!("a connection was dropped without a word");
            }
        }
    }
}

/// A connection that goes back to the others when it is dropped.
pub(super) struct Lease {
    held: Option<Session>,
    pool: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Has it never used again, nor those that rest: what broke this one broke them, too.
    pub(super) fn close(mut self) {
        self.held = None;
        self.pool.forget();
        self.pool.freed.notify_one();
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.held.as_ref().expect("held until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        self.held.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.held.take() {
            self.pool.give_back(session);
        }
    }
}
