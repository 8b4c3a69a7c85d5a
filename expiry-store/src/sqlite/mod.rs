//! One file, one writer at a time, any number of readers.

mod connections;
mod feed;
mod file;
mod lease;
mod opening;
mod queue;
#[expect(
    clippy::duplicate_mod,
    reason = "one text, compiled against two drivers"
)]
#[path = "../sql/mod.rs"]
mod sql;
mod turns;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use expiry_core::StoreError;
use sqlx::SqliteConnection;

use self::{
    connections::{Connections, Open},
    lease::Lease,
    opening::{prepare, spoils},
    sql::{Tx, schema},
    turns::Turns,
};
use crate::{
    StoreConfig,
    error::{Fault, Result},
    mode::Mode,
    seal::Sealer,
    version::{Migrated, Upgrade},
};

type Db = sqlx::Sqlite;
type Conn = SqliteConnection;

const STEPS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_counts.sql"),
    include_str!("../../migrations/sqlite/0003_spelling.sql"),
    include_str!("../../migrations/sqlite/0004_known_late.sql"),
    include_str!("../../migrations/sqlite/0005_booted.sql"),
    include_str!("../../migrations/sqlite/0006_key.sql"),
    include_str!("../../migrations/sqlite/0007_payment.sql"),
];

/// What each step leaves behind.
const SHAPES: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.shape"),
    include_str!("../../migrations/sqlite/0002_counts.shape"),
    include_str!("../../migrations/sqlite/0003_spelling.shape"),
    include_str!("../../migrations/sqlite/0004_known_late.shape"),
    include_str!("../../migrations/sqlite/0005_booted.shape"),
    include_str!("../../migrations/sqlite/0006_key.shape"),
    include_str!("../../migrations/sqlite/0007_payment.shape"),
];

/// Each column with its type and whether each row has to fill it, and each unique index.
const SHAPE: &str = "SELECT m.name || '.' || c.name || ' ' || lower(c.type),
         c.\"notnull\" AND c.dflt_value IS NULL AND c.pk = 0
     FROM sqlite_schema m JOIN pragma_table_info(m.name) c
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
     UNION ALL
     SELECT 'unique index ' || i.name, FALSE
     FROM sqlite_schema m JOIN pragma_index_list(m.name) i
     WHERE m.type = 'table' AND i.\"unique\" AND i.origin = 'c'";

/// Events after a place. There is one writer at a time, so their numbers are their order.
const EVENTS_AFTER: &str = "SELECT 0 AS xid, id, at, kind, detail, tenant_id, subscriber_id, \
         username, device, router_id, router, due_at, lag_us, outage
     FROM event WHERE $1 >= 0 AND id > $2 ORDER BY id LIMIT $3";

/// The latest events, latest first.
const EVENTS_LATEST: &str = "SELECT 0 AS xid, id, at, kind, detail, tenant_id, subscriber_id, \
         username, device, router_id, router, due_at, lag_us, outage
     FROM event ORDER BY id DESC LIMIT $1";

/// Compares with a pattern, capitals or not.
const LIKE: &str = "LIKE";

/// The latest events of a subscriber, latest first.
const EVENTS_OF: &str = "SELECT 0 AS xid, id, at, kind, detail, tenant_id, subscriber_id, \
         username, device, router_id, router, due_at, lag_us, outage
     FROM event WHERE subscriber_id = $1 ORDER BY id DESC LIMIT $2";

/// The latest events of removed subscribers of whom only the events are left, latest first.
const EVENTS_OF_FORMER: &str = "SELECT 0 AS xid, id, at, kind, detail, tenant_id, subscriber_id, \
         username, device, router_id, router, due_at, lag_us, outage
     FROM event
     WHERE subscriber_id IN (SELECT gone.subscriber_id FROM event gone
                             WHERE gone.kind = 'subscriber_removed'
                               AND gone.tenant_id = $1 AND gone.username = $2
                               AND NOT EXISTS (SELECT 1 FROM subscriber s
                                               WHERE s.id = gone.subscriber_id))
     ORDER BY id DESC LIMIT $3";

/// How long to wait for another process that writes. Whoever waits is served in no order, so among
/// many it can take a while; a call gives up a little later in any case.
const PATIENCE: Duration = Duration::from_secs(8);

/// Takes the write lock. On a file that can only be read `BEGIN IMMEDIATE` begins to read, and only a
/// statement that would write is refused, whatever it would write.
const WRITING: &str = "BEGIN IMMEDIATE; UPDATE signal SET count = count WHERE FALSE";

/// A SQLite store.
pub(crate) struct Backend {
    connections: Connections,
    turns: Turns,
    sealer: Sealer,
    /// Microseconds.
    clock_ahead: i64,
    file: PathBuf,
}

impl Backend {
    pub(crate) async fn open(
        config: &StoreConfig,
        file: &Path,
    ) -> std::result::Result<Self, StoreError> {
        prepare(config, file, config.upgrade()).await?;
        Ok(Self {
            connections: Connections::new(file, config.max_connections)?,
            turns: Turns::new(file),
            sealer: Sealer::new(config.key_file.clone()),
            clock_ahead: config.clock_ahead.num_microseconds().unwrap_or_default(),
            file: file.into(),
        })
    }

    /// Begins a transaction. Whoever may write takes the write lock first, so that no one ever
    /// has to start over because of what somebody else wrote.
    async fn begin(&self, mode: Mode) -> Result<Tx> {
        let open = self.connections.current().await?;
        let begun = match self.begin_on(&open, mode).await {
            Err(Fault::Sql(error)) if spoils(&error) => {
                // What was in the way when these were opened need not be any more.
                self.connections.give_up(&open);
                let open = self.connections.current().await?;
                self.begin_on(&open, mode).await
            }
            // Another call has given these up meanwhile.
            Err(Fault::Sql(sqlx::Error::PoolClosed)) => {
                let open = self.connections.current().await?;
                self.begin_on(&open, mode).await
            }
            begun => begun,
        };
        match begun {
            Ok(tx) => {
                if mode.writes() {
                    self.connections.taken();
                }
                Ok(tx)
            }
            Err(Fault::Sql(error)) if spoils(&error) => Err(self.connections.refused(error)),
            Err(fault) => Err(fault),
        }
    }

    async fn begin_on(&self, open: &Open, mode: Mode) -> Result<Tx> {
        let (pool, statement) = if mode.writes() {
            (&open.writer, WRITING)
        } else {
            (&open.readers, "BEGIN")
        };
        let turn = self.turns.of(mode).await?;
        let conn = Lease::new(pool.acquire().await?, turn);
        let mut tx = if mode.writes() {
            Tx::changing(conn)
        } else {
            Tx::on(conn)
        };
        tx.say(statement).await?;
        let now: i64 = sqlx::query_scalar(
            "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000",
        )
        .fetch_one(tx.conn())
        .await?;
        tx.now = now + self.clock_ahead;
        open.note_wal(&self.file);
        Ok(tx)
    }

    async fn feed(&self) -> Result<feed::Feed> {
        feed::Feed::open(&self.file).await
    }
}

pub(crate) fn schema_version() -> i64 {
    schema::needed()
}

pub(crate) async fn migrate(
    config: &StoreConfig,
    file: &Path,
) -> std::result::Result<Migrated, StoreError> {
    prepare(config, file, Upgrade::Any).await
}

/// Gives the place in the pool to a new connection.
fn close(conn: Lease) {
    conn.close();
}

/// Drops a connection outside of a runtime.
fn abandon(conn: Lease) {
    conn.abandon();
}

/// Rolls back, and tells whether the connection may be used again.
async fn rolls_back(conn: &mut Conn) -> sqlx::Result<bool> {
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok(true)
}

/// Tells whether SQLite said that a COMMIT was not done. After a failure of the disk the log may hold it
/// all the same, for whoever reads it after a crash.
fn refuses_commit(error: &sqlx::Error) -> bool {
    opening::kind(error).is_some_and(|kind| kind != opening::IO_ERROR)
}

/// Wakes all watchers when the transaction commits.
async fn signal(conn: &mut Conn) -> Result<()> {
    sqlx::query("UPDATE signal SET count = count + 1")
        .execute(conn)
        .await?;
    Ok(())
}

/// Nothing is to be done: without statistics the indexes are used as they are meant to be.
async fn count_anew(_: &mut Conn) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
