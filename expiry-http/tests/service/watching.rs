use axum::http::StatusCode;
use expiry_core::{
    Directory, EnforcementStore, Heartbeat, WatcherId, testing::memory::Fault as StoreFault,
};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_live_process_is_healthy_whatever_the_database_does() {
    let world = World::new();
    world.store.fail_when(|_| StoreFault::Before);
    let answer = world.get("/healthz").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::OK, "ok")
    );
}

#[tokio::test]
async fn r9_ready_is_who_has_a_database_and_a_living_watcher() {
    let world = World::new();
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = json!({"ready": false, "database": "ok", "watcher": "none"});
    assert_eq!(answer.json(), expected);

    let world = World::new();
    let beat = Heartbeat::new(WatcherId::fresh(), std::time::Duration::from_secs(15));
    world.store.own(&beat).await.expect("recorded");
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::OK);
    let expected = json!({"ready": true, "database": "ok", "watcher": "alive"});
    assert_eq!(answer.json(), expected);

    let world = World::new();
    world.store.fail_when(|_| StoreFault::Before);
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = json!({"ready": false, "database": "failed", "watcher": "unknown"});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn r9_a_watcher_inside_that_only_fails_is_neither_alive_nor_ready() {
    let world = World::new();
    let beat = Heartbeat::new(WatcherId::fresh(), std::time::Duration::from_secs(15));
    world.store.own(&beat).await.expect("recorded");
    let why = "the planner of the watcher has only failed for 75 s";
    world.unwell.set(why.into()).expect("set once");

    let answer = world.get("/healthz").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, why)
    );
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = json!({"ready": false, "database": "ok", "watcher": "unwell"});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn r9_metrics_count_what_is_owed_and_name_nobody() {
    let world = World::new();
    let router = world.router("to\"wer").await;
    let expired = world.subscriber("255700000001", -60).await;
    world.online(router, &expired);
    let text = world.get("/metrics").await.text;
    for line in [
        "expiry_subscribers{state=\"owed\"} 1",
        "expiry_owed_cuts{router=\"to\\\"wer\"} 1",
        "expiry_health 2",
        "expiry_watchers 0",
        "# TYPE expiry_cut_lag_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("255700000001"));

    let world = World::new();
    world.ended(1).await;
    world
        .call(axum::http::Method::POST, "/api/admin/expiry-watcher/", None)
        .await;
    let text = world.get("/metrics").await.text;
    let count = "expiry_cut_lag_seconds_count{router=\"tower\"} 1";
    assert!(text.lines().any(|found| found == count), "{text}");
    for (result, count) in [("confirmed", 1), ("unconfirmed", 0), ("returned", 0)] {
        let count = format!("expiry_cuts_total{{router=\"tower\",result=\"{result}\"}} {count}");
        assert!(text.lines().any(|found| found == count), "{count}: {text}");
    }
    let requests = "expiry_router_request_duration_seconds_count{router=\"tower\"} ";
    let requests = text.lines().find_map(|line| line.strip_prefix(requests));
    let requests: Option<u32> = requests.and_then(|count| count.parse().ok());
    assert!(requests >= Some(4), "a cut is four flights: {text}");
    let all = "expiry_cut_lag_seconds_bucket{router=\"tower\",le=\"+Inf\"} 1";
    assert!(text.lines().any(|found| found == all), "{text}");
}

#[tokio::test]
async fn what_removed_routers_counted_is_in_the_report_and_not_in_the_metrics() {
    let world = World::new();
    let (router, _) = world.ended(1).await;
    world
        .call(axum::http::Method::POST, "/api/admin/expiry-watcher/", None)
        .await;
    world
        .store
        .remove_router(router, true)
        .await
        .expect("removed");
    let text = world.get("/metrics").await.text;
    for family in [
        "expiry_cut_lag_seconds_bucket{",
        "expiry_free_seconds_total{",
    ] {
        assert!(!text.contains(family), "{text}");
    }
    let lag = world.get("/api/v1/lag").await.json();
    assert_eq!(lag["routers"][0]["router"], serde_json::Value::Null);
    assert_eq!(lag["routers"][0]["cuts"]["count"], 1, "{lag}");
}
