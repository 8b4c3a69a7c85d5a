/// Appends the shortest prefix for a word of `length` bytes.
pub fn encode_length(length: u32, out: &mut Vec<u8>) {
    let [a, b, c, d] = length.to_be_bytes();
    match length {
        0..0x80 => out.push(d),
        0x80..0x4000 => out.extend([c | 0x80, d]),
        0x4000..0x20_0000 => out.extend([b | 0xC0, c, d]),
        0x20_0000..0x1000_0000 => out.extend([a | 0xE0, b, c, d]),
        0x1000_0000.. => out.extend([0xF0, a, b, c, d]),
    }
}

/// A prefix that is being read, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prefix {
    value: u32,
    missing: u8,
}

impl Prefix {
    /// Takes the first byte of a prefix. `None`: no prefix starts like this.
    pub(super) fn start(first: u8) -> Option<Self> {
        let (bits, missing) = match first {
            0x00..=0x7F => (first, 0),
            0x80..=0xBF => (first & 0x3F, 1),
            0xC0..=0xDF => (first & 0x1F, 2),
            0xE0..=0xEF => (first & 0x0F, 3),
            0xF0 => (0, 4),
            0xF1..=0xFF => return None,
        };
        Some(Self {
            value: u32::from(bits),
            missing,
        })
    }

    /// Takes a later byte.
    pub(super) fn push(&mut self, byte: u8) {
        self.value = self.value << 8 | u32::from(byte);
        self.missing = self.missing.saturating_sub(1);
    }

    /// Returns the length, once all bytes are there.
    pub(super) fn length(self) -> Option<u32> {
        (self.missing == 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn decode(bytes: &[u8]) -> Option<(u32, usize)> {
        let mut prefix = Prefix::start(*bytes.first()?)?;
        let mut used = 1;
        loop {
            if let Some(length) = prefix.length() {
                return Some((length, used));
            }
            prefix.push(*bytes.get(used)?);
            used += 1;
        }
    }

    #[rstest]
    #[case(0, &[0x00])]
    #[case(0x7F, &[0x7F])]
    #[case(0x80, &[0x80, 0x80])]
    #[case(0x3FFF, &[0xBF, 0xFF])]
    #[case(0x4000, &[0xC0, 0x40, 0x00])]
    #[case(0x1F_FFFF, &[0xDF, 0xFF, 0xFF])]
    #[case(0x20_0000, &[0xE0, 0x20, 0x00, 0x00])]
    #[case(0x0FFF_FFFF, &[0xEF, 0xFF, 0xFF, 0xFF])]
    #[case(0x1000_0000, &[0xF0, 0x10, 0x00, 0x00, 0x00])]
    #[case(u32::MAX, &[0xF0, 0xFF, 0xFF, 0xFF, 0xFF])]
    fn each_range_has_its_form(#[case] length: u32, #[case] expected: &[u8]) {
        let mut bytes = Vec::new();
        encode_length(length, &mut bytes);
        assert_eq!(bytes, expected);
        assert_eq!(decode(&bytes), Some((length, expected.len())));
    }

    #[rstest]
    #[case(&[0x80, 0x05])]
    #[case(&[0xC0, 0x00, 0x05])]
    #[case(&[0xE0, 0x00, 0x00, 0x05])]
    #[case(&[0xF0, 0x00, 0x00, 0x00, 0x05])]
    fn a_prefix_may_be_longer_than_needed(#[case] bytes: &[u8]) {
        assert_eq!(decode(bytes), Some((5, bytes.len())));
    }

    #[rstest]
    fn reserved_first_bytes_start_no_prefix() {
        for first in 0xF1..=0xFF {
            assert!(Prefix::start(first).is_none(), "{first:#x}");
        }
    }

    proptest! {
        #[test]
        fn every_length_reads_back(length: u32, shift in 0_u32..32) {
            let length = length >> shift;
            let mut bytes = Vec::new();
            encode_length(length, &mut bytes);
            prop_assert_eq!(decode(&bytes), Some((length, bytes.len())));
        }
    }
}
