use std::time::Duration;

use expiry_core::{
    AuditStore, Histogram,
    testing::{gateway::Admission, memory::Fault},
};
use tokio::time::sleep;

use crate::world::{FLIGHT, World};

async fn requests(world: &World) -> Histogram {
    let mut counts = world.store.counts().await.expect("counted");
    counts.remove(0).requests
}

/// Up to the first look, which comes a second later, a cut is a probe and four flights.
#[tokio::test(start_paused = true)]
async fn r9_how_long_a_router_took_to_answer_is_recorded_at_the_end_at_the_latest() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, Duration::from_secs(1), Admission::Account)
        .await;
    let running = world.start();
    world.cut(Duration::from_secs(2)).await;
    assert_eq!(requests(&world).await.count(), 0);

    running.stop().await;

    let took = requests(&world).await;
    assert!(took.count() >= 5, "{took:?}");
    assert_eq!(took.max(), Some(FLIGHT));
    let sum = FLIGHT * u32::try_from(took.count()).expect("few");
    assert_eq!(took.sum(), sum);
}

#[tokio::test(start_paused = true)]
async fn r9_what_was_measured_while_the_store_failed_is_recorded_later() {
    let world = World::new();
    world.router("r1").await;
    world.store.fail_when(|call| match call {
        "note_requests" => Fault::Before,
        _ => Fault::None,
    });
    let running = world.start();
    sleep(Duration::from_secs(40)).await;
    world.store.heal();
    assert_eq!(requests(&world).await.count(), 0);
    sleep(Duration::from_secs(16)).await;
    assert!(requests(&world).await.count() >= 3);
    running.stop().await;
}
