//! What is said of the number of a subscriber that nobody has.

use std::time::Duration;

use expiry_core::nearest;
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

async fn near(app: &Inner, id: i64) -> Option<String> {
    // Who asks in a loop is answered without.
    let _turn = app.nearest.try_acquire().ok()?;
    let wanted = id.to_string();
    let search = nearest(&*app.service.directory, None, &wanted);
    // That they cannot be found is no other answer.
    let found = timeout(SEARCH, search).await.ok()?.ok()?;
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
