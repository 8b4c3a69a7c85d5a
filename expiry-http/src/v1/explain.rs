use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{
    Cause, ExplainedRouter, ExplainedTarget, ExplainedUndo, State as Progressed, UndoKey,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    events::EventView,
    lists::Direction,
    subscribers::{Names, SubscriberView, find},
};
use crate::{answers::Guarded, extract::Id, problem::Problem, state::Inner};

/// Most events that are told.
const EVENTS: u32 = 50;

/// Why a subscriber is or is not online.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExplainAnswer {
    now: DateTime<Utc>,
    subscriber: SubscriberView,
    /// For people, a sentence or a paragraph each.
    summary: Vec<String>,
    /// Where it may be online, or something stands for it.
    routers: Vec<OnRouter>,
    /// What happened lately, oldest first.
    events: Vec<EventView>,
}

#[derive(Serialize, ToSchema)]
struct OnRouter {
    id: i64,
    name: String,
    /// Whether it may be online there while its access is live.
    in_scope: bool,
    enabled: bool,
    /// The watcher that serves the router.
    owner: Option<String>,
    down_since: Option<DateTime<Utc>>,
    attempted_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    /// What that means, in one of the words that docs/CAUSES.md lists.
    cause: Option<&'static str>,
    targets: Vec<TargetView>,
    undo: Vec<UndoView>,
}

/// A cut or a restore, owed or confirmed.
#[derive(Serialize, ToSchema)]
#[schema(as = Target)]
struct TargetView {
    task: i64,
    /// The MAC, if it is about a device that was removed.
    device: Option<String>,
    want: Direction,
    revision: i64,
    due_at: DateTime<Utc>,
    /// When the end came to be known, if it was past already: such a cut has no lag.
    known_late_at: Option<DateTime<Utc>>,
    /// `owed` or `confirmed`.
    state: &'static str,
    attempts: u32,
    next_attempt_at: Option<DateTime<Utc>>,
    looks: u32,
    verify_at: Option<DateTime<Utc>>,
    returns: u32,
    way_in: Option<&'static str>,
    confirmed_at: Option<DateTime<Utc>>,
    /// Whether the last reading showed it online.
    online: bool,
    last_error: Option<String>,
    cannot_hold: bool,
    attempted_at: Option<DateTime<Utc>>,
}

/// What was disabled under one name or MAC.
#[derive(Serialize, ToSchema)]
#[schema(as = Undo)]
struct UndoView {
    /// `name` or `mac`.
    kind: &'static str,
    key: String,
    /// How many rows.
    items: usize,
    opened_at: DateTime<Utc>,
    /// When it was enabled again.
    undone_at: Option<DateTime<Utc>>,
}

/// Says why a subscriber is or is not online.
#[utoipa::path(
    get,
    path = "/subscribers/{id}/explain",
    operation_id = "explain_subscriber",
    tag = "v1",
    params(("id" = i64, Path, description = "The subscriber's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "Why.", body = ExplainAnswer),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such subscriber.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn explain(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<ExplainAnswer>, Problem> {
    let found = find(&app, id).await?;
    let audit = &*app.service.audit;
    let explanation = audit.explain(found.tenant, &found.username, EVENTS).await?;
    let mut names = Names::read(&app).await?;
    names.now = explanation.now;
    let words = &*app.service.words;
    let told = words.explained(&explanation, names.slug(&found));
    let subscribers = explanation.subscribers.iter().zip(told);
    let of = subscribers
        .into_iter()
        .find(|(explained, _)| explained.subscriber.id == found.id);
    let (explained, summary) = of.ok_or_else(|| Problem::no_subscriber(id))?;
    let events = explained.events.iter();
    Ok(Json(ExplainAnswer {
        now: explanation.now,
        subscriber: names.view(&explained.subscriber),
        summary,
        routers: explained.routers.iter().map(OnRouter::new).collect(),
        events: events.map(|event| EventView::new(event, words)).collect(),
    }))
}

impl OnRouter {
    fn new(on: &ExplainedRouter) -> Self {
        Self {
            id: on.id.0,
            name: on.name.clone(),
            in_scope: on.in_scope,
            enabled: on.enabled,
            owner: on.owner.map(|owner| owner.to_string()),
            down_since: on.down_since,
            attempted_at: on.attempted_at,
            last_error: on.last_error.clone(),
            cause: on
                .last_error
                .as_deref()
                .and_then(Cause::in_line)
                .map(Cause::code),
            targets: on.targets.iter().map(TargetView::new).collect(),
            undo: on.undo.iter().map(UndoView::new).collect(),
        }
    }
}

impl TargetView {
    fn new(target: &ExplainedTarget) -> Self {
        let progress = &target.progress;
        Self {
            task: target.task.0,
            device: target.device.map(|mac| mac.to_string()),
            want: target.want.into(),
            revision: target.revision.0,
            due_at: target.due_at,
            known_late_at: target.known_late_at,
            state: match progress.state {
                Progressed::Owed => "owed",
                Progressed::Confirmed => "confirmed",
            },
            attempts: progress.attempts,
            next_attempt_at: progress.next_attempt_at,
            looks: progress.looks,
            verify_at: progress.verify_at,
            returns: progress.returns,
            way_in: progress.way_in.map(expiry_core::WayIn::as_str),
            confirmed_at: progress.confirmed_at,
            online: progress.online,
            last_error: progress.last_error.clone(),
            cannot_hold: target.cannot_hold,
            attempted_at: target.attempted_at,
        }
    }
}

impl UndoView {
    fn new(undo: &ExplainedUndo) -> Self {
        Self {
            kind: match undo.undo.key {
                UndoKey::Name(_) => "name",
                UndoKey::Mac(_) => "mac",
            },
            key: undo.undo.key.to_string(),
            items: undo.undo.items.len(),
            opened_at: undo.opened_at,
            undone_at: undo.undone_at,
        }
    }
}
