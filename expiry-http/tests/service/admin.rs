use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, StatusCode};
use expiry_core::{
    BlockOrder, Directory, DropOrder, EnforcementStore, GatewayError, Hardware, Heartbeat,
    MockRouterGateway, Query, Refusal, Router, RouterFacts, RouterId, RouterLogin, Sighting,
    UnblockOrder, WatcherId,
    testing::{gateway::Fault as GatewayFault, memory::Fault as StoreFault},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

const STATUS: &str = "/api/admin/expiry-watcher/";

#[tokio::test]
async fn r9_the_status_has_every_field_of_the_old_one_and_says_who_is_owed() {
    let world = World::new();
    let tenant = world.store.add_tenant("acme", "Acme").await.expect("added");
    world.router("tower").await;
    world.subscriber("255700000001", -310).await;
    let mut soon = expiry_core::NewSubscriber {
        tenant: Some(tenant.id),
        username: "255700000002".parse().expect("a name"),
        service: expiry_core::Service::Hotspot,
        access: expiry_core::Access::Forever,
        router: None,
        devices: [].into(),
    };
    world.store.add_subscriber(&soon).await.expect("added");
    let end = chrono::TimeDelta::seconds(359);
    soon.username = "255700000003".parse().expect("a name");
    let now = expiry_core::Clock::wall(&expiry_core::SystemClock);
    soon.access = expiry_core::Access::Until(now + end);
    let soon = world.store.add_subscriber(&soon).await.expect("added");

    let status = world.get(STATUS).await;
    assert_eq!(status.status, StatusCode::OK);
    assert_eq!(status.headers["content-type"], "application/json");
    let json = status.json();
    assert_eq!(json["success"], true);
    let watcher = json!({"running": false, "check_interval_seconds": 30});
    assert_eq!(json["watcher"], watcher);
    let statistics = json!({
        "total_active_users": 2, "expiring_in_30_min": 1, "expired_but_still_active": 1
    });
    assert_eq!(json["statistics"], statistics);
    let of_tenant = json!({"acme": {
        "tenant_name": "Acme", "active_users": 2, "expiring_soon": 1,
        "expired_not_disconnected": 0
    }});
    assert_eq!(json["by_tenant"], of_tenant);
    let expiring = &json["expiring_soon"][0];
    assert_eq!(expiring["id"], soon.id.0);
    assert_eq!(expiring["phone_number"], "255700000003");
    assert_eq!(
        (&expiring["tenant"], &expiring["tenant_name"]),
        (&json!("acme"), &json!("Acme"))
    );
    assert_eq!(expiring["remaining_minutes"], 5, "rounded down");
    let expired = &json["expired_not_disconnected"][0];
    assert_eq!(expired["phone_number"], "255700000001");
    assert_eq!(
        (&expired["tenant"], &expired["tenant_name"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(expired["minutes_expired"], 5);
    assert_eq!(expired["expired_at"], expired["expires_at"]);
    assert_eq!(expired["reason"], "unconfirmed");
    assert_eq!(expired["routers"][0]["name"], "tower");
    assert_eq!(json["health"], "critical");
    let reasons = json["health_reasons"].as_array().expect("a list");
    assert!(
        reasons[0]
            .as_str()
            .expect("text")
            .contains("no watcher is alive")
    );
    let at = json["timestamp"].as_str().expect("a time");
    assert!(at.len() == 20 && at.ends_with('Z'), "{at}");
}

#[tokio::test]
async fn r9_the_interval_is_that_of_the_living_watchers_wherever_they_run() {
    let world = World::new();
    for (interval, ttl) in [(7, 60), (5, 60), (900, 0)] {
        let beat = Heartbeat {
            interval: Some(Duration::from_secs(interval)),
            ..Heartbeat::new(WatcherId::fresh(), Duration::from_secs(ttl))
        };
        world.store.own(&beat).await.expect("recorded");
    }
    let watcher = world.get(STATUS).await.json()["watcher"].take();
    let expected = json!({"running": true, "check_interval_seconds": 7});
    assert_eq!(watcher, expected);
}

#[tokio::test]
async fn lists_are_as_long_as_asked_and_counts_are_of_all() {
    let world = World::new();
    for n in 0..3 {
        let new = expiry_core::NewSubscriber {
            tenant: None,
            username: format!("s{n}").parse().expect("a name"),
            service: expiry_core::Service::Hotspot,
            access: expiry_core::Access::Until(
                expiry_core::Clock::wall(&expiry_core::SystemClock) + chrono::TimeDelta::minutes(9),
            ),
            router: None,
            devices: [].into(),
        };
        world.store.add_subscriber(&new).await.expect("added");
    }
    for (limit, expected) in [(0, 0), (2, 2), (1_000, 3), (100_000, 3)] {
        let json = world.get(&format!("{STATUS}?limit={limit}")).await.json();
        assert_eq!(
            json["expiring_soon"].as_array().map(Vec::len),
            Some(expected)
        );
        assert_eq!(json["statistics"]["expiring_in_30_min"], 3);
    }
    for wrong in ["100001", "-1", "many", ""] {
        let refused = world.get(&format!("{STATUS}?limit={wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(refused.json()["success"], false);
    }
}

#[tokio::test]
async fn r9_a_device_that_live_access_has_lost_is_no_reason_of_the_old_health() {
    let world = World::new();
    let beat = Heartbeat::new(WatcherId::fresh(), Duration::from_mins(1));
    world.store.own(&beat).await.expect("recorded");
    world.router("tower").await;
    let live = world.subscriber("255700000001", 3_600).await;
    let mac = *live.devices.first().expect("one");
    world.store.plan_due(9).await.expect("planned");
    let removed = world.store.remove_device(live.id, mac).await;
    removed.expect("removed");
    let json = world.get(STATUS).await.json();
    assert_eq!(json["expired_not_disconnected"], json!([]));
    let reasons = json["health_reasons"].as_array().expect("a list");
    let of_routers = |reason: &Value| {
        reason
            .as_str()
            .is_some_and(|r| r.starts_with("router tower"))
    };
    assert!(reasons.iter().all(of_routers), "{json}");
    let overview = world.get("/api/v1/overview").await.json();
    assert_eq!(overview["health"], "needs_attention", "{overview}");
}

#[tokio::test]
async fn both_forms_of_a_path_are_one_and_nothing_is_redirected() {
    let world = World::new();
    world.router("tower").await;
    for (method, path) in [
        (Method::GET, "/api/admin/expiry-watcher"),
        (Method::POST, "/api/admin/expiry-watcher"),
        (Method::POST, "/api/admin/cleanup-expired"),
    ] {
        let slash = format!("{path}/");
        for path in [path, &slash] {
            let answer = world.call(method.clone(), path, None).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{method} {path}: {}",
                answer.text
            );
            assert_eq!(answer.json()["success"], true);
        }
    }
}

#[tokio::test]
async fn r8_a_check_serves_routers_itself_if_nobody_does() {
    let world = World::new();
    let (router, expired) = world.overdue().await;
    let mac = *expired.devices.first().expect("one");
    assert!(world.routers.with(router, |hotspot| hotspot.can_move(mac)));

    let answer = world.call(Method::POST, STATUS, None).await.json();
    assert_eq!(answer["message"], "Expiry check triggered successfully");
    assert!(answer["timestamp"].is_string());
    assert!(!world.routers.with(router, |hotspot| hotspot.can_move(mac)));
}

#[tokio::test]
async fn r9_a_clean_up_says_who_is_off_and_who_is_not() {
    let world = World::new();
    world.overdue().await;
    let cleaned = world
        .call(Method::POST, "/api/admin/cleanup-expired/", None)
        .await
        .json();
    let details = json!({
        "users_disconnected": 1, "devices_deactivated": 1, "failed": 0, "total_checked": 1
    });
    assert_eq!(
        (&cleaned["details"], &cleaned["success"]),
        (&details, &json!(true))
    );
    assert_eq!(cleaned["message"], "1 user disconnected");
}

#[tokio::test]
async fn r9_who_cannot_be_cut_is_counted_as_failed() {
    let world = World::new();
    let router = world.router("tower").await;
    world.routers.set_fault(router, GatewayFault::Down);
    world.subscriber("255700000001", -60).await;
    let cleaned = world
        .call(Method::POST, "/api/admin/cleanup-expired/", None)
        .await
        .json();
    let details = json!({
        "users_disconnected": 0, "devices_deactivated": 0, "failed": 1, "total_checked": 1
    });
    assert_eq!(cleaned["details"], details);
    assert!(
        cleaned["message"]
            .as_str()
            .expect("text")
            .contains("stay owed")
    );
}

/// Each asks twice, and at most a few of those readings are made.
#[tokio::test]
async fn r9_who_asks_for_a_clean_up_at_once_shares_its_readings() {
    let world = World::new();
    world.overdue().await;
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    world.store.fail_when(move |call| {
        counted.fetch_add(u32::from(call == "overdue"), Ordering::Relaxed);
        StoreFault::None
    });
    let ask = || world.call(Method::POST, "/api/admin/cleanup-expired/", None);
    let answers = join_all((0..100).map(|_| ask())).await;
    for answer in answers {
        let details = answer.json()["details"].take();
        assert_eq!(details["failed"], 0, "{details}");
    }
    let count = count.load(Ordering::Relaxed);
    assert!((2..=8).contains(&count), "{count}");
}

const TEST: &str = "/api/admin/mikrotik/test-connection/";

fn answering(
    answer: Result<RouterFacts, GatewayError>,
) -> impl Fn() -> Arc<dyn expiry_core::RouterGateway> + Send + Sync {
    move || {
        let answer = answer.clone();
        let mut gateway = MockRouterGateway::new();
        gateway.expect_probe().returning(move |_| answer.clone());
        gateway
            .expect_survey()
            .returning(|_| Ok(expiry_core::Survey::default()));
        gateway
            .expect_look()
            .returning(|_, _| Ok(Sighting::default()));
        gateway.expect_drop_rows().returning(|_, _| Ok(Vec::new()));
        gateway.expect_close().return_const(());
        Arc::new(gateway)
    }
}

#[tokio::test]
async fn a_router_that_answers_is_told_with_what_it_is() {
    let facts = RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: None,
        },
        version: Some("7.18.2 (stable)".into()),
        board: Some("hAP".into()),
        uptime: Some("1d".into()),
        clock: Some(expiry_core::Clock::wall(&expiry_core::SystemClock)),
    };
    let world = World::probing(answering(Ok(facts)));
    world.router("tower").await;
    let given = json!({"router_ip": "127.0.0.1", "username": "u", "password": "p"});
    // As a form on a page of the old clients sends it.
    let typed =
        r#"{"router_ip": "127.0.0.1", "username": "u", "password": "p", "api_port": "8728"}"#;
    let typed = axum::http::Request::post(TEST)
        .header("x-admin-token", TOKEN)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(typed.into());
    let typed = world.send(typed.expect("a request")).await;
    for answer in [world.get(TEST).await, world.post(TEST, given).await, typed] {
        let json = answer.json();
        assert_eq!(
            (&json["success"], &json["error"]),
            (&json!(true), &Value::Null)
        );
        let info = &json["router_info"];
        for (key, value) in [
            ("ip", json!("127.0.0.1")),
            ("port", json!(8728)),
            ("status", json!("reachable")),
            ("api_status", json!("api_ok")),
            ("identity", json!("gw")),
            ("version", json!("7.18.2 (stable)")),
            ("board", json!("hAP")),
            ("uptime", json!("1d")),
        ] {
            assert_eq!(info[key], value, "{key}");
        }
        assert!(info["rtt_ms"].is_u64() && info["clock_skew_seconds"].is_f64());
        assert_eq!(json["routers"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn a_router_that_refuses_is_no_failure_of_ours_and_the_step_is_named() {
    let connect = GatewayError::Connect {
        address: "127.0.0.1:8728".into(),
        how: expiry_core::Unreached::Refused,
        reason: "refused".into(),
    };
    let login = GatewayError::Login {
        message: "invalid user name or password (6)".into(),
    };
    let permission = GatewayError::Refused {
        command: "/system/identity/print".into(),
        message: "not enough permissions (9)".into(),
    };
    for (error, status, step) in [
        (connect, "unreachable", "tcp_connect"),
        (login, "reachable", "login"),
        (permission, "reachable", "permission"),
    ] {
        let told = error.to_string();
        let world = World::probing(answering(Err(error)));
        let given = json!({"router_ip": "127.0.0.1", "username": "u", "password": "p"});
        let answer = world.post(TEST, given).await;
        assert_eq!(answer.status, StatusCode::OK);
        let json = answer.json();
        let info = &json["router_info"];
        assert_eq!(
            (&json["success"], &info["status"]),
            (&json!(false), &json!(status))
        );
        assert_eq!(info["step"], step);
        let error = json["error"].as_str().expect("text");
        assert!(error.contains(&told) && error.contains("; "), "{error}");
        assert!(info["cause"].is_string(), "{info}");
    }
}

#[tokio::test]
async fn without_a_router_there_is_nothing_to_test_and_it_says_what_to_do() {
    let world = World::new();
    let json = world.get(TEST).await.json();
    assert_eq!(
        (&json["success"], &json["router_info"]),
        (&json!(false), &Value::Null)
    );
    assert!(json["error"].as_str().expect("text").contains("router_ip"));
    for (kind, nothing) in [("text/plain", " \r\n"), ("application/json", "null")] {
        let request = axum::http::Request::post(TEST).header("x-admin-token", TOKEN);
        let request = request.header("content-type", kind).body(nothing.into());
        let answer = world.send(request.expect("a request")).await;
        assert_eq!(answer.json()["message"], "No router to test", "{kind}");
    }
    for wrong in [
        json!({"router_ip": "127.0.0.1"}),
        json!({"router_ip": "", "username": "u", "password": "p"}),
        json!({"router_ip": "http://x", "username": "u", "password": "p"}),
        json!({"router_ip": "a", "username": "u", "password": "p", "api_port": 70000}),
        json!({"router_ip": "a", "username": "u", "password": "p", "api_port": 0}),
        json!([]),
    ] {
        let refused = world.post(TEST, wrong.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(refused.json()["success"], false);
    }
}

/// Gateways whose routers never answer.
pub(crate) fn silent() -> Arc<dyn expiry_core::RouterGateway> {
    Arc::new(Silent)
}

struct Silent;

#[async_trait::async_trait]
impl expiry_core::RouterGateway for Silent {
    async fn look(&self, _: &RouterLogin, _: &Query) -> Result<Sighting, GatewayError> {
        pending().await
    }

    async fn block(
        &self,
        _: &Router,
        _: &BlockOrder,
        _: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        pending().await
    }

    async fn drop_rows(&self, _: &Router, _: &DropOrder) -> Result<Vec<Refusal>, GatewayError> {
        pending().await
    }

    async fn unblock(&self, _: &Router, _: &UnblockOrder) -> Result<Vec<Refusal>, GatewayError> {
        pending().await
    }

    async fn sessions(&self, _: &RouterLogin) -> Result<Sighting, GatewayError> {
        pending().await
    }

    async fn probe(&self, _: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        pending().await
    }

    async fn close(&self, _: RouterId) {}
}

#[tokio::test(start_paused = true)]
async fn however_many_routers_are_silent_the_test_ends_within_20_s() {
    let world = World::probing(silent);
    for n in 0..70 {
        world.router_at(&format!("r{n:02}"), 1_000 + n).await;
    }
    let began = tokio::time::Instant::now();
    let answer = world.get(TEST).await;
    let took = began.elapsed();
    assert!(took <= Duration::from_secs(21), "{took:?}");
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["success"], false);
    assert_eq!(json["error"], "r00: no answer within 20 s");
    let message = "Connection failed to 64 of 70 routers, 6 not tested";
    assert_eq!(json["message"], message);
    let routers = json["routers"].as_array().expect("a list");
    assert_eq!(routers.len(), 70);
    let names = routers.iter().map(|router| router["name"].as_str());
    assert!(names.is_sorted());
    let of = |status: &str| {
        let has = routers.iter().filter(|router| router["status"] == status);
        has.collect::<Vec<_>>()
    };
    let (silent, untested) = (of("unreachable"), of("unknown"));
    assert_eq!((silent.len(), untested.len()), (64, 6));
    for router in silent {
        assert_eq!(router["error"], "no answer within 20 s");
    }
    for router in untested {
        assert_eq!(router["api_status"], "untested");
        let error = router["error"].as_str().expect("text");
        assert!(error.starts_with("not tested to the end: "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_tests_of_routers() {
    let world = World::probing(silent);
    let id = world.router("tower").await;
    let one = format!("/api/v1/routers/{id}/test");
    let began = tokio::time::Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.stop.cancel();
    };
    let (all, one, ()) = tokio::join!(world.get(TEST), world.call(Method::POST, &one, None), stop);
    assert!(began.elapsed() <= Duration::from_secs(2));
    for answer in [all, one] {
        let json = answer.json();
        assert_eq!(json["success"], false);
        assert_eq!(json["error"], "the service is stopping");
    }
}

#[tokio::test]
async fn an_empty_object_tests_the_saved_routers_and_the_failed_one_is_named() {
    let world = World::probing(answering(Err(GatewayError::Login {
        message: "no".into(),
    })));
    world.router_at("north", 8728).await;
    world.router_at("south", 8729).await;
    let json = world.post(TEST, json!({})).await.json();
    assert_eq!(json["routers"].as_array().map(Vec::len), Some(2));
    let error = json["error"].as_str().expect("text");
    assert!(error.starts_with("north: "), "{error}");
}

#[tokio::test]
async fn the_skew_of_a_router_is_to_the_clock_of_the_store() {
    let ahead = expiry_core::Clock::wall(&expiry_core::SystemClock) + chrono::TimeDelta::hours(3);
    let facts = RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: None,
        },
        version: None,
        board: None,
        uptime: None,
        clock: Some(ahead),
    };
    let clock = expiry_core::testing::TestClock::starting_at(ahead);
    let world = World::on(Arc::new(clock), answering(Ok(facts)));
    world.router("tower").await;
    let json = world.get(TEST).await.json();
    let skew = json["router_info"]["clock_skew_seconds"].as_f64();
    assert!(skew.is_some_and(|skew| skew.abs() < 60.0), "{skew:?}");
}

#[tokio::test]
async fn errors_have_the_old_shape() {
    let world = World::new();
    for (method, path, status) in [
        (Method::GET, "/api/admin/nothing/", 404),
        (Method::GET, "/api/admin/cleanup-expired/", 405),
        (Method::DELETE, "/api/admin/expiry-watcher", 405),
    ] {
        let answer = world.call(method, path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        let json = answer.json();
        assert_eq!(json["success"], false);
        assert!(json["message"].is_string());
        assert_eq!(
            answer.headers.contains_key("allow"),
            status == 405,
            "{path}"
        );
    }
    world.store.fail_when(|_| StoreFault::Before);
    for (method, path) in [
        (Method::GET, STATUS),
        (Method::POST, "/api/admin/cleanup-expired/"),
    ] {
        let answer = world.call(method, path, None).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.json()["message"],
            "the database cannot be reached; try again"
        );
    }
}
