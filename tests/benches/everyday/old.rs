//! The old design: a new connection for each step, whole tables, no read-back. Its poll, every
//! 30 s, comes on top of what is measured here.

use std::{net::SocketAddr, time::Duration};

use expiry_core::MacAddr;
use expiry_mikrotik::{
    Client,
    proto::{ConnectionConfig, Patience},
    wire::Sentence,
};
use tokio::{net::TcpStream, time::timeout};

use crate::world::PASSWORD;

/// How long it waits for a router that does not answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// It is the step that gives up, not the connection.
const FOREVER: Duration = Duration::from_hours(1);

/// Cuts one subscriber: a step for the account, and one for each device. Gives up silently, as it
/// does.
pub(crate) async fn cut(router: SocketAddr, name: &str, devices: &[MacAddr]) {
    let _ = timeout(PATIENCE, account(router, name)).await;
    for device in devices {
        let _ = timeout(PATIENCE, bindings(router, *device)).await;
    }
}

async fn account(router: SocketAddr, name: &str) {
    let client = connect(router).await;
    let (client, sessions) = ids(client, "/ip/hotspot/active/print", "user", name).await;
    let client = each(client, "/ip/hotspot/active/remove", &sessions, None).await;
    let (client, users) = ids(client, "/ip/hotspot/user/print", "name", name).await;
    each(client, "/ip/hotspot/user/set", &users, Some("disabled")).await;
}

async fn bindings(router: SocketAddr, device: MacAddr) {
    let client = connect(router).await;
    let mac = device.to_string();
    let (client, rows) = ids(client, "/ip/hotspot/ip-binding/print", "mac-address", &mac).await;
    each(client, "/ip/hotspot/ip-binding/remove", &rows, None).await;
}

async fn connect(router: SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(router).await.expect("reached");
    stream.set_nodelay(true).expect("a socket");
    let config = ConnectionConfig {
        patience: Patience {
            silence: FOREVER,
            command: FOREVER,
            ..Patience::default()
        },
        ..ConnectionConfig::default()
    };
    let client = Client::new(stream, config);
    client.login("expiry", &PASSWORD.into()).await.expect("in")
}

/// Prints a whole table and picks the rows here.
async fn ids(
    client: Client<TcpStream>,
    print: &str,
    field: &str,
    value: &str,
) -> (Client<TcpStream>, Vec<String>) {
    let mut ids = Vec::new();
    let pick = |_, row: Sentence| {
        if row.get_text(field).is_some_and(|text| text == value) {
            ids.extend(row.get_text(".id"));
        }
    };
    let (client, _) = client
        .flight(vec![Sentence::new(print)], pick)
        .await
        .expect("an answer");
    (client, ids)
}

async fn each(
    mut client: Client<TcpStream>,
    command: &str,
    ids: &[String],
    set: Option<&str>,
) -> Client<TcpStream> {
    for id in ids {
        let mut sentence = Sentence::new(command).attribute(".id", id);
        if let Some(field) = set {
            sentence = sentence.attribute(field, "yes");
        }
        (client, _) = client
            .flight(vec![sentence], |_, _| ())
            .await
            .expect("an answer");
    }
    client
}
