//! One server, any number of watchers on any number of machines.

mod feed;
#[expect(
    clippy::duplicate_mod,
    reason = "one text, compiled against two drivers"
)]
#[path = "../sql/mod.rs"]
mod sql;

use std::time::Duration;

use expiry_core::StoreError;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    error::DatabaseError,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions},
    query::QueryScalar,
};

use self::sql::{Tx, schema};
use crate::{
    StoreConfig,
    error::{Fault, Result},
    mode::{LONG, Mode},
    seal::Sealer,
    version::{Found, Migrated, Upgrade},
};

type Db = sqlx::Postgres;
type Conn = PgConnection;

const STEPS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.sql"),
    include_str!("../../migrations/postgres/0002_counts.sql"),
    include_str!("../../migrations/postgres/0003_spelling.sql"),
    include_str!("../../migrations/postgres/0004_known_late.sql"),
];

/// What each step leaves behind.
const SHAPES: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.shape"),
    include_str!("../../migrations/postgres/0002_counts.shape"),
    include_str!("../../migrations/postgres/0003_spelling.shape"),
    include_str!("../../migrations/postgres/0004_known_late.shape"),
];

/// Each column with its type and whether each row has to fill it, and each unique index.
const SHAPE: &str = "SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, NULL),
         a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = to_regnamespace('expiry') AND c.relkind IN ('r', 'p')
       AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL
     SELECT 'unique index ' || c.relname, FALSE
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     WHERE c.relnamespace = to_regnamespace('expiry') AND i.indisunique";

/// Events after a place, up to the oldest transaction that is still open: what that one and later
/// ones have written may get company that stands before it.
const EVENTS_AFTER: &str = "SELECT xid::TEXT::BIGINT AS xid, id, at, kind, detail, tenant_id, \
         subscriber_id, username, device, router_id, router, due_at, lag_us, outage
     FROM event
     WHERE (xid, id) > ($1::TEXT::XID8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY xid, id LIMIT $3";

/// The latest events that are final in their order, latest first.
const EVENTS_LATEST: &str = "SELECT xid::TEXT::BIGINT AS xid, id, at, kind, detail, tenant_id, \
         subscriber_id, username, device, router_id, router, due_at, lag_us, outage
     FROM event WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY xid DESC, id DESC LIMIT $1";

/// Compares with a pattern, capitals or not.
const LIKE: &str = "ILIKE";

/// The latest events of a subscriber, latest first.
const EVENTS_OF: &str = "SELECT xid::TEXT::BIGINT AS xid, id, at, kind, detail, tenant_id, \
         subscriber_id, username, device, router_id, router, due_at, lag_us, outage
     FROM event WHERE subscriber_id = $1 ORDER BY id DESC LIMIT $2";

/// The latest events of removed subscribers of whom only the events are left, latest first.
const EVENTS_OF_FORMER: &str = "SELECT xid::TEXT::BIGINT AS xid, id, at, kind, detail, tenant_id, \
         subscriber_id, username, device, router_id, router, due_at, lag_us, outage
     FROM event
     WHERE subscriber_id IN (SELECT gone.subscriber_id FROM event gone
                             WHERE gone.kind = 'subscriber_removed'
                               AND gone.tenant_id = $1 AND gone.username = $2
                               AND NOT EXISTS (SELECT 1 FROM subscriber s
                                               WHERE s.id = gone.subscriber_id))
     ORDER BY id DESC LIMIT $3";

/// So many connections are the heart's own.
const HEART: u32 = 2;

/// How long to wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Numbers of the advisory locks of this program: "expiry", then a digit.
const SCHEMA_LOCK: i64 = 0x0065_7870_6972_7930;
const PLAN_LOCK: i64 = 0x0065_7870_6972_7931;
const CLAIM_LOCK: i64 = 0x0065_7870_6972_7932;

/// A PostgreSQL store.
pub(crate) struct Backend {
    pool: PgPool,
    /// The heart's own: it beats while all others wait for a planning.
    heart: PgPool,
    session: PgConnectOptions,
    sealer: Sealer,
    /// Microseconds.
    clock_ahead: i64,
}

impl Backend {
    pub(crate) async fn open(
        config: &StoreConfig,
        options: &PgConnectOptions,
    ) -> std::result::Result<Self, StoreError> {
        prepare(config, options, Upgrade::OnlyEmpty).await?;
        let pool = |most| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(ACQUIRE)
                .idle_timeout(Duration::from_mins(1))
                .connect_lazy_with(session(options))
        };
        let backend = Self {
            pool: pool(config.max_connections.max(1)),
            heart: pool(HEART),
            session: session(options),
            sealer: Sealer::new(config.key_file.clone()),
            clock_ahead: config.clock_ahead.num_microseconds().unwrap_or_default(),
        };
        sql::routers::check_key(&mut backend.begin(Mode::Read).await?, &backend.sealer).await?;
        backend.adopt_events().await?;
        Ok(backend)
    }

    /// Begins a transaction. Its lock is taken by the statement that reads the clock, so every
    /// later statement sees what those before it in the queue have committed.
    async fn begin(&self, mode: Mode) -> Result<Tx> {
        let begin = match mode {
            Mode::Read | Mode::Glance => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Plan | Mode::PlanAndClaim | Mode::Record | Mode::Claim => "BEGIN",
        };
        let pool = match mode {
            Mode::Glance | Mode::Claim => &self.heart,
            Mode::Read | Mode::Plan | Mode::PlanAndClaim | Mode::Record => &self.pool,
        };
        let mut tx = Tx::begin(pool, begin).await?;
        let clock = match mode {
            Mode::Read | Mode::Glance => sqlx::query_scalar(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT",
            ),
            Mode::Plan => locked(EXCLUSIVE, PLAN_LOCK),
            Mode::PlanAndClaim => locked(BOTH, PLAN_LOCK).bind(CLAIM_LOCK),
            Mode::Record => locked(SHARED, PLAN_LOCK),
            Mode::Claim => locked(EXCLUSIVE, CLAIM_LOCK),
        };
        tx.now = clock.fetch_one(tx.conn()).await? + self.clock_ahead;
        Ok(tx)
    }

    /// Events that a dump brought from another server carry numbers of transactions that are none
    /// here, yet. They become the oldest, or nobody would read them.
    async fn adopt_events(&self) -> Result<()> {
        sqlx::query(
            "UPDATE event SET xid = '0'
             WHERE (SELECT xid FROM event ORDER BY xid DESC, id DESC LIMIT 1)
                       >= pg_snapshot_xmax(pg_current_snapshot())
               AND id <= (SELECT id FROM event
                          WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                          ORDER BY id DESC LIMIT 1)",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn feed(&self) -> Result<feed::Feed> {
        feed::Feed::open(self.session.clone()).await
    }
}

/// `OFFSET 0` has the lock taken before the clock is read.
const EXCLUSIVE: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT
     FROM (SELECT pg_advisory_xact_lock($1) OFFSET 0) AS held";
const SHARED: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT
     FROM (SELECT pg_advisory_xact_lock_shared($1) OFFSET 0) AS held";
const BOTH: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT
     FROM (SELECT pg_advisory_xact_lock($1), pg_advisory_xact_lock($2) OFFSET 0) AS held";

fn locked(statement: &'static str, lock: i64) -> QueryScalar<'static, Db, i64, PgArguments> {
    sqlx::query_scalar(statement).bind(lock)
}

pub(crate) fn schema_version() -> i64 {
    schema::needed()
}

pub(crate) async fn migrate(
    config: &StoreConfig,
    options: &PgConnectOptions,
) -> std::result::Result<Migrated, StoreError> {
    prepare(config, options, Upgrade::Any).await
}

/// Wakes all watchers when the transaction commits.
async fn signal(conn: &mut Conn) -> Result<()> {
    sqlx::query("SELECT pg_notify($1, '')")
        .bind(feed::CHANNEL)
        .execute(conn)
        .await?;
    Ok(())
}

/// Tells the planner of statements what the tables hold, which many rows at once have changed; by
/// itself the server looks once a minute.
async fn count_anew(conn: &mut Conn) -> Result<()> {
    sqlx::query("ANALYZE subscriber, device, enforcement")
        .execute(conn)
        .await?;
    Ok(())
}

/// What every connection starts with. A transaction whose program fell silent gives its locks up.
fn session(options: &PgConnectOptions) -> PgConnectOptions {
    options
        .clone()
        .application_name("expiry")
        .options([
            ("search_path", "expiry"),
            ("statement_timeout", "60s"),
            ("lock_timeout", "8s"),
            ("idle_in_transaction_session_timeout", "8s"),
        ])
        .disable_statement_logging()
}

async fn prepare(
    config: &StoreConfig,
    options: &PgConnectOptions,
    upgrade: Upgrade,
) -> std::result::Result<Migrated, StoreError> {
    let url = config.shown_url();
    let prepared = async {
        let mut conn = session(options).connect().await?;
        let found = found(&mut conn).await?;
        schema::check(&mut conn, found).await?;
        if let Some(done) = schema::up_to_date(found) {
            conn.close().await?;
            return Ok(done);
        }
        let mut tx = conn.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCHEMA_LOCK)
            .execute(&mut *tx)
            .await?;
        let found = self::found(&mut tx).await?;
        schema::check(&mut tx, found).await?;
        let from = schema::start(found, upgrade, &url)?;
        make_schema(&mut tx).await?;
        let migrated = schema::bring_up(&mut tx, from).await?;
        tx.commit().await?;
        conn.close().await?;
        Ok(migrated)
    };
    let answer = tokio::time::timeout(LONG, prepared).await;
    let fault = match answer {
        Ok(Ok(migrated)) => return Ok(migrated),
        Ok(Err(fault)) => fault,
        Err(elapsed) => return Err(StoreError::Unavailable(Box::new(elapsed))),
    };
    Err(match fault {
        Fault::Sql(error) if !may_heal(&error) => StoreError::Open {
            url,
            reason: error.to_string(),
        },
        fault @ (Fault::Sql(_) | Fault::Store(_)) => fault.into(),
    })
}

/// Tells whether waiting may help where opening failed: nobody listens, the connection broke, the
/// server starts, stops, or has no connection left.
fn may_heal(error: &sqlx::Error) -> bool {
    match error.as_database_error().and_then(DatabaseError::code) {
        // A missing right, too, has words of its own.
        Some(code) => ["08", "40", "42501", "53", "55", "57"]
            .iter()
            .any(|class| code.starts_with(class)),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
    }
}

/// A schema that somebody else made for us needs no right to make one.
async fn make_schema(conn: &mut Conn) -> Result<()> {
    let absent: bool = sqlx::query_scalar("SELECT to_regnamespace('expiry') IS NULL")
        .fetch_one(&mut *conn)
        .await?;
    if absent {
        sqlx::query("CREATE SCHEMA expiry").execute(conn).await?;
    }
    Ok(())
}

/// Looks into the schema `expiry`.
async fn found(conn: &mut Conn) -> Result<Found> {
    let (tables, ours): (i64, bool) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(bool_or(tablename = 'expiry_schema'), FALSE)
         FROM pg_catalog.pg_tables WHERE schemaname = 'expiry'",
    )
    .fetch_one(&mut *conn)
    .await?;
    match (tables, ours) {
        (0, _) => Ok(Found::Empty),
        (_, false) => Ok(Found::Foreign),
        (_, true) => schema::version(conn).await,
    }
}
