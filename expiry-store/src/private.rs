//! Files that nobody but their owner looks into.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use chacha20poly1305::{XNonce, aead::Generate};

use crate::hex;

/// Writes a file aside and links it into place: it is never seen half written, and one that somebody else
/// made meanwhile stays. If root makes it, it belongs to whoever the directory belongs to: the service
/// there, which is not root, has to use it.
///
/// # Errors
/// Those of the system.
pub(crate) fn place(file: &Path, contents: &str) -> io::Result<()> {
    let directory = directory(file);
    let nonce = XNonce::try_generate().map_err(io::Error::other)?;
    let mut aside = file.as_os_str().to_owned();
    aside.push(".");
    aside.push(hex::written(&nonce));
    let written =
        write(aside.as_ref(), directory, contents).and_then(|()| fs::hard_link(&aside, file));
    let removed = fs::remove_file(&aside);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => removed.and_then(|()| File::open(directory)?.sync_all()),
    }
}

/// Returns the directory of a file.
pub(crate) fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write(file: &Path, directory: &Path, contents: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    if rustix::process::geteuid().is_root() {
        let owner = fs::metadata(directory)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(contents.as_bytes())?;
    file.sync_all()
}
