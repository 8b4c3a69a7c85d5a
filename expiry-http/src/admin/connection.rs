use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Json, body::Bytes, extract::State};
use expiry_core::{Boxes, Router, RouterAddress, RouterId, RouterLogin, Trouble};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answers::{OldGuarded, OldWithBody},
    client::Client,
    probe::{Answered, Failure, Step, deadline, probe, probe_saved},
    problem::{Problem, Refusal},
    state::Inner,
    targets,
};

/// So many routers are tried at once: a gateway gives a silent one up within seconds, so that some
/// hundreds have their turn.
const AT_ONCE: usize = 64;

/// Whether a router can be reached and lets us in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tested {
    /// Whether all routers answered.
    success: bool,
    message: String,
    /// The first router; `null` if there is none.
    router_info: Option<Info>,
    /// What failed at the first router that failed, and what to do; of several routers it begins
    /// with the name of that one.
    error: Option<String>,
    /// All routers that were tried.
    routers: Vec<Info>,
}

#[derive(Clone, Serialize, ToSchema)]
struct Info {
    /// The router's name; of one that is not saved, none.
    name: Option<String>,
    ip: String,
    port: u16,
    /// `reachable`, `unreachable`, or `unknown` if it was not tested.
    status: &'static str,
    /// `api_ok`, `login_failed`, `permission_denied`, `wrong_router`, `api_error`, `unreachable` or
    /// `untested`: the time for all was over, or the service is stopping.
    api_status: &'static str,
    /// The step that failed; null also if nothing came in time, or it was not tested.
    step: Option<Step>,
    /// Why, in one of the words that docs/CAUSES.md lists; null where `step` is.
    cause: Option<&'static str>,
    error: Option<String>,
    identity: Option<String>,
    version: Option<String>,
    board: Option<String>,
    uptime: Option<String>,
    clock_skew_seconds: Option<f64>,
    rtt_ms: Option<u64>,
}

/// A router that is not saved yet; without anything the saved ones.
#[derive(Deserialize, ToSchema)]
#[schema(as = RouterToTest)]
pub(crate) struct Given {
    /// Name or IP address.
    #[schema(min_length = 1, required = false)]
    router_ip: String,
    #[schema(required = false)]
    username: String,
    #[schema(format = "password", required = false)]
    password: String,
    /// By default 8728.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 65535)]
    api_port: Option<Port>,
}

/// Old clients send what was typed, digits in a text.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Port(u16);

impl TryFrom<Value> for Port {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let number = match &value {
            Value::String(text) => text.trim().parse().ok(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => value.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        number
            .map(Self)
            .ok_or("api_port: it must be from 1 to 65535")
    }
}

/// Tries the saved routers.
#[utoipa::path(
    get,
    path = "/mikrotik/test-connection/",
    operation_id = "test_saved_routers",
    tag = "admin",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What came of it, good or bad.", body = Tested),
        OldGuarded,
    )
)]
pub(crate) async fn saved(State(app): State<Arc<Inner>>) -> Result<Json<Tested>, Refusal> {
    let mut routers = app.service.directory.routers().await?;
    let mut boxes = Boxes::on_record(&routers);
    routers.retain(|router| router.enabled);
    let deadline = deadline();
    let tried = stream::iter(routers.into_iter().enumerate()).map(|(place, router)| {
        let app = Arc::clone(&app);
        async move {
            // They are compared when all were asked.
            let result = probe_saved(&app, &router, &[], deadline).await;
            (place, router, result)
        }
    });
    let mut tried: Vec<_> = tried.buffer_unordered(AT_ONCE).collect().await;
    tried.sort_by_key(|(place, ..)| *place);
    let tried = tried.into_iter().map(|(_, router, result)| {
        let result = result.and_then(|answered| compared(&mut boxes, &router, answered));
        info(&router.address, Some(router.name), result)
    });
    Ok(Json(Tested::of(tried.collect())))
}

/// Tells whether the box of a router is that of one before it, or on record.
fn compared(
    boxes: &mut Boxes,
    router: &Router,
    mut answered: Answered,
) -> Result<Answered, Failure> {
    let told = |twin: Trouble| Failure::Caused(twin.cause, twin.told(Some(&router.name)));
    boxes.compare(router, &mut answered.tried).map_err(told)?;
    boxes.keep(router, &answered.tried);
    Ok(answered)
}

/// Tries a router that is not saved yet; without a body, or with `{}`, the saved ones.
#[utoipa::path(
    post,
    path = "/mikrotik/test-connection/",
    operation_id = "test_router",
    tag = "admin",
    request_body(content = Option<Given>, content_type = "application/json"),
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What came of it, good or bad.", body = Tested),
        (status = BAD_REQUEST, description = "The body is wrong, or no router can be at that address.", body = Refusal),
        OldGuarded,
        OldWithBody,
    )
)]
pub(crate) async fn given(
    State(app): State<Arc<Inner>>,
    client: Client,
    body: Bytes,
) -> Result<Json<Tested>, Refusal> {
    // Old clients name other types than that of JSON, or none.
    let is_empty = |fields: serde_json::Map<_, _>| fields.is_empty();
    if body.trim_ascii().is_empty() || serde_json::from_slice(&body).is_ok_and(is_empty) {
        return saved(State(app)).await;
    }
    let given: Option<Given> =
        serde_json::from_slice(&body).map_err(|error| Problem::body(error.to_string()))?;
    let Some(given) = given else {
        return saved(State(app)).await;
    };
    let port = given.api_port.map_or(8728, |port| port.0);
    check(&given.router_ip, port)?;
    let place = RouterAddress::place(&given.router_ip, port);
    let refused = |problem: Problem| {
        let (client, why) = (client.address, &problem.detail);
        tracing::warn!(%client, address = place, why, "no router tested");
        Refusal::from(problem)
    };
    let _turn = app.tests.begin().map_err(|wait| refused(too_often(wait)))?;
    let found = targets::find(&given.router_ip, port)
        .await
        .map_err(refused)?;
    tracing::info!(client = %client.address, address = place, "a router is tested for a caller");
    let address = RouterAddress {
        host: given.router_ip,
        port,
        username: given.username,
    };
    // The form of a router that is saved already tests that one.
    let (saved, others): (Vec<_>, Vec<_>) = app
        .service
        .directory
        .routers()
        .await?
        .into_iter()
        .partition(|saved| is_same_place(&saved.address, &address));
    let router = Router {
        id: RouterId(0),
        name: address.host.clone(),
        tenant: None,
        address,
        enabled: true,
        seen: saved.into_iter().next().and_then(|saved| saved.seen),
    };
    let address = router.address.clone();
    let login = RouterLogin {
        router,
        password: given.password.into(),
    };
    let result = match found {
        Ok(found) => probe_at(&app, login, found, &others).await,
        Err(error) => Err(Failure::Caused(error.cause(), error.told(None))),
    };
    let tried = info(&address, None, result);
    Ok(Json(Tested::of(vec![tried])))
}

fn too_often(wait: Duration) -> Problem {
    let seconds = wait.as_secs().max(1);
    let detail =
        format!("too many tests of routers at once or within a minute: try again in {seconds} s");
    Problem::too_often("too_many_tests", detail, seconds)
}

/// Tries the addresses of a router in turn, until one can be connected to.
async fn probe_at(
    app: &Inner,
    mut login: RouterLogin,
    addresses: Vec<IpAddr>,
    others: &[Router],
) -> Result<Answered, Failure> {
    let deadline = deadline();
    let mut result = Err(Failure::Untested("it has no address".into()));
    for address in addresses {
        login.router.address.host = address.to_string();
        result = probe(app, &login, None, others, deadline).await;
        let is_unreached = |failure: &Failure| failure.step() == Some(Step::TcpConnect);
        if !result.as_ref().is_err_and(is_unreached) {
            break;
        }
    }
    result
}

fn is_same_place(one: &RouterAddress, other: &RouterAddress) -> bool {
    one.host.eq_ignore_ascii_case(&other.host) && one.port == other.port
}

/// Tells whether this can be the address of a router.
pub(crate) fn check(host: &str, port: u16) -> Result<(), Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
    if !is_host && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(Problem::body(
            "the host is not a host name or an IP address",
        ));
    }
    if port == 0 {
        return Err(Problem::body("the port must be from 1 to 65535"));
    }
    Ok(())
}

fn info(address: &RouterAddress, name: Option<String>, result: Result<Answered, Failure>) -> Info {
    let place = RouterAddress::place(&address.host, address.port);
    let success = result.is_ok();
    let cause = result.as_ref().err().and_then(Failure::cause);
    tracing::info!(
        address = place,
        router = name,
        success,
        cause,
        "router tested"
    );
    let (ip, port) = (address.host.clone(), address.port);
    let nothing = Info {
        name,
        ip,
        port,
        status: "reachable",
        api_status: "api_ok",
        step: None,
        cause: None,
        error: None,
        identity: None,
        version: None,
        board: None,
        uptime: None,
        clock_skew_seconds: None,
        rtt_ms: None,
    };
    match result {
        Ok(answered) => Info {
            identity: Some(answered.tried.facts.hardware.identity),
            version: answered.tried.facts.version,
            board: answered.tried.facts.board,
            uptime: answered.tried.facts.uptime,
            clock_skew_seconds: answered.clock_skew_seconds,
            rtt_ms: u64::try_from(answered.tried.round_trip.as_millis()).ok(),
            ..nothing
        },
        Err(failure) => {
            let (status, api_status) = words(&failure);
            Info {
                status,
                api_status,
                step: failure.step(),
                cause: failure.cause(),
                error: Some(failure.into_text()),
                ..nothing
            }
        }
    }
}

const UNTESTED: &str = "untested";

fn words(failure: &Failure) -> (&'static str, &'static str) {
    match failure.step() {
        _ if matches!(failure, Failure::Caused(cause, _) if cause.is_password()) => {
            ("unknown", "login_failed")
        }
        None if matches!(failure, Failure::Untested(_)) => ("unknown", UNTESTED),
        None | Some(Step::NameLookup | Step::TcpConnect) => ("unreachable", "unreachable"),
        Some(Step::Login) => ("reachable", "login_failed"),
        Some(Step::Permission) => ("reachable", "permission_denied"),
        Some(Step::WrongRouter) => ("reachable", "wrong_router"),
        Some(Step::Protocol | Step::Hotspot) => ("reachable", "api_error"),
    }
}

impl Tested {
    fn of(routers: Vec<Info>) -> Self {
        let is_untested = |info: &&Info| info.api_status == UNTESTED;
        let untested = routers.iter().filter(is_untested).count();
        let failed = routers.iter().filter(|info| info.error.is_some()).count() - untested;
        let error = routers.iter().find_map(|info| {
            let error = info.error.as_deref()?;
            let name = info.name.as_deref().unwrap_or(&info.ip);
            Some(match routers.len() {
                1 => error.to_owned(),
                _ => format!("{name}: {error}"),
            })
        });
        let (success, message, error) = match (routers.len(), failed) {
            (0, _) => {
                let todo = "no router is saved and enabled: add one, or send router_ip, username \
                            and password";
                (false, "No router to test".into(), Some(todo.into()))
            }
            (_, 0) if untested == 0 => (true, "Connection successful".into(), None),
            (1, _) => (false, "Connection failed".into(), error),
            (all, failed) => {
                let rest = match untested {
                    0 => String::new(),
                    untested => format!(", {untested} not tested"),
                };
                let message = format!("Connection failed to {failed} of {all} routers{rest}");
                (false, message, error)
            }
        };
        Self {
            success,
            message,
            router_info: routers.first().cloned(),
            error,
            routers,
        }
    }
}
