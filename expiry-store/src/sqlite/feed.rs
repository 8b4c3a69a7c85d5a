//! Hears of changes by asking a counter that SQLite keeps in memory shared by all processes.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use expiry_core::{ChangeFeed, StoreError};
use sqlx::{ConnectOptions, SqliteConnection};

use super::reading;
use crate::error::Result;

/// Time between two looks at the counter.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Feed {
    conn: SqliteConnection,
    /// Moves with every commit of any other connection.
    version: i64,
    /// Moves only with what concerns watchers.
    count: i64,
}

impl Feed {
    pub(super) async fn open(file: &Path) -> Result<Self> {
        let mut conn = reading(file).connect().await?;
        let version = version(&mut conn).await?;
        let count = count(&mut conn).await?;
        Ok(Self {
            conn,
            version,
            count,
        })
    }

    async fn wait(&mut self) -> Result<()> {
        loop {
            tokio::time::sleep(POLL).await;
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
