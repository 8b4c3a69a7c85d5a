//! Hears of changes by `LISTEN`, or looks every second where a pooler passes no word of them on.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use expiry_core::{ChangeFeed, StoreError};
use sqlx::postgres::PgListener;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::servers::{NoServer, Refusal, Servers, check};

pub(super) const CHANNEL: &str = "expiry";

/// Waits between tries to connect again; the last repeats.
const WAITS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
];

/// After so long without a word the server is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(10);

/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(3);

/// Time between two looks where nothing is heard.
const POLL: Duration = Duration::from_secs(1);

pub(super) struct Feed {
    servers: Arc<Servers>,
    right: watch::Receiver<usize>,
    ear: Ear,
}

enum Ear {
    Listening(usize, PgListener),
    Lost,
    Deaf,
}

impl Feed {
    pub(super) async fn open(servers: Arc<Servers>) -> Result<Self, StoreError> {
        let ear = match servers.listen(CHANNEL).await {
            Ok((host, listener)) => Ear::Listening(host, listener),
            Err(none) if none.is_pooler() => {
                tracing::warn!(
                    "the database is reached through a pooler, which passes no word of changes on: \
                     looking every second instead; give the URL of the server itself as \
                     database_listen"
                );
                Ear::Deaf
            }
            Err(none) => return Err(unavailable(none)),
        };
        let right = servers.right();
        Ok(Self {
            servers,
            right,
            ear,
        })
    }

    /// Connects again, however long that takes.
    async fn reconnect(&mut self) {
        let mut waits = WAITS.iter();
        let mut wait = WAITS[0];
        loop {
            if let Ok((host, listener)) = self.servers.listen(CHANNEL).await {
                self.ear = Ear::Listening(host, listener);
                return;
            }
            wait = waits.next().copied().unwrap_or(wait);
            sleep(wait).await;
        }
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn changed(&mut self) -> Result<(), StoreError> {
        let any = self.servers.address.any;
        let lost = match &mut self.ear {
            Ear::Listening(host, listener) => {
                match hear(*host, listener, &mut self.right, any).await {
                    Ok(()) => return Ok(()),
                    Err(lost) => lost,
                }
            }
            Ear::Lost => {
                self.reconnect().await;
                return Ok(());
            }
            Ear::Deaf => {
                sleep(POLL).await;
                return Ok(());
            }
        };
        self.ear = Ear::Lost;
        Err(StoreError::Unavailable(lost.to_string().into()))
    }
}

/// Waits for a word. A server that is gone without one, or is not the right one any more, is left.
async fn hear(
    host: usize,
    listener: &mut PgListener,
    right: &mut watch::Receiver<usize>,
    any: bool,
) -> Result<(), Refusal> {
    loop {
        let heard = tokio::select! {
            biased;
            heard = timeout(QUIET, listener.try_recv()) => heard,
            _ = right.wait_for(|right| *right != host) => return Err(closed()),
        };
        match heard {
            Ok(Ok(Some(_))) => {
                while listener.next_buffered().is_some() {}
                return Ok(());
            }
            Ok(Ok(None)) => return Err(closed()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => match timeout(ANSWER, check(&mut *listener, any)).await {
                Ok(there) => there.map(drop)?,
                Err(_) => return Err(Refusal::Silent(ANSWER)),
            },
        }
    }
}

fn closed() -> Refusal {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()).into()
}

fn unavailable(none: NoServer) -> StoreError {
    StoreError::Unavailable(Box::new(none))
}
