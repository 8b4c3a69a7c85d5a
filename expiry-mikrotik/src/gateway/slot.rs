use expiry_core::{GatewayError, Router, RouterFacts, RouterLogin, Survey};

use super::{
    GatewayConfig,
    flight::{Flight, Landed},
    line::{Line, check_box},
};
use crate::{
    client::ClientError,
    proto::{ConnectionConfig, ProtocolError},
    survey, system,
};

/// The place of a router's one connection.
///
/// A flight takes the connection out and puts it back when it has landed, so that one that failed
/// or was dropped half way is closed.
#[derive(Debug)]
pub(super) struct Slot {
    line: Option<Line>,
    window: usize,
    dialled: u64,
}

impl Slot {
    pub(super) fn new(window: usize) -> Self {
        Self {
            line: None,
            window,
            dialled: 0,
        }
    }

    /// Flies on the connection that there is.
    pub(super) async fn fly(
        &mut self,
        config: &GatewayConfig,
        router: &Router,
        flight: &Flight<'_>,
    ) -> Landed {
        let line = self.line.take();
        let Some(line) = line.filter(|line| line.leads_to(router)) else {
            return Err(GatewayError::Disconnected {
                reason: "there is no connection".into(),
            });
        };
        self.fly_on(config, line, flight).await?
    }

    /// Flies on the connection that there is, or else on a new one. The flight must do no harm if
    /// it is flown twice: a connection may turn out to be gone only when it is used.
    pub(super) async fn fly_or_dial(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
        flight: &Flight<'_>,
    ) -> Landed {
        if let Some(line) = self.take_line(login) {
            match self.fly_on(config, line, flight).await {
                Ok(landed) => return landed,
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let line = self.dial(config, login).await?;
        self.fly_on(config, line, flight).await?
    }

    /// Asks the router what it is, over a new connection if there is none.
    pub(super) async fn probe(
        &mut self,
        config: &GatewayConfig,
        login: &RouterLogin,
    ) -> Result<RouterFacts, GatewayError> {
        if let Some(mut line) = self.take_line(login) {
            match system::read(line.client).await {
                Ok((client, facts)) => {
                    line.client = client;
                    return self.keep_if_right(line, &login.router, facts);
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    self.note(config, &error);
                    return Err(error.into());
                }
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
            None => Line::dial(config, login, self.window).await?,
        };
        let (client, survey) = survey::read(line.client).await?;
        line.client = client;
        self.line = Some(line);
        survey
    }

    fn keep_if_right(
        &mut self,
        mut line: Line,
        router: &Router,
        facts: Result<RouterFacts, GatewayError>,
    ) -> Result<RouterFacts, GatewayError> {
        if let Ok(facts) = &facts {
            check_box(router, facts)?;
            line.facts = facts.clone();
        }
        self.line = Some(line);
        facts
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
        let line = Line::dial(config, login, self.window).await?;
        self.dialled += 1;
        Ok(line)
    }

    /// Takes the connection if it is the one that this login would make; closes it if not.
    fn take_line(&mut self, login: &RouterLogin) -> Option<Line> {
        self.line.take().filter(|line| line.is_of(login))
    }

    async fn fly_on(
        &mut self,
        config: &GatewayConfig,
        mut line: Line,
        flight: &Flight<'_>,
    ) -> Result<Landed, ClientError> {
        line.client.set_window(self.window);
        match flight.fly(line.client).await {
            Ok((client, landed)) => {
                let window = client.window();
                if window < self.window {
                    self.window = window;
                } else if flight.len() >= window {
                    self.window = config.connection.window.min(window + 1);
                }
                line.client = client;
                self.line = Some(line);
                Ok(landed)
            }
            Err(error) => {
                self.note(config, &error);
                Err(error)
            }
        }
    }

    /// Asks less of a router that stalled.
    fn note(&mut self, config: &GatewayConfig, error: &ClientError) {
        if matches!(error, ClientError::TimedOut { .. }) {
            let ConnectionConfig {
                window, min_window, ..
            } = config.connection;
            self.window = (self.window / 2).max(min_window.min(window));
        }
    }
}

/// Tells whether the connection had ended, rather than the router being silent or confused.
fn is_gone(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Io(_)
            | ClientError::Closed { .. }
            | ClientError::Protocol(ProtocolError::Fatal { .. })
    )
}
