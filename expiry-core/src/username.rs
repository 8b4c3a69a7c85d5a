//! The name under which a subscriber logs in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::text::is_unseen;

/// A subscriber's name on the router, usually the phone number.
///
/// One `+` before digits is not part of the name, on either side: `+255700000001` and
/// `255700000001` are the same subscriber. Otherwise names match exactly and by case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Username(String);

/// Why a text is not a username.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsernameError {
    /// There is nothing in it.
    #[error("a username is not empty")]
    Empty,
    /// More than 128 bytes.
    #[error("username `{0}` is longer than 128 bytes")]
    TooLong(String),
    /// White space at an end, a control character, or U+FFFD (which stands for unreadable bytes).
    #[error("username {0:?} has a control character, or white space at an end")]
    Unprintable(String),
    /// A character that shows nothing, which no router has in its name: pasted along from an
    /// address book or a web page.
    #[error(
        "username {0:?} has a character that is not seen, such as a space of no width or a mark of \
         direction: type it anew"
    )]
    Unseen(String),
}

impl Username {
    /// Returns the name without the dropped `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what to look for in names if somebody looks for this part of one: as of a whole name,
    /// the `+` before digits is no part of it.
    pub fn part(text: &str) -> &str {
        without_plus(text)
    }

    /// Tells whether a name found on a router is this one.
    pub fn matches(&self, found: &str) -> bool {
        without_plus(found) == self.0
    }

    /// Returns the spellings under which a router may hold this name.
    pub fn spellings(&self) -> impl Iterator<Item = String> {
        let digits = self.0.bytes().all(|b| b.is_ascii_digit());
        let with_plus = digits.then(|| format!("+{}", self.0));
        std::iter::once(self.0.clone()).chain(with_plus)
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
        let name = without_plus(text);
        if name.is_empty() {
            return Err(UsernameError::Empty);
        }
        if name.len() > 128 {
            return Err(UsernameError::TooLong(name.into()));
        }
        let unprintable = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        if name.trim() != name || name.contains(unprintable) {
            return Err(UsernameError::Unprintable(name.into()));
        }
        if name.contains(is_unseen) {
            return Err(UsernameError::Unseen(name.into()));
        }
        Ok(Self(name.into()))
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

    proptest! {
        #[test]
        fn every_spelling_matches(text in "[+]?[0-9a-z]{1,12}") {
            let name: Username = text.parse().expect("printable");
            prop_assert!(name.matches(&text));
            for spelling in name.spellings() {
                prop_assert!(name.matches(&spelling));
                prop_assert_eq!(spelling.parse::<Username>(), Ok(name.clone()));
            }
        }
    }
}
