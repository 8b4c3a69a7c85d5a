//! What happened, an event a line.

use expiry_core::{Access, AuditEvent, AuditKind, WayIn};

use crate::output::count;
use crate::words::{listed, span, utc};

/// Says what happened to a subscriber.
pub(crate) fn told(event: &AuditEvent) -> String {
    let entry = &event.entry;
    let what = what(&entry.kind);
    let device = entry.device.map_or(String::new(), |mac| format!(" {mac}"));
    let router = entry
        .router_name
        .as_ref()
        .map_or(String::new(), |name| format!(" on {name}"));
    let lag = match (entry.lag, entry.outage) {
        (None, _) => String::new(),
        (Some(lag), false) => format!(", after {}", span(lag)),
        (Some(lag), true) => format!(", after {}, the router having been down", span(lag)),
    };
    format!("{what}{device}{router}{lag}")
}

fn what(kind: &AuditKind) -> String {
    match kind {
        AuditKind::SubscriberAdded { access, .. } => {
            format!("added; access: {}", words(*access))
        }
        AuditKind::AccessChanged { from, to, .. } => {
            format!("access changed from {} to {}", words(*from), words(*to))
        }
        AuditKind::PaymentTaken {
            reference, note, ..
        } => {
            let note = note.as_ref();
            let note = note.map_or(String::new(), |note| format!(": {}", note.as_str()));
            format!("payment {reference}{note}")
        }
        AuditKind::Bound { to: Some(_), .. } => "bound to one router".into(),
        AuditKind::Bound { to: None, .. } => "may use every router".into(),
        AuditKind::DeviceAdded { .. } => "device added:".into(),
        AuditKind::DeviceRemoved { .. } => "device removed:".into(),
        AuditKind::SubscriberRemoved { .. } => "removed".into(),
        AuditKind::AccessEnded => "access ended".into(),
        AuditKind::EndTakenBack { .. } => {
            "access goes on: the clock that had ended it was ahead".into()
        }
        AuditKind::Intended { accounts, bindings } => {
            let parts = [(*accounts, "account"), (*bindings, "binding")];
            let parts = parts.into_iter().filter(|(n, _)| *n > 0);
            let parts: Vec<_> = parts.map(|(n, what)| count(n, what)).collect();
            format!("{} found enabled and to be disabled", listed(&parts))
        }
        AuditKind::CutConfirmed => "cut confirmed".into(),
        AuditKind::CameBack { way_in } => format!("came back{}", by(*way_in)),
        AuditKind::CannotHold { way_in } => {
            format!("came back once more{}, the cut cannot hold", by(*way_in))
        }
        AuditKind::HoldsAgain => "the cut holds again".into(),
        AuditKind::RestoreConfirmed => "restore confirmed".into(),
        AuditKind::RestoreUndone => "found disabled again".into(),
        AuditKind::RouterAdded { address } => format!("router added at {address}"),
        AuditKind::RouterChanged { .. } => "router changed".into(),
        AuditKind::PasswordForgotten { .. } => "password forgotten".into(),
        AuditKind::RouterEnabled => "router taken into service".into(),
        AuditKind::RouterDisabled => "router taken out of service".into(),
        AuditKind::RouterAccepted => "another box accepted".into(),
        AuditKind::RouterRemoved { .. } => "router removed".into(),
        AuditKind::RouterDown { error } => format!("cannot be used: {error}"),
        AuditKind::RouterUp { down_for } => format!("answers again after {}", span(*down_for)),
        AuditKind::RouterOwned { watcher, .. } => format!("served by watcher {watcher}"),
        AuditKind::RouterReleased { watcher } => format!("let go by watcher {watcher}"),
        AuditKind::StraysFound { strays } => format!("{} found", count(*strays, "stray")),
        AuditKind::BrakeSet { brake } => format!("braked: {brake}"),
        AuditKind::BrakeEnded { brake } => format!("brake ended by itself: {brake}"),
        AuditKind::BrakeReleased { brake } => format!("brake released: {brake}"),
        AuditKind::TenantAdded { slug } => format!("tenant {slug} added"),
        AuditKind::TenantRemoved { slug } => format!("tenant {slug} removed"),
    }
}

fn by(way_in: Option<WayIn>) -> String {
    way_in.map_or(String::new(), |way_in| format!(" (by {})", way_in.as_str()))
}

fn words(access: Access) -> String {
    match access {
        Access::None => "none".into(),
        Access::Until(end) => format!("an end at {}", utc(end)),
        Access::Forever => "no end".into(),
    }
}
