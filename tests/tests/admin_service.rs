//! The admin service as its clients meet it: the real binary, both databases, the simulator.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use expiry_core::MacAddr;
use expiry_tests::{
    http::{Admin, TOKEN, call},
    pg,
    world::{World, until},
};
use serde_json::json;
use tokio::time::Instant;

const STATUS: &str = "/api/admin/expiry-watcher/";

const ALICE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

/// Somebody who is online, and whose access ended long ago.
async fn expired(world: &World) -> expiry_mikrotik::sim::ClientId {
    let device = World::device(&world.router, "alice", ALICE);
    let mac = ALICE.to_string();
    let add = [
        "subscriber",
        "add",
        "alice",
        "--expires-at",
        "2026-01-01T00:00:00Z",
    ];
    world
        .expiry
        .ok(&[&add[..], &["--device", &mac]].concat())
        .await;
    device
}

async fn r9_the_old_endpoints_tell_the_truth_and_cut(world: World) {
    let device = expired(&world).await;
    let admin = Admin::start(&world.expiry, &[]).await;
    let status = admin.call("GET", STATUS).await.json();
    assert_eq!(status["watcher"]["running"], false);
    assert_eq!(status["health"], "critical");
    assert_eq!(
        status["expired_not_disconnected"][0]["phone_number"],
        "alice"
    );
    assert_eq!(admin.call("GET", "/readyz").await.status, 503);

    // Nobody serves the routers, so the service does it itself.
    let cleaned = admin
        .call("POST", "/api/admin/cleanup-expired")
        .await
        .json();
    let details = json!({
        "users_disconnected": 1, "devices_deactivated": 1, "failed": 0, "total_checked": 1
    });
    assert_eq!(cleaned["details"], details, "{cleaned}");
    let moved = world.router.with(|sim| sim.bytes_moved(device));
    let later = world.router.with(|sim| {
        sim.advance(sim.now() + Duration::from_mins(1));
        sim.bytes_moved(device)
    });
    assert_eq!(moved, later, "alice is not cut off");
    let tested = admin
        .call("GET", "/api/admin/mikrotik/test-connection")
        .await
        .json();
    assert_eq!(tested["router_info"]["identity"], "tower", "{tested}");

    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router is ours").await;
    let running = async || {
        let status = admin.call("GET", STATUS).await.json();
        status["watcher"]["running"] == true
    };
    while !running().await {}
    let status = admin.call("GET", STATUS).await.json();
    assert_eq!(status["expired_not_disconnected"], json!([]));
    assert_eq!(watcher.terminate().await, 0);
    assert_eq!(admin.service.terminate().await, 0);
}

#[tokio::test]
async fn r9_the_old_endpoints_tell_the_truth_and_cut_on_sqlite() {
    r9_the_old_endpoints_tell_the_truth_and_cut(World::new(None).await).await;
}

#[tokio::test]
async fn r9_the_old_endpoints_tell_the_truth_and_cut_on_postgres() {
    let database = pg::database().await;
    r9_the_old_endpoints_tell_the_truth_and_cut(World::new(Some(&database)).await).await;
}

#[tokio::test]
async fn a_watcher_inside_cuts_and_stops_with_the_service() {
    let world = World::new(None).await;
    let inside = world.expiry.clone().with("EXPIRY_WATCHER_ENABLED", "true");
    let admin = Admin::start(&inside, &[]).await;
    let device = expired(&world).await;
    until(Duration::from_secs(30), "alice is off", || {
        let moved = world.router.with(|sim| sim.bytes_moved(device));
        world.router.with(|sim| {
            sim.advance(sim.now() + Duration::from_secs(1));
            sim.bytes_moved(device) == moved
        })
    })
    .await;
    let address = admin.address.clone();
    // The router falls silent, so this check waits for it while the stop comes.
    world.router.down().await;
    let bob = [
        "subscriber",
        "add",
        "bob",
        "--expires-at",
        "2026-01-01T00:00:00Z",
    ];
    world.expiry.ok(&bob).await;
    let waiting = tokio::spawn(async move { call(&address, "POST", STATUS).await });
    let stream = call(&admin.address, "GET", "/healthz").await;
    assert_eq!(stream.body, "ok");
    let began = Instant::now();
    assert_eq!(admin.service.terminate().await, 0);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(waiting.await.expect("no panic").status, 200);
    let status = world.expiry.json(&["status"]).await;
    let watchers = status["watchers"].as_array().expect("a list");
    assert!(
        watchers.iter().all(|watcher| watcher["alive"] == false),
        "{watchers:?}"
    );
}

#[tokio::test]
async fn r11_without_a_token_it_does_not_start_and_says_what_to_do() {
    let world = World::new(None).await;
    let cases = [
        (vec![], "openssl rand"),
        (vec![("EXPIRY_HTTP_TOKEN", "short")], "too short"),
        (
            vec![("EXPIRY_HTTP_TOKEN", "aaaaaaaaaaaaaaaa")],
            "openssl rand -hex 32",
        ),
        (
            vec![("EXPIRY_HTTP_TOKEN_FILE", "/no/such/file")],
            "/no/such/file",
        ),
        (
            vec![("EXPIRY_HTTP_TOKEN", TOKEN), ("EXPIRY_LISTEN", "here")],
            "127.0.0.1:8080",
        ),
        (
            vec![("EXPIRY_HTTP_TOKEN", TOKEN), ("EXPIRY_HTTP_LISTN", "x")],
            "EXPIRY_HTTP_LISTEN",
        ),
    ];
    for (variables, expected) in cases {
        let mut expiry = world.expiry.clone();
        for (name, value) in variables {
            expiry = expiry.with(name, value);
        }
        let mut service = expiry.http(&[]);
        assert_eq!(service.wait().await, 2, "{expected}");
        let line = service.line(expected).await;
        assert!(!line.contains(TOKEN), "{line}");
    }
}

#[tokio::test]
async fn r11_a_token_file_is_not_for_everybody() {
    let world = World::new(None).await;
    let file = world.path("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("written");
    let expiry = world
        .expiry
        .clone()
        .with("EXPIRY_HTTP_TOKEN_FILE", file.display().to_string())
        .with("EXPIRY_LISTEN", "127.0.0.1:0");
    let may = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).expect("set");

    for mode in [0o644, 0o604, 0o602, 0o666] {
        may(mode);
        let mut service = expiry.http(&[]);
        assert_eq!(service.wait().await, 2, "{mode:o}");
        let line = service.line("chmod 600").await;
        assert!(line.contains(&file.display().to_string()), "{line}");
        assert!(!line.contains(TOKEN), "{line}");
    }
    for (mode, warns) in [(0o640, true), (0o440, true), (0o600, false)] {
        may(mode);
        let mut service = expiry.http(&[]);
        service.line("listening").await;
        if warns {
            service.line("chmod 600").await;
        } else {
            assert!(!service.lines().concat().contains("chmod"), "{mode:o}");
        }
        assert_eq!(service.terminate().await, 0, "{mode:o}");
    }
}
