//! What a support person is told, on both databases.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_tests::{
    pg,
    world::{World, sim_router, until},
};
use serde_json::Value;

/// Adds a subscriber whose device is online behind the world's router.
async fn online(world: &World, name: &str, last: u8) {
    let mac = MacAddr::new([2, 0, 0, 0, 0, last]);
    let device = World::device(&world.router, name, mac);
    let mac = mac.to_string();
    let expiry = &world.expiry;
    expiry
        .ok(&["subscriber", "add", name, "--for", "1h", "--device", &mac])
        .await;
    until(Duration::from_secs(10), "it is online", || {
        world.router.with(|sim| sim.client_can_move_bytes(device))
    })
    .await;
}

/// Explains a name until the JSON is as wanted.
async fn explained_until(world: &World, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut explained = Value::Null;
    let found = async {
        loop {
            explained = world.expiry.json(&["explain", name]).await;
            if wanted(&explained) {
                return explained.clone();
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), found).await;
    found.unwrap_or_else(|_| panic!("{name} is never explained so"))
}

fn target(explained: &Value) -> &Value {
    &explained["subscribers"][0]["routers"][0]["targets"][0]
}

fn kinds(explained: &Value) -> Vec<&str> {
    let events = explained["subscribers"][0]["events"].as_array();
    let events = events.expect("a list").iter();
    events
        .map(|event| event["kind"].as_str().expect("a word"))
        .collect()
}

async fn somebody_asks_why(database: Option<&str>) {
    let world = World::new(database).await;
    let expiry = &world.expiry;
    online(&world, "255700000001", 1).await;
    online(&world, "255700000002", 2).await;

    let text = expiry.ok(&["explain", "255700000001"]).await;
    assert!(text.contains("Access goes on until"), "{text}");
    assert!(
        text.contains("and is then cut on tower, if a watcher runs by then"),
        "{text}"
    );
    expiry.ok(&["subscriber", "revoke", "255700000001"]).await;
    let text = expiry.ok(&["explain", "+255700000001"]).await;
    assert!(text.contains("No watcher is alive"), "{text}");

    let watcher = expiry.service(&["run"]);
    let done = explained_until(&world, "255700000001", |explained| {
        target(explained)["looks"].as_u64() > Some(0)
    })
    .await;
    let expected = [
        "subscriber_added",
        "access_changed",
        "access_ended",
        "intended",
        "cut_confirmed",
    ];
    assert_eq!(kinds(&done), expected);
    let undo = &done["subscribers"][0]["routers"][0]["undo"];
    assert_eq!(undo[0]["items"][0]["name"], "255700000001", "{done}");
    let text = expiry.ok(&["explain", "255700000001"]).await;
    assert!(
        text.contains("Router tower: the cut was confirmed"),
        "{text}"
    );
    assert!(
        text.contains("Disabled there by us: account `255700000001`"),
        "{text}"
    );

    world.router.down().await;
    expiry.ok(&["subscriber", "revoke", "255700000002"]).await;
    explained_until(&world, "255700000002", |explained| {
        // The first try may still come upon the connection of before.
        let error = explained["subscribers"][0]["routers"][0]["last_error"].as_str();
        error.is_some_and(|error| error.contains("[connection_refused]"))
    })
    .await;
    let text = expiry.ok(&["explain", "255700000002"]).await;
    assert!(text.contains("the cut is owed since"), "{text}");
    assert!(text.contains("The router has not answered since"), "{text}");
    assert!(
        text.contains("the watcher tries again within 2 seconds"),
        "{text}"
    );
    let status = expiry.json(&["status"]).await;
    assert_eq!(
        (&status["health"], &status["owed_subscribers"]),
        (&"needs_attention".into(), &1.into())
    );

    world.router.up().await;
    let late = explained_until(&world, "255700000002", |explained| {
        target(explained)["state"] == "confirmed"
    })
    .await;
    let events = late["subscribers"][0]["events"].as_array().expect("a list");
    let cut = events.last().expect("told");
    assert_eq!(
        (&cut["kind"], &cut["outage"]),
        (&"cut_confirmed".into(), &true.into()),
        "{cut}"
    );
    let status = expiry.json(&["status"]).await;
    let lags = &status["lag"]["all"];
    assert_eq!(lags["cuts"]["count"], 1, "{status}");
    assert_eq!(lags["outage_cuts"]["count"], 1, "{status}");
    assert_eq!(status["lag"]["routers"][0]["router"], "tower");

    assert_eq!(watcher.terminate().await, 0);
    let alone = expiry.json(&["status"]).await;
    assert_eq!(alone["health"], "critical");
    assert_eq!(
        alone["health_reasons"].as_array().map(Vec::len),
        Some(1),
        "{alone}"
    );
}

#[tokio::test]
async fn r9_why_somebody_is_offline_is_told_from_sqlite() {
    somebody_asks_why(None).await;
}

#[tokio::test]
async fn r9_why_somebody_is_offline_is_told_from_postgresql() {
    let database = pg::database().await;
    somebody_asks_why(Some(&database)).await;
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_nearest() {
    let world = World::new(None).await;
    let expiry = &world.expiry;
    expiry.ok(&["tenant", "add", "cafe"]).await;
    expiry
        .ok(&["subscriber", "add", "255700000001", "--for", "1h"])
        .await;
    expiry
        .ok(&[
            "subscriber",
            "add",
            "joe",
            "--for",
            "1h",
            "--tenant",
            "cafe",
        ])
        .await;

    let ended = expiry.ended(&["explain", "255700000010"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("the nearest: `255700000001`"),
        "{ended:?}"
    );
    let ended = expiry.ended(&["explain", "joe"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("give --tenant cafe"), "{ended:?}");
    let ended = expiry
        .ended(&["explain", "joe", "--tenant", "nowhere"])
        .await;
    assert_eq!(ended.code, 2);
}

#[tokio::test]
async fn what_is_true_now_is_followed_line_by_line() {
    let world = World::new(None).await;
    let expiry = &world.expiry;
    let mut lines = expiry.service(&["status", "--watch"]);
    lines
        .line("critical: 0 watchers alive, 0 subscribers live")
        .await;
    expiry
        .ok(&["subscriber", "add", "joe", "--for", "1h"])
        .await;
    lines
        .line("1 subscriber live, owed 0 cuts and 0 restores, next end in 59 minutes")
        .await;
    assert_eq!(lines.terminate().await, 0);

    let mut json = expiry.service(&["status", "--watch", "--json"]);
    let line = json.line("\"upcoming\":[{").await;
    let status: Value = serde_json::from_str(&line).expect("one JSON value a line");
    assert_eq!(status["upcoming"][0]["username"], "joe");
    expiry.ok(&["subscriber", "revoke", "joe"]).await;
    json.line("\"owed_subscribers\":1").await;
    assert_eq!(json.terminate().await, 0);
}

#[tokio::test]
async fn a_removed_subscriber_is_found_as_long_as_it_is_owed() {
    let world = World::new(None).await;
    let other = sim_router("hill").await;
    world.register("hill", &other).await;
    let expiry = &world.expiry;
    online(&world, "joe", 1).await;
    expiry.ok(&["subscriber", "remove", "joe"]).await;

    let text = expiry.ok(&["explain", "joe"]).await;

    assert!(text.contains("The subscriber was removed"), "{text}");
    assert!(
        text.contains("the cut on hill and tower waits for a watcher"),
        "{text}"
    );
}
