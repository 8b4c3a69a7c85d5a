//! A connection out of a pool.

use std::ops::{Deref, DerefMut};

use sqlx::{SqliteConnection, pool::PoolConnection};

use super::{Db, turns::Turn};

/// A connection, and the turn of what is done with it.
pub(crate) struct Lease {
    conn: PoolConnection<Db>,
    /// Given back after the connection.
    _turn: Turn,
}

impl Lease {
    pub(super) fn new(conn: PoolConnection<Db>, turn: Turn) -> Self {
        Self { conn, _turn: turn }
    }

    /// Has the pool make a new connection in its place.
    pub(super) fn close(mut self) {
        self.conn.close_on_drop();
    }

    /// Takes it out of the pool and drops it.
    pub(super) fn abandon(self) {
        drop(self.conn.detach());
    }
}

impl Deref for Lease {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.conn
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }
}
