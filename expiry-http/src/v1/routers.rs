use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{
    Cause, NewRouter, Router, RouterAddress, RouterChange, RouterId, RouterStatus, Stray, Trouble,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admin::connection::check,
    answers::{Guarded, WithBody},
    extract::{Body, Id},
    probe::{Step, deadline, first_look, probe_saved},
    problem::Problem,
    state::Inner,
    targets,
    v1::{Created, created, subscribers::tenant},
};

/// A router, as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Router)]
pub(crate) struct RouterView {
    id: i64,
    name: String,
    /// The tenant's slug.
    tenant: Option<String>,
    /// Host and port.
    address: String,
    enabled: bool,
    /// The watcher that serves it.
    owner: Option<String>,
    /// `up`, `down`, `new` (never tried) or `disabled`.
    state: &'static str,
    down_since: Option<DateTime<Utc>>,
    attempted_at: Option<DateTime<Utc>>,
    /// Why it does not answer, or cannot be read or cut on: what was seen.
    last_error: Option<String>,
    /// What that means, in one of the words that docs/CAUSES.md lists; null while all is well.
    cause: Option<&'static str>,
    /// The way out; null while all is well.
    advice: Option<String>,
    identity: Option<String>,
    serial: Option<String>,
    version: Option<String>,
    board: Option<String>,
    /// How far its clock is ahead; it shows whole seconds.
    clock_skew_seconds: Option<f64>,
    /// When it last said so.
    seen_at: Option<DateTime<Utc>>,
    owed_cuts: u64,
    owed_restores: u64,
    /// When it was last read whole.
    reconciled_at: Option<DateTime<Utc>>,
    /// How much was seen there then that belongs to nobody we know.
    strays: u64,
    /// How many accesses end there within the hour; null unless no cut can be made there.
    ends_soon: Option<u64>,
}

impl RouterView {
    pub(crate) fn new(router: &RouterStatus) -> Self {
        let said = router.said.as_ref();
        let cause = router.last_error.as_deref().and_then(Cause::in_line);
        let skew = said.and_then(|said| said.clock_skew_ms);
        Self {
            id: router.id.0,
            name: router.name.clone(),
            tenant: router.tenant.clone(),
            address: router.address.clone(),
            enabled: router.enabled,
            owner: router.owner.map(|owner| owner.to_string()),
            state: match (router.enabled, router.down_since, router.attempted_at) {
                (false, ..) => "disabled",
                (true, Some(_), _) => "down",
                (true, None, Some(_)) => "up",
                (true, None, None) => "new",
            },
            down_since: router.down_since,
            attempted_at: router.attempted_at,
            last_error: router.last_error.clone(),
            cause: cause.map(Cause::code),
            advice: cause.map(|cause| cause.way_out(Some(&router.name))),
            identity: router.seen.as_ref().map(|seen| seen.identity.clone()),
            serial: router.seen.as_ref().and_then(|seen| seen.serial.clone()),
            version: said.and_then(|said| said.version.clone()),
            board: said.and_then(|said| said.board.clone()),
            clock_skew_seconds: skew.map(seconds),
            seen_at: said.map(|said| said.at),
            owed_cuts: router.owed_cuts,
            owed_restores: router.owed_restores,
            reconciled_at: router.reconciled_at,
            strays: router.strays,
            ends_soon: router.ends_soon,
        }
    }
}

/// Milliseconds as seconds, for as much as 68 years.
pub(crate) fn seconds(ms: i64) -> f64 {
    let most = if ms < 0 { i32::MIN } else { i32::MAX };
    let whole = i32::try_from(ms.div_euclid(1_000)).unwrap_or(most);
    let part = i32::try_from(ms.rem_euclid(1_000)).unwrap_or_default();
    f64::from(whole) + f64::from(part) / 1_000.0
}

/// All routers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Routers {
    items: Vec<RouterView>,
    /// Always null: all are there.
    next: Option<String>,
}

/// Lists all routers by name.
#[utoipa::path(
    get,
    path = "/routers",
    operation_id = "list_routers",
    tag = "v1",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "All routers, at most a second old.", body = Routers),
        Guarded,
    )
)]
pub(crate) async fn list(State(app): State<Arc<Inner>>) -> Result<Json<Routers>, Problem> {
    let snapshot = app.snapshot().await?;
    let routers = snapshot.summary.status.routers.iter();
    Ok(Json(Routers {
        items: routers.map(RouterView::new).collect(),
        next: None,
    }))
}

/// A router to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewRouter)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// Unique among all routers.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The tenant's slug.
    tenant: Option<String>,
    /// Name or IP address.
    #[schema(min_length = 1, max_length = 253)]
    host: String,
    /// By default 8728.
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// The account on the router.
    #[schema(min_length = 1)]
    username: String,
    #[schema(format = "password", min_length = 1)]
    password: String,
}

/// Adds a router, enabled. One that answers is looked at first, for at most 6 s: the box of another
/// router is not added. One that does not answer is added all the same.
#[utoipa::path(
    post,
    path = "/routers",
    operation_id = "add_router",
    tag = "v1",
    request_body = New,
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = CREATED, description = "It was added.", body = RouterView, headers(("Location" = String, description = "Where it is."))),
        (status = BAD_REQUEST, description = "The body is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such tenant.", body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, description = "The name or the address is taken, or it is the box of another router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
        WithBody,
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<Inner>>,
    Body(new): Body<New>,
) -> Result<Created<RouterView>, Problem> {
    let port = new.port.unwrap_or(8728);
    check(&new.host, port)?;
    name(&new.name)?;
    for (field, text) in [("username", &new.username), ("password", &new.password)] {
        if text.is_empty() || text.contains(char::is_control) {
            return Err(Problem::body(format!("{field}: a line of text is needed")));
        }
    }
    // A name that nobody has may have an owner later.
    let _ = targets::find(&new.host, port).await?;
    let directory = &*app.service.directory;
    let tenant = tenant(directory, new.tenant.as_deref()).await?;
    let new = NewRouter {
        name: new.name,
        tenant: tenant.as_ref().map(|tenant| tenant.id),
        address: RouterAddress {
            host: new.host,
            port,
            username: new.username,
        },
        password: new.password.into(),
    };
    let others = directory.routers().await?;
    let looked = first_look(&app, &new, &others).await;
    looked.map_err(|twin| Problem::same_box(&new.name, &twin))?;
    let router = directory.add_router(&new).await?;
    let at = format!("/api/v1/routers/{}", router.id.0);
    let known = as_made(router, tenant.map(|tenant| tenant.slug));
    Ok(created(at, RouterView::new(&known)))
}

fn name(name: &str) -> Result<(), Problem> {
    if name.is_empty()
        || name.chars().count() > 200
        || name.trim() != name
        || name.contains(char::is_control)
    {
        return Err(Problem::body(
            "name: not empty, at most 200 characters, no control character, no space at an end",
        ));
    }
    Ok(())
}

/// Reads a router as it stands now, not a second ago.
async fn fresh(app: &Inner, id: RouterId) -> Result<RouterView, Problem> {
    Ok(RouterView::new(&status_of(app, id).await?))
}

async fn status_of(app: &Inner, id: RouterId) -> Result<RouterStatus, Problem> {
    let status = app.service.status.status(0).await?;
    let router = status.routers.into_iter().find(|router| router.id == id);
    router.ok_or_else(|| Problem::no_router(id.0))
}

/// How a router stands that was just made.
fn as_made(router: Router, tenant: Option<String>) -> RouterStatus {
    RouterStatus {
        id: router.id,
        name: router.name,
        tenant,
        address: RouterAddress::place(&router.address.host, router.address.port),
        enabled: router.enabled,
        owner: None,
        seen: None,
        down_since: None,
        attempted_at: None,
        last_error: None,
        owed_cuts: 0,
        owed_restores: 0,
        reconciled_at: None,
        strays: 0,
        oldest_cut: None,
        said: None,
        ends_soon: None,
    }
}

/// Shows a router.
#[utoipa::path(
    get,
    path = "/routers/{id}",
    operation_id = "show_router",
    tag = "v1",
    params(("id" = i64, Path, description = "The router's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The router.", body = RouterView),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<RouterView>, Problem> {
    let snapshot = app.snapshot().await?;
    let routers = &snapshot.summary.status.routers;
    if let Some(router) = routers.iter().find(|router| router.id.0 == id) {
        return Ok(Json(RouterView::new(router)));
    }
    // It may have been added since.
    Ok(Json(fresh(&app, RouterId(id)).await?))
}

/// Takes a router into service.
#[utoipa::path(
    post,
    path = "/routers/{id}/enable",
    operation_id = "enable_router",
    tag = "v1",
    params(("id" = i64, Path, description = "The router's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The router.", body = RouterView),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn enable(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<RouterView>, Problem> {
    set_enabled(&app, RouterId(id), true).await
}

/// Takes a router out of service.
#[utoipa::path(
    post,
    path = "/routers/{id}/disable",
    operation_id = "disable_router",
    tag = "v1",
    params(("id" = i64, Path, description = "The router's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The router.", body = RouterView),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn disable(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<RouterView>, Problem> {
    set_enabled(&app, RouterId(id), false).await
}

async fn set_enabled(
    app: &Inner,
    id: RouterId,
    enabled: bool,
) -> Result<Json<RouterView>, Problem> {
    let change = RouterChange {
        enabled: Some(enabled),
        ..RouterChange::default()
    };
    // What the answer needs is read before: once it is done, nothing may fail.
    let mut known = status_of(app, id).await?;
    app.service.directory.change_router(id, &change).await?;
    if known.enabled != enabled {
        (known.enabled, known.owner, known.reconciled_at) = (enabled, None, None);
    }
    Ok(Json(RouterView::new(&known)))
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(crate) struct RouterTest {
    success: bool,
    /// The step that failed; null also if there was no answer within 20 s, or the service is stopping.
    step: Option<Step>,
    /// Why, in one of the words that docs/CAUSES.md lists; null where `step` is.
    cause: Option<&'static str>,
    /// What failed, and what to do.
    error: Option<String>,
    rtt_ms: Option<u64>,
    identity: Option<String>,
    serial: Option<String>,
    version: Option<String>,
    board: Option<String>,
    uptime: Option<String>,
    clock_skew_seconds: Option<f64>,
    /// What should be mended although cuts can be made, each in one line with the way out.
    warnings: Vec<String>,
}

/// Connects to a router, logs in and reads, and says which step fails.
#[utoipa::path(
    post,
    path = "/routers/{id}/test",
    operation_id = "test_one_router",
    tag = "v1",
    params(("id" = i64, Path, description = "The router's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What came of it, good or bad.", body = RouterTest),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn test(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<RouterTest>, Problem> {
    let routers = app.service.directory.routers().await?;
    let router = routers.iter().find(|router| router.id.0 == id);
    let router = router.ok_or_else(|| Problem::no_router(id))?;
    let result = probe_saved(&app, router, &routers, deadline()).await;
    tracing::info!(
        router = router.name,
        success = result.is_ok(),
        "router tested"
    );
    Ok(Json(match result {
        Ok(answered) => RouterTest {
            success: true,
            step: None,
            cause: None,
            error: None,
            rtt_ms: u64::try_from(answered.tried.round_trip.as_millis()).ok(),
            identity: Some(answered.tried.facts.hardware.identity),
            serial: answered.tried.facts.hardware.serial,
            version: answered.tried.facts.version,
            board: answered.tried.facts.board,
            uptime: answered.tried.facts.uptime,
            clock_skew_seconds: answered.clock_skew_seconds,
            warnings: told(&answered.tried.warnings, &router.name),
        },
        Err(failure) => RouterTest {
            success: false,
            step: failure.step(),
            cause: failure.cause(),
            error: Some(failure.into_text()),
            rtt_ms: None,
            identity: None,
            serial: None,
            version: None,
            board: None,
            uptime: None,
            clock_skew_seconds: None,
            warnings: Vec::new(),
        },
    }))
}

fn told(warnings: &[Trouble], router: &str) -> Vec<String> {
    let told = |Trouble { cause, seen }: &Trouble| {
        format!("{seen}: {}; {}", cause.says(), cause.way_out(Some(router)))
    };
    warnings.iter().map(told).collect()
}

/// Somebody or something on a router that belongs to nobody we know.
#[derive(Serialize, ToSchema)]
#[schema(as = Stray)]
pub(crate) struct StrayView {
    /// `session`, `host` or `binding`.
    kind: &'static str,
    /// The user of the session.
    user: Option<String>,
    mac: Option<String>,
    address: Option<String>,
    /// How it was let in.
    way_in: &'static str,
    online: bool,
    /// The operator's comment on the binding.
    comment: Option<String>,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

/// The strays of a router.
#[derive(Serialize, ToSchema)]
pub(crate) struct StrayList {
    items: Vec<StrayView>,
    /// Always null: all are there.
    next: Option<String>,
    /// When the router was read.
    read_at: Option<DateTime<Utc>>,
}

/// Lists what a router lets through that belongs to nobody we know.
#[utoipa::path(
    get,
    path = "/routers/{id}/strays",
    operation_id = "list_strays",
    tag = "v1",
    params(("id" = i64, Path, description = "The router's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The strays, longest known first.", body = StrayList),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such router.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn strays(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<StrayList>, Problem> {
    let found = app.service.directory.strays(RouterId(id)).await?;
    Ok(Json(StrayList {
        items: found.strays.into_iter().map(StrayView::new).collect(),
        next: None,
        read_at: found.reconciled_at,
    }))
}

impl StrayView {
    fn new(stray: Stray) -> Self {
        let presence = stray.presence;
        Self {
            kind: presence.kind.as_str(),
            user: presence.login,
            mac: presence.mac.map(|mac| mac.to_string()),
            address: presence.address,
            way_in: presence.way_in.as_str(),
            online: presence.online,
            comment: presence.comment,
            first_seen: stray.first_seen,
            last_seen: stray.last_seen,
        }
    }
}
