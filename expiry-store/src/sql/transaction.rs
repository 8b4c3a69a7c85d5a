//! A transaction, and what becomes of its connection.
//!
//! A connection goes back to its pool only when the database said that the transaction is over. One
//! whose BEGIN, COMMIT or ROLLBACK failed is closed: a full disk or a lost answer may have ended the
//! transaction already, and what a driver then believes of the connection need not be true.
//!
//! A COMMIT that ended without the word of the database, as when the connection was lost, may have been
//! done: whoever ordered it must not take it for undone and order again.

use std::{cell::Cell, time::Duration};

use expiry_core::StoreError;
use tokio::{runtime::Handle, time::timeout};

use super::{Conn, Lease, abandon, close, refuses_commit, rolls_back};
use crate::error::{Fault, Result};

tokio::task_local! {
    /// The call has begun a COMMIT of changes, so what came of it is known only from its answer.
    static COMMITTING: Cell<bool>;
}

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
    /// Somebody has to know whether it was committed.
    changes: bool,
}

/// Makes a call, which gets told by [`may_be_done`] whether it began to commit changes.
pub(super) async fn watched<T>(call: impl Future<Output = T>) -> T {
    COMMITTING.scope(Cell::new(false), call).await
}

/// Tells within [`watched`] whether changes may have been committed.
pub(super) fn may_be_done() -> bool {
    COMMITTING.try_with(Cell::get).unwrap_or(false)
}

impl Tx {
    /// Takes a connection on which a transaction has begun, or is begun next. The caller reads the
    /// clock. It changes nothing, or what is changed again unless it is there.
    pub(crate) fn on(conn: Lease) -> Self {
        Self {
            conn: Some(conn),
            now: 0,
            changes: false,
        }
    }

    /// As [`Self::on`], where it matters whether the changes were committed.
    pub(crate) fn changing(conn: Lease) -> Self {
        let mut tx = Self::on(conn);
        tx.changes = true;
        tx
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        match &mut self.conn {
            Some(conn) => conn,
            None => unreachable!("whoever takes the connection ends the transaction"),
        }
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        if self.changes {
            // It may be called outside of a port, where nothing has a limit.
            let _ = COMMITTING.try_with(|begun| begun.set(true));
        }
        match self.say("COMMIT").await {
            Err(Fault::Sql(error)) if self.changes && !refuses_commit(&error) => {
                return Err(StoreError::OutcomeUnknown(Box::new(error)).into());
            }
            said => said?,
        }
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
