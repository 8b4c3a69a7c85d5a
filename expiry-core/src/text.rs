//! Characters that are not seen, and durations as routers print them.

use std::{borrow::Cow, time::Duration};

/// The format characters of Unicode (category Cf) and its line and paragraph separators.
const UNSEEN: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Tells whether a character shows nothing, but changes how text is read: spaces of no width, marks
/// of direction, breaks of lines that are no control characters.
pub fn is_unseen(c: char) -> bool {
    UNSEEN.iter().any(|(from, to)| (*from..=*to).contains(&c))
}

/// Writes what would move a cursor or is not seen as `\u{1b}`, line ends too: text of others then
/// is one line wherever it is shown.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() || is_unseen(c))
}

/// As [`one_line`], but line ends stay: for text whose lines are our own.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && (c.is_control() || is_unseen(c)))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// Reads a duration as RouterOS prints it: `1w2d7h44m20s`, `01:22:53` or `1d02:03:04`.
pub fn duration(text: &str) -> Option<Duration> {
    let (days, clock) = match text.rsplit_once('d') {
        Some((days, clock)) if clock.contains(':') => (format!("{days}d"), clock),
        _ if text.contains(':') => (String::new(), text),
        _ => (text.to_owned(), ""),
    };
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for letter in days.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit = match letter {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let count: u64 = std::mem::take(&mut digits).parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
    }
    if !digits.is_empty() || text.is_empty() {
        return None;
    }
    if !clock.is_empty() {
        let mut of_day: u64 = 0;
        for part in clock.split(':') {
            of_day = of_day.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        seconds = seconds.checked_add(of_day)?;
    }
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        let text = "\u{1b}[2Ja\r\n\u{202e}b\u{9b}c \\ 'é'";
        let expected = r"\u{1b}[2Ja\r\n\u{202e}b\u{9b}c \ 'é'";
        assert_eq!(one_line(text), expected);
        assert_eq!(lines("a\r\nb\u{200b}"), "a\\r\nb\\u{200b}");
        assert!(matches!(one_line("plain é"), Cow::Borrowed(_)));
    }
}
