use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State};
use expiry_core::{Directory, Standing, StatusStore, SubscriberFilter, SubscriberId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{seconds, watcher};
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
    let status = &*app.service.status;
    let (before, _) = owed(status).await?;
    let devices = devices(&*app.service.directory).await?;
    let report = watcher::check(&app).await?;
    let (after, now) = owed(status).await?;
    let mut gone = Vec::new();
    for &id in before.difference(&after) {
        // Who paid meanwhile is owed no cut either.
        let found = app.service.directory.subscriber_by_id(id).await?;
        if found.is_none_or(|found| found.access.has_ended(now)) {
            gone.push(id);
        }
    }
    let failed = before.intersection(&after).count();
    let brake = report.as_ref().filter(|report| !report.brakes.is_empty());
    let message = match (brake, failed) {
        (Some(report), _) => watcher::braked(report),
        (None, 0) => format!("{} disconnected", people(gone.len())),
        (None, failed) => format!(
            "{} disconnected, {} not confirmed off yet: the cuts stay owed",
            people(gone.len()),
            people(failed)
        ),
    };
    let of = |id: &SubscriberId| devices.get(id).copied().unwrap_or_default();
    Ok(Json(Cleaned {
        success: brake.is_none(),
        message,
        details: Details {
            users_disconnected: gone.len() as u64,
            devices_deactivated: gone.iter().map(of).sum(),
            failed: failed as u64,
            total_checked: before.len() as u64,
        },
        timestamp: seconds(now),
    }))
}

fn people(count: usize) -> String {
    if count == 1 {
        "1 user".into()
    } else {
        format!("{count} users")
    }
}

async fn owed(
    status: &dyn StatusStore,
) -> Result<(BTreeSet<SubscriberId>, chrono::DateTime<chrono::Utc>), Problem> {
    let summary = status.summary(Duration::ZERO, u32::MAX).await?;
    let ids = summary.unconfirmed.iter().map(|one| one.subscriber);
    Ok((ids.collect(), summary.status.now))
}

/// How many devices each has who is owed a cut.
async fn devices(directory: &dyn Directory) -> Result<BTreeMap<SubscriberId, u64>, Problem> {
    let filter = SubscriberFilter {
        standing: Some(Standing::Owed),
        ..SubscriberFilter::default()
    };
    let mut devices = BTreeMap::new();
    let mut after = SubscriberId(0);
    loop {
        let page = directory.find_subscribers(&filter, after, 1_000).await?;
        let Some(last) = page.last() else {
            return Ok(devices);
        };
        after = last.id;
        devices.extend(page.iter().map(|one| (one.id, one.devices.len() as u64)));
    }
}
