use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use expiry_core::SubscriberId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    seconds,
    watcher::{self, Checked},
};
use crate::{answers::OldGuarded, problem::Refusal, state::Inner};

/// How it went.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cleaned {
    success: bool,
    message: String,
    details: Details,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct Details {
    /// Of those who were owed a cut, how many are confirmed off.
    users_disconnected: u64,
    /// The devices of those.
    devices_deactivated: u64,
    /// How many are still owed a cut on at least one router.
    failed: u64,
    /// Who was owed a cut.
    total_checked: u64,
}

/// Cuts everybody who is expired and not confirmed off. Answers after at most 20 s.
#[utoipa::path(
    post,
    path = "/cleanup-expired/",
    operation_id = "cleanup_expired",
    tag = "admin",
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "What came of it.", body = Cleaned),
        OldGuarded,
    )
)]
pub(crate) async fn cleanup(State(app): State<Arc<Inner>>) -> Result<Json<Cleaned>, Refusal> {
    let before = app.overdue().await?;
    let checked = watcher::check(&app).await?;
    let after = app.overdue().await?;
    let is_off = |id: &&SubscriberId| !after.subscribers.contains_key(id);
    let gone: BTreeSet<_> = before.subscribers.keys().filter(is_off).copied().collect();
    let failed = before.subscribers.len() - gone.len();
    // Who paid meanwhile is owed no cut either.
    let live = if gone.is_empty() {
        BTreeSet::new()
    } else {
        app.service.status.live_among(&gone).await?
    };
    let gone: Vec<_> = gone.difference(&live).collect();
    let hindered = match &checked {
        Checked::Through(report) if !report.brakes.is_empty() => Some(watcher::braked(report)),
        Checked::Stopped => Some(watcher::STOPPING.into()),
        Checked::Through(_) | Checked::TakesLonger => None,
    };
    let success = hindered.is_none();
    let message = hindered.unwrap_or_else(|| match failed {
        0 => format!("{} disconnected", people(gone.len())),
        failed => format!(
            "{} disconnected, {} not confirmed off yet: the cuts stay owed",
            people(gone.len()),
            people(failed)
        ),
    });
    let devices = gone.iter().filter_map(|id| before.subscribers.get(id));
    Ok(Json(Cleaned {
        success,
        message,
        details: Details {
            users_disconnected: gone.len() as u64,
            devices_deactivated: devices.sum(),
            failed: failed as u64,
            total_checked: before.subscribers.len() as u64,
        },
        timestamp: seconds(after.now),
    }))
}

fn people(count: usize) -> String {
    if count == 1 {
        "1 user".into()
    } else {
        format!("{count} users")
    }
}
