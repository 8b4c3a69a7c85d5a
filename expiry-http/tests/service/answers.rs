//! Nothing that can fail, or hang, stands between an order and its answer: a client that is told of a
//! failure orders again, and pays twice. Held here for every endpoint that takes orders.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::Method;
use expiry_core::{GatewayError, MockRouterGateway, testing::memory::Fault};
use serde_json::{Value, json};

use crate::world::World;

/// What an endpoint does to the database, where its method is no reading one.
enum Does {
    /// It changes it, if sent this; then the answer has this value at this place.
    Order(Value, &'static str, Value),
    /// It has a watcher look at everything; what came of that is read afterwards, if it can be.
    Check,
    /// It changes nothing.
    Nothing,
}

use Does::{Check, Nothing, Order};

/// Every endpoint that is not only read from, in each of its ways. In `{id}` stands the number of what is there.
fn endpoints() -> Vec<(&'static str, Does)> {
    let router = json!({"name": "hill", "host": "192.0.2.2", "username": "u", "password": "p"});
    let subscriber = json!({"username": "255700000002", "for_seconds": 60});
    let payment = json!({"reference": "1", "username": "255700000001", "seconds": 60});
    let until = || json!("until");
    vec![
        ("POST /api/admin/cleanup-expired/", Check),
        ("POST /api/admin/expiry-watcher/", Check),
        ("POST /api/admin/mikrotik/test-connection/", Nothing),
        (
            "POST /api/v1/payments",
            Order(payment, "/access/kind", until()),
        ),
        (
            "POST /api/v1/routers",
            Order(router, "/enabled", json!(true)),
        ),
        (
            "POST /api/v1/routers/{id}/disable",
            Order(Value::Null, "/enabled", json!(false)),
        ),
        (
            "POST /api/v1/routers/{id}/enable",
            Order(Value::Null, "/enabled", json!(true)),
        ),
        ("POST /api/v1/routers/{id}/test", Nothing),
        (
            "POST /api/v1/subscribers",
            Order(subscriber, "/access/kind", until()),
        ),
        (
            "POST /api/v1/subscribers/{id}/extend",
            Order(json!({"seconds": 60}), "/access/kind", until()),
        ),
        (
            "POST /api/v1/subscribers/{id}/extend",
            Order(
                json!({"until": "2100-01-01T00:00:00Z"}),
                "/access/at",
                json!("2100-01-01T00:00:00Z"),
            ),
        ),
        (
            "POST /api/v1/subscribers/{id}/revoke",
            Order(Value::Null, "/state", json!("ended")),
        ),
    ]
}

/// Calls that change nothing. Any other is taken for an order that is carried out.
const READING: &[&str] = &[
    "live_among",
    "now",
    "overdue",
    "router_login",
    "routers",
    "status",
    "subscriber",
    "subscriber_by_id",
    "tenants",
];

#[tokio::test]
async fn every_endpoint_that_takes_orders_is_held_to_it() {
    let world = World::new();
    let described = world.get("/api/v1/openapi.json").await.json();
    let paths = described["paths"].as_object().expect("paths").keys();
    // Those that are not described answer like one that is, or are pages.
    let pages = ["/", "/routers.js"].map(String::from);
    let old = paths.clone().filter_map(|path| path.strip_suffix('/'));
    let old: Vec<_> = old.map(String::from).collect();
    let mut found = BTreeSet::new();
    for path in paths.cloned().chain(pages).chain(old) {
        // It says which methods the path takes, whatever is described.
        let called = path.replace("{id}", "1");
        let refused = world.call(Method::TRACE, &called, None).await;
        let allowed = refused.headers.get("allow");
        let allowed = allowed.unwrap_or_else(|| panic!("{path}: {}", refused.status));
        let allowed = allowed.to_str().expect("text").split(',');
        for method in allowed.filter(|method| !["GET", "HEAD"].contains(method)) {
            let slash = if path.starts_with("/api/admin/") {
                "/"
            } else {
                ""
            };
            found.insert(format!("{method} {}{slash}", path.trim_end_matches('/')));
        }
    }
    let held = endpoints().into_iter().map(|(endpoint, _)| endpoint.into());
    assert_eq!(
        found,
        held.collect(),
        "say in `endpoints` what each does: an order is tried there"
    );
}

#[tokio::test]
async fn once_an_order_is_carried_out_nothing_fails() {
    for (endpoint, does) in endpoints() {
        let Order(body, place, right) = does else {
            continue;
        };
        let stage = Stage::new().await;
        if endpoint.ends_with("/enable") {
            stage
                .call(&endpoint.replace("enable", "disable"), None)
                .await;
        }
        stage.fail_after_the_order();
        let answer = stage.call(endpoint, Some(body)).await;
        assert!(answer.status.is_success(), "{endpoint}: {}", answer.status);
        let json = answer.json();
        assert_eq!(json.pointer(place), Some(&right), "{endpoint}: {json}");
        let calls = stage.calls();
        assert!(calls.is_done, "{endpoint} changes nothing");
        assert_eq!(
            calls.after, [""; 0],
            "{endpoint}: what hangs is no answer either"
        );
    }
}

/// Time passes by itself: a check waits for the store as long as it may.
#[tokio::test(start_paused = true)]
async fn a_check_that_is_begun_is_answered_even_if_nothing_can_be_read_any_more() {
    for (endpoint, does) in endpoints() {
        let Check = does else { continue };
        // From its first change on, and after all it does.
        for last in ["plan_due", "nudge", "release"] {
            let stage = Stage::ended(-60).await;
            stage.fail_after(move |call| call == last);
            let answer = stage.call(endpoint, None).await;
            assert!(stage.calls().is_done, "{endpoint}: no `{last}`");
            assert_eq!(answer.status, 200, "{endpoint}, {last}: {}", answer.text);
            let json = answer.json();
            assert!(json["timestamp"].is_string(), "{json}");
            let told = json["message"].as_str().expect("text");
            let is_told = told.contains("cannot be told") || told.contains("within 20 s");
            assert!(is_told, "{endpoint}, {last}: {json}");
        }
        // Where nothing was begun, that is told.
        let stage = Stage::new().await;
        stage.world.store.fail_when(|_| Fault::Before);
        let answer = stage.call(endpoint, None).await;
        assert_eq!(answer.status, 503, "{endpoint}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_order_changes_nothing() {
    for (endpoint, does) in endpoints() {
        let Nothing = does else { continue };
        let stage = Stage::new().await;
        stage.fail_after_the_order();
        let answer = stage.call(endpoint, None).await;
        assert_eq!(answer.status, 200, "{endpoint}: {}", answer.text);
        assert!(!stage.calls().is_done, "{endpoint} changes something");
    }
}

/// What a store was asked.
#[derive(Debug, Default)]
struct Calls {
    /// Whether something was changed.
    is_done: bool,
    /// What was asked after that.
    after: Vec<&'static str>,
}

/// A router and a subscriber, and what the store is asked.
struct Stage {
    world: World,
    router: i64,
    subscriber: i64,
    calls: Arc<Mutex<Calls>>,
}

impl Stage {
    async fn new() -> Self {
        Self::ended(60).await
    }

    /// Where access ends so many seconds from now.
    async fn ended(seconds: i64) -> Self {
        let world = World::probing(|| {
            let mut gateway = MockRouterGateway::new();
            gateway
                .expect_probe()
                .returning(|_| Err(GatewayError::TooOld));
            gateway.expect_close().return_const(());
            Arc::new(gateway)
        });
        let router = world.router("tower").await.0;
        let subscriber = world.subscriber("255700000001", seconds).await.id.0;
        Self {
            world,
            router,
            subscriber,
            calls: Arc::default(),
        }
    }

    fn fail_after_the_order(&self) {
        self.fail_after(|call| !READING.contains(&call));
    }

    /// Has every call to the store fail once this one was made.
    fn fail_after(&self, is_order: impl Fn(&str) -> bool + Send + 'static) {
        let calls = Arc::clone(&self.calls);
        self.world.store.fail_when(move |call| {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            if calls.is_done {
                calls.after.push(call);
                return Fault::Before;
            }
            calls.is_done = is_order(call);
            Fault::None
        });
    }

    fn calls(&self) -> Calls {
        self.world.store.heal();
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call(&self, endpoint: &str, body: Option<Value>) -> crate::world::Answer {
        let (method, path) = endpoint.split_once(' ').expect("a method and a path");
        let id = if path.contains("/routers/") {
            self.router
        } else {
            self.subscriber
        };
        let path = path.replace("{id}", &id.to_string());
        let body = body.filter(|body| !body.is_null());
        let method = method.parse().expect("a method");
        self.world.call(method, &path, body).await
    }
}
