//! The configuration as a user meets it: what holds, where it comes from, and what is wrong.

use std::{fs, path::Path};

use expiry_tests::{
    process::Expiry,
    world::{PASSWORD, World, until},
};
use tokio::{net::TcpListener, time::Duration};

fn expiry(home: &Path) -> Expiry {
    let database = format!("sqlite://{}", home.join("expiry.db").display());
    Expiry::new(database, home)
}

#[tokio::test]
async fn all_faults_are_named_at_once_with_their_place_and_nothing_is_done() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("e.toml");
    let text = "log_format = \"jsno\"\n[watcher]\nintervall = \"10s\"\nheartbeat = 3\n";
    fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let expiry = expiry(home.path())
        .with("EXPIRY_CONFIG", file.clone())
        .with("EXPIRY_WATCHER_LOKS", "1s");
    let expected = format!(
        "error: {file}:1:14: log_format: `jsno` is none of text, json: did you mean `json`?\n\
         error: {file}:3:13: there is no key `watcher.intervall`: did you mean \
         `watcher.interval`?\n\
         error: {file}:4:13: watcher.heartbeat: 3 has no unit: did you mean \"3s\"?\n\
         error: EXPIRY_WATCHER_LOKS: there is no such setting: did you mean \
         `EXPIRY_WATCHER_LOOKS`?\n"
    );
    for command in ["check-config", "status", "run", "migrate"] {
        let ended = expiry.ended(&[command]).await;
        assert_eq!(ended.code, 2, "{command}: {ended:?}");
        assert_eq!(ended.stderr, expected, "{command}");
        assert_eq!(ended.stdout, "", "{command}");
    }
    assert!(
        !home.path().join("expiry.db").exists(),
        "nothing is half done"
    );
    for command in [&["completions", "bash"][..], &["man"]] {
        assert_eq!(expiry.ended(command).await.code, 0, "{command:?}");
    }

    let ended = expiry.ended(&["check-config", "--json"]).await;
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.code, &report["ok"]), (2, &false.into()));
    assert_eq!(report["faults"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn r11_what_is_in_force_is_listed_with_its_place_and_without_secrets() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("e.toml");
    fs::write(&file, "[watcher]\nlooks = [\"2s\", \"9s\"]\n").expect("written");
    let file = file.display().to_string();
    let expiry = expiry(home.path())
        .with("EXPIRY_DATABASE", "postgres://me:hush@db/shop")
        .with("EXPIRY_GATEWAY_BURST", "7")
        .with("MIKROTIK_HOST", "10.8.0.2")
        .with("MIKROTIK_USER", "expiry")
        .with("MIKROTIK_PASSWORD", "hush");
    let printed = expiry.ok(&["--config", &file, "check-config"]).await;
    let line = |key: &str| {
        let mut lines = printed.lines().filter(|line| line.starts_with(key));
        let words = lines.next().expect(key).split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    let expected = [
        r#"database = "postgres://me@db:5432/shop" # EXPIRY_DATABASE"#.to_owned(),
        format!(r#"watcher.looks = ["2s", "9s"] # {file}:2:9"#),
        "gateway.burst = 7 # EXPIRY_GATEWAY_BURST".into(),
        r#"gateway.silence = "5s" # default"#.into(),
        r#"MIKROTIK_HOST = "10.8.0.2" # MIKROTIK_HOST"#.into(),
        "MIKROTIK_PASSWORD = (secret) # MIKROTIK_PASSWORD".into(),
    ];
    for expected in expected {
        let key = expected.split(" = ").next().expect("a key");
        assert_eq!(line(&format!("{key} ")), expected);
    }
    assert!(!printed.contains("hush"), "{printed}");
}

#[tokio::test]
async fn r4_a_time_out_that_is_configured_is_real() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.expect("a client"));
        }
    });
    let password = home.path().join("password");
    fs::write(&password, "x\n").expect("written");
    let password = password.display().to_string();
    let mut add = vec![
        "router",
        "add",
        "mute",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
    ];
    add.extend(["--username", "u", "--password-file", &password]);
    let expiry = expiry(home.path());
    expiry.ok(&add).await;

    let file = home.path().join("e.toml");
    fs::write(&file, "[gateway]\nlogin = \"300ms\"\n").expect("written");
    let file = file.display().to_string();
    let ended = expiry
        .ended(&["--config", &file, "router", "test", "mute"])
        .await;
    assert!(
        ended.stderr.contains("no answer to the login for 0.3 s"),
        "{ended:?}"
    );
    let stronger = expiry.with("EXPIRY_GATEWAY_LOGIN", "1200ms");
    let ended = stronger
        .ended(&["--config", &file, "router", "test", "mute"])
        .await;
    assert!(
        ended.stderr.contains("no answer to the login for 1.2 s"),
        "{ended:?}"
    );
    silent.abort();
}

#[tokio::test]
async fn the_router_of_the_environment_is_registered_and_served() {
    let world = World::new(None).await;
    world.expiry.ok(&["router", "remove", "tower"]).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = World::device(&world.router, "alice", mac);
    let mac = mac.to_string();
    let add = [
        "subscriber",
        "add",
        "alice",
        "--expires-at",
        "2026-01-01T00:00:00Z",
    ];
    let add = [&add[..], &["--device", &mac]].concat();
    world.expiry.ok(&add).await;

    let expiry = world
        .expiry
        .clone()
        .with("MIKROTIK_HOST", "127.0.0.1")
        .with("MIKROTIK_PORT", world.router.addr().port().to_string())
        .with("MIKROTIK_USER", "expiry");
    let ended = expiry.ended(&["run", "--once"]).await;
    assert_eq!(ended.code, 2, "a password has no default: {ended:?}");
    let wrong = expiry.clone().with("MIKROTIK_PASSWORD", "wrong");
    let refused = wrong.ended(&["run", "--once"]).await;
    assert!(refused.stderr.contains("login refused"), "{refused:?}");
    let right = expiry.clone().with("MIKROTIK_PASSWORD", PASSWORD);
    let mut watcher = right.service(&["run"]);
    watcher.line("router brought up to date").await;
    until(Duration::from_secs(20), "alice is off", || {
        !world.router.with(|sim| sim.client_can_move_bytes(device))
    })
    .await;
    assert_eq!(watcher.terminate().await, 0);

    let again = right.ended(&["run", "--once", "--log-level", "info"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(!again.stderr.contains("brought up"), "{again:?}");
    let tls = right.with("MIKROTIK_USE_SSL", "true").ended(&["run"]).await;
    assert_eq!(tls.code, 2, "{tls:?}");
    assert!(tls.stderr.contains("TLS is not supported yet"), "{tls:?}");
    let routers = world.expiry.json(&["router", "list"]).await;
    assert_eq!(routers[0]["name"], "mikrotik", "{routers}");
    assert_eq!(routers.as_array().map(Vec::len), Some(1));
}
