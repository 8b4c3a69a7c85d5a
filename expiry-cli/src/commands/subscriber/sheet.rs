//! The form that lists of subscribers have in files: their columns, and how values are written.

use std::borrow::Cow;

use chrono::SecondsFormat;
use expiry_core::{Access, RouterId};

/// The columns of CSV, and the keys of JSON lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Username,
    ExpiresAt,
    Devices,
    Tenant,
    Router,
    Service,
}

impl Column {
    pub(super) const ALL: [Self; 6] = [
        Self::Username,
        Self::ExpiresAt,
        Self::Devices,
        Self::Tenant,
        Self::Router,
        Self::Service,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::ExpiresAt => "expires_at",
            Self::Devices => "devices",
            Self::Tenant => "tenant",
            Self::Router => "router",
            Self::Service => "service",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// Tells whether its values are names that people gave, which may be anything.
    pub(super) fn holds_names(self) -> bool {
        matches!(self, Self::Username | Self::Tenant | Self::Router)
    }
}

/// Writes when access ends, to the last digit.
pub(super) fn expires_at(access: Access) -> String {
    match access {
        Access::None => "none".into(),
        Access::Until(end) => end.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Access::Forever => "forever".into(),
    }
}

/// Writes a binding to a router that is there no longer.
pub(super) fn removed_router(id: RouterId) -> String {
    format!("(removed {id})")
}

pub(super) fn read_removed_router(text: &str) -> Option<RouterId> {
    let id = text.strip_prefix("(removed ")?.strip_suffix(')')?;
    id.parse().ok().map(RouterId)
}

/// Puts an apostrophe before a name that a spreadsheet would take for a number or a formula, so
/// that it stays text.
pub(super) fn guarded(name: &str) -> Cow<'_, str> {
    if is_mistakable(name) {
        format!("'{name}").into()
    } else {
        name.into()
    }
}

/// Takes the apostrophe away again.
pub(super) fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(name) if is_mistakable(name) => name,
        _ => text,
    }
}

/// Apostrophes that a name begins with do not count, so that [`unguarded`] always undoes
/// [`guarded`].
fn is_mistakable(name: &str) -> bool {
    let name = name.trim_start_matches('\'');
    name.starts_with(['=', '+', '-', '@'])
        || !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
        || is_shortened(name)
}

/// Tells whether a spreadsheet seems to have written a long number as `2.557E+11`.
pub(super) fn is_shortened(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.strip_prefix('+').unwrap_or_default();
    let (whole, part) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    is_number(whole) && is_number(part) && is_number(exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_spreadsheet_would_change_is_guarded() {
        for name in [
            "255700000001",
            "0712",
            "=1+1",
            "@joe",
            "-5",
            "2.5E+11",
            "'1",
            "''=x",
        ] {
            assert_eq!(guarded(name), format!("'{name}"));
        }
        for name in ["joe", "joe@cafe", "E+5", "1E5", "'", "'joe", "12a", ""] {
            assert_eq!(guarded(name), name);
            assert_eq!(unguarded(name), name);
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "['=+@0-9.Ea-]{0,8}|.{0,12}") {
            let written = guarded(&name);
            prop_assert_eq!(unguarded(&written), &name);
        }
    }
}
