use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{
    OwedFilter, OwedItem, OwedPlace, RouterId, SubscriberId, TaskId, Upcoming, Want,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{LONGEST, limit};
use crate::{answers::Guarded, extract::Params, problem::Problem, state::Inner};

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HowMany {
    /// Most items, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

/// The next deadlines.
#[derive(Serialize, ToSchema)]
pub(crate) struct UpcomingList {
    now: DateTime<Utc>,
    items: Vec<UpcomingView>,
    /// Always null: later ones come nearer by themselves.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Upcoming)]
struct UpcomingView {
    subscriber: i64,
    username: String,
    /// The tenant's slug.
    tenant: Option<String>,
    ends_at: DateTime<Utc>,
}

/// Lists the next deadlines ahead.
#[utoipa::path(
    get,
    path = "/upcoming",
    operation_id = "list_upcoming",
    tag = "v1",
    params(HowMany),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The next ones first.", body = UpcomingList),
        (status = BAD_REQUEST, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn upcoming(
    State(app): State<Arc<Inner>>,
    Params(params): Params<HowMany>,
) -> Result<Json<UpcomingList>, Problem> {
    let limit = limit(params.limit)?;
    let now = app.now().await?;
    let audit = Arc::clone(&app.service.audit);
    let read = || async move { audit.upcoming(LONGEST).await };
    let ahead = app.upcoming.read(read).await?;
    Ok(Json(UpcomingList {
        now,
        items: ahead
            .iter()
            .take(limit as usize)
            .cloned()
            .map(UpcomingView::new)
            .collect(),
        next: None,
    }))
}

impl UpcomingView {
    fn new(one: Upcoming) -> Self {
        Self {
            subscriber: one.subscriber.0,
            username: one.username.as_str().into(),
            tenant: one.tenant,
            ends_at: one.ends_at,
        }
    }
}

/// Which of what is owed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// The router's number.
    router: Option<i64>,
    /// The direction.
    #[param(inline)]
    want: Option<Direction>,
    /// Most items, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Cut,
    Restore,
}

impl From<Want> for Direction {
    fn from(want: Want) -> Self {
        match want {
            Want::Cut => Self::Cut,
            Want::Restore => Self::Restore,
        }
    }
}

/// What is owed.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwedList {
    items: Vec<OwedView>,
    /// How much passes the filter in all.
    total: u64,
    /// The `cursor` of the next page; null if there is none.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Owed)]
struct OwedView {
    /// Null until a watcher has planned it.
    task: Option<i64>,
    subscriber: i64,
    username: String,
    /// The MAC, if it is about a device that was removed.
    device: Option<String>,
    /// The tenant's slug.
    tenant: Option<String>,
    /// The router's name.
    router: String,
    want: Direction,
    since: DateTime<Utc>,
    seconds_owed: i64,
    /// `online` or `unconfirmed`.
    reason: &'static str,
    attempts: u32,
    attempted_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    /// Whether it kept coming back.
    cannot_hold: bool,
    /// The suspected way in.
    way_in: Option<&'static str>,
    /// Whether its end was past already when it came to be known, and the cut was not made yet.
    backlog: bool,
}

/// Lists what is owed on enabled routers, oldest first.
#[utoipa::path(
    get,
    path = "/owed",
    operation_id = "list_owed",
    tag = "v1",
    params(Which),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "A page of it.", body = OwedList),
        (status = BAD_REQUEST, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn owed(
    State(app): State<Arc<Inner>>,
    Params(params): Params<Which>,
) -> Result<Json<OwedList>, Problem> {
    let limit = limit(params.limit)?;
    let after = params.cursor.as_deref().map(|cursor| {
        place(cursor)
            .ok_or_else(|| Problem::parameter("cursor: it must be `next` of the page before"))
    });
    let after = after.transpose()?;
    let filter = OwedFilter {
        router: params.router.map(RouterId),
        want: params.want.map(|want| match want {
            Direction::Cut => Want::Cut,
            Direction::Restore => Want::Restore,
        }),
    };
    let (total, mut items) = page(&app, filter, after, limit + 1).await?;
    let now = app.now().await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let last = items.last().filter(|_| has_more);
    Ok(Json(OwedList {
        next: last.map(|item| cursor(item.place())),
        items: items
            .into_iter()
            .map(|item| OwedView::new(item, now))
            .collect(),
        total,
    }))
}

/// Reads a page. The first one of all is what most ask for: those who do so at once share a reading.
async fn page(
    app: &Inner,
    filter: OwedFilter,
    after: Option<OwedPlace>,
    limit: u32,
) -> Result<(u64, Vec<OwedItem>), Problem> {
    let status = Arc::clone(&app.service.status);
    if after.is_some() || filter != OwedFilter::default() {
        return Ok(status.owed(filter, after, limit).await?);
    }
    let read = || async move { status.owed(OwedFilter::default(), None, LONGEST + 1).await };
    let first = app.owed.read(read).await?;
    let (total, items) = &*first;
    Ok((*total, items.iter().take(limit as usize).cloned().collect()))
}

/// Names a place by numbers: since when, the task or 0, the subscriber, the router.
fn cursor(place: OwedPlace) -> String {
    let since = place.since.timestamp_micros();
    let task = place.task.map_or(0, |task| task.0);
    format!("{since}.{task}.{}.{}", place.subscriber.0, place.router.0)
}

fn place(cursor: &str) -> Option<OwedPlace> {
    let numbers: Vec<i64> = cursor
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let [since, task, subscriber, router] = numbers[..] else {
        return None;
    };
    Some(OwedPlace {
        since: DateTime::from_timestamp_micros(since)?,
        task: (task > 0).then_some(TaskId(task)),
        subscriber: SubscriberId(subscriber),
        router: RouterId(router),
    })
}

impl OwedView {
    fn new(item: OwedItem, now: DateTime<Utc>) -> Self {
        Self {
            task: item.task.map(|task| task.0),
            subscriber: item.subscriber.0,
            username: item.username.as_str().into(),
            device: item.device.map(|mac| mac.to_string()),
            tenant: item.tenant,
            router: item.router,
            want: item.want.into(),
            since: item.since,
            seconds_owed: (now - item.since).num_seconds().max(0),
            reason: if item.online { "online" } else { "unconfirmed" },
            attempts: item.attempts,
            attempted_at: item.attempted_at,
            last_error: item.last_error,
            cannot_hold: item.cannot_hold,
            way_in: item.way_in.map(expiry_core::WayIn::as_str),
            backlog: item.backlog,
        }
    }
}
