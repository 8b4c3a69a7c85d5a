//! The stores of expiry: PostgreSQL for watchers on many machines, SQLite for one.
//!
//! ```no_run
//! # async fn example() -> Result<(), expiry_core::StoreError> {
//! use expiry_store::StoreConfig;
//!
//! let config = StoreConfig::parse("sqlite:///var/lib/expiry/expiry.db")?;
//! let store = expiry_store::open(&config).await?;
//! println!("{} cuts are owed", store.status(0).await?.owed_cuts);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod audit_row;
mod config;
mod error;
mod hex;
mod mode;
mod postgres;
mod private;
mod row;
mod seal;
mod sqlite;
mod version;

use std::sync::Arc;

pub use config::{StoreConfig, data_directory};
use expiry_core::{Store, StoreError};
pub use version::Migrated;

use crate::config::Database;

/// Opens a store. A database that is empty, or a file that is not there, is prepared unless
/// [`StoreConfig::make`] says otherwise; processes that open it at the same time do not
/// get in each other's way. The store outlasts restarts of the database server.
///
/// # Errors
/// [`StoreError::SchemaTooOld`] and [`StoreError::SchemaTooNew`] if another version of this
/// program prepared it; [`StoreError::Open`] if it cannot be used, holds tables of something
/// else, or is not there and is not to be made; [`StoreError::Unavailable`] if nobody answers. The key file is not needed before a
/// password is.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &config.database {
        Database::Sqlite(path) => Arc::new(sqlite::Backend::open(config, path).await?),
        Database::Postgres(options) => Arc::new(postgres::Backend::open(config, options).await?),
    })
}

/// Opens a store and writes to it what is there already, to find out whether that is possible: is there
/// room on the disk, and may this program write?
///
/// # Errors
/// As [`open`]; [`StoreError::Unavailable`], with the cause and the way out, if nothing can be written.
pub async fn try_writing(config: &StoreConfig) -> Result<(), StoreError> {
    match &config.database {
        Database::Sqlite(path) => {
            sqlite::Backend::open(config, path)
                .await?
                .try_writing()
                .await
        }
        Database::Postgres(options) => {
            let opened = postgres::Backend::open(config, options).await?;
            opened.try_writing().await
        }
    }
}

/// Returns the version of the schema that this program needs. A store that opens has it.
pub fn schema_version(config: &StoreConfig) -> i64 {
    match &config.database {
        Database::Sqlite(_) => sqlite::schema_version(),
        Database::Postgres(_) => postgres::schema_version(),
    }
}

/// Brings the database to the schema of this program. Does nothing to one that is there already.
///
/// # Errors
/// As [`open`], but for [`StoreError::SchemaTooOld`].
pub async fn migrate(config: &StoreConfig) -> Result<Migrated, StoreError> {
    match &config.database {
        Database::Sqlite(path) => sqlite::migrate(config, path).await,
        Database::Postgres(options) => postgres::migrate(config, options).await,
    }
}
