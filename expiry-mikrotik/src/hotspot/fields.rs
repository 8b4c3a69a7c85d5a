//! Fields of a row, read with patience: a router leaves out what is unset, and what it prints has
//! changed between versions.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use expiry_core::{MacAddr, RowId, spelling::spell};

use crate::wire::Sentence;

/// Returns the row's id; a row without one cannot be named and is of no use.
pub(super) fn id(row: &Sentence) -> Option<RowId> {
    RowId::new(std::str::from_utf8(row.get(".id")?).ok()?)
}

/// Returns the spelling of a text, empty if unset.
pub(super) fn text(row: &Sentence, name: &str) -> String {
    row.get(name).map(spell).unwrap_or_default()
}

/// Returns the spelling of a text, if there is one.
pub(super) fn some_text(row: &Sentence, name: &str) -> Option<String> {
    row.get(name).filter(|text| !text.is_empty()).map(spell)
}

pub(super) fn flag(row: &Sentence, name: &str) -> bool {
    matches!(row.get(name), Some(b"true" | b"yes"))
}

pub(super) fn mac(row: &Sentence, name: &str) -> Option<MacAddr> {
    readable(row, name)?.parse().ok()
}

/// Returns an address without the port that may stand behind it.
pub(super) fn address(row: &Sentence, name: &str) -> Option<IpAddr> {
    let text = readable(row, name)?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|both| both.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// Returns a duration, as `1w2d7h44m20s`, `01:22:53` or `1d02:03:04`.
pub(super) fn duration(row: &Sentence, name: &str) -> Option<Duration> {
    expiry_core::text::duration(readable(row, name)?)
}

fn readable<'a>(row: &'a Sentence, name: &str) -> Option<&'a str> {
    std::str::from_utf8(row.get(name)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rstest::rstest;

    use super::*;

    fn row(value: impl AsRef<[u8]>) -> Sentence {
        Sentence::new("!re").attribute("x", value)
    }

    #[rstest]
    #[case("10.0.0.1", Some("10.0.0.1"))]
    #[case("10.0.0.1:443", Some("10.0.0.1"))]
    #[case("2001:db8::1", Some("2001:db8::1"))]
    #[case("[2001:db8::1]:443", Some("2001:db8::1"))]
    #[case("[2001:db8::1]", Some("2001:db8::1"))]
    #[case("10.0.0.1-10.0.0.9", None)]
    #[case("10.0.0.1:70000", None)]
    #[case("", None)]
    fn addresses_lose_their_ports(#[case] printed: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(|text| text.parse().expect("an address"));
        assert_eq!(address(&row(printed), "x"), expected);
    }

    #[rstest]
    #[case("true", true)]
    #[case("yes", true)]
    #[case("false", false)]
    #[case("no", false)]
    #[case("", false)]
    fn flags_come_in_two_spellings(#[case] printed: &str, #[case] expected: bool) {
        assert_eq!(flag(&row(printed), "x"), expected);
        assert!(!flag(&row(printed), "absent"));
    }

    #[rstest]
    #[case("20s", Some(20))]
    #[case("7h44m20s", Some(27_860))]
    #[case("1w2d7h44m20s", Some(805_460))]
    #[case("00:00:05", Some(5))]
    #[case("01:22:53", Some(4_973))]
    #[case("1d02:03:04", Some(93_784))]
    #[case("1w1d00:00:01", Some(691_201))]
    #[case("", None)]
    #[case("5", None)]
    #[case("5x", None)]
    #[case("1:x", None)]
    fn durations_come_in_three_forms(#[case] printed: &str, #[case] seconds: Option<u64>) {
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(duration(&row(printed), "x"), expected);
    }

    #[test]
    fn r1_lower_case_macs_are_read() {
        assert_eq!(
            mac(&row("aa:bb:cc:dd:ee:0f"), "x"),
            mac(&row("AA:BB:CC:DD:EE:0F"), "x")
        );
        assert!(mac(&row("aa:bb:cc:dd:ee:0f"), "x").is_some());
        assert_eq!(mac(&row("00:00:00:00:00:00"), "x"), None);
    }

    #[test]
    fn r1_names_that_are_no_text_are_told_apart() {
        assert_eq!(text(&row(b"caf\xe9"), "x"), r"caf\xe9");
        assert_ne!(text(&row(b"caf\xe9"), "x"), text(&row(b"caf\xe8"), "x"));
        assert_eq!(
            some_text(&row(b"\x1b[2J"), "x").as_deref(),
            Some(r"\x1b[2J")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..30)) {
            let row = row(bytes);
            let _ = duration(&row, "x");
            let _ = (id(&row), text(&row, "x"), flag(&row, "x"), mac(&row, "x"), address(&row, "x"));
        }
    }
}
