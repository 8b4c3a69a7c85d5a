//! One box is no two routers, whichever address it is entered under.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use expiry_core::{
    EnforcementStore, Fence, GatewayError, Hardware, Heartbeat, MockRouterGateway, RouterFacts,
    RouterGateway, RouterId, RouterState, Sighting, Survey, WatcherId,
};
use serde_json::{Value, json};

use crate::world::World;

const TEST: &str = "/api/admin/mikrotik/test-connection/";

fn facts() -> RouterFacts {
    RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: Some("HF1".into()),
        },
        version: None,
        board: None,
        uptime: None,
        clock: None,
    }
}

/// One box, at every address.
fn one_box() -> Arc<dyn RouterGateway> {
    let mut gateway = MockRouterGateway::new();
    gateway.expect_probe().returning(|_| Ok(facts()));
    gateway.expect_survey().returning(|_| Ok(Survey::default()));
    gateway
        .expect_look()
        .returning(|_, _| Ok(Sighting::default()));
    gateway.expect_drop_rows().returning(|_, _| Ok(Vec::new()));
    gateway.expect_close().return_const(());
    Arc::new(gateway)
}

/// Puts the box on record as that router's.
async fn record(world: &World, router: RouterId) {
    let store = &world.store;
    let watcher = WatcherId::fresh();
    let beat = Heartbeat::new(watcher, Duration::from_hours(1));
    let owned = store.own(&beat).await.expect("owned");
    let of = owned.iter().find(|owned| owned.router.id == router);
    let epoch = of.expect("the router").epoch;
    let fence = Fence {
        router,
        watcher,
        epoch,
    };
    let reached = RouterState::Reached(facts());
    store.router_state(&fence, &reached).await.expect("told");
}

fn is_same_box(json: &Value) {
    assert_eq!(json["cause"], "same_box", "{json}");
    assert_eq!(json["step"], "wrong_router", "{json}");
    let error = json["error"].as_str().expect("text");
    assert!(
        error.contains("`tower`") && error.contains("HF1"),
        "{error}"
    );
    assert!(error.contains("expiryctl router remove"), "{error}");
}

#[tokio::test]
async fn r1_the_box_of_another_router_is_not_added_whether_it_is_on_record_or_answers() {
    for on_record in [true, false] {
        let world = World::probing(one_box);
        let tower = world.router("tower").await;
        if on_record {
            record(&world, tower).await;
        }
        let new = json!({"name": "hill", "host": "192.0.2.2", "username": "u", "password": "p"});
        let answer = world.post("/api/v1/routers", new).await;
        assert_eq!(
            answer.problem(),
            (409, "router_address_taken".into()),
            "on record: {on_record}"
        );
        assert!(answer.text.contains("`tower`"), "{}", answer.text);
        let list = world.get("/api/v1/routers").await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
}

#[tokio::test]
async fn r1_a_test_names_the_other_router_whose_box_it_is() {
    let world = World::probing(one_box);
    let tower = world.router("tower").await;
    let hill = world.router_at("hill", 8730).await;
    record(&world, tower).await;

    let test = format!("/api/v1/routers/{hill}/test");
    let json = world.call(Method::POST, &test, None).await.json();
    assert_eq!(json["success"], false, "{json}");
    is_same_box(&json);
    let test = format!("/api/v1/routers/{tower}/test");
    let json = world.call(Method::POST, &test, None).await.json();
    assert_eq!(
        (&json["success"], &json["serial"]),
        (&json!(true), &json!("HF1"))
    );

    let json = world.get(TEST).await.json();
    let routers = json["routers"].as_array().expect("a list");
    is_same_box(&routers[0]);
    assert_eq!(routers[0]["api_status"], "wrong_router");
    assert_eq!(routers[1]["api_status"], "api_ok", "{json}");
    // What was typed of a saved router is that router; at another address it is one too many.
    let mut given = json!({"router_ip": "127.0.0.1", "username": "u", "password": "p"});
    let json = world.post(TEST, given.clone()).await.json();
    assert_eq!(json["success"], true, "{json}");
    given["api_port"] = json!(8731);
    let json = world.post(TEST, given).await.json();
    is_same_box(&json["router_info"]);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_fails_or_is_silent_is_added_all_the_same() {
    fn failing() -> Arc<dyn RouterGateway> {
        let mut gateway = MockRouterGateway::new();
        gateway
            .expect_probe()
            .returning(|_| Err(GatewayError::TooOld));
        gateway.expect_close().return_const(());
        Arc::new(gateway)
    }
    let gateways: [fn() -> _; 2] = [failing, crate::admin::silent];
    for gateway in gateways {
        let world = World::probing(gateway);
        let began = tokio::time::Instant::now();
        let new = json!({"name": "hill", "host": "192.0.2.2", "username": "u", "password": "p"});
        let answer = world.post("/api/v1/routers", new).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert!(began.elapsed() <= Duration::from_secs(7));
    }
}
