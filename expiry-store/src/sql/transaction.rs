//! A transaction, and what becomes of its connection.
//!
//! A connection goes back to its pool only when the database said that the transaction is over. One
//! whose BEGIN, COMMIT or ROLLBACK failed is closed: a full disk or a lost answer may have ended the
//! transaction already, and what a driver then believes of the connection need not be true.

use std::time::Duration;

use sqlx::{Pool, pool::PoolConnection};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{Conn, Db, Turn, is_busy};
use crate::error::Result;

/// How long a ROLLBACK may take, with the statement before it if that still runs.
const ROLLBACK: Duration = Duration::from_secs(1);

/// How long to ask again where others have the lock, and how often.
const BUSY: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(1);

/// A transaction, and when it began by the database's clock.
///
/// Dropping it rolls it back.
pub(crate) struct Tx {
    /// Taken by what ends the transaction.
    conn: Option<PoolConnection<Db>>,
    /// Given back when the transaction is over.
    turn: Option<Turn>,
    /// Microseconds.
    pub(crate) now: i64,
}

impl Tx {
    /// Begins a transaction by this statement. The caller reads the clock.
    pub(crate) async fn begin(
        pool: &Pool<Db>,
        statement: &'static str,
        turn: Turn,
    ) -> Result<Self> {
        let mut tx = Self {
            conn: Some(pool.acquire().await?),
            turn: Some(turn),
            now: 0,
        };
        let end = Instant::now() + BUSY;
        loop {
            match sqlx::raw_sql(statement).execute(tx.conn()).await {
                Ok(_) => return Ok(tx),
                Err(error) if is_busy(&error) && Instant::now() < end => sleep(AGAIN).await,
                Err(error) => {
                    if let Some(conn) = tx.conn.take() {
                        close(conn);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        match &mut self.conn {
            Some(conn) => conn,
            None => unreachable!("whoever takes the connection ends the transaction"),
        }
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        let committed = sqlx::raw_sql("COMMIT").execute(self.conn()).await;
        // It goes back to its pool, or is closed.
        if let Some(conn) = self.conn.take()
            && committed.is_err()
        {
            close(conn);
        }
        committed?;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        let turn = self.turn.take();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(roll_back(conn, turn))),
            // Nobody is left to wait for an answer.
            Err(_) => drop(conn.detach()),
        }
    }
}

async fn roll_back(mut conn: PoolConnection<Db>, turn: Option<Turn>) {
    let rolled_back = timeout(ROLLBACK, sqlx::raw_sql("ROLLBACK").execute(&mut *conn)).await;
    if !matches!(rolled_back, Ok(Ok(_))) {
        close(conn);
    }
    drop(turn);
}

/// Gives the place in the pool to a new connection.
fn close(mut conn: PoolConnection<Db>) {
    conn.close_on_drop();
}
