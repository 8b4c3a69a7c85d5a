use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use chrono::TimeDelta;
use expiry_core::{
    Access, AuditEvent, Clock, Directory, Explanation, GatewayError, MockRouterGateway, NewRouter,
    NewSubscriber, NoEvents, RouterAddress, RouterGateway, RouterId, Service as Kind, Subscriber,
    SystemClock, Unreached,
    testing::{MemoryStore, SimGateway, gateway::Admission},
    watcher::{Watcher, WatcherConfig},
};
use expiry_http::{Service, Words};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "the token of these tests";

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) routers: Arc<SimGateway>,
    pub(crate) stop: CancellationToken,
    /// What is wrong with the watcher inside.
    pub(crate) unwell: Arc<OnceLock<String>>,
    pub(crate) app: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Returns the status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        let kind = self.headers["content-type"].to_str().expect("text");
        assert_eq!(kind, "application/problem+json", "{}", self.text);
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert_eq!(
            json["request_id"],
            self.headers["x-request-id"].to_str().expect("text")
        );
        (
            self.status.as_u16(),
            json["code"].as_str().expect("a code").into(),
        )
    }
}

struct Plain;

impl Words for Plain {
    fn event(&self, event: &AuditEvent) -> String {
        format!("event {}", event.id)
    }

    fn explained(&self, explanation: &Explanation, _tenant: Option<String>) -> Vec<Vec<String>> {
        let subscribers = explanation.subscribers.iter();
        subscribers
            .map(|of| vec![of.subscriber.username.to_string()])
            .collect()
    }
}

impl World {
    /// Where no router answers a test.
    pub(crate) fn new() -> Self {
        Self::probing(|| {
            let mut gateway = MockRouterGateway::new();
            let no_route = || GatewayError::Connect {
                address: "192.0.2.2:8728".into(),
                how: Unreached::NoRoute,
                reason: "no route to host".into(),
            };
            gateway.expect_probe().returning(move |_| Err(no_route()));
            gateway.expect_close().return_const(());
            Arc::new(gateway)
        })
    }

    /// With gateways for tests of routers.
    pub(crate) fn probing(
        gateways: impl Fn() -> Arc<dyn RouterGateway> + Send + Sync + 'static,
    ) -> Self {
        Self::on(Arc::new(SystemClock), gateways)
    }

    /// With a store that has another clock than the service.
    pub(crate) fn on(
        clock: Arc<dyn Clock>,
        gateways: impl Fn() -> Arc<dyn RouterGateway> + Send + Sync + 'static,
    ) -> Self {
        Self::wired(clock, gateways, |_| {})
    }

    /// With something else in the place of a part of the service.
    pub(crate) fn wired(
        clock: Arc<dyn Clock>,
        gateways: impl Fn() -> Arc<dyn RouterGateway> + Send + Sync + 'static,
        change: impl FnOnce(&mut Service),
    ) -> Self {
        let store = MemoryStore::new(clock);
        let routers = Arc::new(SimGateway::new(Duration::ZERO));
        let stop = CancellationToken::new();
        let shared: Arc<MemoryStore> = Arc::new(store.clone());
        let (of_watchers, for_watchers) = (Arc::clone(&shared), Arc::clone(&routers));
        let unwell: Arc<OnceLock<String>> = Arc::default();
        let mut service = Service {
            status: Arc::clone(&shared) as _,
            audit: Arc::clone(&shared) as _,
            time: Arc::clone(&shared) as _,
            directory: Arc::clone(&shared) as _,
            passwords: shared,
            gateways: Box::new(gateways),
            watchers: Box::new(move || {
                Watcher::new(
                    Arc::clone(&of_watchers) as _,
                    Arc::clone(&for_watchers) as _,
                    Arc::new(SystemClock),
                    Arc::new(NoEvents),
                    WatcherConfig::default(),
                )
            }),
            unwell: {
                let unwell = Arc::clone(&unwell);
                Box::new(move || unwell.get().cloned())
            },
            words: Arc::new(Plain),
            token: TOKEN.into(),
            proxies: Vec::new(),
            hosts: Vec::new(),
            interval: Duration::from_secs(30),
            keep: Duration::from_hours(90 * 24),
            stop: stop.clone(),
        };
        change(&mut service);
        Self {
            app: expiry_http::app(service),
            store,
            routers,
            stop,
            unwell,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.app.clone().oneshot(request).await.expect("infallible");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer {
            status,
            headers,
            text,
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("x-admin-token", TOKEN);
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
        };
        self.send(request.expect("a request")).await
    }

    /// Asks with these headers and nothing else.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// A router where somebody is online whose access ended a minute ago.
    pub(crate) async fn overdue(&self) -> (RouterId, Subscriber) {
        self.ended(60).await
    }

    /// Makes somebody whose access ended so many seconds ago, online on router `tower`.
    pub(crate) async fn ended(&self, ago: i64) -> (RouterId, Subscriber) {
        let router = self.router("tower").await;
        let expired = self.subscriber("255700000001", -ago).await;
        self.online(router, &expired);
        (router, expired)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Makes a router on which the names are online with one device each.
    pub(crate) async fn router(&self, name: &str) -> RouterId {
        self.router_at(name, 8728).await
    }

    pub(crate) async fn router_at(&self, name: &str, port: u16) -> RouterId {
        let new = NewRouter {
            name: name.into(),
            tenant: None,
            address: RouterAddress {
                host: "127.0.0.1".into(),
                port,
                username: "u".into(),
            },
            password: "p".into(),
        };
        self.store.add_router(&new).await.expect("added").id
    }

    /// Makes a subscriber whose access ends so many seconds from now.
    pub(crate) async fn subscriber(&self, name: &str, seconds: i64) -> Subscriber {
        let new = NewSubscriber {
            tenant: None,
            username: name.parse().expect("a name"),
            service: Kind::Hotspot,
            access: Access::Until(SystemClock.wall() + TimeDelta::seconds(seconds)),
            router: None,
            devices: [expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1])].into(),
        };
        self.store.add_subscriber(&new).await.expect("added")
    }

    /// Brings its device online on a router.
    pub(crate) fn online(&self, router: RouterId, of: &Subscriber) {
        let mac = *of.devices.first().expect("a device");
        self.routers.with(router, |hotspot| {
            hotspot.add_user(of.username.as_str(), false);
            hotspot.add_device(mac, of.username.as_str(), Admission::Account, false);
        });
    }
}
