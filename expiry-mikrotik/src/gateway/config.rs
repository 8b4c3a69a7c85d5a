use std::{sync::Arc, time::Duration};

use crate::{
    dial::{Dialer, TcpDialer},
    proto::ConnectionConfig,
};

/// How the gateway behaves. The defaults are made for routers behind VPN links.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How long connecting may take, name lookup included.
    pub connect: Duration,
    /// When a connection that is being made has not come to a logged-in account after this, another
    /// is tried beside it: a router that answers again does not answer on a connection from before.
    pub second_try: Duration,
    /// Time-outs and limits of a connection. The window of outstanding commands also halves with
    /// every time-out, and grows by one with every flight that filled it and was answered in time.
    pub connection: ConnectionConfig,
    /// What opens streams to routers.
    pub dialer: Arc<dyn Dialer>,
}

impl Default for GatewayConfig {
    /// 3 s to connect over TCP, a second try after 2.5 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            second_try: Duration::from_millis(2_500),
            connection: ConnectionConfig::default(),
            dialer: Arc::new(TcpDialer::default()),
        }
    }
}
