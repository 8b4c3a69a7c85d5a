//! The form that lists of subscribers have in files: their columns, and how values are written.

use std::borrow::Cow;

use chrono::SecondsFormat;
use expiry_core::{Access, RouterId};

use crate::{args::SheetFormat, nearest::near};

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

    /// Finds a column by its name, of which the case does not count.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is_it = |column: &Self| column.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_it)
    }

    /// Finds the column that a name without one may have meant.
    pub(super) fn near(name: &str) -> Option<Self> {
        near(name, Self::ALL.map(Self::name)).and_then(Self::named)
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

/// Puts an apostrophe before a name that would not stay what it is: one that a spreadsheet would
/// take for a number or a formula, or one that looks as if a spreadsheet had changed it.
pub(super) fn guarded(name: &str, format: SheetFormat) -> Cow<'_, str> {
    if is_mistakable(name, format) {
        format!("'{name}").into()
    } else {
        name.into()
    }
}

/// Takes the apostrophe away again.
pub(super) fn unguarded(text: &str, format: SheetFormat) -> &str {
    match text.strip_prefix('\'') {
        Some(name) if is_mistakable(name, format) => name,
        _ => text,
    }
}

/// Apostrophes that a name begins with do not count, so that [`unguarded`] always undoes
/// [`guarded`].
fn is_mistakable(name: &str, format: SheetFormat) -> bool {
    let name = name.trim_start_matches('\'');
    let is_taken_for_a_value = || name.starts_with(['=', '+', '-', '@']) || is_number(name);
    changed(name).is_some() || format == SheetFormat::Csv && is_taken_for_a_value()
}

/// Says what a spreadsheet seems to have made of a name, if it seems so.
pub(super) fn changed(name: &str) -> Option<&'static str> {
    if is_shortened(name) || is_grouped(name) || is_fraction(name) {
        Some("is a number as a spreadsheet writes it")
    } else if is_error(name) {
        Some("is what a spreadsheet shows in place of a value")
    } else {
        None
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `2.557E+11`
fn is_shortened(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let exponent = exponent.strip_prefix('+').unwrap_or_default();
    let (whole, part) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    is_number(whole) && is_number(part) && is_number(exponent)
}

/// `255,700,000,001` and `255 700 000 001`
fn is_grouped(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let is_gap = |c: char| c == ',' || c.is_whitespace();
    text.contains(is_gap) && text.split(is_gap).all(is_number)
}

/// `255700000001.0`
fn is_fraction(text: &str) -> bool {
    let Some((whole, part)) = text.split_once('.') else {
        return false;
    };
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    is_number(whole) && !part.is_empty() && part.bytes().all(|b| b == b'0')
}

/// `########`, `#NAME?`, `#N/A`
fn is_error(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('#') else {
        return false;
    };
    let is_capital = |b: u8| b.is_ascii_uppercase() || b"/0_".contains(&b);
    let word = rest.strip_suffix(['?', '!']);
    rest.bytes().all(|b| b == b'#')
        || rest == "N/A"
        || word.is_some_and(|word| !word.is_empty() && word.bytes().all(is_capital))
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
            assert_eq!(guarded(name, SheetFormat::Csv), format!("'{name}"));
        }
        for name in ["joe", "joe@cafe", "E+5", "1E5", "'", "'joe", "12a", ""] {
            assert_eq!(guarded(name, SheetFormat::Csv), name);
            assert_eq!(unguarded(name, SheetFormat::Csv), name);
        }
        assert_eq!(guarded("2.5E+11", SheetFormat::Jsonl), "'2.5E+11");
        assert_eq!(guarded("0712", SheetFormat::Jsonl), "0712");
    }

    #[test]
    fn what_a_spreadsheet_made_of_a_number_is_known() {
        for name in [
            "2.557E+11",
            "255,700,000,001",
            "255 700\u{a0}000 003",
            "+255 700",
            "255700000001.0",
            "########",
            "#NAME?",
            "#DIV/0!",
            "#N/A",
        ] {
            assert!(changed(name).is_some(), "{name}");
        }
        for name in [
            "255700000001",
            "a,b",
            "10.0.0.1",
            "1.5",
            "#joe",
            "room 7",
            "7,",
            "#?",
            "",
        ] {
            assert_eq!(changed(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "['=+@0-9.,E#!a-]{0,8}|.{0,12}") {
            for format in [SheetFormat::Csv, SheetFormat::Jsonl] {
                let written = guarded(&name, format);
                prop_assert_eq!(unguarded(&written, format), &name);
                prop_assert_eq!(changed(&written), None);
            }
        }
    }
}
