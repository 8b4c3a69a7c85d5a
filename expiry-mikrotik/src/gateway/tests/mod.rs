//! The gateway against scripted peers in memory, under paused time.

mod beside;
mod broken_off;
mod dialing;
mod failures;
mod flights;
mod peer;
mod strangers;
mod surveys;

use std::time::Duration;

use expiry_core::{
    DropOrder, GatewayError, Hardware, Query, Router, RouterAddress, RouterId, RouterLogin, RowId,
};
use peer::{Office, Peer};
use tokio::time::Instant;

use super::{GatewayConfig, MikrotikGateway};

const PASSWORD: &str = "correct horse";

fn gateway() -> (MikrotikGateway, Office) {
    let (dialer, office) = peer::exchange();
    let config = GatewayConfig {
        dialer,
        ..GatewayConfig::default()
    };
    (MikrotikGateway::new(config), office)
}

fn login() -> RouterLogin {
    let router = Router {
        id: RouterId(1),
        name: "hill".into(),
        tenant: None,
        address: RouterAddress {
            host: "192.0.2.1".into(),
            port: 8728,
            username: "expiry".into(),
        },
        enabled: true,
        seen: Some(Hardware {
            identity: peer::IDENTITY.into(),
            serial: Some(peer::SERIAL.into()),
        }),
    };
    RouterLogin {
        router,
        password: PASSWORD.into(),
    }
}

fn query() -> Query {
    Query {
        names: ["alice".parse().expect("a name")].into(),
        ..Query::default()
    }
}

/// How many commands a look with [`query`] sends: accounts, sessions and cookies.
const LOOK: usize = 3;

fn rows(count: usize) -> Vec<RowId> {
    (1..=count)
        .filter_map(|n| RowId::new(format!("*{n:X}")))
        .collect()
}

fn drop_actives(count: usize) -> DropOrder {
    DropOrder {
        actives: rows(count),
        ..DropOrder::default()
    }
}

/// Makes the gateway connect to a peer that is returned.
async fn connected(gateway: &MikrotikGateway, office: &mut Office, login: &RouterLogin) -> Peer {
    use expiry_core::RouterGateway;
    let (probed, peer) = tokio::join!(gateway.probe(login), async {
        let mut peer = office.accept().await;
        peer.welcome().await;
        peer
    });
    probed.expect("a peer that does all right");
    peer
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = future.await;
    (value, start.elapsed())
}

fn timed_out(after: u64) -> GatewayError {
    GatewayError::TimedOut {
        after: Duration::from_secs(after),
    }
}
