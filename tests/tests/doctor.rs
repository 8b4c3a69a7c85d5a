//! What the doctor finds, and that it ends.

use std::{fs, net::TcpListener, time::Duration};

use expiry_tests::world::World;
use serde_json::Value;
use tokio::time::Instant;

async fn examined(world: &World, code: i32) -> Vec<Value> {
    let ended = world.expiry.ended(&["doctor", "--json"]).await;
    assert_eq!(ended.code, code, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["ok"], code == 0, "{report}");
    report["checks"].as_array().expect("a list").clone()
}

fn find<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let mut found = checks.iter().filter(|check| check["check"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {checks:?}"))
}

#[tokio::test]
async fn r9_a_healthy_world_is_called_healthy_and_is_not_touched() {
    let world = World::new(None).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = World::device(&world.router, "alice", mac);
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router reached").await;

    let checks = examined(&world, 0).await;

    for name in [
        "configuration",
        "database",
        "key file",
        "database clock",
        "watcher",
        "owed",
    ] {
        assert_eq!(find(&checks, name)["state"], "ok", "{checks:?}");
    }
    let tower = find(&checks, "router tower");
    let found = tower["found"].as_str().expect("text");
    assert!(found.contains("may read and write"), "{tower}");
    assert!(
        found.contains("RouterOS ") && found.contains("round trip"),
        "{tower}"
    );
    assert!(world.router.with(|sim| sim.client_can_move_bytes(device)));
    assert_eq!(watcher.terminate().await, 0);
}

#[tokio::test]
async fn r4_routers_that_are_dead_mute_or_forbid_writing_are_named_in_time() {
    let world = World::new(None).await;
    world
        .router
        .with(|sim| sim.configure(|config| config.write_policy = false));
    let file = world.path("other-password");
    fs::write(&file, "x\n").expect("written");
    let file = file.display().to_string();
    let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for (name, listener) in [("mute", &mute), ("gone", &gone)] {
        let port = listener.local_addr().expect("bound").port().to_string();
        let mut add = vec![
            "router",
            "add",
            name,
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ];
        add.extend(["--username", "u", "--password-file", &file]);
        world.expiry.ok(&add).await;
    }
    drop(gone);

    let started = Instant::now();
    let checks = examined(&world, 1).await;

    assert!(started.elapsed() < Duration::from_secs(35));
    for (router, found) in [
        (
            "router tower",
            "permission to write failed: not enough permissions (9)",
        ),
        (
            "router mute",
            "logging in failed: connected, but no answer to the login for 15 s",
        ),
        ("router gone", "connecting failed: "),
    ] {
        let check = find(&checks, router);
        assert_eq!(check["state"], "failed", "{check}");
        let said = check["found"].as_str().expect("text");
        assert!(said.starts_with(found), "{check}");
        assert!(check["advice"].is_string(), "{check}");
    }
    assert_eq!(find(&checks, "watcher")["state"], "warning");
}

#[tokio::test]
async fn a_lost_key_and_a_dead_database_are_told_apart() {
    let world = World::new(None).await;
    fs::remove_file(world.path("expiry.key")).expect("removed");
    let checks = examined(&world, 1).await;
    assert_eq!(find(&checks, "database")["state"], "ok");
    let key = find(&checks, "key file");
    assert_eq!(key["state"], "failed", "{key}");
    assert!(
        key["found"].as_str().expect("text").contains("is missing"),
        "{key}"
    );

    let nobody = "postgres://me:hush@127.0.0.1:1/x";
    let away = world.expiry.clone().with("EXPIRY_DATABASE", nobody);
    let ended = away.ended(&["doctor"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("FAILED   database: postgres://me@127.0.0.1:1/x: ")
    );
    assert!(!ended.stdout.contains("hush") && !ended.stderr.contains("hush"));
}
