use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State};
use chrono::{DateTime, Datelike, Utc};
use expiry_core::{
    Access, AccessChange, Directory, MacAddr, Missing, NewSubscriber, RouterId, Service, Standing,
    StoreError, Subscriber, SubscriberFilter, SubscriberId, Tenant, Username,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Created, created, limit, times, unknown};
use crate::{
    answers::{Guarded, WithBody},
    extract::{Body, Id, Params},
    problem::Problem,
    state::Inner,
};

/// A subscriber.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Subscriber)]
pub(crate) struct SubscriberView {
    id: i64,
    username: String,
    /// The tenant's slug.
    tenant: Option<String>,
    tenant_name: Option<String>,
    /// `hotspot`.
    service: String,
    access: AccessView,
    /// `none`, `live` or `ended`.
    state: &'static str,
    revision: i64,
    /// The one router it is bound to.
    router: Option<BoundTo>,
    devices: Vec<String>,
}

/// When a subscriber may be online.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[schema(as = Access)]
pub(crate) enum AccessView {
    /// It never was bought.
    None {},
    /// Until then.
    Until {
        /// The end.
        #[serde(deserialize_with = "times::at")]
        at: DateTime<Utc>,
    },
    /// Without end.
    Forever {},
}

#[derive(Clone, Serialize, ToSchema)]
struct BoundTo {
    id: i64,
    /// Its name; null if the router is not there any more.
    name: Option<String>,
}

impl From<Access> for AccessView {
    fn from(access: Access) -> Self {
        match access {
            Access::None => Self::None {},
            Access::Until(at) => Self::Until { at },
            Access::Forever => Self::Forever {},
        }
    }
}

/// What numbers of tenants and routers stand for.
pub(crate) struct Names {
    tenants: BTreeMap<i64, Tenant>,
    routers: BTreeMap<i64, String>,
    pub(crate) now: DateTime<Utc>,
}

impl Names {
    pub(crate) async fn read(app: &Inner) -> Result<Self, Problem> {
        let tenants = app.service.directory.tenants().await?;
        let routers = app.service.directory.routers().await?;
        let by_id = |tenant: Tenant| (tenant.id.0, tenant);
        Ok(Self {
            tenants: tenants.into_iter().map(by_id).collect(),
            routers: routers
                .into_iter()
                .map(|router| (router.id.0, router.name))
                .collect(),
            now: app.now().await?,
        })
    }

    pub(crate) fn view(&self, subscriber: &Subscriber) -> SubscriberView {
        let tenant = subscriber.tenant.and_then(|id| self.tenants.get(&id.0));
        SubscriberView {
            id: subscriber.id.0,
            username: subscriber.username.as_str().into(),
            tenant: tenant.map(|tenant| tenant.slug.clone()),
            tenant_name: tenant.map(|tenant| tenant.name.clone()),
            service: subscriber.service.to_string(),
            access: subscriber.access.into(),
            state: match subscriber.access {
                Access::None => "none",
                access if access.is_live(self.now) => "live",
                Access::Until(_) | Access::Forever => "ended",
            },
            revision: subscriber.revision.0,
            router: subscriber.router.map(|id| BoundTo {
                id: id.0,
                name: self.routers.get(&id.0).cloned(),
            }),
            devices: subscriber.devices.iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn slug(&self, subscriber: &Subscriber) -> Option<String> {
        let tenant = self.tenants.get(&subscriber.tenant?.0)?;
        Some(tenant.slug.clone())
    }
}

/// Finds the tenant of a slug, if one was given.
pub(crate) async fn tenant(
    directory: &dyn Directory,
    slug: Option<&str>,
) -> Result<Option<Tenant>, Problem> {
    let Some(slug) = slug else { return Ok(None) };
    let tenants = directory.tenants().await?;
    let found = tenants.into_iter().find(|tenant| tenant.slug == slug);
    found.map(Some).ok_or_else(|| Problem::no_tenant(slug))
}

/// Which subscribers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// A part of the username, a `+` before digits or not, or a whole MAC in any spelling; what may
    /// be either is looked for as both.
    q: Option<String>,
    /// How they stand.
    #[param(inline)]
    state: Option<Stand>,
    /// The tenant's slug.
    tenant: Option<String>,
    /// The router they are bound to.
    router: Option<i64>,
    /// Most items, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Stand {
    Live,
    Ended,
    None,
    Owed,
}

/// A page of subscribers.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubscriberList {
    items: Vec<SubscriberView>,
    /// The `cursor` of the next page; null if there is none.
    next: Option<String>,
}

/// Lists subscribers by number.
#[utoipa::path(
    get,
    path = "/subscribers",
    operation_id = "list_subscribers",
    tag = "v1",
    params(Search),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "A page of them.", body = SubscriberList),
        (status = BAD_REQUEST, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such tenant.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<Inner>>,
    Params(search): Params<Search>,
) -> Result<Json<SubscriberList>, Problem> {
    let limit = limit(search.limit)?;
    let after = search.cursor.as_deref().unwrap_or("0");
    let after = after
        .parse()
        .map_err(|_| Problem::parameter("cursor: it must be `next` of the page before"))?;
    let directory = &*app.service.directory;
    // A `+` that nobody has encoded comes as a space; no name has one at an end.
    let q = search.q.as_deref().map(str::trim).filter(|q| !q.is_empty());
    if q.is_some_and(|q| q.contains('\0')) {
        return Err(Problem::parameter("q: no NUL character"));
    }
    let tenant = tenant(directory, search.tenant.as_deref()).await?;
    let filter = SubscriberFilter {
        name: q.map(Username::part),
        device: q.and_then(|q| q.parse().ok()),
        tenant: tenant.map(|tenant| Some(tenant.id)),
        router: search.router.map(RouterId),
        standing: search.state.map(|state| match state {
            Stand::Live => Standing::Live,
            Stand::Ended => Standing::Ended,
            Stand::None => Standing::Never,
            Stand::Owed => Standing::Owed,
        }),
    };
    let mut found = directory
        .find_subscribers(&filter, SubscriberId(after), limit + 1)
        .await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let names = Names::read(&app).await?;
    let last = found.last().filter(|_| has_more);
    Ok(Json(SubscriberList {
        next: last.map(|last| last.id.0.to_string()),
        items: found.iter().map(|one| names.view(one)).collect(),
    }))
}

/// A subscriber to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewSubscriber)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// Its name on the router, usually the phone number.
    #[schema(min_length = 1)]
    username: String,
    /// The tenant's slug; null if it has none. Left out of whom a tenant knows, nobody is made.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    tenant: Placed,
    /// The one router it may use; without one, every router of its tenant.
    router: Option<i64>,
    /// The MACs of its devices.
    #[serde(default)]
    devices: Vec<String>,
    /// By default none.
    access: Option<AccessView>,
    /// Access from now on for so long, instead of `access`.
    #[schema(minimum = 1, maximum = 3_155_760_000u64)]
    for_seconds: Option<u64>,
}

/// Whether it was said to which tenant somebody belongs.
#[derive(Default)]
enum Placed {
    #[default]
    Unsaid,
    Nowhere,
    In(String),
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let slug = Option::deserialize(from)?;
        Ok(slug.map_or(Self::Nowhere, Self::In))
    }
}

/// Makes a subscriber.
#[utoipa::path(
    post,
    path = "/subscribers",
    operation_id = "create_subscriber",
    tag = "v1",
    request_body = New,
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = CREATED, description = "It was made.", body = SubscriberView, headers(("Location" = String, description = "Where it is."))),
        (status = BAD_REQUEST, description = "The body is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such tenant or router.", body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, description = "The username or a device is taken, the router is another tenant's, or the name is known in a tenant and none was given.", body = Problem, content_type = "application/problem+json"),
        Guarded,
        WithBody,
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<Inner>>,
    Body(new): Body<New>,
) -> Result<Created<SubscriberView>, Problem> {
    let directory = &*app.service.directory;
    let access = match (new.access, new.for_seconds) {
        (Some(_), Some(_)) => {
            return Err(Problem::body(
                "access and for_seconds are both given: leave one out",
            ));
        }
        (None | Some(AccessView::None {}), None) => Access::None,
        (Some(AccessView::Forever {}), None) => Access::Forever,
        (Some(AccessView::Until { at }), None) => Access::Until(writable("access.at", at)?),
        (None, Some(seconds)) => {
            let by = Duration::from_secs(positive("for_seconds", seconds)?);
            let now = app.now().await?;
            Access::None.changed(AccessChange::Extend(by), now)
        }
    };
    let username: Username = new
        .username
        .parse()
        .map_err(|error| Problem::body(format!("username: {error}")))?;
    let devices = devices(&new.devices)?;
    let slug = match &new.tenant {
        Placed::In(slug) => Some(slug.as_str()),
        Placed::Unsaid | Placed::Nowhere => None,
    };
    let tenant = tenant(directory, slug).await?;
    let is_unsaid = matches!(new.tenant, Placed::Unsaid);
    let new = NewSubscriber {
        tenant: tenant.map(|tenant| tenant.id),
        username,
        service: Service::Hotspot,
        access,
        router: new.router.map(RouterId),
        devices,
    };
    // What the answer needs is read before: once it is made, nothing may fail.
    let names = Names::read(&app).await?;
    let made = if is_unsaid {
        directory.add_unplaced_subscriber(&new).await?
    } else {
        directory.add_subscriber(&new).await?
    };
    let at = format!("/api/v1/subscribers/{}", made.id.0);
    Ok(created(at, names.view(&made)))
}

/// Reads MACs in any spelling, each given once.
pub(super) fn devices(given: &[String]) -> Result<BTreeSet<MacAddr>, Problem> {
    let mut devices = BTreeSet::new();
    for device in given {
        let mac = device
            .parse()
            .map_err(|error| Problem::body(format!("devices: {error}")))?;
        if !devices.insert(mac) {
            return Err(Problem::body(format!("devices: {mac} is given twice")));
        }
    }
    Ok(devices)
}

pub(super) fn positive(field: &str, seconds: u64) -> Result<u64, Problem> {
    match seconds {
        1..=3_155_760_000 => Ok(seconds),
        _ => Err(Problem::body(format!(
            "{field}: from 1 to 3155760000 (100 years)"
        ))),
    }
}

pub(super) fn writable(field: &str, at: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if (1..=9999).contains(&at.year()) {
        Ok(at)
    } else {
        Err(Problem::body(format!(
            "{field}: it must lie in the years 1 to 9999 of UTC"
        )))
    }
}

/// Shows a subscriber.
#[utoipa::path(
    get,
    path = "/subscribers/{id}",
    operation_id = "show_subscriber",
    tag = "v1",
    params(("id" = i64, Path, description = "The subscriber's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The subscriber.", body = SubscriberView),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such subscriber.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<SubscriberView>, Problem> {
    let found = find(&app, id).await?;
    Ok(Json(Names::read(&app).await?.view(&found)))
}

pub(crate) async fn find(app: &Inner, id: i64) -> Result<Subscriber, Problem> {
    let found = app
        .service
        .directory
        .subscriber_by_id(SubscriberId(id))
        .await?;
    match found {
        Some(found) => Ok(found),
        None => Err(unknown::subscriber(app, id).await),
    }
}

/// How far to extend: exactly one of both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    /// Added to an end that is still ahead, else to now.
    #[schema(minimum = 1, maximum = 3_155_760_000u64)]
    seconds: Option<u64>,
    /// The new end: ahead, and not before the end that access has already.
    #[serde(default, deserialize_with = "times::maybe")]
    until: Option<DateTime<Utc>>,
}

/// Gives more time.
#[utoipa::path(
    post,
    path = "/subscribers/{id}/extend",
    operation_id = "extend_subscriber",
    tag = "v1",
    params(("id" = i64, Path, description = "The subscriber's number")),
    request_body = Extension,
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The subscriber.", body = SubscriberView),
        (status = BAD_REQUEST, description = "The id or the body is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such subscriber.", body = Problem, content_type = "application/problem+json"),
        Guarded,
        WithBody,
    )
)]
pub(crate) async fn extend(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
    Body(extension): Body<Extension>,
) -> Result<Json<SubscriberView>, Problem> {
    let change = match (extension.seconds, extension.until) {
        (Some(seconds), None) => {
            AccessChange::Extend(Duration::from_secs(positive("seconds", seconds)?))
        }
        (None, Some(until)) => {
            let until = writable("until", until)?;
            if until <= app.now().await? {
                return Err(Problem::body("until: it is not ahead; revoke ends access"));
            }
            // Somebody else may extend at the same time: whoever wanted less is told so, and has
            // shortened nothing.
            reaches(until, find(&app, id).await?.access)?;
            AccessChange::ExtendTo(until)
        }
        _ => return Err(Problem::body("give either seconds or until")),
    };
    let names = Names::read(&app).await?;
    let changed = change_access(&app, id, change).await?;
    if let AccessChange::ExtendTo(until) = change {
        reaches(until, changed.access)?;
    }
    Ok(Json(names.view(&changed)))
}

/// Refuses to extend to an end that access goes beyond.
fn reaches(until: DateTime<Utc>, access: Access) -> Result<(), Problem> {
    if access.goes_beyond(until) {
        return Err(Problem::body("until: access goes on for longer already"));
    }
    Ok(())
}

/// Ends access now.
#[utoipa::path(
    post,
    path = "/subscribers/{id}/revoke",
    operation_id = "revoke_subscriber",
    tag = "v1",
    params(("id" = i64, Path, description = "The subscriber's number")),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "The subscriber; its cuts are owed.", body = SubscriberView),
        (status = BAD_REQUEST, description = "The id is no number.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such subscriber.", body = Problem, content_type = "application/problem+json"),
        Guarded,
    )
)]
pub(crate) async fn revoke(
    State(app): State<Arc<Inner>>,
    Id(id): Id,
) -> Result<Json<SubscriberView>, Problem> {
    let mut names = Names::read(&app).await?;
    let changed = change_access(&app, id, AccessChange::Revoke).await?;
    // The time of the store was read before.
    names.now = names.now.max(changed.access.end().unwrap_or(names.now));
    Ok(Json(names.view(&changed)))
}

async fn change_access(app: &Inner, id: i64, change: AccessChange) -> Result<Subscriber, Problem> {
    let directory = &app.service.directory;
    match directory.change_access(SubscriberId(id), change).await {
        Ok(changed) => Ok(changed),
        Err(StoreError::Missing(Missing::Subscriber)) => Err(unknown::subscriber(app, id).await),
        Err(error) => Err(error.into()),
    }
}
