//! How text of a router is written, whatever bytes it has.
//!
//! RouterOS keeps names and comments as bytes, without a charset. Here, in the store and in
//! everything that is shown or entered they are text, by one rule:
//!
//! - A byte that cannot be read is written `\xhh`, with two small hexadecimal digits: one that is
//!   not UTF-8, or that belongs to a control character, to a character that is not seen, to
//!   U+FFFD, or to white space at either end.
//! - A backslash directly before an `x` is written `\x5c`.
//! - Everything else stands for itself, other backslashes too.
//!
//! So bytes have one spelling, and different bytes have different ones. Where text is entered,
//! `\x` and any two hexadecimal digits are that byte.

use crate::text::is_unseen;

/// Writes bytes of a router as text.
///
/// ```
/// # use expiry_core::spelling::spell;
/// assert_eq!(spell(b"caf\xe9"), r"caf\xe9");
/// assert_eq!(spell("café".as_bytes()), "café");
/// assert_eq!(spell(br"corp\joe"), r"corp\joe");
/// assert_eq!(spell(br"corp\xaver"), r"corp\x5cxaver");
/// ```
pub fn spell(bytes: &[u8]) -> String {
    let mut spelled = String::with_capacity(bytes.len());
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for (offset, c) in chunk.valid().char_indices() {
            let from = at + offset;
            let until = from + c.len_utf8();
            let is_escaped = c.is_control()
                || is_unseen(c)
                || c == char::REPLACEMENT_CHARACTER
                || c == '\\' && bytes.get(until) == Some(&b'x')
                || c.is_whitespace() && (is_blank(&bytes[..from]) || is_blank(&bytes[until..]));
            if is_escaped {
                escape(&mut spelled, &bytes[from..until]);
            } else {
                spelled.push(c);
            }
        }
        escape(&mut spelled, chunk.invalid());
        at += chunk.valid().len() + chunk.invalid().len();
    }
    spelled
}

/// Returns the bytes that a text stands for.
///
/// ```
/// # use expiry_core::spelling::bytes_of;
/// assert_eq!(bytes_of(r"caf\xE9"), b"caf\xe9");
/// assert_eq!(bytes_of(r"corp\x5cxaver"), br"corp\xaver");
/// ```
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        if let Some((byte, after)) = escaped(rest) {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// Reads one `\xhh`.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[b'\\', b'x', high, low], rest) = text.split_first_chunk()? else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(high)? * 16 + digit(low)?;
    Some((u8::try_from(byte).ok()?, rest))
}

fn escape(spelled: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        spelled.push_str("\\x");
        for digit in [byte >> 4, byte & 15] {
            spelled.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

/// Tells whether there is nothing but white space.
fn is_blank(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::{collection::vec, prelude::*};
    use rstest::rstest;

    use super::*;
    use crate::{Username, text::one_line};

    #[rstest]
    #[case(b"255700000001", "255700000001")]
    #[case("Zoë 2".as_bytes(), "Zoë 2")]
    #[case(b"a\x1b[2Jb", r"a\x1b[2Jb")]
    #[case(b"caf\xe9", r"caf\xe9")]
    #[case(b"caf\xe8", r"caf\xe8")]
    #[case(b"a\\b", r"a\b")]
    #[case(b"a\\x1b", r"a\x5cx1b")]
    #[case(b"a\\\\x1b", r"a\\x5cx1b")]
    #[case(b"a\\\xff", r"a\\xff")]
    #[case(b" a b\t", r"\x20a b\x09")]
    #[case(b"  ", r"\x20\x20")]
    #[case("a\u{a0}".as_bytes(), r"a\xc2\xa0")]
    #[case("a\u{200b}b\u{fffd}".as_bytes(), r"a\xe2\x80\x8bb\xef\xbf\xbd")]
    #[case("a\u{85}".as_bytes(), r"a\xc2\x85")]
    fn bytes_have_one_spelling(#[case] bytes: &[u8], #[case] spelled: &str) {
        assert_eq!(spell(bytes), spelled);
        assert_eq!(bytes_of(spelled), bytes);
    }

    #[rstest]
    #[case(r"\x", br"\x")]
    #[case(r"\x1", br"\x1")]
    #[case(r"\xzz", br"\xzz")]
    #[case(r"\X1B", br"\X1B")]
    #[case(r"\x41\xC3\xa9", "Aé".as_bytes())]
    fn what_is_no_escape_stands_for_itself(#[case] text: &str, #[case] bytes: &[u8]) {
        assert_eq!(bytes_of(text), bytes);
    }

    proptest! {
        #[test]
        fn r1_different_bytes_are_never_spelled_alike(
            a in vec(any::<u8>(), 0..12),
            b in vec(any::<u8>(), 0..12),
        ) {
            prop_assert_eq!(bytes_of(&spell(&a)), a.clone());
            prop_assert_eq!(spell(&a) == spell(&b), a == b);
        }

        /// Backslashes, digits and an `x` are what an escape is made of.
        #[test]
        fn r1_text_that_looks_like_an_escape_is_told_from_one(
            bytes in vec(prop::sample::select(b"\\x015ce\xe9 ".to_vec()), 0..12),
        ) {
            prop_assert_eq!(bytes_of(&spell(&bytes)), bytes);
        }

        #[test]
        fn nothing_that_moves_a_cursor_is_left_and_every_spelling_is_a_name(
            bytes in vec(any::<u8>(), 1..40),
        ) {
            let spelled = spell(&bytes);
            prop_assert_eq!(one_line(&spelled), spelled.as_str());
            prop_assert!(spelled.trim() == spelled);
            let name = Username::from_str(&spelled).expect("a name");
            prop_assert!(name.matches(&spelled));
        }

        /// Names that had no escape before there were any mean what they meant.
        #[test]
        fn names_without_an_escape_are_spelled_as_they_are(text in "[a-z\\\\ é]{1,20}") {
            prop_assume!(!text.contains("\\x") && text.trim() == text);
            prop_assert_eq!(spell(text.as_bytes()), text);
        }
    }
}
