use super::Leftovers;
use crate::{ActiveRow, WayIn};

/// Suspects how a target came back after a confirmed cut, from what a look shows of it.
pub fn suspected_way_in(left: &Leftovers) -> WayIn {
    let ways: Vec<_> = left.actives.iter().map(way_in_of_session).collect();
    let by = |way| ways.contains(&way);
    if by(WayIn::Trial) {
        WayIn::Trial
    } else if by(WayIn::Radius) {
        WayIn::Radius
    } else if left.bindings.is_empty() && !left.shared.is_empty() {
        WayIn::SharedBypass
    } else if !left.bindings.is_empty() || left.open_hosts.iter().any(|row| row.bypassed) {
        WayIn::Bypass
    } else if by(WayIn::MacLogin) {
        WayIn::MacLogin
    } else if by(WayIn::Cookie) || !left.cookies.is_empty() {
        WayIn::Cookie
    } else if !left.users.is_empty() {
        WayIn::Account
    } else {
        WayIn::Unknown
    }
}

/// Tells how a session was let in.
pub(super) fn way_in_of_session(row: &ActiveRow) -> WayIn {
    let words = row.login_by.as_deref().unwrap_or_default();
    let by = |wanted: &[&str]| words.split(',').any(|word| wanted.contains(&word.trim()));
    if by(&["trial"]) || row.user.starts_with("T-") {
        WayIn::Trial
    } else if row.radius {
        WayIn::Radius
    } else if by(&["mac"]) || is_named_like_its_device(row) {
        WayIn::MacLogin
    } else if by(&["cookie", "mac-cookie"]) {
        WayIn::Cookie
    } else if by(&["http-chap", "http-pap", "https"]) {
        WayIn::Account
    } else {
        WayIn::Unknown
    }
}

/// A phone number of twelve digits reads as a MAC, too, but not as that of its device.
fn is_named_like_its_device(row: &ActiveRow) -> bool {
    row.login_by.is_none() && row.mac.is_some() && row.user.parse().ok() == row.mac
}
