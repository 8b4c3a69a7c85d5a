//! Wrong input: one clear line, the right exit code, and nothing half done.

use std::{fs, time::Duration};

use expiry_core::MacAddr;
use expiry_tests::{
    process::Expiry,
    world::{World, until},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn refused(expiry: &Expiry, arguments: &[&str], code: i32, says: &[&str]) {
    let ended = expiry.ended(arguments).await;
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{arguments:?} prints no result");
    for text in says {
        assert!(
            ended.stderr.contains(text),
            "{arguments:?} does not say {text:?}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn wrong_values_are_named_and_nothing_is_half_done() {
    let world = World::new(None).await;
    let expiry = &world.expiry;
    let add = |rest: &[&'static str]| {
        let mut all = vec!["subscriber", "add", "alice"];
        all.extend(rest);
        all
    };
    refused(
        expiry,
        &add(&["--for", "1h", "--device", "02:00:00:00:00"]),
        2,
        &["02:00:00:00:00"],
    )
    .await;
    refused(expiry, &add(&["--for", "0s"]), 2, &["0s"]).await;
    refused(
        expiry,
        &add(&["--expires-at", "2030-01-01T00:00:00"]),
        2,
        &["offset"],
    )
    .await;
    refused(
        expiry,
        &add(&["--for", "1h", "--router", "nowhere"]),
        2,
        &["nowhere"],
    )
    .await;
    refused(
        expiry,
        &add(&["--for", "1h", "--tenant", "nobody"]),
        2,
        &["nobody"],
    )
    .await;
    refused(
        expiry,
        &add(&["--for", "1h", "--service", "ppp"]),
        2,
        &["ppp"],
    )
    .await;
    refused(expiry, &add(&["--for", "1h", "--forever"]), 2, &[]).await;
    refused(expiry, &add(&[]), 2, &[]).await;
    refused(expiry, &["subscriber", "show", "alice"], 2, &["alice"]).await;
    assert_eq!(
        expiry
            .json(&["subscriber", "list"])
            .await
            .as_array()
            .map(Vec::len),
        Some(0)
    );

    expiry
        .ok(&[
            "subscriber",
            "add",
            "alice",
            "--for",
            "1h",
            "--device",
            "02:00:00:00:00:01",
        ])
        .await;
    refused(expiry, &add(&["--for", "1h"]), 2, &["alice"]).await;
    let taken = [
        "subscriber",
        "add",
        "bob",
        "--for",
        "1h",
        "--device",
        "0200.0000.0001",
    ];
    refused(expiry, &taken, 2, &["02:00:00:00:00:01", "alice"]).await;
    refused(expiry, &["subscriber", "show", "bob"], 2, &["bob"]).await;

    let missing = [
        "router",
        "add",
        "r2",
        "--host",
        "192.0.2.1",
        "--username",
        "u",
        "--password-file",
        "/nowhere/at/all",
    ];
    refused(expiry, &missing, 2, &["/nowhere/at/all"]).await;
    let port = world.router.addr().port().to_string();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "x").expect("written");
    let file = file.path().display().to_string();
    let twice = [
        "router",
        "add",
        "r2",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--username",
        "u",
        "--password-file",
        &file,
    ];
    refused(expiry, &twice, 2, &["tower"]).await;
    assert_eq!(
        expiry
            .json(&["router", "list"])
            .await
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_wrong_database_is_named_without_its_password() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let at = |url: &str| Expiry::new(url, home.path());
    refused(
        &at("mysql://root:hush@127.0.0.1/x"),
        &["status"],
        2,
        &["sqlite://", "postgres://"],
    )
    .await;
    let unreachable = at("postgres://me:hush@127.0.0.1:1/x")
        .ended(&["status"])
        .await;
    assert_eq!(unreachable.code, 1, "{unreachable:?}");
    assert!(!unreachable.stderr.contains("hush"), "{unreachable:?}");
    let file = home.path().join("notes.txt");
    fs::write(
        &file,
        "this is no database, but it is quite a long text, longer than a header of \
        one hundred bytes that a database file begins with",
    )
    .expect("written");
    let url = format!("sqlite://{}", file.display());
    refused(&at(&url), &["status"], 2, &["notes.txt"]).await;
    assert!(
        fs::read_to_string(&file)
            .expect("still there")
            .starts_with("this is no database")
    );
}

#[tokio::test]
async fn r4_a_peer_that_speaks_garbage_costs_its_own_lane_a_retry() {
    let world = World::new(None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let garbage: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xf0, 0xff, 0xff, 0xff, 0xff, 0x41],
        &[0x05, b'!', b'r'],
        &[0xff; 64],
    ];
    let peer = tokio::spawn(async move {
        for answer in garbage.iter().cycle() {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut heard = [0; 256];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(answer).await;
        }
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "x").expect("written");
    let file = file.path().display().to_string();
    world
        .expiry
        .ok(&[
            "router",
            "add",
            "mad",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--username",
            "u",
            "--password-file",
            &file,
        ])
        .await;
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = World::device(&world.router, "alice", mac);
    let mac = mac.to_string();
    world
        .expiry
        .ok(&[
            "subscriber",
            "add",
            "alice",
            "--for",
            "5s",
            "--device",
            &mac,
        ])
        .await;

    let mut watcher = world.expiry.service(&["run"]);
    until(Duration::from_secs(20), "alice is off", || {
        !world.router.with(|sim| sim.client_can_move_bytes(device))
    })
    .await;
    // Traffic stops before the read-back is recorded.
    watcher.line("cut confirmed").await;

    let status = world.expiry.json(&["status"]).await;
    assert_eq!(status["owed_cuts"], 1, "{status}");
    assert_eq!(status["owed"][0]["router"], "mad", "{status}");
    assert_eq!(watcher.terminate().await, 0);
    peer.abort();
}
