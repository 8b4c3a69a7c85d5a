//! Bytes as hexadecimal digits.

/// Writes each byte as two digits.
pub(crate) fn written(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
