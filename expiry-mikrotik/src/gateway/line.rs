use std::{fmt, io};

use expiry_core::{
    GatewayError, Hardware, Router, RouterAddress, RouterFacts, RouterLogin, Unreached,
};
use tokio::{
    select,
    time::{sleep, timeout},
};

use super::{
    GatewayConfig,
    listen::{closed_why, not_the_api},
};
use crate::{
    client::{Client, ClientError, is_hang_up},
    dial::Stream,
    proto::ConnectionConfig,
    system,
};

/// A logged-in connection to a box that was checked.
pub(super) struct Line {
    pub(super) client: Client<Box<dyn Stream>>,
    pub(super) facts: RouterFacts,
    login: RouterLogin,
}

impl Line {
    /// Connects, logs in, and checks which box it is. A second try beside the first may be what
    /// succeeds; the first is what fails. A peer that hangs up without a word is listened to once
    /// more, to tell why, and one that stays silent is asked whether it speaks TLS.
    pub(super) async fn dial(
        config: &GatewayConfig,
        login: &RouterLogin,
        window: usize,
    ) -> Result<Self, GatewayError> {
        let second = async {
            sleep(config.second_try).await;
            Self::dial_once(config, login, window).await
        };
        let dialed = select! {
            biased;
            dialed = Self::dial_once(config, login, window) => dialed,
            Ok(line) = second => Ok(line),
            error = not_the_api(config, &login.router.address) => Err(error),
        };
        match dialed {
            Err(GatewayError::Closed { .. }) => {
                Err(closed_why(config, &login.router.address).await)
            }
            dialed => dialed,
        }
    }

    async fn dial_once(
        config: &GatewayConfig,
        login: &RouterLogin,
        window: usize,
    ) -> Result<Self, GatewayError> {
        let RouterLogin { router, password } = login;
        let stream = connect(config, &router.address).await?;
        let connection = ConnectionConfig {
            window,
            ..config.connection
        };
        let client = Client::new(stream, connection);
        let client = client.login(&router.address.username, password).await?;
        let (client, facts) = system::read(client).await?;
        let facts = facts?;
        check_box(router, &facts)?;
        tracing::debug!(router.id = router.id.0, router.name, "connected");
        Ok(Self {
            client,
            facts,
            login: login.clone(),
        })
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
