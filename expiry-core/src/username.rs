//! The name under which a subscriber logs in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::{
    spelling::{bytes_of, spell},
    text::is_unseen,
};

/// The most bytes of a name.
const MOST_BYTES: usize = 1024;

/// The most bytes of a spelling: an index of PostgreSQL takes no more than 2 704.
const MOST_SPELLED: usize = 2048;

/// A subscriber's name on the router, usually the phone number.
///
/// One `+` before digits is not part of the name, on either side: `+255700000001` and
/// `255700000001` are the same subscriber. Otherwise names match exactly, byte by byte.
///
/// A router takes any bytes. They are written by the rule of [`spelling`](crate::spelling): `\xhh` is a byte that
/// cannot be read, `\x5c` a backslash before an `x`. A name is kept, shown, sorted and searched as
/// it is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Username(String);

/// Why a text is not a username.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsernameError {
    /// There is nothing in it.
    #[error("a username is not empty")]
    Empty,
    /// More than 1 024 bytes, or more than 2 048 as it is spelled. Holds its beginning.
    #[error("username `{0}…` is longer than 1024 bytes (2048 with each `\\xhh` counted as four)")]
    TooLong(String),
    /// White space at an end, a control character, or U+FFFD (which stands for unreadable bytes).
    #[error(
        "username {0:?} has a control character, or white space at an end; if it has on the \
         router, write each such byte as \\x and two hexadecimal digits, such as \\x20 for a \
         blank"
    )]
    Unprintable(String),
    /// A character that shows nothing, which no router has in its name: pasted along from an
    /// address book or a web page.
    #[error(
        "username {0:?} has a character that is not seen, such as a space of no width or a mark of \
         direction: type it anew"
    )]
    Unseen(String),
}

/// So many digits are a whole phone number.
const WHOLE_NUMBER: usize = 9;

impl Username {
    /// Returns the spelling of the name, without the dropped `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what to look for in names if somebody looks for this part of one: as of a whole name,
    /// the `+` before digits is no part of it. Of a whole phone number (9 digits or more), however it
    /// is grouped, the digits after the `00` or `0` with which it is dialled are: names may hold it
    /// with the code of the country or without.
    ///
    /// ```
    /// # use expiry_core::Username;
    /// for number in ["0712000037", "0712-000-037", "+712 000 037", "00712000037"] {
    ///     assert_eq!(Username::part(number), "712000037");
    /// }
    /// assert_eq!(Username::part("0003"), "0003");
    /// ```
    pub fn part(text: &str) -> String {
        let is_grouping = |c: &char| matches!(c, ' ' | '-' | '.' | '(' | ')' | '/');
        let number: String = text.chars().filter(|c| !is_grouping(c)).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if digits.len() < WHOLE_NUMBER || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return without_plus(text).into();
        }
        let dialled = digits.strip_prefix("00");
        let dialled = dialled.or_else(|| digits.strip_prefix('0'));
        dialled.unwrap_or(digits).into()
    }

    /// Tells whether a name found on a router, in its spelling, is this one.
    pub fn matches(&self, found: &str) -> bool {
        without_plus(found) == self.0
    }

    /// Returns the names under which a router may hold this one, byte by byte.
    pub fn on_router(&self) -> impl Iterator<Item = Vec<u8>> {
        let bytes = bytes_of(&self.0);
        let digits = bytes.iter().all(u8::is_ascii_digit);
        let with_plus = digits.then(|| [b"+", bytes.as_slice()].concat());
        std::iter::once(bytes).chain(with_plus)
    }
}

fn without_plus(name: &str) -> &str {
    match name.strip_prefix('+') {
        Some(rest) if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => name,
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, UsernameError> {
        let typed = without_plus(text);
        if typed.is_empty() {
            return Err(UsernameError::Empty);
        }
        let too_long = || UsernameError::TooLong(typed.chars().take(32).collect());
        if typed.len() > 4 * MOST_BYTES {
            return Err(too_long());
        }
        let unprintable = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        if typed.trim() != typed || typed.contains(unprintable) {
            return Err(UsernameError::Unprintable(typed.into()));
        }
        if typed.contains(is_unseen) {
            return Err(UsernameError::Unseen(typed.into()));
        }
        let bytes = bytes_of(typed);
        let spelled = spell(&bytes);
        if bytes.len() > MOST_BYTES || spelled.len() > MOST_SPELLED {
            return Err(too_long());
        }
        Ok(Self(without_plus(&spelled).into()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("+255700000001", "255700000001", true)]
    #[case("255700000001", "+255700000001", true)]
    #[case("255700000001", "++255700000001", false)]
    #[case("12", "123", false)]
    #[case("john", "+john", false)]
    #[case("john", "John", false)]
    #[case("john", "john ", false)]
    fn r1_names_match_exactly_but_for_one_plus(
        #[case] ours: Username,
        #[case] found: &str,
        #[case] same: bool,
    ) {
        assert_eq!(ours.matches(found), same);
    }

    #[rstest]
    #[case("", UsernameError::Empty)]
    #[case(" a", UsernameError::Unprintable(" a".into()))]
    #[case("a\u{7}b", UsernameError::Unprintable("a\u{7}b".into()))]
    #[case("\u{200b}255", UsernameError::Unseen("\u{200b}255".into()))]
    #[case("\u{202a}+255\u{202c}", UsernameError::Unseen("\u{202a}+255\u{202c}".into()))]
    fn what_is_no_username_is_refused(#[case] text: &str, #[case] error: UsernameError) {
        assert_eq!(text.parse::<Username>(), Err(error));
    }

    #[rstest]
    #[case(r"caf\xE9", r"caf\xe9")]
    #[case(r"\x41lice", "Alice")]
    #[case(r"caf\xc3\xa9", "café")]
    #[case(r"\x2b12", "12")]
    #[case(r"corp\xaver", r"corp\x5cxaver")]
    #[case(r"corp\joe", r"corp\joe")]
    fn a_name_is_kept_in_its_one_spelling(#[case] typed: Username, #[case] spelled: &str) {
        assert_eq!(typed.as_str(), spelled);
        assert_eq!(spelled.parse(), Ok(typed));
    }

    #[test]
    fn long_names_are_names_up_to_a_limit_that_every_store_takes() {
        let name = |length| "n".repeat(length).parse::<Username>();
        assert_eq!(name(1024).expect("a name").as_str().len(), 1024);
        let error = name(1025).expect_err("too long");
        assert!(error.to_string().len() < 160, "{error}");
        let unreadable = |length| "\\xff".repeat(length).parse::<Username>();
        assert!(unreadable(512).is_ok());
        assert!(matches!(unreadable(513), Err(UsernameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn every_name_on_a_router_matches(text in "[+]?[0-9a-z]{1,12}") {
            let name: Username = text.parse().expect("printable");
            prop_assert!(name.matches(&text));
            for found in name.on_router() {
                let spelled = spell(&found);
                prop_assert!(name.matches(&spelled));
                prop_assert_eq!(spelled.parse::<Username>(), Ok(name.clone()));
            }
        }

        #[test]
        fn r1_names_of_any_bytes_match_themselves_and_nothing_else(
            a in proptest::collection::vec(any::<u8>(), 1..8),
            b in proptest::collection::vec(any::<u8>(), 1..8),
        ) {
            let name: Username = spell(&a).parse().expect("a name");
            prop_assert!(name.on_router().any(|found| found == a) || a.starts_with(b"+"));
            let is_same = name.on_router().any(|found| found == b);
            prop_assert_eq!(name.matches(&spell(&b)), is_same);
        }
    }
}
