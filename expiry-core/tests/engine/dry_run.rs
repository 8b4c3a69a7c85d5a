use std::{sync::Arc, time::Duration};

use expiry_core::{
    Brake, BrakeStore, EnforcementStore, Heartbeat, StatusStore, Username, Want, WatcherId,
    testing::gateway::{Admission, Fault, Flight},
    watcher::{DryRun, RowsPreview, WatcherConfig},
};
use tokio::time::{Instant, sleep};

use crate::world::{World, is_cut, mac, username};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn r10_a_dry_run_shows_the_rows_and_writes_nothing_anywhere() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    world
        .subscriber(&router, 2, SECOND, Admission::Bypass)
        .await;
    world
        .subscriber(&router, 3, Duration::from_hours(1), Admission::Account)
        .await;
    let other = Heartbeat::new(WatcherId::fresh(), Duration::from_hours(1));
    world.store.own(&other).await.expect("owned by another");
    sleep(2 * SECOND).await;
    let before = everything(&world).await;

    let preview = dry_run(&world).next().await.expect("a preview");

    assert_eq!(preview.brakes, []);
    assert!(preview.next_deadline.is_some());
    let [on_router] = &preview.routers[..] else {
        panic!("one router, not {:?}", preview.routers)
    };
    assert_eq!((on_router.router.as_str(), &on_router.error), ("r1", &None));
    let [account, bypass] = &on_router.tasks[..] else {
        panic!("two cuts, not {:?}", on_router.tasks)
    };
    assert_eq!((account.want, account.backlog), (Want::Cut, false));
    let name = username(1);
    assert_eq!(
        account.username.as_ref().map(Username::as_str),
        Some(name.as_str())
    );
    let (device, address) = (mac(1), "10.5.1.1");
    let expected = RowsPreview {
        accounts: vec![name.clone()],
        bindings: vec![],
        cookies: vec![format!("{name} ({device})")],
        sessions: vec![format!("{name} ({address}, {device})")],
        hosts: vec![format!("{device} ({address})")],
    };
    assert_eq!(account.rows.as_ref(), Some(&expected));
    let expected = RowsPreview {
        bindings: vec![format!("{} (\"{}\")", mac(2), username(2))],
        hosts: vec![format!("{} (10.5.1.2)", mac(2))],
        ..RowsPreview::default()
    };
    assert_eq!(bypass.rows.as_ref(), Some(&expected));
    let flights = world.gateway.flights(router.id);
    assert!(
        flights.iter().all(|flight| *flight == Flight::Look),
        "{flights:?}"
    );
    assert_eq!(everything(&world).await, before);
}

#[tokio::test(start_paused = true)]
async fn r10_a_dry_run_shows_what_a_payment_would_give_back() {
    let world = World::new();
    let router = world.router("r1").await;
    let made = world
        .subscriber(&router, 1, SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.events.wait_for(5 * SECOND, 1, is_cut).await;
    running.stop().await;
    world.pay(made.id).await;

    let preview = dry_run(&world).next().await.expect("a preview");

    let task = &preview.routers[0].tasks[0];
    assert_eq!(task.want, Want::Restore);
    let accounts = task.rows.as_ref().map(|rows| rows.accounts.clone());
    assert_eq!(accounts, Some(vec![username(1)]));
    assert!(
        world.is_disabled(router.id, &username(1)),
        "it was not given back"
    );
}

#[tokio::test(start_paused = true)]
async fn r10_a_dry_run_follows_the_deadlines_and_shows_each_once() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 10 * SECOND, Admission::Account)
        .await;
    world
        .subscriber(&router, 2, 20 * SECOND, Admission::Account)
        .await;
    let mut dry_run = dry_run(&world);
    let start = Instant::now();
    let first = dry_run.next().await.expect("a preview");
    assert_eq!(first.routers, [], "nothing is due yet");

    for (number, seconds) in [(1, 10), (2, 20)] {
        let preview = dry_run.next().await.expect("a preview");
        assert_eq!(start.elapsed().as_secs(), seconds);
        let tasks = &preview.routers[0].tasks;
        let names: Vec<_> = tasks
            .iter()
            .filter_map(|task| task.username.as_ref())
            .collect();
        assert_eq!(names, [&username(number).parse().expect("a name")]);
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_dry_run_goes_on_past_a_router_that_is_down() {
    let world = World::new();
    let (down, up) = (world.router("down").await, world.router("up").await);
    world.subscriber(&down, 1, SECOND, Admission::Account).await;
    world.subscriber(&up, 2, SECOND, Admission::Account).await;
    world.gateway.set_fault(down.id, Fault::Down);
    sleep(2 * SECOND).await;

    let preview = dry_run(&world).next().await.expect("a preview");

    let [down, up] = &preview.routers[..] else {
        panic!("two routers, not {:?}", preview.routers)
    };
    assert!(down.error.is_some() && down.tasks[0].rows.is_none());
    assert!(up.error.is_none() && up.tasks[0].rows.is_some());
}

#[tokio::test(start_paused = true)]
async fn r10_a_dry_run_says_that_a_brake_holds_and_records_none() {
    let world = World::new();
    let wrong = world.clock.on_machine("wrong");
    wrong.step_wall(chrono::TimeDelta::seconds(30));
    let store = Arc::clone(&world.store) as _;
    let gateway = Arc::clone(&world.gateway) as _;
    let config = WatcherConfig::default();

    let preview = DryRun::new(store, gateway, Arc::new(wrong), &config)
        .next()
        .await;

    let brakes = preview.expect("a preview").brakes;
    assert!(matches!(
        brakes[..],
        [Brake::Clock {
            apart_ms: Some(-30_000),
            ..
        }]
    ));
    let known = world.store.machine("id of wrong").await.expect("known");
    assert_eq!(known.state, None);
}

fn dry_run(world: &World) -> DryRun {
    let store = Arc::clone(&world.store) as _;
    let gateway = Arc::clone(&world.gateway) as _;
    let clock = Arc::new(world.clock.clone());
    DryRun::new(store, gateway, clock, &WatcherConfig::default())
}

/// All that stands in the store.
async fn everything(world: &World) -> String {
    let status = world.store.status(99).await.expect("status");
    format!(
        "{:?} {:?} {:?} {:?}",
        world.store.rows(),
        world.store.undo_rows(),
        world.store.audit_events(),
        (status.watchers, status.routers, status.owed),
    )
}
