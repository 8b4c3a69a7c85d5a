use super::Leftovers;
use crate::{ActiveRow, WayIn};

/// Suspects how a target came back after a confirmed cut, from what a look shows of it.
pub fn suspected_way_in(left: &Leftovers) -> WayIn {
    let by = |wanted: &[&str]| {
        left.actives
            .iter()
            .filter_map(|row| row.login_by.as_deref())
            .any(|found| found.split(',').any(|word| wanted.contains(&word.trim())))
    };
    if by(&["trial"]) || left.actives.iter().any(|row| row.user.starts_with("T-")) {
        WayIn::Trial
    } else if left.actives.iter().any(|row| row.radius) {
        WayIn::Radius
    } else if !left.bindings.is_empty() || left.open_hosts.iter().any(|row| row.bypassed) {
        WayIn::Bypass
    } else if by(&["mac"]) || left.actives.iter().any(is_named_like_its_device) {
        WayIn::MacLogin
    } else if by(&["cookie", "mac-cookie"]) || !left.cookies.is_empty() {
        WayIn::Cookie
    } else if !left.users.is_empty() {
        WayIn::Account
    } else {
        WayIn::Unknown
    }
}

/// A phone number of twelve digits reads as a MAC, too, but not as that of its device.
fn is_named_like_its_device(row: &ActiveRow) -> bool {
    row.login_by.is_none() && row.mac.is_some() && row.user.parse().ok() == row.mac
}
