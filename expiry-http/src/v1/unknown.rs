//! What is said of the number of a subscriber that nobody has.

use std::time::Duration;

use axum::http::StatusCode;
use expiry_core::{Payment, Subscriber, TenantId, nearest};
use tokio::time::timeout;

use crate::{problem::Problem, state::Inner};

/// Smaller numbers are no phone numbers.
const PHONE: i64 = 1_000_000;

/// How long the nearest names are searched for at most.
const SEARCH: Duration = Duration::from_secs(1);

/// Says that there is no such subscriber. Who sends a phone number in place of the number that the
/// service gave is told whose is like it, among those without a tenant: whoever asks has named none,
/// and is told nothing of anybody's.
pub(crate) async fn subscriber(app: &Inner, id: i64) -> Problem {
    let mut problem = Problem::no_subscriber(id);
    if id >= PHONE
        && let Some(near) = near(app, id).await
    {
        problem.detail.push_str(&near);
    }
    problem
}

/// Says that nobody has the name for which somebody paid, and whose is like it in the same tenant.
pub(crate) async fn payer(app: &Inner, payment: &Payment) -> Problem {
    let name = payment.username.as_str();
    let near = alike(app, payment.tenant, name).await.unwrap_or_default();
    let near = near.iter().map(|near| format!("`{}`", near.username));
    let near: Vec<_> = near.collect();
    let near = if near.is_empty() {
        String::new()
    } else {
        format!("; the nearest: {}", near.join(", "))
    };
    let detail = format!(
        "no subscriber `{name}`{near}; with `create` set to true one is made; nothing was added"
    );
    Problem::new(StatusCode::NOT_FOUND, "subscriber_not_found", detail)
}

/// Searches for names that are like one, if that can be done now.
async fn alike(app: &Inner, tenant: Option<TenantId>, wanted: &str) -> Option<Vec<Subscriber>> {
    // Who asks in a loop is answered without.
    let _turn = app.nearest.try_acquire().ok()?;
    let search = nearest(&*app.service.directory, tenant, wanted);
    // That they cannot be found is no other answer.
    timeout(SEARCH, search).await.ok()?.ok()
}

async fn near(app: &Inner, id: i64) -> Option<String> {
    let found = alike(app, None, &id.to_string()).await?;
    let found = found.iter();
    let found = found.map(|near| format!("`{}` is {}", near.username, near.id.0));
    let found: Vec<_> = found.collect();
    (!found.is_empty()).then(|| {
        format!(
            ": a path takes the number that the service gave, not a username; the nearest: {}",
            found.join(", ")
        )
    })
}
