//! What nothing can beat on this machine: one answer of a router, one durable commit.

use std::time::Duration;

use expiry_core::Username;
use expiry_mikrotik::{Client, proto::ConnectionConfig, wire::Sentence};
use tokio::{net::TcpStream, time::Instant};

use crate::{
    figures::{Times, line, spread, title},
    world::{PASSWORD, World},
};

pub(crate) async fn run() {
    title("Limits");
    line(
        "one API round trip, 0.5 ms of it work",
        &spread(&round_trips().await),
    );
    line(
        "one durable change of the database (SQLite)",
        &spread(&commits().await),
    );
}

async fn round_trips() -> Times {
    let world = World::new().await;
    let site = world.site("limit").await;
    let stream = TcpStream::connect(site.sim.addr()).await.expect("reached");
    stream.set_nodelay(true).expect("a socket");
    let client = Client::new(stream, ConnectionConfig::default());
    let mut client = client.login("expiry", &PASSWORD.into()).await.expect("in");
    let mut times = Vec::new();
    for _ in 0..500 {
        let question = Sentence::new("/system/identity/print");
        let began = Instant::now();
        let (back, _) = client
            .flight(vec![question], |_, _| ())
            .await
            .expect("an answer");
        times.push(began.elapsed());
        client = back;
    }
    Times::new(times)
}

async fn commits() -> Times {
    let world = World::new().await;
    let site = world.site("limit").await;
    let end = world.now().await + Duration::from_hours(1);
    world.person(&site, 1, end).await;
    let name: Username = crate::world::client(1).name.parse().expect("a name");
    let found = world.store.subscriber(None, &name).await.expect("a store");
    let subscriber = found.expect("made above").id;
    let mut times = Vec::new();
    for _ in 0..200 {
        let change = expiry_core::AccessChange::Extend(Duration::from_secs(1));
        let began = Instant::now();
        world
            .store
            .change_access(subscriber, change)
            .await
            .expect("a store");
        times.push(began.elapsed());
    }
    Times::new(times)
}
