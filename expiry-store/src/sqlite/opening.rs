//! Opening and preparing a file, and what its failures mean.

use std::{fs, io, path::Path};

use expiry_core::StoreError;
use sqlx::{
    ConnectOptions, Connection,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use tokio::time::{Duration, Instant};

use super::{Conn, PATIENCE, file::obstacle, schema};
use crate::{
    StoreConfig,
    error::{Fault, Result},
    private,
    version::{Found, Migrated, NOTHING_THERE, Upgrade},
};

pub(super) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(PATIENCE)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
}

pub(super) fn reading(file: &Path) -> SqliteConnectOptions {
    options(file).pragma("query_only", "ON")
}

pub(super) async fn prepare(
    config: &StoreConfig,
    file: &Path,
    upgrade: Upgrade,
) -> std::result::Result<Migrated, StoreError> {
    let unusable = |reason: String| StoreError::Open {
        url: config.shown_url(),
        reason,
    };
    match make(file, upgrade) {
        Ok(()) => {}
        Err(Obstacle::Lasting(reason)) => return Err(unusable(reason)),
        Err(Obstacle::Passing(reason)) => return Err(StoreError::Unavailable(reason.into())),
    }
    let prepared = async {
        // A link to nowhere, or a file system without hard links, is left to SQLite.
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
        Fault::Sql(e) if spoils(&e) => match obstacle(file) {
            Some(obstacle) => StoreError::Unavailable(obstacle.into()),
            None => Fault::Sql(e).into(),
        },
        fault @ (Fault::Sql(_) | Fault::Store(_)) => fault.into(),
    })
}

/// What keeps a file from being made.
enum Obstacle {
    Lasting(String),
    /// Time may mend it, as when a disk is mounted late.
    Passing(String),
}

/// Makes the file if it is not there, but for a path that is only to be read; a directory never.
fn make(file: &Path, upgrade: Upgrade) -> std::result::Result<(), Obstacle> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_place(&error) => {}
        // Opening it tells what is wrong.
        Ok(_) | Err(_) => return Ok(()),
    }
    let directory = private::directory(file);
    let shown = directory.display();
    if upgrade == Upgrade::Nothing {
        let reason = if directory.exists() {
            NOTHING_THERE.into()
        } else {
            format!("there is no directory {shown}: correct the path")
        };
        return Err(Obstacle::Lasting(reason));
    }
    match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = format!("there is no directory {shown}: make it, or correct the path");
            return Err(Obstacle::Passing(reason));
        }
        Ok(found) if found.is_dir() => {}
        Err(error) if !is_no_place(&error) => {}
        Ok(_) | Err(_) => return Err(Obstacle::Lasting(format!("{shown} is no directory"))),
    }
    match private::place(file, "") {
        Ok(()) => Ok(()),
        Err(error) if is_no_place(&error) => {
            Err(Obstacle::Lasting(format!("cannot make it: {error}")))
        }
        Err(_) => obstacle(file).map_or(Ok(()), |reason| Err(Obstacle::Passing(reason))),
    }
}

/// Makes sure that a file that came in place of another is a database that this program can use.
pub(super) async fn is_ours(file: &Path) -> Result<()> {
    let mut conn = reading(file).connect().await?;
    let found = found(&mut conn).await?;
    schema::check(&mut conn, found).await?;
    conn.close().await?;
    if schema::up_to_date(found).is_some() {
        return Ok(());
    }
    let shown = file.display();
    Err(match found {
        Found::Empty | Found::Foreign => {
            let reason = format!("{shown} was replaced by a file that is no database of expiry");
            StoreError::Unavailable(reason.into()).into()
        }
        Found::Version(_) => schema::start(found, Upgrade::OnlyEmpty, &shown.to_string())
            .err()
            .unwrap_or_else(|| StoreError::Unavailable(shown.to_string().into()))
            .into(),
    })
}

/// Switching to WAL needs the file for itself, and SQLite does not wait for that on its own.
async fn use_wal(conn: &mut Conn) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut *conn)
            .await
        {
            Err(e) if is_busy(&e) && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => return Ok(done.map(|_| ())?),
        }
    }
}

/// Tells whether waiting may help where opening failed: others write, the disk is full or does not
/// answer, or this program may not read or write, which somebody may mend.
fn may_heal(error: &sqlx::Error, file: &Path) -> bool {
    match kind(error) {
        Some(BUSY | LOCKED | IO_ERROR | FULL | PERMISSION | READ_ONLY) => true,
        Some(CANNOT_OPEN) => !file.is_dir(),
        _ => false,
    }
}

/// Tells whether no more is to be hoped for from the connections that failed like this.
pub(super) fn spoils(error: &sqlx::Error) -> bool {
    matches!(
        kind(error),
        Some(PERMISSION | READ_ONLY | IO_ERROR | DAMAGED | CANNOT_OPEN | NO_DATABASE)
    )
}

/// Tells whether SQLite may not write.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(kind(error), Some(PERMISSION | READ_ONLY))
}

/// Tells whether the path itself is wrong, so that waiting does not help.
fn is_no_place(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::AlreadyExists
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::InvalidFilename
            | Kind::InvalidInput
    )
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(kind(error), Some(BUSY | LOCKED))
}

const PERMISSION: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
pub(super) const IO_ERROR: u32 = 10;
const DAMAGED: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NO_DATABASE: u32 = 26;

/// The low byte of a result code is its kind.
pub(super) fn kind(error: &sqlx::Error) -> Option<u32> {
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
    use super::*;

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
