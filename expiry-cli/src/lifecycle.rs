//! Stops work on SIGTERM or SIGINT: gently at the first signal, at once at the second.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

/// `timeout` and other wrappers signal the process and its group at once: that is one wish.
const ONE_WISH: Duration = Duration::from_millis(10);

/// Runs `work`, which gets a token that the first signal cancels. The second drops it where it is.
pub(crate) async fn until_signal<T>(
    work: impl AsyncFnOnce(CancellationToken) -> T,
) -> Result<T, CliError> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let mut asked: Option<Instant> = None;
    let mut work = std::pin::pin!(work(stop.clone()));
    loop {
        tokio::select! {
            result = &mut work => return Ok(result),
            () = signals.next() => match asked {
                None => {
                    tracing::info!("stopping; a second signal stops at once");
                    asked = Some(Instant::now());
                    stop.cancel();
                }
                Some(first) if first.elapsed() < ONE_WISH => {}
                Some(_) => return Err(CliError::Interrupted),
            },
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(CliError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(CliError::Signals)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
