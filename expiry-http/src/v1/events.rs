use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{AuditEvent, AuditId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::limit;
use crate::{
    answers::Guarded,
    extract::Params,
    problem::Problem,
    state::{Inner, Words},
};

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Its place: goes up from event to event.
    #[schema(example = "731-17")]
    id: String,
    at: DateTime<Utc>,
    /// What happened, as `cut_confirmed`.
    kind: String,
    /// More of it, by its kind.
    #[schema(value_type = Option<Object>)]
    detail: Value,
    /// The tenant's number.
    tenant: Option<i64>,
    /// The subscriber's number.
    subscriber: Option<i64>,
    username: Option<String>,
    /// The device that it is about.
    device: Option<String>,
    /// The router's number.
    router: Option<i64>,
    router_name: Option<String>,
    due_at: Option<DateTime<Utc>>,
    lag_ms: Option<u64>,
    /// Whether the router was down meanwhile.
    outage: bool,
    /// What happened, for people.
    text: String,
}

impl EventView {
    pub(crate) fn new(event: &AuditEvent, words: &dyn Words) -> Self {
        let entry = &event.entry;
        let mut kind = serde_json::to_value(&entry.kind).unwrap_or_default();
        let word = kind.get("kind").and_then(Value::as_str).unwrap_or_default();
        Self {
            id: event.id.to_string(),
            at: event.at,
            kind: word.to_owned(),
            detail: kind.get_mut("detail").map(Value::take).unwrap_or_default(),
            tenant: entry.tenant.map(|id| id.0),
            subscriber: entry.subscriber.map(|id| id.0),
            username: entry.username.as_ref().map(|name| name.as_str().into()),
            device: entry.device.map(|mac| mac.to_string()),
            router: entry.router.map(|id| id.0),
            router_name: entry.router_name.clone(),
            due_at: entry.due_at,
            lag_ms: entry
                .lag
                .map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            outage: entry.outage,
            text: words.event(event),
        }
    }
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Those after this one.
    #[param(example = "731-17")]
    after: Option<String>,
    /// The latest, so many; without `after`.
    #[param(minimum = 1, maximum = 500)]
    last: Option<u32>,
    /// Most items, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

/// Events in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventList {
    items: Vec<EventView>,
    /// Go on after this one.
    next: String,
}

/// Lists events in their order.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "v1",
    params(Which),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "A page of them.", body = EventList),
        (status = BAD_REQUEST, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn events(
    State(app): State<Arc<Inner>>,
    Params(which): Params<Which>,
) -> Result<Json<EventList>, Problem> {
    let limit = limit(which.limit)?;
    let audit = &*app.service.audit;
    let (events, from) = match (which.after, which.last) {
        (Some(_), Some(_)) => {
            return Err(Problem::parameter(
                "after and last are both given: leave one out",
            ));
        }
        (None, Some(last)) => {
            let events = audit.latest_events(super::limit(Some(last))?).await?;
            (events, AuditId::START)
        }
        (after, None) => {
            let after = match after {
                None => AuditId::START,
                Some(after) => after
                    .parse()
                    .map_err(|error| Problem::parameter(format!("after: {error}")))?,
            };
            (audit.events(after, limit).await?, after)
        }
    };
    let next = events.last().map_or(from, |event| event.id).to_string();
    let words = &*app.service.words;
    Ok(Json(EventList {
        items: events
            .iter()
            .map(|event| EventView::new(event, words))
            .collect(),
        next,
    }))
}
