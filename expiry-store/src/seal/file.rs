//! The file that holds the key.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use chacha20poly1305::{Key, aead::Generate};

use super::key::SealingKey;
use crate::{hex, private};

/// More than this is no key.
const MOST: u64 = 1_024;

/// Why a file gives no key.
pub(super) enum NoKey {
    /// There is none.
    Missing,
    /// It cannot be used, for this reason, with the way out.
    Unusable(String),
}

/// Reads the key.
pub(super) fn read(file: &Path) -> Result<SealingKey, NoKey> {
    let shown = file.display();
    let unreadable = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            return NoKey::Missing;
        }
        NoKey::Unusable(format!("key file {shown} cannot be read: {error}"))
    };
    let meta = fs::metadata(file).map_err(unreadable)?;
    // Opening a pipe would wait for whoever writes to it.
    if !meta.is_file() {
        let fault = format!("key file {shown} is no file: move away what is there");
        return Err(NoKey::Unusable(fault));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let fault = format!("key file {shown} can be read by others: run `chmod 600 {shown}`");
        return Err(NoKey::Unusable(fault));
    }
    let mut text = Vec::new();
    let opened = File::open(file);
    opened
        .and_then(|file| file.take(MOST).read_to_end(&mut text))
        .map_err(unreadable)?;
    let key = str::from_utf8(&text).ok();
    let key = key.and_then(|text| from_hex(text.trim()));
    key.and_then(|key| SealingKey::new(&key.into()))
        .ok_or_else(|| {
            NoKey::Unusable(format!(
                "key file {shown} does not hold a key, which is 64 hexadecimal digits: copy the right \
                 one there, or move it away"
            ))
        })
}

/// Makes a fresh key, unless somebody else has made one meanwhile.
pub(super) fn make(file: &Path) -> io::Result<()> {
    fs::create_dir_all(private::directory(file))?;
    let key = Key::try_generate().map_err(io::Error::other)?;
    private::place(file, &text(&key))
}

/// What the file of a key holds.
pub(super) fn text(key: &Key) -> String {
    format!("{}\n", hex::written(key))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(key)
}
