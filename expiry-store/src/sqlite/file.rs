//! The database file: which one lies at a path, and what keeps this process from writing to it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
};

/// Which file lies at a path: another one in its place has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

/// Returns the path of a file that SQLite keeps beside the database.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Says what keeps this process from writing to the database, and the way out; nothing if nothing
/// does.
///
/// The system is only asked. To open and close one of these files would end all locks that this
/// process holds on it (POSIX), SQLite's own among them.
pub(super) fn obstacle(file: &Path) -> Option<String> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let all = format!("{}*", file.display());
    let files = ["", "-wal", "-shm"].map(|suffix| beside(file, suffix));
    let files = files.iter().map(|path| (path.as_path(), all.as_str()));
    // SQLite makes the other two files anew again and again.
    let shown = directory.display().to_string();
    let mut places = files.chain([(directory, shown.as_str())]);
    places.find_map(
        |(path, all)| match access(path, Access::READ_OK | Access::WRITE_OK) {
            Ok(()) => None,
            Err(Errno::NOENT) if path != directory => None,
            Err(error) => Some(refusal(path, error, all)),
        },
    )
}

/// Says that writing is refused although nothing was found that forbids it.
pub(super) fn unexplained(file: &Path) -> String {
    let shown = file.display();
    format!(
        "{shown} cannot be written although its owner and its mode allow it: see `lsattr {shown}`, and \
         what AppArmor or SELinux logged"
    )
}

/// Says why the system refuses to write there, and what to do about it.
fn refusal(path: &Path, error: Errno, all: &str) -> String {
    let shown = path.display();
    if error == Errno::ROFS {
        format!(
            "{shown} is on a file system that is read-only for this program: see `mount`, `dmesg`, \
             and ReadWritePaths= if this is a service with a unit"
        )
    } else if error == Errno::ACCESS || error == Errno::PERM {
        forbidden(path, all)
    } else {
        format!("{shown} cannot be written: {}", io::Error::from(error))
    }
}

fn forbidden(path: &Path, all: &str) -> String {
    let shown = path.display();
    let Ok(found) = fs::metadata(path) else {
        return format!(
            "{shown} cannot be reached by this program: may it enter all directories above?"
        );
    };
    let me = rustix::process::geteuid().as_raw();
    let mode = found.mode() & 0o777;
    if me != 0 && me != found.uid() {
        let (owner, me) = (name_of(found.uid()), name_of(me));
        format!(
            "{shown} belongs to {owner} and has mode {mode:o}, and this program runs as {me}: run \
             `chown {me}: {all}`"
        )
    } else if me != 0 && mode & 0o200 == 0 {
        format!("{shown} has mode {mode:o}: run `chmod u+w {all}`")
    } else {
        unexplained(path)
    }
}

fn name_of(user: u32) -> String {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&accounts, user).unwrap_or_else(|| user.to_string())
}

fn name_in(accounts: &str, user: u32) -> Option<String> {
    accounts.lines().find_map(|account| {
        let mut fields = account.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == user).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_called_by_name_if_it_has_one() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nexpiry:x:998:998::/var/lib/expiry:\n";
        assert_eq!(name_in(accounts, 998).as_deref(), Some("expiry"));
        assert_eq!(name_in(accounts, 7), None);
    }

    #[test]
    fn what_is_in_the_way_is_named_and_nothing_is_made_by_asking() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.db");
        assert_eq!(obstacle(&file), None);
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 0);
        let told = obstacle(&directory.path().join("absent/a.db")).expect("an obstacle");
        assert!(told.contains("absent"), "{told}");
    }
}
