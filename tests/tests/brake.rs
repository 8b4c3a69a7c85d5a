//! The brake from the command line, and the dry run, on both databases.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::sim::ClientId;
use expiry_tests::{
    pg,
    world::{World, until},
};

const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_jump_between_two_cron_runs_is_seen_shown_and_released() {
    a_jump_is_seen_shown_and_released(&World::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_jump_between_two_cron_runs_is_seen_shown_and_released_on_postgresql() {
    let database = pg::database().await;
    a_jump_is_seen_shown_and_released(&World::new(Some(&database)).await).await;
}

async fn a_jump_is_seen_shown_and_released(world: &World) {
    let device = online(world, 1).await;
    world.expiry.ok(&["run", "--once"]).await;
    let free = world.expiry.ok(&["brake"]).await;
    assert!(free.starts_with("no brake holds; no watcher"), "{free}");
    let shown = world.expiry.json(&["brake"]).await;
    assert_eq!(shown["brakes"].as_array().map(Vec::len), Some(0), "{shown}");

    // As if the clock had been an hour behind at the last run.
    world
        .meddle("UPDATE {}machine SET wall_at = wall_at - 3600000000")
        .await;
    let idle = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(
        idle.code, 1,
        "nothing is owed, and yet it is no success: {idle:?}"
    );
    world.expiry.ok(&["subscriber", "revoke", "guest1"]).await;
    let ended = world.expiry.ended(&["run", "--once"]).await;

    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stdout.starts_with("BRAKED since "), "{ended:?}");
    assert!(ended.stderr.contains(" jumped ahead by "), "{ended:?}");
    assert!(is_on(world, device));
    let shown = world.expiry.json(&["brake"]).await;
    let brake = &shown["brakes"][0];
    assert_eq!(brake["kind"], "clock", "{shown}");
    let jumped = brake["jumped_ms"].as_i64().expect("a number");
    assert!((jumped - 3_600_000).abs() < 5_000, "{shown}");
    let text = world.expiry.ok(&["brake"]).await;
    assert!(text.contains("expiryctl brake release"), "{text}");
    let status = world.expiry.ok(&["status"]).await;
    assert!(status.starts_with("BRAKED since "), "{status}");
    assert_eq!(
        world.expiry.json(&["status"]).await["brakes"][0]["kind"],
        "clock"
    );

    let released = world.expiry.ok(&["brake", "release"]).await;
    assert!(
        released.starts_with("released: the clock of "),
        "{released}"
    );
    world.expiry.ok(&["run", "--once"]).await;
    assert!(!is_on(world, device));
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_share_limit_holds_all_cuts_until_it_is_released() {
    a_share_limit_holds(&World::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_share_limit_holds_all_cuts_until_it_is_released_on_postgresql() {
    let database = pg::database().await;
    a_share_limit_holds(&World::new(Some(&database)).await).await;
}

async fn a_share_limit_holds(world: &World) {
    let mut devices = Vec::new();
    for number in 1..=4 {
        devices.push(online(world, number).await);
    }
    let mut watcher = world.expiry.service(&["run", "--share-limit", "25"]);
    watcher.line("router reached").await;
    world.expiry.ok(&["subscriber", "revoke", "guest1"]).await;
    until(PATIENCE, "one of four is cut", || !is_on(world, devices[0])).await;

    world.expiry.ok(&["subscriber", "revoke", "guest2"]).await;
    watcher.line("BRAKED").await;
    watcher.line("router let go").await;

    assert!(is_on(world, devices[1]));
    let shown = world.expiry.json(&["brake"]).await;
    let brake = &shown["brakes"][0];
    assert_eq!(
        (&brake["kind"], &brake["ended"]),
        (&"share".into(), &2.into()),
        "{shown}"
    );
    let status = world.expiry.json(&["status"]).await;
    assert_eq!(status["watchers"][0]["braked"], true, "{status}");
    assert_eq!(status["owed_cuts"], 1, "{status}");
    let ended = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(is_on(world, devices[1]), "nor does another watcher");

    world.expiry.ok(&["brake", "release"]).await;
    until(PATIENCE, "it goes on", || !is_on(world, devices[1])).await;
    watcher.line("the brake ended").await;
    assert_eq!(watcher.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_dry_run_only_reads() {
    a_dry_run_only_reads(&World::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_dry_run_only_reads_on_postgresql() {
    let database = pg::database().await;
    a_dry_run_only_reads(&World::new(Some(&database)).await).await;
}

async fn a_dry_run_only_reads(world: &World) {
    let revoked = online(world, 1).await;
    online(world, 2).await;
    world.expiry.ok(&["subscriber", "revoke", "guest1"]).await;
    let overdue = [
        "subscriber",
        "add",
        "late",
        "--expires-at",
        "2026-01-01T00:00:00Z",
    ];
    world.expiry.ok(&overdue).await;
    world
        .router
        .with(expiry_mikrotik::sim::Simulator::take_stats);
    let before = world.contents().await;

    let shown = world.expiry.json(&["run", "--dry-run", "--once"]).await;
    let text = world.expiry.ok(&["run", "--once", "--dry-run"]).await;
    let mut following = world.expiry.service(&["run", "--dry-run"]);
    following.line("would cut guest1").await;
    assert_eq!(following.terminate().await, 0);

    assert!(
        world.contents().await == before,
        "the database is as it was"
    );
    let stats = world.router.with(|sim| sim.stats().clone());
    let wrote: Vec<_> = stats
        .commands
        .keys()
        .filter(|path| !path.ends_with("/print"))
        .collect();
    assert!(wrote.is_empty() && stats.logins == 3, "{stats:?}");
    assert!(is_on(world, revoked));
    let tasks = shown["routers"][0]["tasks"].as_array().expect("a list");
    let cut = tasks
        .iter()
        .find(|task| task["username"] == "guest1")
        .expect("it is due");
    assert_eq!(cut["rows"]["accounts"][0], "guest1", "{shown}");
    let counts =
        ["sessions", "cookies", "hosts"].map(|rows| cut["rows"][rows].as_array().map(Vec::len));
    assert_eq!(counts, [Some(1); 3], "{shown}");
    assert!(text.contains("would cut guest1, due since "), "{text}");
    assert!(
        text.contains("disable account guest1; remove cookie "),
        "{text}"
    );
    assert!(
        text.contains("would cut late, due since 2026-01-01T00:00:00Z, as backlog"),
        "{text}"
    );
    assert!(!text.contains("guest2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_dry_run_looks_at_a_router_that_a_watcher_owns() {
    let world = World::new(None).await;
    let device = online(&world, 1).await;
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router reached").await;
    watcher.signal("STOP").await;
    world.expiry.ok(&["subscriber", "revoke", "guest1"]).await;

    let shown = world.expiry.json(&["run", "--dry-run", "--once"]).await;

    assert_eq!(
        shown["routers"][0]["tasks"][0]["username"], "guest1",
        "{shown}"
    );
    let status = world.expiry.json(&["status"]).await;
    assert!(status["routers"][0]["owner"].is_string(), "{status}");
    watcher.signal("CONT").await;
    until(PATIENCE, "the owner makes the cut", || {
        !is_on(&world, device)
    })
    .await;
    assert_eq!(watcher.terminate().await, 0);
}

/// A subscriber with an hour of access, whose device is online.
async fn online(world: &World, number: u8) -> ClientId {
    let mac = MacAddr::new([2, 0, 0, 0, 1, number]);
    let name = format!("guest{number}");
    let device = World::device(&world.router, &name, mac);
    let mac = mac.to_string();
    let made = ["subscriber", "add", &name, "--for", "1h", "--device", &mac];
    world.expiry.ok(&made).await;
    device
}

fn is_on(world: &World, device: ClientId) -> bool {
    world.router.with(|sim| sim.client_can_move_bytes(device))
}
