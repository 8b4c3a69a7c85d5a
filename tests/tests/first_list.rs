//! What status, health and lag say of a first list, of a router that is down, and of a single check,
//! by the real binaries.

use std::{fmt::Write, fs, time::Duration};

use expiry_mikrotik::sim::Link;
use expiry_tests::{http::Admin, pg, world::World};
use serde_json::Value;

const STATUS: &str = "/api/admin/expiry-watcher/";

/// Reads the status until it is as wanted.
async fn status_when(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let reading = async {
        loop {
            let status = world.expiry.json(&["status"]).await;
            if wanted(&status) {
                return status;
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_mins(1), reading).await;
    read.unwrap_or_else(|_| panic!("{what} was not seen within 60 s"))
}

async fn r9_a_first_list_is_backlog_and_no_lag(world: World) {
    let mut list = String::from("username,expires_at\n");
    for number in 0..60 {
        writeln!(list, "old{number},2024-01-01T00:00:00Z").expect("written");
    }
    let file = world.path("list.csv");
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    world.expiry.ok(&["subscriber", "import", &file]).await;

    let text = world.expiry.ok(&["status"]).await;
    let listed = text.lines().filter(|line| line.contains("cut of old"));
    assert_eq!(listed.count(), 20, "{text}");
    assert!(text.contains("and 40 more: `"), "{text}");
    let all = world.expiry.ok(&["status", "--all"]).await;
    let listed = all.lines().filter(|line| line.contains("cut of old"));
    assert_eq!(listed.count(), 60, "{all}");
    let status = world.expiry.json(&["status"]).await;
    assert_eq!(status["backlog"]["left"], 60, "{status}");
    assert_eq!(
        (&status["late_subscribers"], &status["owed_cuts"]),
        (&0.into(), &60.into())
    );

    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router is ours").await;
    let done = status_when(&world, "the end of the backlog", |status| {
        let health = &status["health"];
        assert!(health != "critical", "{status}");
        status["owed_cuts"] == 0
    });
    let done = done.await;

    let lags = &done["lag"]["all"];
    assert_eq!(lags["cuts"]["count"], 0, "{lags}");
    assert_eq!(lags["known_late_cuts"]["count"], 60, "{lags}");
    watcher.terminate().await;
}

#[tokio::test]
async fn r9_a_first_list_is_backlog_and_no_lag_on_sqlite() {
    r9_a_first_list_is_backlog_and_no_lag(World::new(None).await).await;
}

#[tokio::test]
async fn r9_a_first_list_is_backlog_and_no_lag_on_postgres() {
    let world = World::new(Some(&pg::database().await)).await;
    r9_a_first_list_is_backlog_and_no_lag(world).await;
}

#[tokio::test]
async fn r9_a_router_that_is_down_is_named_everywhere() {
    let world = World::new(None).await;
    world
        .expiry
        .ok(&["subscriber", "add", "soon", "--for", "30m"])
        .await;
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router is ours").await;
    status_when(&world, "health", |status| status["health"] == "healthy").await;

    world.router.with(|sim| sim.set_link(Link::Refused));
    let status = status_when(&world, "the outage", |status| {
        status["health"] == "needs_attention"
    });
    let status = status.await;

    let reason = status["health_reasons"][0].as_str().expect("a reason");
    assert!(
        reason.starts_with("router tower does not answer since"),
        "{reason}"
    );
    assert!(
        reason.ends_with(": 1 access ends there within the hour"),
        "{reason}"
    );
    let admin = Admin::start(&world.expiry, &[]).await;
    for path in ["/api/v1/overview", STATUS] {
        let answer = admin.call("GET", path).await.json();
        assert_eq!(answer["health_reasons"][0], reason, "{path}");
    }
    let doctor = world.expiry.ended(&["doctor"]).await;
    let told = doctor.stdout;
    assert!(
        told.contains("router tower does not answer since"),
        "{told}"
    );
    watcher.terminate().await;
}

#[tokio::test]
async fn r9_a_single_check_is_no_watcher_while_it_runs() {
    let world = World::new(None).await;
    world.router.with(|sim| sim.set_link(Link::BlackHole));
    world
        .expiry
        .ok(&[
            "subscriber",
            "add",
            "old",
            "--expires-at",
            "2024-01-01T00:00:00Z",
        ])
        .await;
    let mut check = world.expiry.service(&["run", "--once"]);
    status_when(&world, "the check", |status| {
        status["watchers"][0]["kind"] == "check"
    })
    .await;

    let text = world.expiry.ok(&["status"]).await;
    assert!(text.contains("watchers: none alive"), "{text}");
    assert!(text.contains("runs a single check"), "{text}");
    let admin = Admin::start(&world.expiry, &[]).await;
    let status = admin.call("GET", STATUS).await.json();
    assert_eq!(status["watcher"]["running"], false, "{status}");
    assert_eq!(status["health"], "critical");
    assert_eq!(admin.call("GET", "/readyz").await.status, 503);
    assert_eq!(check.wait().await, 3);
}
