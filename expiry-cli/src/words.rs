//! Times, spans and ways in, in words that can be read aloud.

use std::time::Duration;

use chrono::{DateTime, Utc};
use expiry_core::WayIn;

use crate::output::count;

/// Writes a time to the second.
pub(crate) fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Writes a time, and how long ago it was or how far ahead it is.
pub(crate) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{}, {}", utc(at), relative(at, now))
}

/// Says how long ago a time was, or how far ahead it is.
pub(crate) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    const SECOND: Duration = Duration::from_secs(1);
    match (now - at).to_std() {
        Ok(ago) if ago < SECOND => "just now".into(),
        Ok(ago) => format!("{} ago", span(ago)),
        Err(_) => match (at - now).to_std() {
            Ok(ahead) if ahead >= SECOND => format!("in {}", span(ahead)),
            _ => "now".into(),
        },
    }
}

/// Says how long something took: its largest unit, and the next smaller one where that matters.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) => format!("{} ms", length.as_millis()),
        (0, 0, 0, _) => count(seconds, "second"),
        (0, 0, 1..10, _) => both(count(minutes, "minute"), seconds % 60, "second"),
        (0, 0, _, _) => count(minutes, "minute"),
        (0, _, _, _) => both(count(hours, "hour"), minutes % 60, "minute"),
        _ => both(count(days, "day"), hours % 24, "hour"),
    }
}

fn both(larger: String, smaller: u64, unit: &str) -> String {
    match smaller {
        0 => larger,
        n => format!("{larger} {}", count(n, unit)),
    }
}

/// Writes a name as one word of a shell.
pub(crate) fn shell_word(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.into()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

/// Says how often.
pub(crate) fn times(n: u32) -> String {
    match n {
        1 => "once".into(),
        2 => "twice".into(),
        n => format!("{n} times"),
    }
}

/// Joins the items of a list: "a", "a and b", "a, b and c".
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Says by which way somebody keeps coming back, and how to close it.
pub(crate) fn advice(way_in: WayIn) -> &'static str {
    match way_in {
        WayIn::Trial => "trial: take `trial` out of `login-by` of the server profile",
        WayIn::Radius => "RADIUS: reject the account there too",
        WayIn::MacLogin => "MAC login: remove the MAC from RADIUS, or `mac` from `login-by`",
        WayIn::Cookie => "a saved cookie: take `cookie` out of `login-by`",
        WayIn::Bypass => "a bypass binding: something on the router makes it anew",
        WayIn::SharedBypass => {
            "a bypass binding that covers others too: narrow or disable it on the router"
        }
        WayIn::Account => "its account: something else enables it again",
        WayIn::Unknown => "a way that the rows do not show",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_by_their_largest_units() {
        let cases = [
            (Duration::from_micros(41_900), "41 ms"),
            (Duration::from_millis(1_999), "1 second"),
            (Duration::from_secs(59), "59 seconds"),
            (Duration::from_mins(1), "1 minute"),
            (Duration::from_secs(185), "3 minutes 5 seconds"),
            (Duration::from_secs(659), "10 minutes"),
            (Duration::from_mins(61), "1 hour 1 minute"),
            (Duration::from_hours(2), "2 hours"),
            (Duration::from_secs(100_000), "1 day 3 hours"),
        ];
        for (length, words) in cases {
            assert_eq!(span(length), words);
        }
    }

    #[test]
    fn r12_a_time_is_utc_with_its_distance() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let by = Duration::from_secs;
        assert_eq!(
            when(now - by(180), now),
            "2027-01-15 07:57:00 UTC, 3 minutes ago"
        );
        assert_eq!(relative(now + by(7_200), now), "in 2 hours");
        assert_eq!(relative(now - Duration::from_millis(400), now), "just now");
        assert_eq!(relative(now + Duration::from_millis(400), now), "now");
    }

    #[test]
    fn lists_end_with_and() {
        let items = ["a", "b", "c"].map(String::from);
        assert_eq!(listed(&items), "a, b and c");
        assert_eq!(listed(&items[..2]), "a and b");
        assert_eq!(listed(&items[..1]), "a");
    }
}
