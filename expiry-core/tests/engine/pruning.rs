use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use expiry_core::{
    Directory, SubscriberId,
    testing::{TestClock, gateway::Admission, memory::Fault},
    watcher::WatcherConfig,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::world::{World, is_cut, is_restored};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn keep(keep: Duration) -> WatcherConfig {
    WatcherConfig {
        keep,
        ..WatcherConfig::default()
    }
}

fn events_of(world: &World, subscriber: SubscriberId) -> usize {
    let events = world.store.audit_events();
    let of = events
        .iter()
        .filter(|event| event.entry.subscriber == Some(subscriber));
    of.count()
}

#[tokio::test(start_paused = true)]
async fn r3_a_watcher_drops_what_is_old_and_keeps_what_is_still_to_be_undone() {
    let world = World::new();
    let router = world.router("r1").await;
    let paid = world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    let ended = world
        .subscriber(&router, 2, SECOND, Admission::Account)
        .await;
    let watcher = world.watcher_with(Arc::clone(&world.gateway) as _, keep(10 * HOUR));
    let running = World::start_watcher(watcher);
    world.events.wait_for(20 * SECOND, 2, is_cut).await;
    world.pay(paid.id).await;
    world.events.wait_for(20 * SECOND, 1, is_restored).await;
    world
        .store
        .remove_subscriber(ended.id)
        .await
        .expect("removed");

    sleep(9 * HOUR).await;
    assert!(events_of(&world, paid.id) > 4 && events_of(&world, ended.id) > 4);
    world.pay(paid.id).await;
    sleep(3 * HOUR).await;

    assert_eq!(events_of(&world, ended.id), 0);
    let open = world.store.undo_rows();
    assert!(!open.is_empty() && open.iter().all(|row| row.open));
    assert!(events_of(&world, paid.id) > 0, "the young stay");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_old_events_are_dropped_in_batches() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 99 * HOUR, Admission::Account)
        .await;
    for _ in 0..1200 {
        world.pay(subscriber.id).await;
    }
    let watcher = world.watcher_with(Arc::clone(&world.gateway) as _, keep(SECOND));
    let running = World::start_watcher(watcher);

    sleep(61 * SECOND).await;
    let first = events_of(&world, subscriber.id);
    assert!((700..800).contains(&first), "one batch at a time: {first}");
    sleep(3 * SECOND).await;
    assert_eq!(events_of(&world, subscriber.id), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_database_whose_clock_jumps_ahead_loses_no_events() {
    let database = TestClock::default().on_machine("database");
    let world = World::with_clocks(&database, database.on_machine("machine"));
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 99 * HOUR, Admission::Account)
        .await;
    let watcher = world.watcher_with(Arc::clone(&world.gateway) as _, keep(10 * HOUR));
    let running = World::start_watcher(watcher);
    // Right before it is time to prune, and before the next heartbeat.
    sleep(Duration::from_millis(59_999)).await;

    database.step_wall(TimeDelta::hours(20));
    sleep(20 * SECOND).await;
    database.step_wall(TimeDelta::hours(-20));

    assert_eq!(events_of(&world, subscriber.id), 1);
    let single = world.watcher_with(Arc::clone(&world.gateway) as _, keep(10 * HOUR));
    database.step_wall(TimeDelta::hours(20));
    let report = single.run_once(CancellationToken::new()).await;
    assert!(!report.expect("a check").brakes.is_empty());
    assert_eq!(events_of(&world, subscriber.id), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_single_check_drops_what_is_old_and_a_failure_to_do_so_is_none() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 99 * HOUR, Admission::Account)
        .await;
    sleep(HOUR).await;
    for works in [false, true] {
        world.store.fail_when(move |call| match call {
            "prune" if !works => Fault::Before,
            _ => Fault::None,
        });
        let watcher = world.watcher_with(Arc::clone(&world.gateway) as _, keep(SECOND));
        watcher
            .run_once(CancellationToken::new())
            .await
            .expect("a check");
        assert_eq!(events_of(&world, subscriber.id), usize::from(!works));
    }
}
