//! Values on the command line, and what to say about wrong ones.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use expiry_core::{MacAddr, config::LONGEST};
use thiserror::Error;

#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum ValueError {
    #[error("it has no offset: add Z or an offset such as +03:00")]
    NoOffset,
    #[error("it has no time of day: add a time and an offset, such as {0}T00:00:00Z")]
    NoTimeOfDay(NaiveDate),
    #[error("its order is ambiguous: write year-month-day, such as 2026-12-31T18:00:00Z")]
    Ambiguous,
    #[error(
        "a number, as a spreadsheet counts days: format the column as text, and write a time such \
         as 2026-12-31T18:00:00Z"
    )]
    DayNumber,
    #[error("not a time such as 2026-12-31T18:00:00Z")]
    NotATime,
    #[error("it must lie in the years 1 to 9999 of UTC")]
    FarAway,
    #[error("not a duration such as 90s, 2h or 7d")]
    NotADuration,
    #[error("it must be longer than 0 s")]
    ZeroDuration,
    #[error(
        "time is not taken away by a minus: `expiryctl subscriber extend NAME --until TIME --shorten` \
         lets access end earlier, `expiryctl subscriber revoke NAME` ends it now"
    )]
    Negative,
    #[error("not a time such as 30s or 5m")]
    NotSeconds,
    #[error("it must be whole seconds, from {0}s to 24h")]
    OutOfRange(u64),
    #[error("it must be between 10s and 1h: a check that comes less often watches nothing")]
    Every,
    #[error("it must be between 5s and 1h")]
    DemoLength,
    #[error("a name is not empty and has no control character or white space at an end")]
    NotAName,
    #[error("a short name has 1 to 64 lower-case letters, digits and `-`, such as `cafe-1`")]
    NotASlug,
    #[error("not a host name or an IP address; the port goes to --port")]
    NotAHost,
    #[error("not NAME=MAC, such as 255700000001=AA:BB:CC:DD:EE:FF")]
    NotAClient,
}

/// The first and the last second of the years that RFC 3339 can write.
const WRITABLE: [i64; 2] = [-62_135_596_800, 253_402_300_799];

pub(crate) fn instant(text: &str) -> Result<DateTime<Utc>, ValueError> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at = at.to_utc();
        let [first, last] = WRITABLE.map(|second| DateTime::from_timestamp(second, 0));
        let is_writable = (first..=last).contains(&Some(at));
        return is_writable.then_some(at).ok_or(ValueError::FarAway);
    }
    let naive = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ];
    if naive
        .iter()
        .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
    {
        return Err(ValueError::NoOffset);
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Err(ValueError::NoTimeOfDay(date));
    }
    Err(as_spreadsheets_write(text).unwrap_or(ValueError::NotATime))
}

fn as_spreadsheets_write(text: &str) -> Option<ValueError> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let date = text.split_whitespace().next()?;
    if date.split(['/', '.', '-']).count() == 3 && date.split(['/', '.', '-']).all(is_number) {
        return Some(ValueError::Ambiguous);
    }
    let (whole, part) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    (is_number(whole) && is_number(part)).then_some(ValueError::DayNumber)
}

pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err(ValueError::ZeroDuration),
        Err(_) if humantime::parse_duration(text.trim_start_matches('-')).is_ok() => {
            Err(ValueError::Negative)
        }
        Ok(duration) => Ok(duration),
        Err(_) => Err(ValueError::NotADuration),
    }
}

/// Takes whole seconds, with a unit or without, within what the key of the configuration takes.
pub(super) fn seconds(least: Duration) -> impl Fn(&str) -> Result<u64, ValueError> + Clone {
    move |text: &str| {
        let plain = text.parse().map(Duration::from_secs);
        let time = plain.or_else(|_| humantime::parse_duration(text));
        let time = time.map_err(|_| ValueError::NotSeconds)?;
        let is_whole = time.subsec_nanos() == 0;
        if is_whole && (least..=LONGEST).contains(&time) {
            Ok(time.as_secs())
        } else {
            Err(ValueError::OutOfRange(least.as_secs()))
        }
    }
}

/// Takes how often cron starts a check.
pub(super) fn every(text: &str) -> Result<Duration, ValueError> {
    let allowed = Duration::from_secs(10)..=Duration::from_hours(1);
    let plain = text.parse().map(Duration::from_secs);
    let every = plain.or_else(|_| humantime::parse_duration(text));
    let every = every.map_err(|_| ValueError::NotSeconds)?;
    let is_allowed = allowed.contains(&every);
    is_allowed.then_some(every).ok_or(ValueError::Every)
}

pub(super) fn demo_length(text: &str) -> Result<Duration, ValueError> {
    let allowed = Duration::from_secs(5)..=Duration::from_hours(1);
    match duration(text) {
        Ok(length) if allowed.contains(&length) => Ok(length),
        Ok(_) | Err(ValueError::Negative) => Err(ValueError::DemoLength),
        Err(wrong) => Err(wrong),
    }
}

pub(super) fn name(text: &str) -> Result<String, ValueError> {
    if text.is_empty() || text.trim() != text || text.contains(char::is_control) {
        return Err(ValueError::NotAName);
    }
    Ok(text.into())
}

pub(super) fn slug(text: &str) -> Result<String, ValueError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.into())
    } else {
        Err(ValueError::NotASlug)
    }
}

pub(crate) fn host(text: &str) -> Result<String, ValueError> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(text.into());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !text.is_empty() && text.bytes().all(allowed) {
        Ok(text.into())
    } else {
        Err(ValueError::NotAHost)
    }
}

pub(super) fn client(text: &str) -> Result<(String, MacAddr), ValueError> {
    let (user, mac) = text.split_once('=').ok_or(ValueError::NotAClient)?;
    let mac = mac.parse().map_err(|_| ValueError::NotAClient)?;
    let user = name(user).map_err(|_| ValueError::NotAClient)?;
    Ok((user, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_time_without_an_offset_is_refused_with_the_way_out() {
        for text in [
            "2026-12-31T18:00:00",
            "2026-12-31 18:00:00.5",
            "2026-12-31T18:00",
        ] {
            assert_eq!(instant(text), Err(ValueError::NoOffset), "{text}");
        }
        assert_eq!(instant("tomorrow"), Err(ValueError::NotATime));
    }

    #[test]
    fn r12_a_time_as_a_spreadsheet_writes_it_is_refused_with_what_would_be_right() {
        let error = instant("2030-01-01").expect_err("no time of day");
        assert!(
            error.to_string().ends_with("such as 2030-01-01T00:00:00Z"),
            "{error}"
        );
        for text in ["31/12/2026", "12/31/26 18:00", "31.12.2026", "31-12-2026"] {
            assert_eq!(instant(text), Err(ValueError::Ambiguous), "{text}");
        }
        for text in ["46387", "46387.75", "46387,75"] {
            assert_eq!(instant(text), Err(ValueError::DayNumber), "{text}");
        }
        for text in ["", "1/2", "a/b/c", "10 days", "."] {
            assert_eq!(instant(text), Err(ValueError::NotATime), "{text}");
        }
    }

    #[test]
    fn r12_offsets_become_utc() {
        let utc = instant("2026-12-31T18:00:00Z").expect("a time");
        assert_eq!(instant("2026-12-31T21:00:00+03:00"), Ok(utc));
    }

    #[test]
    fn r12_a_time_that_cannot_be_written_in_utc_is_refused() {
        let far = [
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ];
        for text in far {
            assert_eq!(instant(text), Err(ValueError::FarAway), "{text}");
        }
        assert!(instant("0001-01-01T00:00:00Z").is_ok());
        assert!(instant("9999-12-31T23:59:59Z").is_ok());
    }

    #[test]
    fn no_time_at_all_cannot_be_bought() {
        assert_eq!(duration("0s"), Err(ValueError::ZeroDuration));
        assert_eq!(duration("90"), Err(ValueError::NotADuration));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(duration("-2h"), Err(ValueError::Negative));
        assert_eq!(demo_length("-2h"), Err(ValueError::DemoLength));
    }

    #[test]
    fn seconds_come_with_a_unit_or_without() {
        let interval = seconds(Duration::from_secs(1));
        for text in ["90", "90s", "1m 30s"] {
            assert_eq!(interval(text), Ok(90), "{text}");
        }
        for text in ["0", "500ms", "1500ms", "25h"] {
            assert_eq!(interval(text), Err(ValueError::OutOfRange(1)), "{text}");
        }
        for text in ["", "-5", "soon", "99999999999999999999"] {
            assert_eq!(interval(text), Err(ValueError::NotSeconds), "{text}");
        }
    }

    #[test]
    fn a_check_that_hardly_comes_watches_nothing() {
        assert_eq!(every("60"), Ok(Duration::from_mins(1)));
        assert_eq!(every("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(every("9s"), Err(ValueError::Every));
        assert_eq!(every("61m"), Err(ValueError::Every));
        assert_eq!(every("often"), Err(ValueError::NotSeconds));
    }

    #[test]
    fn a_host_carries_no_port() {
        assert_eq!(host("10.0.0.1:8728"), Err(ValueError::NotAHost));
        assert!(host("fd00::1").is_ok());
        assert!(host("router-1.example").is_ok());
    }

    #[test]
    fn a_client_is_a_name_and_a_mac() {
        let mac = "AA:BB:CC:DD:EE:FF".parse().expect("a MAC");
        assert_eq!(client("joe=aa-bb-cc-dd-ee-ff"), Ok(("joe".into(), mac)));
        for wrong in ["joe", "=AA:BB:CC:DD:EE:FF", "joe=12"] {
            assert_eq!(client(wrong), Err(ValueError::NotAClient), "{wrong}");
        }
    }
}
