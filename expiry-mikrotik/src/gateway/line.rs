//! A connection on which a router is logged in to and recognised, and what is asked on it.

use std::{fmt, io, sync::Arc, time::Duration};

use expiry_core::{
    GatewayError, Hardware, Phase, Router, RouterAddress, RouterFacts, RouterLogin, Unreached,
};
use tokio::time::{Instant, timeout};

use super::{
    GatewayConfig,
    flight::{Flight, Landed},
};
use crate::{
    client::{Client, ClientError, is_hang_up},
    dial::Stream,
    gauge::Gauge,
    proto::{ConnectionConfig, Patience},
    system,
};

/// A logged-in connection to a box that was checked.
pub(super) struct Line {
    pub(super) client: Client<Box<dyn Stream>>,
    pub(super) facts: RouterFacts,
    /// How long its login took, until somebody has noted it.
    pub(super) login_took: Option<Duration>,
    login: RouterLogin,
}

impl Line {
    /// Connects, logs in, and checks which box it is. Tells `gauge` what it is at.
    pub(super) async fn dial(
        config: &GatewayConfig,
        login: &RouterLogin,
        window: usize,
        gauge: Arc<Gauge>,
    ) -> Result<Self, GatewayError> {
        let RouterLogin { router, password } = login;
        gauge.enter(Phase::Connect, config.connect);
        let stream = connect(config, &router.address).await?;
        let connection = ConnectionConfig {
            window,
            patience: Patience {
                silence: config.login,
                command: config.login,
                ..config.connection.patience
            },
            ..config.connection
        };
        let mut client = Client::new(stream, connection);
        client.show_on(Some(Arc::clone(&gauge)));
        gauge.enter(Phase::Login, config.login);
        let began = Instant::now();
        let client = client.login(&router.address.username, password).await?;
        let login_took = Some(began.elapsed());
        gauge.enter(Phase::Introduction, config.login);
        let (client, facts) = system::read(client).await?;
        let facts = facts?;
        check_box(router, &facts)?;
        tracing::debug!(router.id = router.id.0, router.name, "connected");
        Ok(Self {
            client,
            facts,
            login_took,
            login: login.clone(),
        })
    }

    /// Makes it ready for work that may be silent for so long.
    pub(super) fn prepare(
        &mut self,
        config: &GatewayConfig,
        window: usize,
        silence: Duration,
        gauge: Option<&Arc<Gauge>>,
    ) {
        self.client.set_window(window);
        self.client.set_patience(Patience {
            silence,
            ..config.connection.patience
        });
        self.client.show_on(gauge.cloned());
    }

    /// Flies a flight.
    pub(super) async fn fly(mut self, flight: &Flight<'_>) -> Result<(Self, Landed), ClientError> {
        let (client, landed) = flight.fly(self.client).await?;
        self.client = client;
        Ok((self, landed))
    }

    /// Tells whether it leads to where `router` is reached now, and to the box on record.
    pub(super) fn leads_to(&self, router: &Router) -> bool {
        self.login.router.address == router.address && check_box(router, &self.facts).is_ok()
    }

    /// Tells whether this login would make the same connection.
    pub(super) fn is_of(&self, login: &RouterLogin) -> bool {
        self.login.is_same(login) && self.leads_to(&login.router)
    }
}

/// Shows neither what is on its way nor the password.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("address", &self.login.router.address)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

pub(super) async fn connect(
    config: &GatewayConfig,
    address: &RouterAddress,
) -> Result<Box<dyn Stream>, GatewayError> {
    let dialed = timeout(config.connect, config.dialer.dial(address)).await;
    let (how, reason) = match dialed {
        Ok(Ok(stream)) => return Ok(stream),
        // The handshake was done, or it would have been refused.
        Ok(Err(error)) if is_hang_up(&error) => {
            return Err(ClientError::Closed { heard: false }.into());
        }
        Ok(Err(error)) => (unreached(&error), error.to_string()),
        Err(_) => {
            let after = config.connect.as_secs_f32();
            (
                Unreached::TimedOut,
                format!("no connection after {after} s"),
            )
        }
    };
    Err(GatewayError::Connect {
        address: RouterAddress::place(&address.host, address.port),
        how,
        reason,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds are without number"
)]
fn unreached(error: &io::Error) -> Unreached {
    match error.kind() {
        io::ErrorKind::NotFound => Unreached::NotFound,
        io::ErrorKind::ConnectionRefused => Unreached::Refused,
        // A firewall of this machine answers that something is not permitted.
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::PermissionDenied => Unreached::NoRoute,
        io::ErrorKind::TimedOut => Unreached::TimedOut,
        _ => Unreached::Other,
    }
}

/// Checks that the box on record answered.
pub(super) fn check_box(router: &Router, found: &RouterFacts) -> Result<(), GatewayError> {
    let found = &found.hardware;
    match &router.seen {
        Some(expected) if !expected.is_same_box(found) => Err(GatewayError::WrongRouter {
            expected: describe(expected),
            found: describe(found),
        }),
        _ => Ok(()),
    }
}

fn describe(hardware: &Hardware) -> String {
    match &hardware.serial {
        Some(serial) => format!("`{}`, serial number {serial}", hardware.identity),
        None => format!("`{}`, without serial number", hardware.identity),
    }
}
