//! Cron runs that overlap each other and a daemon.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::sim::ClientId;
use expiry_tests::{
    pg,
    world::{World, until},
};

const GUESTS: u8 = 5;

#[tokio::test]
async fn r8_two_cron_runs_at_once_cut_everybody_once() {
    let world = World::new(None).await;
    overlap(&world).await;
}

#[tokio::test]
async fn r8_the_same_on_postgresql() {
    let database = pg::database().await;
    let world = World::new(Some(&database)).await;
    overlap(&world).await;
}

#[tokio::test]
async fn r8_two_cron_runs_beside_a_daemon_cut_everybody_once() {
    let world = World::new(None).await;
    let mut daemon = world.expiry.service(&["run"]);
    daemon.line("router reached").await;
    overlap(&world).await;
    assert_eq!(daemon.terminate().await, 0);
}

#[tokio::test]
async fn r9_each_of_two_cron_runs_says_that_a_dead_router_owes() {
    let world = World::new(None).await;
    let devices = guests(&world).await;
    world.router.down().await;
    let run = ["run", "--once"];
    let (first, second) = tokio::join!(world.expiry.ended(&run), world.expiry.ended(&run));
    assert_eq!((first.code, second.code), (3, 3), "{first:?} {second:?}");
    assert!(devices.iter().all(|device| is_on(&world, *device)));
    world.router.up().await;
    assert_eq!(world.expiry.ended(&run).await.code, 0);
    assert!(!devices.iter().any(|device| is_on(&world, *device)));
    assert_eq!(world.confirmed_cuts().await, i64::from(GUESTS));
}

async fn overlap(world: &World) {
    let devices = guests(world).await;
    let run = ["run", "--once"];
    let (first, second) = tokio::join!(world.expiry.ended(&run), world.expiry.ended(&run));
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    until(Duration::from_secs(1), "everybody is off", || {
        !devices.iter().any(|device| is_on(world, *device))
    })
    .await;
    assert_eq!(world.confirmed_cuts().await, i64::from(GUESTS), "each once");
}

async fn guests(world: &World) -> Vec<ClientId> {
    let mut devices = Vec::new();
    for number in 1..=GUESTS {
        let mac = MacAddr::new([2, 0, 0, 0, 1, number]);
        let name = format!("guest{number}");
        devices.push(World::device(&world.router, &name, mac));
        let mac = mac.to_string();
        let add = [
            "subscriber",
            "add",
            &name,
            "--expires-at",
            "2026-01-01T00:00:00Z",
        ];
        world
            .expiry
            .ok(&[&add[..], &["--device", &mac]].concat())
            .await;
    }
    devices
}

fn is_on(world: &World, device: ClientId) -> bool {
    world.router.with(|sim| sim.client_can_move_bytes(device))
}
