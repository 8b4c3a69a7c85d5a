//! Hears of changes by `LISTEN`.

use std::time::Duration;

use async_trait::async_trait;
use expiry_core::{ChangeFeed, StoreError};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::error::{Fault, Result};

pub(super) const CHANNEL: &str = "expiry";

/// Waits between tries to connect again; the last repeats.
const WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

pub(super) struct Feed {
    session: PgConnectOptions,
    listener: Option<PgListener>,
    failures: usize,
}

impl Feed {
    pub(super) async fn open(session: PgConnectOptions) -> Result<Self> {
        let listener = Some(listen(&session).await?);
        Ok(Self {
            session,
            listener,
            failures: 0,
        })
    }

    /// Connects again, however long that takes.
    async fn reconnect(&mut self) {
        loop {
            if let Ok(listener) = listen(&self.session).await {
                self.listener = Some(listener);
                self.failures = 0;
                return;
            }
            let wait = WAITS[self.failures.min(WAITS.len() - 1)];
            self.failures += 1;
            tokio::time::sleep(wait).await;
        }
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn changed(&mut self) -> std::result::Result<(), StoreError> {
        let Some(listener) = &mut self.listener else {
            self.reconnect().await;
            return Ok(());
        };
        let lost = match listener.try_recv().await {
            Ok(Some(_)) => {
                while listener.next_buffered().is_some() {}
                return Ok(());
            }
            Ok(None) => sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
            Err(error) => error,
        };
        self.listener = None;
        Err(Fault::Sql(lost).into())
    }
}

/// Opens a connection for nothing else. It does not connect again by itself: that would go
/// unnoticed, and what happened meanwhile would be missed.
async fn listen(session: &PgConnectOptions) -> Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(3))
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(session.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
