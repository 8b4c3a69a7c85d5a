//! How RouterOS spells values.

use std::{borrow::Cow, fmt::Write, time::Duration};

/// A printed value. RouterOS knows bytes, no charset.
pub(super) type Value<'a> = Cow<'a, [u8]>;

pub(super) fn owned<'a>(text: impl Into<String>) -> Value<'a> {
    Cow::Owned(text.into().into_bytes())
}

pub(super) fn flag(on: bool) -> Value<'static> {
    Cow::Borrowed(if on { b"true" } else { b"false" })
}

pub(super) fn parse_flag(value: &[u8]) -> Option<bool> {
    match value {
        b"yes" | b"true" => Some(true),
        b"no" | b"false" => Some(false),
        _ => None,
    }
}

fn push(text: &mut String, amount: u64, unit: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{amount}{unit}");
}

/// `1w2d7h44m20s`, whole seconds.
pub(super) fn duration(value: Duration) -> String {
    let mut rest = value.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)] {
        if rest >= seconds {
            push(&mut text, rest / seconds, unit);
            rest %= seconds;
        }
    }
    if rest > 0 || text.is_empty() {
        push(&mut text, rest, "s");
    }
    text
}

/// Reads `1w2d7h44m20s`, `01:22:53`, `1d02:03:04` and plain seconds.
pub(super) fn parse_duration(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let mut total: u64 = 0;
    let mut number = String::new();
    let mut clock: Vec<u64> = Vec::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let amount: u64 = std::mem::take(&mut number).parse().ok()?;
        let seconds: u64 = match c {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            ':' if clock.len() < 2 => {
                clock.push(amount);
                continue;
            }
            _ => return None,
        };
        total = total.checked_add(amount.checked_mul(seconds)?)?;
    }
    if !number.is_empty() {
        clock.push(number.parse().ok()?);
    }
    let of_day = clock
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(*part))?;
    Some(Duration::from_secs(total.checked_add(of_day)?))
}

/// Date and time of day, `2026-01-01` and `00:00:00`.
pub(super) fn date_and_time(unix: u64) -> (String, String) {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    // Days are counted from the first of March of year 0, so that leap days end a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{hour:02}:{minute:02}:{second:02}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0s", 0)]
    #[case("45s", 45)]
    #[case("1w2d7h44m20s", 805_460)]
    #[case("01:22:53", 4_973)]
    #[case("1d02:03:04", 93_784)]
    #[case("90", 90)]
    fn durations_are_read_in_every_form(#[case] text: &str, #[case] seconds: u64) {
        let expected = Some(Duration::from_secs(seconds));
        assert_eq!(parse_duration(text.as_bytes()), expected);
    }

    #[rstest]
    #[case("abc")]
    #[case("1x")]
    #[case("99999999999999999999")]
    fn what_is_no_duration_is_refused(#[case] text: &str) {
        assert_eq!(parse_duration(text.as_bytes()), None);
    }

    #[rstest]
    #[case(0, "1970-01-01", "00:00:00")]
    #[case(951_782_400, "2000-02-29", "00:00:00")]
    #[case(1_767_225_599, "2025-12-31", "23:59:59")]
    fn dates_are_those_of_the_calendar(#[case] unix: u64, #[case] date: &str, #[case] time: &str) {
        assert_eq!(date_and_time(unix), (date.into(), time.into()));
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(seconds in 0_u64..10_000_000) {
            let value = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(duration(value).as_bytes()), Some(value));
        }
    }
}
