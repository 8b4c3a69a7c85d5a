//! Bringing the schema up, one step after the other.

use expiry_core::StoreError;

use super::{Backend, Conn, SHAPE, SHAPES, STEPS, store::within};
use crate::{
    error::Result,
    mode::{Mode, SHORT},
    version::{self, Found, Migrated, Upgrade},
};

/// The version that this program needs.
pub(crate) fn needed() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Tells whether nothing is to be done.
pub(crate) fn up_to_date(found: Found) -> Option<Migrated> {
    let to = needed();
    (found == Found::Version(to)).then_some(Migrated { from: to, to })
}

/// Decides which version to start from.
pub(crate) fn start(
    found: Found,
    upgrade: Upgrade,
    url: &str,
) -> std::result::Result<i64, StoreError> {
    version::start(found, needed(), upgrade, url)
}

impl Backend {
    /// Writes what is there already.
    pub(crate) async fn try_writing(&self) -> std::result::Result<(), StoreError> {
        within(SHORT, async {
            let mut tx = self.begin(Mode::Order).await?;
            sqlx::query("UPDATE expiry_schema SET version = version")
                .execute(tx.conn())
                .await?;
            tx.commit().await
        })
        .await
    }
}

pub(crate) async fn version(conn: &mut Conn) -> Result<Found> {
    let version: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM expiry_schema")
        .fetch_one(conn)
        .await?;
    Ok(version.map_or(Found::Foreign, Found::Version))
}

const _: () = assert!(SHAPES.len() == STEPS.len(), "each step has its shape");

/// Fails unless the tables are those that the steps up to the version found make.
pub(crate) async fn check(conn: &mut Conn, found: Found) -> Result<()> {
    let Found::Version(version) = found else {
        return Ok(());
    };
    let step = usize::try_from(version).ok().and_then(|v| v.checked_sub(1));
    let Some(shape) = step.and_then(|step| SHAPES.get(step)) else {
        return Ok(());
    };
    let found: Vec<(String, bool)> = sqlx::query_as(SHAPE).fetch_all(conn).await?;
    Ok(version::compare(version, shape, &found)?)
}

/// Takes all steps after version `from`. The caller keeps everybody else out.
pub(crate) async fn bring_up(conn: &mut Conn, from: i64) -> Result<Migrated> {
    let to = needed();
    for (step, version) in STEPS.iter().zip(1..) {
        if version > from {
            sqlx::raw_sql(*step).execute(&mut *conn).await?;
            sqlx::query("INSERT INTO expiry_schema (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *conn)
                .await?;
        }
    }
    check(conn, Found::Version(to)).await?;
    Ok(Migrated { from, to })
}
