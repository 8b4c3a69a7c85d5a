//! Which version of the schema a database has, and what that means.

use expiry_core::StoreError;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// What is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Empty,
    /// Tables of something else.
    Foreign,
    /// Our tables.
    Version(i64),
}

/// What may be done to a database that is not up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// Prepare it if it is empty.
    OnlyEmpty,
    /// Bring it up from any older version.
    Any,
}

/// Decides which version to start from, for a program that needs `needed`.
pub(crate) fn start(
    found: Found,
    needed: i64,
    upgrade: Upgrade,
    url: &str,
) -> Result<i64, StoreError> {
    match (found, upgrade) {
        (Found::Empty, _) => Ok(0),
        (Found::Foreign, _) => Err(StoreError::Open {
            url: url.into(),
            reason: "it holds the tables of another program".into(),
        }),
        (Found::Version(found), _) if found > needed => Err(StoreError::SchemaTooNew {
            found,
            supported: needed,
        }),
        (Found::Version(found), Upgrade::OnlyEmpty) if found < needed => {
            Err(StoreError::SchemaTooOld { found, needed })
        }
        (Found::Version(found), _) => Ok(found),
    }
}
