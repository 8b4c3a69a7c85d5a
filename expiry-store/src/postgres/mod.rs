//! One server, any number of watchers on any number of machines.

pub(crate) mod address;
mod feed;
mod pool;
mod servers;
mod session;
#[expect(
    clippy::duplicate_mod,
    reason = "one text, compiled against two drivers"
)]
#[path = "../sql/mod.rs"]
mod sql;

use std::sync::Arc;

use expiry_core::StoreError;
use sqlx::{
    Row,
    error::DatabaseError,
    postgres::{PgArguments, PgDatabaseError, PgSeverity},
    query::QueryScalar,
};

use self::{
    address::Address,
    pool::{Lease, Pool, Share},
    servers::Servers,
    session::Session,
    sql::{Tx, schema, store::within},
};
use crate::{
    StoreConfig,
    error::Result,
    mode::{LONG, Mode},
    seal::Sealer,
    version::{Found, Migrated, Upgrade},
};

type Db = sqlx::Postgres;
type Conn = Session;

const STEPS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.sql"),
    include_str!("../../migrations/postgres/0002_counts.sql"),
    include_str!("../../migrations/postgres/0003_spelling.sql"),
    include_str!("../../migrations/postgres/0004_known_late.sql"),
    include_str!("../../migrations/postgres/0005_booted.sql"),
    include_str!("../../migrations/postgres/0006_key.sql"),
    include_str!("../../migrations/postgres/0007_payment.sql"),
];

/// What each step leaves behind.
const SHAPES: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.shape"),
    include_str!("../../migrations/postgres/0002_counts.shape"),
    include_str!("../../migrations/postgres/0003_spelling.shape"),
    include_str!("../../migrations/postgres/0004_known_late.shape"),
    include_str!("../../migrations/postgres/0005_booted.shape"),
    include_str!("../../migrations/postgres/0006_key.shape"),
    include_str!("../../migrations/postgres/0007_payment.shape"),
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

/// Numbers of the advisory locks of this program: "expiry", then a digit.
const SCHEMA_LOCK: i64 = 0x0065_7870_6972_7930;
const PLAN_LOCK: i64 = 0x0065_7870_6972_7931;
const CLAIM_LOCK: i64 = 0x0065_7870_6972_7932;

/// A PostgreSQL store.
pub(crate) struct Backend {
    pool: Pool,
    /// Where changes are heard of.
    listen: Arc<Servers>,
    sealer: Sealer,
    /// Microseconds.
    clock_ahead: i64,
}

impl Backend {
    pub(crate) async fn open(
        config: &StoreConfig,
        address: &Address,
    ) -> std::result::Result<Self, StoreError> {
        let servers = Arc::new(Servers::new(address.clone()));
        let pool = Pool::new(Arc::clone(&servers), config.max_connections);
        prepare(&pool, config, config.upgrade()).await?;
        adopt_events(&pool).await?;
        let listen = match &config.listen {
            Some(listen) => Arc::new(Servers::new(listen.clone())),
            None => servers,
        };
        Ok(Self {
            pool,
            listen,
            sealer: Sealer::new(config.key_file.clone()),
            clock_ahead: config.clock_ahead.num_microseconds().unwrap_or_default(),
        })
    }

    /// Begins a transaction. Its lock is taken by the statement that reads the clock, so every
    /// later statement sees what those before it in the queue have committed.
    async fn begin(&self, mode: Mode) -> Result<Tx> {
        let begin = match mode {
            Mode::Read | Mode::Glance => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Plan | Mode::Order | Mode::PlanAndClaim | Mode::Record | Mode::Claim => "BEGIN",
        };
        let share = match mode {
            Mode::Glance | Mode::Claim => Share::Heart,
            Mode::Read | Mode::Plan | Mode::Order | Mode::PlanAndClaim | Mode::Record => {
                Share::Work
            }
        };
        let conn = self.pool.begin(share, begin).await?;
        let mut tx = if mode.writes() {
            Tx::changing(conn)
        } else {
            Tx::on(conn)
        };
        let clock = match mode {
            Mode::Read | Mode::Glance => sqlx::query_scalar(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT",
            ),
            Mode::Plan | Mode::Order => locked(EXCLUSIVE, PLAN_LOCK),
            Mode::PlanAndClaim => locked(BOTH, PLAN_LOCK).bind(CLAIM_LOCK),
            Mode::Record => locked(SHARED, PLAN_LOCK),
            Mode::Claim => locked(EXCLUSIVE, CLAIM_LOCK),
        };
        tx.now = clock.fetch_one(tx.conn()).await? + self.clock_ahead;
        Ok(tx)
    }

    async fn feed(&self) -> Result<feed::Feed> {
        Ok(feed::Feed::open(Arc::clone(&self.listen)).await?)
    }
}

/// A transaction that may not write was told to.
const READ_ONLY: &str = "25006";

/// What came of a statement is not known.
const UNKNOWN: &str = "40003";

fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map(Into::into)
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
    address: &Address,
) -> std::result::Result<Migrated, StoreError> {
    let servers = Arc::new(Servers::new(address.clone()));
    prepare(&Pool::new(servers, 1), config, Upgrade::Any).await
}

/// Has a connection never used again.
fn close(conn: Lease) {
    conn.close();
}

fn abandon(conn: Lease) {
    conn.close();
}

/// Rolls back, and tells whether the connection may be used again: a server that takes no writes any
/// more is left.
async fn rolls_back(conn: &mut Conn) -> sqlx::Result<bool> {
    let rolled_back = sqlx::raw_sql("ROLLBACK; SHOW transaction_read_only");
    let read_only: String = rolled_back.fetch_one(conn).await?.try_get(0)?;
    Ok(read_only == "off")
}

/// Tells whether the server said that a COMMIT was not done. One that ends the connection with its words
/// may have done it, and so may one that a pooler lost.
fn refuses_commit(error: &sqlx::Error) -> bool {
    let said = error.as_database_error();
    let Some(said) = said.and_then(|said| said.try_downcast_ref::<PgDatabaseError>()) else {
        return false;
    };
    let is_open = said.code().starts_with("08") || said.code() == UNKNOWN;
    said.severity() == PgSeverity::Error && !is_open
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

async fn prepare(
    pool: &Pool,
    config: &StoreConfig,
    upgrade: Upgrade,
) -> std::result::Result<Migrated, StoreError> {
    let url = config.shown_url();
    if let Err(none) = pool.connect().await {
        return Err(if none.may_heal() {
            StoreError::Unavailable(Box::new(none))
        } else {
            StoreError::Open {
                url,
                reason: none.to_string(),
            }
        });
    }
    within(LONG, async {
        let mut tx = Tx::on(pool.begin(Share::Work, "BEGIN").await?);
        let found = found(tx.conn()).await?;
        schema::check(tx.conn(), found).await?;
        if let Some(done) = schema::up_to_date(found) {
            tx.commit().await?;
            return Ok(done);
        }
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCHEMA_LOCK)
            .execute(tx.conn())
            .await?;
        let found = self::found(tx.conn()).await?;
        schema::check(tx.conn(), found).await?;
        let from = schema::start(found, upgrade, &url)?;
        make_schema(tx.conn()).await?;
        let migrated = schema::bring_up(tx.conn(), from).await?;
        tx.commit().await?;
        Ok(migrated)
    })
    .await
}

/// Events that a dump brought from another server carry numbers of transactions that are none here, yet.
/// They become the oldest, or nobody would read them. A server that takes no writes leaves that to the
/// one that does.
async fn adopt_events(pool: &Pool) -> std::result::Result<(), StoreError> {
    within(LONG, async {
        let mut tx = Tx::on(pool.begin(Share::Work, "BEGIN").await?);
        let adopted = sqlx::query(
            "UPDATE event SET xid = '0'
             WHERE (SELECT xid FROM event ORDER BY xid DESC, id DESC LIMIT 1)
                       >= pg_snapshot_xmax(pg_current_snapshot())
               AND id <= (SELECT id FROM event
                          WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                          ORDER BY id DESC LIMIT 1)",
        )
        .execute(tx.conn())
        .await;
        match adopted {
            Ok(_) => tx.commit().await,
            Err(error) if code(&error).as_deref() == Some(READ_ONLY) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })
    .await
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
