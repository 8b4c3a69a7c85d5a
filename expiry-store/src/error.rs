//! How failures of a driver become failures of the store.

use expiry_core::{Conflict, Missing, StoreError};
use sqlx::error::DatabaseError;

/// Why a step of a transaction failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The driver or the database said so.
    Sql(sqlx::Error),
    /// The store said so.
    Store(StoreError),
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Missing> for Fault {
    fn from(missing: Missing) -> Self {
        Self::Store(StoreError::Missing(missing))
    }
}

impl From<Conflict> for Fault {
    fn from(conflict: Conflict) -> Self {
        Self::Store(StoreError::Conflict(conflict))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Sql(error) => from_driver(error),
        }
    }
}

/// A value of the wrong type is damage, and so is a column that is not there. What the database
/// forbids stays so until somebody allows it. All else may be over at the next try: a connection
/// that broke, a server that restarts, a lock that others hold, a disk that is full.
fn from_driver(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::ColumnDecode { index, source } = error {
        return StoreError::Corrupt {
            table: "query result",
            column: "value",
            key: index,
            source,
        };
    }
    let code = error.as_database_error().and_then(DatabaseError::code);
    match code.as_deref() {
        // SQLite: the image is malformed, or is no database. PostgreSQL: damaged data or index.
        Some("11" | "26" | "XX001" | "XX002") => StoreError::Corrupt {
            table: "database",
            column: "file",
            key: "any".into(),
            source: Box::new(error),
        },
        // PostgreSQL: no such column, no such table.
        Some("42703" | "42P01") => StoreError::SchemaUnknown(told(&error)),
        // SQLite says the same by its general code, and in words.
        Some("1") if told(&error).starts_with("no such ") => {
            StoreError::SchemaUnknown(told(&error))
        }
        Some("42501") => StoreError::Refused(permission(&told(&error))),
        Some("25006") => StoreError::Unavailable(
            format!(
                "the server takes no writes, as a standby does not: {}",
                told(&error)
            )
            .into(),
        ),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// Names the right that is missing.
fn permission(told: &str) -> String {
    let grant = if told.contains("for database") {
        "`GRANT CREATE ON DATABASE <database> TO <role>`, or make the schema `expiry` for it"
    } else {
        "`GRANT USAGE ON SCHEMA expiry TO <role>` and `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL \
         TABLES IN SCHEMA expiry TO <role>`"
    };
    format!("{told}: have the owner run {grant}")
}

/// What the database itself said, without what the driver puts around it.
fn told(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().into(),
        None => error.to_string(),
    }
}
