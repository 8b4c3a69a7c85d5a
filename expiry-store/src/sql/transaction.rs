//! A transaction, and what becomes of its connection.
//!
//! A connection goes back to its pool only when the database said that the transaction is over. One
//! whose BEGIN, COMMIT or ROLLBACK failed is closed: a full disk or a lost answer may have ended the
//! transaction already, and what a driver then believes of the connection need not be true.

use std::time::Duration;

use tokio::{runtime::Handle, time::timeout};

use super::{Conn, Lease, abandon, close, rolls_back};
use crate::error::Result;

/// How long a ROLLBACK may take, with the statement before it if that still runs.
const ROLLBACK: Duration = Duration::from_secs(1);

/// A transaction, and when it began by the database's clock.
///
/// Dropping it rolls it back.
pub(crate) struct Tx {
    /// Taken by what ends the transaction.
    conn: Option<Lease>,
    /// Microseconds.
    pub(crate) now: i64,
}

impl Tx {
    /// Takes a connection on which a transaction has begun, or is begun next. The caller reads the
    /// clock.
    pub(crate) fn on(conn: Lease) -> Self {
        Self {
            conn: Some(conn),
            now: 0,
        }
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        match &mut self.conn {
            Some(conn) => conn,
            None => unreachable!("whoever takes the connection ends the transaction"),
        }
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        self.say("COMMIT").await?;
        // It goes back to its pool.
        self.conn = None;
        Ok(())
    }

    /// Begins or ends the transaction, or closes the connection.
    pub(crate) async fn say(&mut self, statement: &'static str) -> Result<()> {
        let said = sqlx::raw_sql(statement).execute(self.conn()).await;
        if said.is_err()
            && let Some(conn) = self.conn.take()
        {
            close(conn);
        }
        said?;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(roll_back(conn))),
            // Nobody is left to wait for an answer.
            Err(_) => abandon(conn),
        }
    }
}

async fn roll_back(mut conn: Lease) {
    if !matches!(timeout(ROLLBACK, rolls_back(&mut conn)).await, Ok(Ok(true))) {
        close(conn);
    }
}
