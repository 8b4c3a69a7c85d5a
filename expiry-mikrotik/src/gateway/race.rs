//! Two tries at once, never more: beside one that is silent another is begun, and the first to be
//! answered wins. What writes is never tried twice.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use expiry_core::{FailureKind, GatewayError, Phase};
use tokio::time::{Instant, sleep_until};

use super::tolerance::MARGIN;
use crate::gauge::Gauge;

/// How long silence is borne before another try is begun beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bearance {
    /// While a connection is being made.
    pub(super) connect: Duration,
    /// While a login is under way: each that is given up is finished by the router all the same.
    pub(super) login: Duration,
    /// While a question is open.
    pub(super) answer: Duration,
    /// After this a connection is dead if no other can be made, or it has spoken once in the flight:
    /// longer, if it was silent for longer before that.
    pub(super) silence: Duration,
}

impl Bearance {
    fn at(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Connect => self.connect,
            Phase::Login | Phase::Introduction => self.login,
            Phase::Reading | Phase::Writing => self.answer,
        }
    }
}

/// A moment that does not come.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// Waits for `first`, which tells `gauge` what it does, and for what `second` makes beside it
/// whenever it is silent. The older second try gives way to the next. Fails with what `first`
/// fails with.
pub(super) async fn race<T, S>(
    gauge: &Gauge,
    bearance: Bearance,
    first: impl Future<Output = Result<T, GatewayError>>,
    second: impl Fn(Arc<Gauge>) -> S,
) -> Result<T, GatewayError>
where
    S: Future<Output = Result<T, GatewayError>>,
{
    let mut first = pin!(first);
    let mut beside: Option<(Arc<Gauge>, Pin<Box<S>>)> = None;
    let mut not_before = Instant::now();
    let mut is_alone = false;
    loop {
        let quiet = gauge.quiet();
        let now = Instant::now();
        let begin_at = match quiet {
            Some((phase, since)) => (since + bearance.at(phase)).max(not_before),
            None => now + NEVER,
        };
        let dead_at = match quiet {
            Some((Phase::Reading, since)) if is_alone => {
                since + bearance.silence.max(gauge.longest().mul_f64(MARGIN))
            }
            _ => now + NEVER,
        };
        tokio::select! {
            biased;
            ended = &mut first => {
                let error = match ended {
                    Ok(ended) => return Ok(ended),
                    Err(error) => error,
                };
                return match beside {
                    Some((other, second)) if may_be_better(&error, &other) => {
                        second.await.map_err(|_| error)
                    }
                    _ => Err(error),
                };
            }
            ended = second_of(&mut beside) => {
                beside = None;
                is_alone = true;
                match ended {
                    Ok(ended) => return Ok(ended),
                    Err(error) if error.kind() == FailureKind::Rejected => {
                        not_before = now + NEVER;
                    }
                    Err(_) => not_before = Instant::now() + bearance.login,
                }
            }
            () = sleep_until(dead_at) => {
                if gauge.quiet() == quiet {
                    let after = dead_at - quiet.map_or(dead_at, |(_, since)| since);
                    return Err(GatewayError::TimedOut { after });
                }
            }
            () = sleep_until(begin_at) => {
                if gauge.quiet() != quiet {
                    // It has spoken since: it is slow, and another login makes it slower.
                    let was_connecting = matches!(quiet, Some((Phase::Connect, _)));
                    if !was_connecting && beside.take().is_some() {
                        not_before = now + NEVER;
                        is_alone = true;
                    }
                    continue;
                }
                let other = Arc::new(Gauge::default());
                // The older one is closed before the next is begun.
                drop(beside.take());
                beside = Some((Arc::clone(&other), Box::pin(second(other))));
                is_alone = false;
                not_before = Instant::now() + bearance.login;
            }
        }
    }
}

async fn second_of<T, S: Future<Output = T>>(beside: &mut Option<(Arc<Gauge>, Pin<Box<S>>)>) -> T {
    match beside {
        Some((_, second)) => second.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Tells whether a second try is worth waiting for after the first has failed: it has come further.
fn may_be_better(error: &GatewayError, other: &Gauge) -> bool {
    let is_connected = other
        .quiet()
        .is_some_and(|(phase, _)| phase != Phase::Connect);
    let first_is_gone = matches!(
        error,
        GatewayError::Connect { .. }
            | GatewayError::Closed { .. }
            | GatewayError::Disconnected { .. }
    );
    first_is_gone && is_connected
}
