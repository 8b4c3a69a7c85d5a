//! The lines of a list, as text, or what keeps them from being text.

use std::io::{self, BufRead, Read};

use super::faults::{Fault, Faults};

/// No line of a list is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One line without its end.
pub(super) struct Line<'a> {
    /// Counts from 1.
    pub(super) number: u64,
    /// `None` if it is not text; its fault is noted.
    pub(super) text: Option<&'a str>,
    /// How many bytes were read, in all lines so far.
    pub(super) read: u64,
}

pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    read: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            number: 0,
            read: 0,
            ended: false,
        }
    }

    pub(super) fn next(&mut self, faults: &mut Faults) -> io::Result<Option<Line<'_>>> {
        if self.ended {
            return Ok(None);
        }
        self.buffer.clear();
        let most = LONGEST + BOM.len() as u64;
        let mut limited = self.reader.by_ref().take(most);
        let taken = limited.read_until(b'\n', &mut self.buffer)? as u64;
        if taken == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.read += taken;
        if let Some(message) = self.hopeless(taken == most) {
            self.ended = true;
            faults.push(Fault::new(self.number, 1, message));
            return Ok(Some(self.line(None)));
        }
        let mut text = self.buffer.as_slice();
        if self.number == 1 {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        text = text.strip_suffix(b"\n").unwrap_or(text);
        text = text.strip_suffix(b"\r").unwrap_or(text);
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some(self.line(Some(text)))),
            Err(error) => {
                let at = error.valid_up_to();
                let byte = text.get(at).copied().unwrap_or_default();
                let message = format!(
                    "byte {} is 0x{byte:02X}, which is not UTF-8: save the file as UTF-8",
                    at + 1
                );
                faults.push(Fault::new(self.number, at as u64 + 1, message));
                Ok(Some(self.line(None)))
            }
        }
    }

    fn line<'a>(&self, text: Option<&'a str>) -> Line<'a> {
        Line {
            number: self.number,
            text,
            read: self.read,
        }
    }

    /// Tells why neither this line nor any after it can be read.
    fn hopeless(&self, is_too_long: bool) -> Option<&'static str> {
        let is_first = self.number == 1;
        let is_utf16 = self.buffer.starts_with(b"\xff\xfe") || self.buffer.starts_with(b"\xfe\xff");
        if is_first && (is_utf16 || self.buffer.contains(&0)) {
            return Some(
                "the file is UTF-16, not UTF-8: save it as `CSV UTF-8`, or convert it with \
                 `iconv -f UTF-16 -t UTF-8`",
            );
        }
        is_too_long.then_some("the line is longer than 64 KiB: this is no list of subscribers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<(u64, Option<String>)>, Vec<String>) {
        let mut faults = Faults::new("f");
        let mut lines = Lines::new(bytes);
        let mut read = Vec::new();
        while let Some(line) = lines.next(&mut faults).expect("read") {
            read.push((line.number, line.text.map(Into::into)));
        }
        (read, faults.lines().collect())
    }

    #[test]
    fn line_ends_and_a_bom_are_not_part_of_a_line() {
        let (lines, faults) = read(b"\xef\xbb\xbfa\r\n\nb");
        let expected = [(1, "a"), (2, ""), (3, "b")].map(|(n, text)| (n, Some(text.into())));
        assert_eq!(lines, expected);
        assert!(faults.is_empty());
    }

    #[test]
    fn what_is_not_utf_8_is_named_with_line_and_byte() {
        let (lines, faults) = read("a\né\u{fffd}".as_bytes());
        assert_eq!((lines.len(), faults.len()), (2, 0));
        let (lines, faults) = read(b"a\n\xc3\xa9x\xe9\nb");
        assert_eq!(lines[1], (2, None));
        assert_eq!(lines[2], (3, Some("b".into())));
        assert!(faults[0].starts_with("f:2:4: byte 4 is 0xE9"), "{faults:?}");
    }

    #[test]
    fn utf_16_is_named_once_with_the_way_out() {
        for bytes in [
            &b"\xff\xfeu\0s\0\n\0x\0\n\0"[..],
            b"\xfe\xff\0u\0s",
            b"u\0s\0",
        ] {
            let (lines, faults) = read(bytes);
            assert_eq!(lines, [(1, None)]);
            assert!(
                faults.len() == 1 && faults[0].contains("iconv"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn what_has_no_lines_ends_soon() {
        let (lines, faults) = read(&vec![b'x'; 200_000]);
        assert_eq!(lines, [(1, None)]);
        assert!(faults[0].contains("64 KiB"), "{faults:?}");
    }
}
