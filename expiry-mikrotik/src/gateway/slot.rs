//! The place of a router's one connection.

use std::{sync::Arc, time::Duration};

use expiry_core::{GatewayError, Phase, Router, RouterFacts, RouterLogin, Survey};

use super::{
    GatewayConfig,
    flight::{Flight, Landed},
    line::{Line, check_box},
    listen::{closed_why, not_the_api},
    race::{Bearance, race},
    tolerance::Tolerance,
};
use crate::{client::ClientError, gauge::Gauge, proto::ConnectionConfig, survey, system};

/// Holds the connection while it is idle.
///
/// A flight takes the connection out and puts it back when it has landed, so that one that failed
/// or was dropped half way is closed.
#[derive(Debug)]
pub(super) struct Slot {
    line: Option<Line>,
    window: usize,
    /// The same on a slow router.
    slow_window: usize,
    dialled: u64,
    tolerance: Tolerance,
    gauge: Arc<Gauge>,
}

impl Slot {
    pub(super) fn new(connection: &ConnectionConfig, gauge: Arc<Gauge>) -> Self {
        Self {
            line: None,
            window: connection.window,
            slow_window: connection.min_window,
            dialled: 0,
            tolerance: Tolerance::new(connection.patience),
            gauge,
        }
    }

    /// Flies on the connection that there is. The flight may write: it is flown once.
    pub(super) async fn fly(
        &mut self,
        config: &GatewayConfig,
        router: &Router,
        flight: &Flight<'_>,
    ) -> Landed {
        let line = self.line.take();
        let Some(mut line) = line.filter(|line| line.leads_to(router)) else {
            return Err(GatewayError::Disconnected {
                reason: "there is no connection".into(),
            });
        };
        let silence = self.tolerance.silence();
        let gauge = Arc::clone(&self.gauge);
        line.prepare(config, self.window(), silence, Some(&gauge));
        let waiting = Rest(&gauge);
        gauge.enter(Phase::Writing, silence);
        let flown = line.fly(flight).await;
        drop(waiting);
        match flown {
            Ok((line, landed)) => {
                self.tolerance.written();
                self.keep(config, line, flight.len());
                landed
            }
            Err(error) => Err(self.write_failed(config, error)),
        }
    }

    /// Flies on the connection that there is, or else on a new one, and on another beside one that
    /// is silent. The flight must do no harm if it is flown twice.
    pub(super) async fn fly_or_dial(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
        flight: &Flight<'_>,
    ) -> Landed {
        if let Some(line) = self.take_line(login) {
            match self.ask(config, login, line, flight).await {
                Err(GatewayError::Disconnected { .. }) => {}
                landed => return landed,
            }
        }
        let line = self.dial(config, login).await?;
        self.ask(config, login, line, flight).await
    }

    /// Asks the router what it is, over a new connection if there is none.
    pub(super) async fn probe(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
    ) -> Result<RouterFacts, GatewayError> {
        if let Some(line) = self.take_line(login) {
            match self.ask_again(config, login, line).await {
                Err(GatewayError::Disconnected { .. }) => {}
                answer => return answer,
            }
        }
        let line = self.dial(config, login).await?;
        let facts = line.facts.clone();
        self.line = Some(line);
        Ok(facts)
    }

    /// Asks what is set up on the router, over a new connection if there is none.
    pub(super) async fn survey(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
    ) -> Result<Survey, GatewayError> {
        let mut line = match self.take_line(login) {
            Some(line) => line,
            None => self.dial(config, login).await?,
        };
        let (client, survey) = survey::read(line.client).await?;
        line.client = client;
        self.line = Some(line);
        survey
    }

    pub(super) fn close(&mut self) {
        self.line = None;
    }

    /// Counts the connections that were made.
    pub(super) fn dialled(&self) -> u64 {
        self.dialled
    }

    /// Waits for the end of the connection that there is, and forgets it.
    pub(super) async fn hung_up(&mut self) {
        match &mut self.line {
            Some(line) => line.client.closed().await,
            None => std::future::pending().await,
        }
        self.line = None;
    }

    async fn dial(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
    ) -> Result<Line, GatewayError> {
        let (gauge, window) = (Arc::clone(&self.gauge), self.window());
        let waiting = Rest(&gauge);
        gauge.enter(Phase::Connect, config.connect);
        let dial = |gauge| Line::dial(config, login, window, gauge);
        let first = dial(Arc::clone(&gauge));
        let dialled = tokio::select! {
            biased;
            dialled = race(&gauge, self.bearance(config), first, dial) => dialled,
            error = not_the_api(config, &login.router.address) => Err(error),
        };
        let silence = gauge.rest();
        drop(waiting);
        match dialled {
            Ok(mut line) => {
                self.tolerance.answered(silence);
                self.take_in(&mut line);
                Ok(line)
            }
            // A peer that hangs up without a word is listened to once more, to tell why.
            Err(GatewayError::Closed { .. }) => {
                Err(closed_why(config, &login.router.address).await)
            }
            Err(error) => Err(self.read_failed(config, error)),
        }
    }

    /// Notes a new connection.
    fn take_in(&mut self, line: &mut Line) {
        if let Some(took) = line.login_took.take() {
            self.dialled += 1;
            self.tolerance.logged_in(took);
        }
    }

    async fn ask(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
        mut line: Line,
        flight: &Flight<'_>,
    ) -> Landed {
        let patience = config.connection.patience.command;
        let window = self.window();
        line.prepare(config, window, patience, Some(&self.gauge));
        let first = async { Ok(line.fly(flight).await?) };
        let second = |gauge| async {
            let mut line = Line::dial(config, login, window, gauge).await?;
            line.prepare(config, window, patience, None);
            Ok(line.fly(flight).await?)
        };
        let (line, landed) = Box::pin(self.ask_beside(config, first, second)).await?;
        self.keep(config, line, flight.len());
        landed
    }

    /// The same for a probe of the connection that there is.
    async fn ask_again(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
        mut line: Line,
    ) -> Result<RouterFacts, GatewayError> {
        let patience = config.connection.patience.command;
        let window = self.window();
        line.prepare(config, window, patience, Some(&self.gauge));
        let first = async {
            let (client, facts) = system::read(line.client).await?;
            line.client = client;
            Ok((line, facts))
        };
        let second = |gauge| async {
            let line = Line::dial(config, login, window, gauge).await?;
            let facts = Ok(line.facts.clone());
            Ok((line, facts))
        };
        let (mut line, facts) = Box::pin(self.ask_beside(config, first, second)).await?;
        if let Ok(facts) = &facts {
            check_box(&login.router, facts)?;
            line.facts = facts.clone();
        }
        self.line = Some(line);
        facts
    }

    /// Waits for an answer, and for one on another connection while the first is silent. Returns the
    /// connection that was answered.
    async fn ask_beside<T, S>(
        &mut self,
        config: &GatewayConfig,
        first: impl Future<Output = Result<(Line, T), GatewayError>>,
        second: impl Fn(Arc<Gauge>) -> S,
    ) -> Result<(Line, T), GatewayError>
    where
        S: Future<Output = Result<(Line, T), GatewayError>>,
    {
        let gauge = Arc::clone(&self.gauge);
        let waiting = Rest(&gauge);
        gauge.enter(Phase::Reading, config.connection.patience.command);
        let asked = race(&gauge, self.bearance(config), first, second).await;
        // What came too late is a sign of life, too.
        self.tolerance.answered(gauge.rest());
        drop(waiting);
        match asked {
            Ok((mut line, answer)) => {
                self.take_in(&mut line);
                Ok((line, answer))
            }
            Err(error) => Err(self.read_failed(config, error)),
        }
    }

    fn bearance(&self, config: &GatewayConfig) -> Bearance {
        let silence = self.tolerance.silence();
        let answer = if self.tolerance.is_slow() {
            silence.mul_f64(0.75)
        } else {
            config.second_try.min(silence)
        };
        Bearance {
            connect: config.second_try,
            login: self.tolerance.login(),
            answer,
            silence,
        }
    }

    /// How many commands may be outstanding: few on a slow router, which may do one after the other
    /// while the time of all that were sent runs.
    fn window(&self) -> usize {
        if self.tolerance.is_slow() {
            self.window.min(self.slow_window).max(1)
        } else {
            self.window
        }
    }

    /// Takes the connection if it is the one that this login would make; closes it if not.
    fn take_line(&mut self, login: &RouterLogin) -> Option<Line> {
        self.line.take().filter(|line| line.is_of(login))
    }

    fn keep(&mut self, config: &GatewayConfig, line: Line, commands: usize) {
        let window = line.client.window();
        if self.tolerance.is_slow() {
            // The window is kept for when it is quick again.
            self.line = Some(line);
            return;
        }
        self.slow_window = config.connection.min_window;
        if window < self.window {
            self.window = window;
        } else if commands >= window {
            self.window = config.connection.window.min(window + 1);
        }
        self.line = Some(line);
    }

    fn write_failed(&mut self, config: &GatewayConfig, error: ClientError) -> GatewayError {
        let ClientError::TimedOut { after } = error else {
            return error.into();
        };
        self.narrow(config, after);
        if self.tolerance.timed_out() {
            let now = self.tolerance.silence();
            return GatewayError::Slow { after, now };
        }
        GatewayError::TimedOut { after }
    }

    fn read_failed(&mut self, config: &GatewayConfig, error: GatewayError) -> GatewayError {
        if let GatewayError::TimedOut { after } = error {
            self.narrow(config, after);
        }
        error
    }

    /// Asks less of a router that stalled.
    fn narrow(&mut self, config: &GatewayConfig, after: Duration) {
        let ConnectionConfig {
            window, min_window, ..
        } = config.connection;
        self.window = (self.window / 2).max(min_window.min(window));
        // Not silence, but that the last of those that were sent had to wait for all the others.
        if self.tolerance.is_slow() && after >= config.connection.patience.command {
            self.slow_window = (self.slow_window / 2).max(1);
        }
    }
}

/// Has a gauge show nothing any more, however the waiting ends.
struct Rest<'a>(&'a Gauge);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}
