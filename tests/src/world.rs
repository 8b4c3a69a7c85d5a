//! A simulated router, a database, and the command line between them.

use std::{fs, path::PathBuf, time::Duration};

use expiry_core::{Clock, MacAddr, SystemClock};
use expiry_mikrotik::sim::{ClientConfig, ClientId, SimConfig, SimRouter};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use crate::process::Expiry;

/// One router that is simulated here, and a command line whose database knows it.
#[derive(Debug)]
pub struct World {
    /// The command line.
    pub expiry: Expiry,
    /// The router.
    pub router: SimRouter,
    database: String,
    home: TempDir,
}

/// The password of every router here.
pub const PASSWORD: &str = "s3cret of the router";

impl World {
    /// Makes a router named `tower`, and registers it in the database at this URL; without one, in
    /// a SQLite file of its own.
    ///
    /// # Panics
    /// If any of that fails.
    pub async fn new(database: Option<&str>) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let own = format!("sqlite://{}", home.path().join("expiry.db").display());
        let database = database.map_or(own, String::from);
        let expiry = Expiry::new(database.as_str(), home.path());
        let router = sim_router("tower").await;
        let world = Self {
            expiry,
            router,
            database,
            home,
        };
        world.register("tower", &world.router).await;
        world
    }

    /// Returns a path in its own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Registers a router.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn register(&self, name: &str, router: &SimRouter) {
        let file = self.home.path().join("router-password");
        fs::write(&file, format!("{PASSWORD}\n")).expect("written");
        let (port, file) = (router.addr().port().to_string(), file.display().to_string());
        self.expiry
            .ok(&[
                "router",
                "add",
                name,
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--username",
                "expiry",
                "--password-file",
                &file,
            ])
            .await;
        // A router that is added is looked at first; tests count from here.
        router.with(expiry_mikrotik::sim::Simulator::take_stats);
    }

    /// Counts the cuts that were confirmed, each once, with a lag or known late.
    ///
    /// # Panics
    /// If the database cannot be read.
    pub async fn confirmed_cuts(&self) -> i64 {
        let count = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM";
        if self.database.starts_with("postgres") {
            let mut counts = PgConnection::connect(&self.database)
                .await
                .expect("reached");
            let count = format!("{count} expiry.lag_count WHERE want = 'cut'");
            sqlx::query_scalar(AssertSqlSafe(count))
                .fetch_one(&mut counts)
                .await
                .expect("counted")
        } else {
            let mut counts = SqliteConnection::connect(&self.database)
                .await
                .expect("opened");
            let count = format!("{count} lag_count WHERE want = 'cut'");
            sqlx::query_scalar(AssertSqlSafe(count))
                .fetch_one(&mut counts)
                .await
                .expect("counted")
        }
    }

    /// Returns whose cuts were confirmed, and with what lag.
    ///
    /// # Panics
    /// If the database cannot be read.
    pub async fn cuts(&self) -> Vec<(String, Duration)> {
        let cuts = "kind = 'cut_confirmed' AND lag_us IS NOT NULL";
        let found: Vec<(String, i64)> = if self.database.starts_with("postgres") {
            let mut audit = PgConnection::connect(&self.database)
                .await
                .expect("reached");
            let cuts = format!("SELECT username, lag_us FROM expiry.event WHERE {cuts}");
            sqlx::query_as(AssertSqlSafe(cuts))
                .fetch_all(&mut audit)
                .await
                .expect("read")
        } else {
            let mut audit = SqliteConnection::connect(&self.database)
                .await
                .expect("opened");
            let cuts = format!("SELECT username, lag_us FROM event WHERE {cuts}");
            sqlx::query_as(AssertSqlSafe(cuts))
                .fetch_all(&mut audit)
                .await
                .expect("read")
        };
        let lag = |us: i64| Duration::from_micros(us.unsigned_abs());
        found
            .into_iter()
            .map(|(name, us)| (name, lag(us)))
            .collect()
    }

    /// Changes the database behind the back of the program. `{}` stands before names of tables.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn meddle(&self, statement: &str) {
        if self.database.starts_with("postgres") {
            let mut conn = PgConnection::connect(&self.database)
                .await
                .expect("reached");
            let statement = AssertSqlSafe(statement.replace("{}", "expiry."));
            sqlx::query(statement)
                .execute(&mut conn)
                .await
                .expect("done");
        } else {
            let mut conn = SqliteConnection::connect(&self.database)
                .await
                .expect("opened");
            let statement = AssertSqlSafe(statement.replace("{}", ""));
            sqlx::query(statement)
                .execute(&mut conn)
                .await
                .expect("done");
        }
    }

    /// Returns all that stands in the database: the bytes of its file and of its log, or each row
    /// of each table.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn contents(&self) -> Vec<u8> {
        let Some(file) = self.database.strip_prefix("sqlite://") else {
            return self.rows().await.into_bytes();
        };
        // What is still in the log goes to the file: whether it did before says nothing.
        let mut conn = SqliteConnection::connect(file).await.expect("opened");
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut conn)
            .await
            .expect("written");
        conn.close().await.expect("closed");
        fs::read(file).expect("a file")
    }

    async fn rows(&self) -> String {
        let mut conn = PgConnection::connect(&self.database)
            .await
            .expect("reached");
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'expiry' ORDER BY tablename",
        )
        .fetch_all(&mut conn)
        .await
        .expect("listed");
        let mut rows = String::new();
        for table in tables {
            let all =
                format!("SELECT string_agg(t::TEXT, ' ' ORDER BY t::TEXT) FROM expiry.{table} t");
            let all: Option<String> = sqlx::query_scalar(AssertSqlSafe(all))
                .fetch_one(&mut conn)
                .await
                .expect("read");
            rows += &table;
            rows += &all.unwrap_or_default();
        }
        rows
    }

    /// Brings a device online behind `router`, that keeps coming back.
    pub fn device(router: &SimRouter, name: &str, mac: MacAddr) -> ClientId {
        let config = ClientConfig {
            with_cookie: true,
            persistent: true,
            fasttrack: true,
            ..ClientConfig::new(name, mac)
        };
        router.with(|sim| sim.add_client(config))
    }
}

/// Starts a simulated router whose clock is right.
///
/// # Panics
/// If no port is free.
pub async fn sim_router(name: &str) -> SimRouter {
    let now = SystemClock.wall().timestamp();
    let config = SimConfig {
        identity: name.into(),
        serial: Some(format!("SIM-{name}")),
        wall_clock_start: now.try_into().expect("after 1970"),
        ..SimConfig::new("expiry", PASSWORD.into())
    };
    SimRouter::listen("127.0.0.1:0", config)
        .await
        .expect("a free port")
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within `patience`.
pub async fn until(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = interval(Duration::from_millis(5));
    let holds = async {
        while !condition() {
            ticks.tick().await;
        }
    };
    assert!(
        timeout(patience, holds).await.is_ok(),
        "{what}: not within {patience:?}"
    );
}
