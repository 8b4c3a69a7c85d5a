//! Hears of changes by asking a counter that SQLite keeps in memory shared by all processes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use expiry_core::{ChangeFeed, StoreError};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{connections::identity, file::Identity, opening::reading};
use crate::error::Result;

/// Time between two looks at the counter.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Feed {
    path: PathBuf,
    file: Identity,
    conn: SqliteConnection,
    /// Moves with every commit of any other connection.
    version: i64,
    /// Moves only with what concerns watchers.
    count: i64,
}

impl Feed {
    pub(super) async fn open(file: &Path) -> Result<Self> {
        let path = file.to_owned();
        let file = identity(&path)?;
        let mut conn = reading(&path).connect().await?;
        let version = version(&mut conn).await?;
        let count = count(&mut conn).await?;
        Ok(Self {
            path,
            file,
            conn,
            version,
            count,
        })
    }

    async fn wait(&mut self) -> Result<()> {
        loop {
            tokio::time::sleep(POLL).await;
            if identity(&self.path)? != self.file {
                let reason = "the database file was replaced by another one";
                return Err(StoreError::Unavailable(reason.into()).into());
            }
            let version = version(&mut self.conn).await?;
            if version == self.version {
                continue;
            }
            let count = count(&mut self.conn).await?;
            self.version = version;
            if count != self.count {
                self.count = count;
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn changed(&mut self) -> std::result::Result<(), StoreError> {
        Ok(self.wait().await?)
    }
}

async fn version(conn: &mut SqliteConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(conn)
        .await?)
}

async fn count(conn: &mut SqliteConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count FROM signal")
        .fetch_one(conn)
        .await?)
}
