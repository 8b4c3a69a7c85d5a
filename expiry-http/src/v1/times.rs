//! Times in bodies.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error};

/// A time, where there must be one. The shape around it does not say which field it is.
pub(super) fn at<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(from)?;
    read(&text).map_err(|wrong| D::Error::custom(format!("at: {wrong}")))
}

/// A time, or none.
pub(super) fn maybe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = text.map(|text| read(&text)).transpose();
    read.map_err(D::Error::custom)
}

/// The longest that is repeated of what is no time.
const REPEATED: usize = 40;

fn read(text: &str) -> Result<DateTime<Utc>, String> {
    let Ok(at) = text.parse::<DateTime<FixedOffset>>() else {
        let shown: String = text.chars().take(REPEATED).collect();
        return Err(if has_no_offset(text) {
            format!(
                "`{shown}` has no offset, and a time needs one, as 2026-12-31T18:05:00Z or 2026-12-31T21:05:00+03:00"
            )
        } else {
            format!("`{shown}` is no time, as 2026-12-31T18:05:00Z or 2026-12-31T21:05:00+03:00")
        });
    };
    Ok(at.to_utc())
}

fn has_no_offset(text: &str) -> bool {
    let text = text.trim().replacen(' ', "T", 1);
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    forms
        .iter()
        .any(|form| NaiveDateTime::parse_from_str(&text, form).is_ok())
        || NaiveDate::parse_from_str(&text, "%Y-%m-%d").is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-12-31T18:05:00Z")]
    #[case("2026-12-31T18:05:00.250Z")]
    #[case("2026-12-31T21:05:00+03:00")]
    #[case("2026-12-31 21:05:00+03:00")]
    fn a_time_with_an_offset_is_one(#[case] text: &str) {
        let at = read(text).expect("a time");
        assert_eq!(at.format("%H:%M:%S").to_string(), "18:05:00");
    }

    #[rstest]
    #[case("2026-12-31T18:05:00")]
    #[case("2026-12-31 18:05:00")]
    #[case("2026-12-31T18:05")]
    #[case("2026-12-31T18:05:00.5")]
    #[case("2026-12-31")]
    fn a_time_without_an_offset_is_told_what_it_lacks(#[case] text: &str) {
        let wrong = read(text).expect_err("no offset");
        assert!(wrong.contains("has no offset"), "{wrong}");
        assert!(wrong.contains(text), "{wrong}");
    }

    #[rstest]
    #[case("")]
    #[case("tomorrow")]
    #[case("2026-13-31T18:05:00Z")]
    fn what_is_no_time_is_told_how_one_looks(#[case] text: &str) {
        let wrong = read(text).expect_err("no time");
        assert!(wrong.contains("is no time"), "{wrong}");
    }
}
