use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode},
};
use expiry_core::{AuditStore, Directory};
use futures::StreamExt;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::world::{TOKEN, World};

struct Stream(BodyDataStream, String);

impl Stream {
    async fn open(world: &World, after: Option<&str>) -> Self {
        let mut request = Request::get("/api/v1/events/stream").header("x-admin-token", TOKEN);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = world
            .app
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self(answer.into_body().into_data_stream(), String::new())
    }

    /// Returns the next message: id, event, data.
    async fn next(&mut self) -> Option<(String, String, serde_json::Value)> {
        loop {
            if let Some((message, rest)) = self.1.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.1 = rest;
                let field = |name: &str| {
                    let mut lines = message.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .to_owned()
                };
                if message.starts_with(':') {
                    continue;
                }
                let data = serde_json::from_str(&field("data: ")).expect("JSON");
                return Some((field("id: "), field("event: "), data));
            }
            let bytes = timeout(Duration::from_secs(30), self.0.next())
                .await
                .expect("in time")?;
            self.1 += std::str::from_utf8(&bytes.expect("bytes")).expect("UTF-8");
        }
    }
}

async fn tenant(world: &World, name: &str) {
    world.store.add_tenant(name, name).await.expect("added");
}

#[tokio::test]
async fn events_come_as_they_happen_to_all_readers() {
    let world = World::new();
    tenant(&world, "before").await;
    let (mut one, mut two) = (
        Stream::open(&world, None).await,
        Stream::open(&world, None).await,
    );
    for stream in [&mut one, &mut two] {
        let (id, event, _) = stream.next().await.expect("a message");
        assert_eq!((id.as_str(), event.as_str()), ("0-1", "ready"));
    }
    tenant(&world, "after").await;
    for stream in [&mut one, &mut two] {
        let (id, event, data) = stream.next().await.expect("a message");
        assert_eq!((id.as_str(), event.as_str()), ("0-2", "audit"));
        assert_eq!(
            (&data["id"], &data["kind"]),
            (&"0-2".into(), &"tenant_added".into())
        );
        assert_eq!(data["detail"]["slug"], "after");
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_has_missed_nothing() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        tenant(&world, name).await;
    }
    // Nobody has read yet, so all comes from the store; then from what is at hand.
    let mut first = Stream::open(&world, Some("0-1")).await;
    let ids = ["0-1", "0-2", "0-3"];
    for id in ids {
        assert_eq!(first.next().await.expect("a message").0, id);
    }
    tenant(&world, "d").await;
    assert_eq!(first.next().await.expect("a message").0, "0-4");
    let mut second = Stream::open(&world, Some("0-3")).await;
    for id in ["0-3", "0-4"] {
        assert_eq!(second.next().await.expect("a message").0, id);
    }
}

#[tokio::test]
async fn an_id_that_is_not_kept_asks_for_a_fresh_start() {
    let world = World::new();
    tenant(&world, "a").await;
    let mut stream = Stream::open(&world, Some("0-99")).await;
    assert_eq!(stream.next().await.expect("a message").1, "ready");
    let (id, event, data) = stream.next().await.expect("a message");
    assert_eq!((id.as_str(), event.as_str()), ("0-1", "resync"));
    assert_eq!(data["reason"], "unknown_id");
    tenant(&world, "b").await;
    assert_eq!(stream.next().await.expect("a message").0, "0-2");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_and_goes_on() {
    let world = World::new();
    let mut slow = Stream::open(&world, None).await;
    let mut quick = Stream::open(&world, None).await;
    for stream in [&mut slow, &mut quick] {
        stream.next().await.expect("ready");
    }
    let count = 1_500;
    for n in 0..count {
        tenant(&world, &format!("t{n}")).await;
    }
    let last = world.store.latest_events(1).await.expect("read")[0]
        .id
        .to_string();
    // The quick one reads along; it may be too slow for a burst of so many, too.
    while quick.next().await.expect("a message").0 != last {}
    let (_, event, data) = slow.next().await.expect("a message");
    assert_eq!(
        (event.as_str(), &data["reason"]),
        ("resync", &"slow".into())
    );
    tenant(&world, "later").await;
    loop {
        let (_, event, data) = slow.next().await.expect("a message");
        if event == "audit" && data["detail"]["slug"] == "later" {
            break;
        }
    }
}

#[tokio::test]
async fn a_stop_ends_streams() {
    let world = World::new();
    let mut stream = Stream::open(&world, None).await;
    stream.next().await.expect("ready");
    world.stop.cancel();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn what_is_no_id_is_refused() {
    let world = World::new();
    let answer = world.get("/api/v1/events/stream?after=x").await;
    assert_eq!(answer.problem(), (400, "invalid_parameter".into()));
}
