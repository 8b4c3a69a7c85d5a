//! The main job by hand: router-sim in one shell, the watcher in another.

use std::fs;

use expiry_tests::process::Expiry;

#[tokio::test]
async fn a_subscriber_is_off_when_access_ends_and_on_again_after_paying() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let database = format!("sqlite://{}", home.path().join("expiry.db").display());
    let expiry = Expiry::new(database, home.path());
    let password = home.path().join("password");
    fs::write(&password, "s3cret\n").expect("written");
    let password = password.display().to_string();
    let mac = "02:00:00:00:00:01";

    let client = format!("255700000001={mac}");
    let mut sim = expiry.service(&[
        "router-sim",
        "--listen",
        "127.0.0.1:0",
        "--username",
        "expiry",
        "--password-file",
        &password,
        "--client",
        &client,
    ]);
    let listening = sim.line("listening on ").await;
    let port = listening.rsplit(':').next().expect("a port").to_owned();
    expiry
        .ok(&[
            "router",
            "add",
            "tower",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--username",
            "expiry",
            "--password-file",
            &password,
        ])
        .await;
    let tested = expiry.json(&["router", "test", "tower"]).await;
    assert_eq!(tested["identity"], "router-sim", "{tested}");
    expiry
        .ok(&[
            "subscriber",
            "add",
            "+255700000001",
            "--for",
            "3s",
            "--device",
            "02-00-00-00-00-01",
        ])
        .await;

    let mut watcher = expiry.service(&["run"]);
    sim.line("traffic stops").await;
    let confirmed = watcher.line("cut confirmed").await;
    assert!(
        !confirmed.contains("255700000001"),
        "no phone number in a log: {confirmed}"
    );
    assert!(!confirmed.contains(mac), "no MAC in a log: {confirmed}");
    let status = expiry.json(&["status"]).await;
    assert_eq!(status["owed_cuts"], 0, "{status}");
    assert_eq!(status["watchers"][0]["alive"], true, "{status}");

    let before = sim
        .lines()
        .iter()
        .filter(|line| line.contains("traffic starts"))
        .count();
    expiry
        .ok(&["subscriber", "extend", "255700000001", "--for", "1h"])
        .await;
    watcher.line("restored").await;
    expiry_tests::world::until(std::time::Duration::from_secs(10), "it is on again", || {
        sim.lines()
            .iter()
            .filter(|line| line.contains("traffic starts"))
            .count()
            > before
    })
    .await;

    assert_eq!(watcher.terminate().await, 0);
    assert_eq!(sim.terminate().await, 0);
    let status = expiry.json(&["status"]).await;
    assert_eq!(
        status["watchers"].as_array().map(Vec::len),
        Some(0),
        "{status}"
    );
}

#[tokio::test]
async fn once_does_the_work_of_a_cron_job_and_says_what_is_left() {
    let world = expiry_tests::world::World::new(None).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = expiry_tests::world::World::device(&world.router, "alice", mac);
    world
        .expiry
        .ok(&[
            "subscriber",
            "add",
            "alice",
            "--expires-at",
            "2026-01-01T00:00:00Z",
            "--device",
            &mac.to_string(),
        ])
        .await;

    world.router.down().await;
    let ended = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(world.router.with(|sim| sim.client_can_move_bytes(device)));

    world.router.up().await;
    let ended = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!world.router.with(|sim| sim.client_can_move_bytes(device)));
}

#[tokio::test]
async fn r9_who_is_let_in_again_while_the_router_is_away_is_cut_and_strays_are_listed() {
    let world = expiry_tests::world::World::new(None).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    let (router, expiry) = (&world.router, &world.expiry);
    let device = expiry_tests::world::World::device(router, "alice", mac);
    let staff_mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 2]);
    let staff = expiry_tests::world::World::device(router, "staff", staff_mac);
    let ended = ["alice", "--expires-at", "2026-01-01T00:00:00Z"];
    let add = [&["subscriber", "add"][..], &ended].concat();
    expiry.ok(&add).await;
    let unread = expiry.json(&["router", "strays", "tower"]).await;
    assert_eq!(unread["reconciled_at"], serde_json::Value::Null, "{unread}");
    expiry.ok(&["run", "--once"]).await;
    assert!(!router.with(|sim| sim.client_can_move_bytes(device)));

    router.down().await;
    expiry.ok(&["run", "--once"]).await;
    router.with(|sim| {
        sim.set_user_disabled("alice", false)
            .expect("she has an account");
    });
    router.up().await;
    expiry_tests::world::until(std::time::Duration::from_secs(10), "she logs in", || {
        router.with(|sim| sim.client_can_move_bytes(device))
    })
    .await;
    expiry.ok(&["run", "--once"]).await;

    assert!(!router.with(|sim| sim.client_can_move_bytes(device)));
    assert!(router.with(|sim| sim.client_can_move_bytes(staff)));
    let listed = expiry.json(&["router", "strays", "tower"]).await;
    let strays = listed["strays"].as_array().expect("a list");
    assert_eq!(strays.len(), 1, "{listed}");
    assert_eq!(strays[0]["login"], "staff", "{listed}");
    assert_eq!(strays[0]["mac"], staff_mac.to_string(), "{listed}");
    let status = expiry.ok(&["status"]).await;
    assert!(status.contains(", 1 stray"), "{status}");
}

#[tokio::test]
async fn the_demo_is_clean() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let expiry = Expiry::new("sqlite://unused.db", home.path());

    let printed = expiry
        .ok(&["demo", "--for", "8s", "--subscribers", "12", "--json"])
        .await;

    let last = printed.lines().last().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(last).expect("JSON");
    let expected = [
        ("subscribers", 12),
        ("renewed", 2),
        ("expired", 10),
        ("cut", 10),
        ("restored", 1),
        ("early", 0),
        ("still_online", 0),
    ];
    for (key, value) in expected {
        assert_eq!(summary[key], value, "{key} in {summary}");
    }
    assert!(summary["lag_ms"]["p99"].is_number() && summary["outage_lag_ms"]["p99"].is_number());
}
