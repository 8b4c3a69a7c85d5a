//! Tests of routers that a caller names: where, and how often.

use std::sync::Arc;

use axum::http::StatusCode;
use expiry_core::{Directory, MockRouterGateway, RouterGateway};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Duration;

use crate::{admin::silent, world::World};

const TEST: &str = "/api/admin/mikrotik/test-connection/";

/// A gateway that must not be asked.
fn untouched() -> Arc<dyn RouterGateway> {
    Arc::new(MockRouterGateway::new())
}

fn at(host: &str) -> Value {
    json!({"router_ip": host, "username": "u", "password": "p"})
}

#[rstest]
#[case("169.254.169.254")]
#[case("fe80::1")]
#[case("::ffff:169.254.169.254")]
#[case("224.0.0.1")]
#[case("ff02::1")]
#[case("255.255.255.255")]
#[case("0.0.0.0")]
#[case("::")]
#[tokio::test]
async fn nothing_is_sent_to_where_no_router_is(#[case] host: &str) {
    let world = World::probing(untouched);
    let refused = world.post(TEST, at(host)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    let json = refused.json();
    assert_eq!(json["success"], false);
    assert!(json["message"].as_str().expect("text").contains(host));

    let new = json!({"name": "tower", "host": host, "username": "u", "password": "p"});
    let refused = world.post("/api/v1/routers", new).await;
    assert_eq!(refused.problem(), (400, "invalid_body".into()));
    assert!(world.store.routers().await.expect("read").is_empty());
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_as_such() {
    let world = World::probing(untouched);
    let answer = world.post(TEST, at("no-such-name.invalid")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    let info = &json["router_info"];
    assert_eq!(info["step"], "name_lookup", "{json}");
    assert_eq!(info["cause"], "host_not_found", "{json}");
    assert_eq!(info["ip"], "no-such-name.invalid");
    assert_eq!(info["status"], "unreachable");
}

#[tokio::test(start_paused = true)]
async fn four_tests_run_at_once() {
    let world = Arc::new(World::probing(silent));
    let running: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.post(TEST, at("127.0.0.1")).await.status })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = world.post(TEST, at("127.0.0.1")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json()["success"], false);
    for test in running {
        assert_eq!(test.await.expect("no panic"), StatusCode::OK);
    }
    let again = world.post(TEST, at("127.0.0.1")).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn thirty_tests_run_within_a_minute() {
    let world = World::new();
    for _ in 0..30 {
        let answer = world.post(TEST, at("127.0.0.1")).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let refused = world.post(TEST, at("127.0.0.1")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait = refused.headers["retry-after"].to_str().expect("text");
    assert!((1..=60).contains(&wait.parse::<u64>().expect("seconds")));
    // Saved ones nobody else chose.
    world.router("tower").await;
    assert_eq!(world.get(TEST).await.status, StatusCode::OK);
}
