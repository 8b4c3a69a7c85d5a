//! Bytes as hexadecimal digits.

/// Writes each byte as two digits.
pub(crate) fn written(bytes: &[u8]) -> String {
    bytes.iter().copied().map(pair).collect()
}

fn pair(byte: u8) -> String {
    format!("{byte:02x}")
}
