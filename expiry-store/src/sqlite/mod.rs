//! One file, one writer at a time, any number of readers.

mod feed;
#[expect(
    clippy::duplicate_mod,
    reason = "one text, compiled against two drivers"
)]
#[path = "../sql/mod.rs"]
mod sql;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use expiry_core::StoreError;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use self::sql::{Tx, schema};
use crate::{
    StoreConfig,
    error::{Fault, Result},
    mode::Mode,
    seal::Sealer,
    version::{Found, Migrated, Upgrade},
};

type Db = sqlx::Sqlite;
type Conn = SqliteConnection;

const STEPS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_counts.sql"),
    include_str!("../../migrations/sqlite/0003_spelling.sql"),
    include_str!("../../migrations/sqlite/0004_booted.sql"),
];

/// What each step leaves behind.
const SHAPES: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.shape"),
    include_str!("../../migrations/sqlite/0002_counts.shape"),
    include_str!("../../migrations/sqlite/0003_spelling.shape"),
    include_str!("../../migrations/sqlite/0004_booted.shape"),
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

/// A SQLite store.
pub(crate) struct Backend {
    writer: SqlitePool,
    readers: SqlitePool,
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
        prepare(config, file, Upgrade::OnlyEmpty).await?;
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
        };
        let backend = Self {
            writer: pool(1).connect_lazy_with(options(file)),
            readers: pool(config.max_connections.max(1)).connect_lazy_with(reading(file)),
            sealer: Sealer::new(config.key_file.clone()),
            clock_ahead: config.clock_ahead.num_microseconds().unwrap_or_default(),
            file: file.into(),
        };
        sql::routers::check_key(&mut backend.begin(Mode::Read).await?, &backend.sealer).await?;
        Ok(backend)
    }

    /// Begins a transaction. Whoever may write takes the write lock first, so that no one ever
    /// has to start over because of what somebody else wrote.
    async fn begin(&self, mode: Mode) -> Result<Tx> {
        let mut inner = match mode {
            Mode::Read | Mode::Glance => self.readers.begin().await?,
            Mode::Plan | Mode::PlanAndClaim | Mode::Record | Mode::Claim => {
                self.writer.begin_with("BEGIN IMMEDIATE").await?
            }
        };
        let now: i64 = sqlx::query_scalar(
            "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000",
        )
        .fetch_one(&mut *inner)
        .await?;
        let now = now + self.clock_ahead;
        Ok(Tx { inner, now })
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

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(PATIENCE)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
}

fn reading(file: &Path) -> SqliteConnectOptions {
    options(file).pragma("query_only", "ON")
}

async fn prepare(
    config: &StoreConfig,
    file: &Path,
    upgrade: Upgrade,
) -> std::result::Result<Migrated, StoreError> {
    let unusable = |reason: String| StoreError::Open {
        url: config.shown_url(),
        reason,
    };
    if let Some(directory) = file.parent()
        && let Err(error) = std::fs::create_dir_all(directory)
    {
        let reason = format!("cannot make {}: {error}", directory.display());
        return Err(if is_refused(&error) {
            unusable(reason)
        } else {
            StoreError::Unavailable(reason.into())
        });
    }
    let prepared = async {
        let mut conn = options(file).create_if_missing(true).connect().await?;
        let found = found(&mut conn).await?;
        schema::check(&mut conn, found).await?;
        if let Some(done) = schema::up_to_date(found) {
            return Ok(done);
        }
        schema::start(found, upgrade, &config.shown_url())?;
        use_wal(&mut conn).await?;
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
        let found = self::found(&mut tx).await?;
        schema::check(&mut tx, found).await?;
        let from = schema::start(found, upgrade, &config.shown_url())?;
        let migrated = schema::bring_up(&mut tx, from).await?;
        tx.commit().await?;
        conn.close().await?;
        Ok(migrated)
    };
    prepared.await.map_err(|fault| match fault {
        Fault::Sql(e) if !may_heal(&e, file) => unusable(e.to_string()),
        fault @ (Fault::Sql(_) | Fault::Store(_)) => fault.into(),
    })
}

/// Switching to WAL needs the file for itself, and SQLite does not wait for that on its own.
async fn use_wal(conn: &mut Conn) -> Result<()> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut *conn)
            .await
        {
            Err(e) if is_busy(&e) && tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => return Ok(done.map(|_| ())?),
        }
    }
}

/// Tells whether waiting may help where opening failed: others write, the disk is full or does not
/// answer, or the file cannot be opened although nothing forbids it.
fn may_heal(error: &sqlx::Error, file: &Path) -> bool {
    match kind(error) {
        Some(BUSY | LOCKED | IO_ERROR | FULL) => true,
        Some(CANNOT_OPEN) => {
            let mut options = std::fs::OpenOptions::new();
            let opened = options.read(true).write(true).create(true).open(file);
            !opened.is_err_and(|error| is_refused(&error))
        }
        _ => false,
    }
}

/// Tells whether the system refuses something that it will refuse again.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::AlreadyExists
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::InvalidFilename
            | Kind::InvalidInput
    )
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(kind(error), Some(BUSY | LOCKED))
}

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// The low byte of a result code is its kind.
fn kind(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(DatabaseError::code)?;
    Some(code.parse::<u32>().ok()? & 0xff)
}

async fn found(conn: &mut Conn) -> Result<Found> {
    let (tables, ours): (i64, bool) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(MAX(name = 'expiry_schema'), FALSE) FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_one(&mut *conn)
    .await?;
    match (tables, ours) {
        (0, _) => Ok(Found::Empty),
        (_, false) => Ok(Found::Foreign),
        (_, true) => schema::version(conn).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;
    use expiry_core::{Access, Directory, EnforcementStore, NewSubscriber, Service, StatusStore};
    use sqlx::AssertSqlSafe;

    use super::*;

    #[tokio::test]
    async fn r7_ends_planned_too_early_are_taken_back_together() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.db");
        let url = format!("sqlite:{}", file.display());
        let mut config = StoreConfig::parse(&url).expect("valid");
        let store = Backend::open(&config, &file).await.expect("opened");
        config.clock_ahead = TimeDelta::hours(1);
        let ahead = Backend::open(&config, &file).await.expect("opened");
        let end = store.now().await.expect("a clock") + TimeDelta::minutes(30);
        for number in 0..30 {
            let new = NewSubscriber {
                tenant: None,
                username: format!("s{number}").parse().expect("a name"),
                service: Service::Hotspot,
                access: Access::Until(end),
                router: None,
                devices: BTreeSet::new(),
            };
            store.add_subscriber(&new).await.expect("added");
        }
        let planned = ahead.plan_due(100).await.expect("planned");
        assert_eq!(planned.subscribers, 30);
        let signals = async || -> i64 {
            let mut conn = reading(&file).connect().await.expect("connected");
            let count = sqlx::query_scalar("SELECT count FROM signal");
            count.fetch_one(&mut conn).await.expect("read")
        };
        let before = signals().await;

        let planned = store.plan_due(100).await.expect("planned");

        assert_eq!(planned.subscribers, 30);
        let status = store.status(0).await.expect("status");
        assert_eq!(status.live_subscribers, 30);
        assert!(signals().await - before <= 2);
    }

    #[tokio::test]
    async fn r7_what_is_asked_all_the_time_reads_no_table_from_end_to_end() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.db");
        let config = StoreConfig::parse(&format!("sqlite:{}", file.display())).expect("valid");
        prepare(&config, &file, Upgrade::OnlyEmpty)
            .await
            .expect("prepared");
        let mut conn = reading(&file).connect().await.expect("connected");
        let small = ["subscriber_removed", "enforcement_finished", "undo_fresh"];
        let derived = [
            "SCAN CONSTANT ROW",
            "SCAN restores",
            "SCAN fresh",
            "SCAN looks",
            "SCAN late",
            "SCAN unseen",
        ];
        for statement in [
            sql::planning::NEXT_DEADLINE,
            sql::planning::LEFT_OVER,
            sql::reconcile::NEXT_DEADLINE,
            sql::work::READY,
            sql::work::NEXT_AT,
            sql::prune::OLD_EVENTS,
            sql::prune::OLD_UNDO,
            EVENTS_AFTER,
            EVENTS_OF,
            EVENTS_OF_FORMER,
        ] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
                .fetch_all(&mut conn)
                .await
                .expect("explained");
            assert!(
                steps
                    .iter()
                    .any(|step| step.3.contains("INDEX") || step.3.contains("KEY"))
            );
            let looks = "enforcement_look (router_id=? AND next_at<?)";
            let finds_looks = steps.iter().any(|step| step.3.ends_with(looks));
            assert!(statement != sql::work::READY || finds_looks, "{steps:?}");
            for (_, _, _, step) in steps {
                let is_small = small.iter().any(|index| step.ends_with(index))
                    || derived.iter().any(|name| step == *name);
                assert!(
                    !step.starts_with("SCAN") || is_small,
                    "{step} in {statement}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_full_disk_may_be_waited_for_and_damage_may_not() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.db");
        let mut conn = options(&file)
            .create_if_missing(true)
            .connect()
            .await
            .expect("connected");
        let mut refused = async |statement: &'static str| {
            let done = sqlx::raw_sql(statement).execute(&mut conn).await;
            done.expect_err("refused")
        };
        let full = "PRAGMA max_page_count = 2; CREATE TABLE a (b); CREATE TABLE c (d);";
        assert!(may_heal(&refused(full).await, &file));
        assert!(!may_heal(&refused("SELECT * FROM nothing").await, &file));
    }
}
