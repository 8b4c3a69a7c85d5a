use std::{sync::Arc, time::Duration};

use expiry_core::config::{Contradiction, Key, Section};

use crate::{
    dial::{Dialer, TcpDialer},
    proto::ConnectionConfig,
};

/// How the gateway behaves: section `[gateway]` of the configuration. The defaults are made for
/// routers behind VPN links.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How long connecting may take, name lookup included.
    pub connect: Duration,
    /// How long a login may take, and after it the answer to what the router is. A busy router
    /// finishes each login that was begun, so it is not given up and begun again soon.
    pub login: Duration,
    /// When connecting, or the answer to a question, is silent for so long, another connection is
    /// tried beside it: a router that answers again does not answer on a connection from before.
    /// Beside a login that is after twice the time that the last one took, and at least after 4 s.
    pub second_try: Duration,
    /// Time-outs and limits of a connection. The window of outstanding commands also halves with
    /// every time-out, and grows by one with every flight that filled it and was answered in time.
    pub connection: ConnectionConfig,
    /// What opens streams to routers.
    pub dialer: Arc<dyn Dialer>,
}

impl Default for GatewayConfig {
    /// 3 s to connect over TCP, 30 s to log in, a second try after 2.5 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            login: Duration::from_secs(30),
            second_try: Duration::from_millis(2_500),
            connection: ConnectionConfig::default(),
            dialer: Arc::new(TcpDialer::default()),
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

impl Section for GatewayConfig {
    const NAME: &'static str = "gateway";
    const KEYS: &'static [Key<Self>] = &[
        Key::duration("connect", MILLISECOND, |c| &mut c.connect),
        Key::duration("login", MILLISECOND, |c| &mut c.login),
        Key::duration("second_try", MILLISECOND, |c| &mut c.second_try),
        Key::duration("silence", MILLISECOND, |c| {
            &mut c.connection.patience.silence
        }),
        Key::duration("silence_after_burst", MILLISECOND, |c| {
            &mut c.connection.patience.silence_after_burst
        }),
        Key::number("burst", (1, 100_000), |c| &mut c.connection.patience.burst),
        Key::duration("burst_within", MILLISECOND, |c| {
            &mut c.connection.patience.burst_within
        }),
        Key::duration("command", MILLISECOND, |c| {
            &mut c.connection.patience.command
        }),
        Key::number("window", (1, 1_000), |c| &mut c.connection.window),
        Key::number("min_window", (1, 1_000), |c| &mut c.connection.min_window),
        Key::bytes("answer", 1 << 20, |c| &mut c.connection.answer),
    ];

    fn contradictions(&self) -> Vec<Contradiction> {
        let patience = self.connection.patience;
        let mut all = Vec::new();
        if patience.silence_after_burst < patience.silence {
            all.push(Contradiction {
                keys: &["silence_after_burst", "silence"],
                rule: "the silence that is borne after a burst cannot be the shorter one",
            });
        }
        if patience.command < patience.silence {
            all.push(Contradiction {
                keys: &["command", "silence"],
                rule: "one command may not take less than the silence that is borne",
            });
        }
        if self.connection.min_window > self.connection.window {
            all.push(Contradiction {
                keys: &["min_window", "window"],
                rule: "the least window cannot be wider than the window",
            });
        }
        all
    }
}
