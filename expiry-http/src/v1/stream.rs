use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use expiry_core::{AuditEvent, AuditId, AuditStore, StoreError};
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{Semaphore, broadcast},
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::events::EventView;
use crate::{
    answers::Guarded,
    client::Client,
    extract::Params,
    places::Full,
    problem::Problem,
    state::{Inner, Service, Words},
};

/// How often it is asked what happened, for all readers together.
const OFTEN: Duration = Duration::from_millis(500);

/// A silent stream says this often that it is alive.
const PING: Duration = Duration::from_secs(15);
const PINGED: &[u8] = b": ping\n\n";

/// So many events are at hand for readers that are behind; who is further behind has missed some.
const KEPT: u32 = 1_024;

/// So many events are read at once for all readers.
const PAGE: u32 = 256;

/// So many events are read at once for one that comes back: it is written to as it reads them.
const MISSED: u32 = 32;

/// So many readers that come back may read at once what they missed.
const CATCHING_UP: usize = 2;

/// The wait after what was missed could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Watchers may delete what is nearly as old as they keep while it is being read.
const NEARLY: Duration = Duration::from_mins(5);

/// One event as it is sent, made once for all readers.
struct Frame {
    id: AuditId,
    bytes: Bytes,
}

/// Reads events once for all readers.
pub(crate) struct Feed {
    audit: Arc<dyn AuditStore>,
    words: Arc<dyn Words>,
    /// What is older may have lost its successors.
    keep: Duration,
    stop: CancellationToken,
    sender: broadcast::Sender<Arc<Frame>>,
    tail: Mutex<Tail>,
    catching_up: Semaphore,
}

#[derive(Default)]
struct Tail {
    /// Whether somebody reads.
    is_read: bool,
    /// The last event that was sent to all.
    last: AuditId,
    /// Those before it, without a gap.
    recent: VecDeque<Arc<Frame>>,
}

impl Feed {
    pub(crate) fn new(service: &Service) -> Arc<Self> {
        Arc::new(Self {
            audit: Arc::clone(&service.audit),
            words: Arc::clone(&service.words),
            keep: service.keep.saturating_sub(NEARLY),
            stop: service.stop.clone(),
            sender: broadcast::Sender::new(KEPT as usize),
            tail: Mutex::default(),
            catching_up: Semaphore::new(CATCHING_UP),
        })
    }

    /// Joins the readers, and returns after which event what comes is complete.
    async fn join(
        self: &Arc<Self>,
    ) -> Result<(broadcast::Receiver<Arc<Frame>>, AuditId), StoreError> {
        let joined = |tail: &Tail| tail.is_read.then(|| (self.sender.subscribe(), tail.last));
        if let Some(joined) = joined(&self.lock()) {
            return Ok(joined);
        }
        // After a start of the service many come back at once, and what they missed is mostly here.
        let latest = self.audit.latest_events(KEPT).await?;
        let recent: VecDeque<_> = latest
            .iter()
            .map(|event| Arc::new(self.frame(event)))
            .collect();
        let mut tail = self.lock();
        if let Some(joined) = joined(&tail) {
            return Ok(joined);
        }
        *tail = Tail {
            is_read: true,
            last: recent.back().map_or(AuditId::START, |frame| frame.id),
            recent,
        };
        let receiver = self.sender.subscribe();
        tokio::spawn(Arc::clone(self).read());
        Ok((receiver, tail.last))
    }

    /// Reads on until nobody listens any more.
    async fn read(self: Arc<Self>) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(OFTEN) => {}
            }
            {
                let mut tail = self.lock();
                if self.sender.receiver_count() == 0 {
                    tail.is_read = false;
                    return;
                }
            }
            match self.page().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "events cannot be read; trying again");
                    }
                }
            }
        }
    }

    async fn page(&self) -> Result<(), StoreError> {
        loop {
            let last = self.lock().last;
            let events = self.audit.events(last, PAGE).await?;
            self.send(&events);
            if events.len() < PAGE as usize {
                return Ok(());
            }
            // Who reads along is not to lag behind a burst.
            yield_now().await;
        }
    }

    fn send(&self, events: &[AuditEvent]) {
        let mut tail = self.lock();
        for event in events {
            let frame = Arc::new(self.frame(event));
            tail.last = frame.id;
            if tail.recent.len() == KEPT as usize {
                tail.recent.pop_front();
            }
            tail.recent.push_back(Arc::clone(&frame));
            // Nobody listens if it fails, which is as good.
            let _ = self.sender.send(frame);
        }
    }

    fn frame(&self, event: &AuditEvent) -> Frame {
        let view = EventView::new(event, &*self.words);
        let data = serde_json::to_value(view).unwrap_or_default();
        Frame {
            id: event.id,
            bytes: message("audit", event.id, &data),
        }
    }

    /// Returns what came after an event, if all of that is still at hand.
    fn recent_after(&self, id: AuditId) -> Option<Vec<Arc<Frame>>> {
        let tail = self.lock();
        if id == tail.last {
            return Some(Vec::new());
        }
        tail.recent
            .iter()
            .position(|frame| frame.id == id)
            .map(|at| {
                let later = tail.recent.iter().skip(at + 1);
                later.map(Arc::clone).collect()
            })
    }

    /// Returns when an event was recorded, if it is still there; of the start of the log, when the
    /// first event of all was.
    async fn recorded_at(&self, id: AuditId) -> Result<Option<DateTime<Utc>>, StoreError> {
        if id != AuditId::START {
            return self.audit.event_at(id).await;
        }
        // Numbers begin with 1; the order may be another where several transactions were open.
        let events = self.audit.events(id, MISSED).await?;
        let first = events.iter().find(|event| event.id.number == 1);
        Ok(first.map(|event| event.at))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(event: &str, id: AuditId, data: &serde_json::Value) -> Bytes {
    let mut text = String::with_capacity(256);
    let _ = write!(text, "id: {id}\nevent: {event}\ndata: {data}\n\n");
    text.into()
}

fn told(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::debug!(error, "missed events cannot be read; trying again");
}

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// As the header `Last-Event-ID`, for who cannot send that.
    #[param(example = "731-17")]
    after: Option<String>,
}

fn crowded(full: Full) -> Problem {
    let detail = match full {
        Full::All => "there are as many streams of events as there may be",
        Full::One => "your address has as many streams of events as one may have",
    };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "too_many_streams", detail)
}

/// Sends events as they happen (Server-Sent Events). With `Last-Event-ID` it goes on after that one
/// without a gap; who is too slow, or asks for what is not kept any more, gets an event `resync`.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "stream_events",
    tag = "v1",
    params(From, ("Last-Event-ID" = Option<String>, Header, description = "Go on after this one")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "Events `ready`, `audit` and `resync`, without end.", body = String, content_type = "text/event-stream"),
        (status = BAD_REQUEST, description = "The id is none.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn stream(
    State(app): State<Arc<Inner>>,
    client: Client,
    Params(from): Params<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let given = headers.get("last-event-id");
    let given = given.map(|value| value.to_str().unwrap_or("?").to_owned());
    let after = match given.or(from.after) {
        None => None,
        Some(id) => {
            let id: Result<AuditId, _> = id.parse();
            Some(id.map_err(|error| Problem::parameter(format!("Last-Event-ID: {error}")))?)
        }
    };
    let place = app.streams.take(client.address).map_err(crowded)?;
    let now = app.now().await?;
    let reader = Reader::join(Arc::clone(&app.feed), after, now).await?;
    let body = Body::from_stream(stream::unfold(
        (reader, place),
        async |(mut reader, place)| {
            let bytes = reader.next().await?;
            Some((Ok::<_, Infallible>(bytes), (reader, place)))
        },
    ));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let mut response = (headers, body).into_response();
    // nginx would keep events back.
    let unbuffered = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    Ok(response)
}

/// One who reads the stream.
struct Reader {
    feed: Arc<Feed>,
    live: broadcast::Receiver<Arc<Frame>>,
    /// The last event that was sent, or stands for what was.
    last: AuditId,
    /// What is sent next.
    ready: VecDeque<Bytes>,
    /// What it missed up to here is read from the store.
    behind: Option<AuditId>,
    quiet_since: Instant,
}

impl Reader {
    async fn join(
        feed: Arc<Feed>,
        after: Option<AuditId>,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        let (live, tail) = feed.join().await?;
        let mut reader = Self {
            live,
            last: after.unwrap_or(tail),
            ready: VecDeque::new(),
            behind: None,
            quiet_since: Instant::now(),
            feed,
        };
        reader
            .ready
            .push_back(message("ready", reader.last, &json!({"now": now})));
        let Some(after) = after else {
            return Ok(reader);
        };
        if let Some(missed) = reader.feed.recent_after(after) {
            reader.push(&missed);
            return Ok(reader);
        }
        let at = reader.feed.recorded_at(after).await?;
        let keep = reader.feed.keep;
        let is_kept = at.is_some_and(|at| (now - at).to_std().unwrap_or_default() < keep);
        if is_kept {
            reader.behind = Some(tail);
        } else {
            reader.resync(tail, "unknown_id");
        }
        Ok(reader)
    }

    /// Returns what is to be sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.quiet_since = Instant::now();
                return Some(bytes);
            }
            let feed = Arc::clone(&self.feed);
            if let Some(until) = self.behind {
                tokio::select! {
                    () = feed.stop.cancelled() => return None,
                    () = self.catch_up(until) => continue,
                }
            }
            tokio::select! {
                () = feed.stop.cancelled() => return None,
                came = self.live.recv() => match came {
                    Ok(frame) if frame.id <= self.last => {}
                    Ok(frame) => {
                        self.last = frame.id;
                        self.ready.push_back(frame.bytes.clone());
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.live = self.live.resubscribe();
                        if let Some(missed) = feed.recent_after(self.last) {
                            self.push(&missed);
                        } else {
                            let tail = feed.lock().last;
                            self.resync(tail, "slow");
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = sleep_until(self.quiet_since + PING) => {
                    self.ready.push_back(Bytes::from_static(PINGED));
                }
            }
        }
    }

    /// Reads a page of what was missed. If that fails the place is kept, and it is read again later.
    async fn catch_up(&mut self, until: AuditId) {
        let feed = Arc::clone(&self.feed);
        let turn = feed.catching_up.acquire().await;
        let events = feed.audit.events(self.last, MISSED).await;
        drop(turn);
        let Ok(events) = events.inspect_err(told) else {
            if self.quiet_since.elapsed() >= PING {
                self.ready.push_back(Bytes::from_static(PINGED));
            }
            return sleep(AGAIN).await;
        };
        let is_last = events.len() < MISSED as usize;
        for event in &events {
            self.last = event.id;
            self.ready.push_back(feed.frame(event).bytes);
        }
        if events.is_empty() && self.last < until {
            // It was deleted meanwhile.
            self.behind = None;
            return self.resync(until, "unknown_id");
        }
        if is_last || self.last >= until {
            self.behind = None;
            self.rejoin();
        }
    }

    /// Goes on with what comes. More may have come meanwhile than is held for one reader.
    fn rejoin(&mut self) {
        self.live = self.live.resubscribe();
        let tail = self.feed.lock().last;
        match self.feed.recent_after(self.last) {
            Some(missed) => self.push(&missed),
            None if self.last < tail => self.behind = Some(tail),
            None => {}
        }
    }

    fn push(&mut self, frames: &[Arc<Frame>]) {
        for frame in frames {
            self.last = frame.id;
            self.ready.push_back(frame.bytes.clone());
        }
    }

    fn resync(&mut self, tail: AuditId, reason: &str) {
        self.last = tail;
        self.ready
            .push_back(message("resync", tail, &json!({"reason": reason})));
    }
}
