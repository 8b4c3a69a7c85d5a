use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use expiry_core::{Overdue, SubscriberId};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    in_time, seconds,
    watcher::{self, Checked},
};
use crate::{
    answers::OldGuarded,
    problem::{Problem, Refusal},
    state::Inner,
};

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
    /// How many are still owed a cut on at least one router, as far as is known.
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
    let began = Instant::now();
    let before = in_time(app.overdue()).await?;
    let checked = watcher::check(&app).await?;
    let counted = timeout_at(began + COUNTED, count(&app, &before)).await;
    Ok(Json(match counted {
        Ok(Ok(counted)) => counted.told(&checked, before.subscribers.len()),
        // The check was made all the same.
        Ok(Err(_)) | Err(_) => uncounted(&checked, &before, began.elapsed()),
    }))
}

/// So long after the request all is counted, or it is told that it cannot be.
const COUNTED: Duration = Duration::from_secs(28);

/// What a check changed.
struct Counted {
    gone: u64,
    /// Of those who are gone.
    devices: u64,
    failed: usize,
    now: DateTime<Utc>,
}

/// Counts who of those before is off.
async fn count(app: &Inner, before: &Overdue) -> Result<Counted, Problem> {
    let after = app.overdue().await?;
    let is_off = |id: &&SubscriberId| !after.subscribers.contains_key(id);
    let gone: BTreeSet<_> = before.subscribers.keys().filter(is_off).copied().collect();
    // Who paid meanwhile is owed no cut either.
    let live = if gone.is_empty() {
        BTreeSet::new()
    } else {
        app.service.status.live_among(&gone).await?
    };
    let off: Vec<_> = gone.difference(&live).collect();
    let devices = off.iter().filter_map(|id| before.subscribers.get(id));
    Ok(Counted {
        gone: off.len() as u64,
        devices: devices.sum(),
        failed: before.subscribers.len() - gone.len(),
        now: after.now,
    })
}

impl Counted {
    fn told(self, checked: &Checked, total: usize) -> Cleaned {
        let hindered = hindrance(checked);
        let success = hindered.is_none();
        let gone = people(self.gone);
        let message = hindered.unwrap_or_else(|| match self.failed {
            0 => format!("{gone} disconnected"),
            failed => format!(
                "{gone} disconnected, {} not confirmed off yet: the cuts stay owed",
                people(failed as u64)
            ),
        });
        Cleaned {
            success,
            message,
            details: Details {
                users_disconnected: self.gone,
                devices_deactivated: self.devices,
                failed: self.failed as u64,
                total_checked: total as u64,
            },
            timestamp: seconds(self.now),
        }
    }
}

/// Tells of a check whose end cannot be read: nobody is known to be off.
fn uncounted(checked: &Checked, before: &Overdue, passed: Duration) -> Cleaned {
    let total = before.subscribers.len() as u64;
    Cleaned {
        success: false,
        message: hindrance(checked).unwrap_or_else(|| watcher::UNREAD.into()),
        details: Details {
            users_disconnected: 0,
            devices_deactivated: 0,
            failed: total,
            total_checked: total,
        },
        timestamp: seconds(before.now + passed),
    }
}

fn hindrance(checked: &Checked) -> Option<String> {
    match checked {
        Checked::Through(report) if !report.brakes.is_empty() => Some(watcher::braked(report)),
        Checked::Stopped => Some(watcher::STOPPING.into()),
        Checked::Unread => Some(watcher::UNREAD.into()),
        Checked::Through(_) | Checked::TakesLonger => None,
    }
}

fn people(count: u64) -> String {
    if count == 1 {
        "1 user".into()
    } else {
        format!("{count} users")
    }
}
