//! The watcher as a service: what it tells the service manager, and where its lines go.

use std::{fs, path::Path, process::Command, time::Duration};

use expiry_core::MacAddr;
use expiry_tests::{
    pg::Cluster,
    process::{binary, service_binary},
    world::{World, until},
};
use tokio::{net::UnixDatagram, time::timeout};

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn new(home: &Path) -> Self {
        Self(UnixDatagram::bind(home.join("notify")).expect("bound"))
    }

    async fn until(&self, expected: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let came = timeout(Duration::from_secs(30), self.0.recv(&mut buffer)).await;
            let Ok(length) = came else {
                panic!("never {expected:?}, only {heard:?}");
            };
            let length = length.expect("a message");
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let is_it = message.starts_with(expected);
            heard.push(message);
            if is_it {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn the_service_manager_hears_of_readiness_life_and_the_end() {
    let world = World::new(None).await;
    let manager = Manager::new(&world.path(""));
    let service = world
        .expiry
        .clone()
        .with("NOTIFY_SOCKET", world.path("notify").display().to_string())
        .with("WATCHDOG_USEC", "600000");
    let mut watcher = service.service(&["run"]);
    let before = manager.until("READY=1").await;
    assert!(before[0].starts_with("STATUS=waiting"), "{before:?}");
    manager.until("STATUS=serving 1 router").await;
    manager.until("WATCHDOG=1").await;
    manager.until("WATCHDOG=1").await;

    world.router.down().await;
    manager
        .until("STATUS=serving 1 router, 1 without answer: tower")
        .await;
    watcher.line("router lost").await;
    let ended = tokio::spawn(watcher.terminate());
    manager.until("STOPPING=1\nEXTEND_TIMEOUT_USEC=").await;
    assert_eq!(ended.await.expect("no panic"), 0);
}

#[tokio::test]
async fn a_database_that_is_down_does_not_get_the_service_killed() {
    let mut cluster = Cluster::start();
    let database = cluster.database().await;
    let world = World::new(Some(&database)).await;
    let manager = Manager::new(&world.path(""));
    let service = world
        .expiry
        .clone()
        .with("NOTIFY_SOCKET", world.path("notify").display().to_string())
        .with("WATCHDOG_USEC", "600000");
    let watcher = service.service(&["run"]);
    manager.until("READY=1").await;

    cluster.stop();
    manager
        .until("STATUS=the database takes no heartbeat")
        .await;
    for _ in 0..5 {
        manager.until("WATCHDOG=1").await;
    }
    cluster.restart();
    manager.until("STATUS=serving 1 router").await;
    assert_eq!(watcher.terminate().await, 0);
}

#[tokio::test]
async fn info_goes_to_stdout_and_what_needs_a_look_to_stderr() {
    let world = World::new(None).await;
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = World::device(&world.router, "alice", mac);
    let mac = mac.to_string();
    let mut watcher = world.expiry.service(&["run", "--log-format", "json"]);
    watcher.line("router reached").await;
    let add = [
        "subscriber",
        "add",
        "alice",
        "--for",
        "1s",
        "--device",
        &mac,
    ];
    world.expiry.ok(&add).await;
    until(Duration::from_secs(20), "alice is off", || {
        !world.router.with(|sim| sim.client_can_move_bytes(device))
    })
    .await;
    watcher.line("cut confirmed").await;
    world.router.down().await;
    watcher.line("router lost").await;

    let errors = watcher.errors();
    let lines = watcher.lines();
    for line in &lines {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let needs_a_look = event["level"] == "WARN" || event["level"] == "ERROR";
        assert_eq!(errors.contains(line), needs_a_look, "{line}");
    }
    assert!(!errors.is_empty() && errors.len() < lines.len());
    assert_eq!(watcher.terminate().await, 0);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("no systemd-analyze on this machine: the units are not verified");
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd");
    let copies = tempfile::tempdir().expect("a temporary directory");
    let mut files = Vec::new();
    for unit in fs::read_dir(units).expect("the units") {
        let unit = unit.expect("a unit");
        let text = fs::read_to_string(unit.path()).expect("text");
        // It looks whether the program is there.
        let text = [binary(), service_binary()]
            .iter()
            .fold(text, |text, built| {
                let name = built.file_name().expect("a name").display();
                let installed = format!("/usr/local/bin/{name}");
                text.replace(&installed, &built.display().to_string())
            });
        let copy = copies.path().join(unit.file_name());
        fs::write(&copy, text).expect("written");
        files.push(copy);
    }
    assert_eq!(files.len(), 4);
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&files)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}
