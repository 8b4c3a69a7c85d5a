use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode},
};
use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{
    AuditStore, Clock, Directory, EnforcementStore, MockRouterGateway, SystemClock,
    testing::{TestClock, memory::Fault},
};
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

/// More happens while it reads what it missed than is held for one reader.
#[tokio::test]
async fn who_catches_up_is_not_slow_whatever_happens_meanwhile() {
    let world = World::new();
    let mut expected = 1;
    let mut happen = async || {
        for _ in 0..1_500 {
            tenant(&world, &format!("t{expected}")).await;
            expected += 1;
        }
        expected
    };
    happen().await;
    let mut live = Stream::open(&world, None).await;
    let (begun, _, _) = live.next().await.expect("a message");
    assert_eq!(begun, "0-1500");
    let mut late = Stream::open(&world, Some("0-1")).await;
    assert_eq!(late.next().await.expect("a message").1, "ready");
    let end = happen().await;
    for _ in 1_501..end {
        assert_eq!(live.next().await.expect("a message").1, "audit");
    }
    for number in 2..end {
        let (id, event, _) = late.next().await.expect("a message");
        assert_eq!((id, event.as_str()), (format!("0-{number}"), "audit"));
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
async fn who_begins_with_an_empty_log_and_comes_back_has_missed_nothing() {
    let world = World::new();
    let mut first = Stream::open(&world, None).await;
    let (start, event, _) = first.next().await.expect("a message");
    assert_eq!((start.as_str(), event.as_str()), ("0-0", "ready"));
    let mut back = Stream::open(&world, Some(&start)).await;
    assert_eq!(back.next().await.expect("a message").1, "ready");
    tenant(&world, "first").await;
    assert_eq!(back.next().await.expect("a message").0, "0-1");

    for count in [2, MANY] {
        let world = World::new();
        for n in 0..count {
            tenant(&world, &format!("t{n}")).await;
        }
        let mut back = Stream::open(&world, Some(&start)).await;
        assert_eq!(back.next().await.expect("a message").1, "ready");
        for n in 1..=count {
            let (id, event, _) = back.next().await.expect("a message");
            assert_eq!((id, event.as_str()), (format!("0-{n}"), "audit"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_log_that_lost_its_first_events_asks_for_a_fresh_start() {
    let (world, clock) = ahead();
    tenant(&world, "a").await;
    clock.step_wall(TimeDelta::days(91));
    tenant(&world, "b").await;
    let keep = Duration::from_hours(90 * 24);
    let pruned = world.store.prune(keep, 9).await.expect("pruned");
    assert_eq!(pruned.events, 1);
    let mut stream = Stream::open(&world, Some("0-0")).await;
    assert_eq!(stream.next().await.expect("a message").1, "ready");
    let (id, event, _) = stream.next().await.expect("a message");
    assert_eq!((id.as_str(), event.as_str()), ("0-2", "resync"));
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

/// A world whose store is three hours ahead of the service.
fn ahead() -> (World, TestClock) {
    let clock = TestClock::starting_at(SystemClock.wall() + TimeDelta::hours(3));
    let world = World::on(Arc::new(clock.clone()), || {
        Arc::new(MockRouterGateway::new())
    });
    (world, clock)
}

/// More than is at hand for those who come back.
const MANY: u32 = 1_100;

#[tokio::test(start_paused = true)]
async fn the_time_is_that_of_the_store() {
    let (world, clock) = ahead();
    let mut stream = Stream::open(&world, None).await;
    let (_, _, data) = stream.next().await.expect("a message");
    let now: DateTime<Utc> = data["now"].as_str().expect("text").parse().expect("a time");
    assert!((clock.wall() - now).abs() < TimeDelta::seconds(1), "{now}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_goes_on_for_as_long_as_events_are_kept() {
    let (world, clock) = ahead();
    for n in 0..MANY {
        tenant(&world, &format!("t{n}")).await;
    }
    for (days, expected) in [(89, "audit"), (90, "resync")] {
        let passed = clock.wall() - SystemClock.wall();
        let days = TimeDelta::days(days) + TimeDelta::hours(3);
        clock.step_wall(days - passed);
        tokio::time::advance(Duration::from_secs(2)).await;
        let mut stream = Stream::open(&world, Some("0-1")).await;
        assert_eq!(stream.next().await.expect("a message").1, "ready");
        assert_eq!(stream.next().await.expect("a message").1, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_database_loses_nobody_its_place() {
    let world = World::new();
    for n in 0..MANY {
        tenant(&world, &format!("t{n}")).await;
    }
    let mut stream = Stream::open(&world, Some("0-1")).await;
    assert_eq!(stream.next().await.expect("a message").1, "ready");
    let mut failures = 0;
    world.store.fail_when(move |operation| {
        failures += u32::from(operation == "events");
        match failures {
            1..=3 => Fault::Before,
            _ => Fault::None,
        }
    });
    for n in 2..=MANY {
        let (id, event, _) = stream.next().await.expect("a message");
        assert_eq!((id, event.as_str()), (format!("0-{n}"), "audit"));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_all_who_come_back_read_once() {
    let world = World::new();
    for n in 0..1_000 {
        tenant(&world, &format!("t{n}")).await;
    }
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reads);
    world.store.fail_when(move |operation| {
        let is_read = matches!(operation, "events" | "latest_events" | "event_at");
        counted.fetch_add(u32::from(is_read), Ordering::Relaxed);
        Fault::None
    });
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(Stream::open(&world, Some("0-900")).await);
    }
    for stream in &mut streams {
        for n in 900..=1_000 {
            let (id, ..) = stream.next().await.expect("a message");
            assert_eq!(id, format!("0-{n}"));
        }
    }
    let reads = reads.load(Ordering::Relaxed);
    assert!((1..=3).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn one_address_has_a_part_of_the_streams() {
    let world = World::new();
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(Stream::open(&world, None).await);
    }
    let refused = world.get("/api/v1/events/stream").await;
    assert_eq!(refused.problem(), (503, "too_many_streams".into()));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.get("/api/v1/overview").await.status, StatusCode::OK);
    streams.pop();
    streams.push(Stream::open(&world, None).await);
}
