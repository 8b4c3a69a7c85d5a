//! A queue that processes stand in, made of locks of the kernel on the bytes of a file.
//!
//! Each place is a byte, locked for as long as somebody stands there. Whoever comes locks the byte after
//! the last one, which the file names, and is first when the byte before is free. The kernel gives the
//! locks of a process back when it ends, by `kill -9` too, so nobody waits for the dead.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use super::file::beside;

/// Places are used again after so many.
const PLACES: i64 = 1 << 20;

/// Bytes of the file that name the last place of a queue.
const LAST: i64 = 8;

/// One of the queues that share a file.
pub(super) struct Queue {
    database: PathBuf,
    file: PathBuf,
    /// Which of them.
    number: u8,
}

/// A place in a queue, held until it is dropped.
pub(super) struct Place {
    file: File,
    /// The byte of whoever came just before.
    before: i64,
}

impl Queue {
    /// Names the queue `number` beside a database, however its path leads there.
    pub(super) fn new(database: &Path, number: u8) -> Self {
        let database = fs::canonicalize(database).unwrap_or_else(|_| database.into());
        Self {
            file: beside(&database, "-queue"),
            database,
            number,
        }
    }

    /// Takes the place behind all others; [`ErrorKind::WouldBlock`] if somebody else is just doing so.
    pub(super) fn enter(&self) -> io::Result<Place> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.make()?,
            opened => opened?,
        };
        let last = i64::from(self.number) * LAST;
        let at = last.unsigned_abs();
        lock(&file, last, LAST)?;
        let mut found = [0; 8];
        // A new file is empty.
        let _ = file.read_at(&mut found, at)?;
        let before = i64::from_le_bytes(found).rem_euclid(PLACES);
        let mine = (before + 1) % PLACES;
        lock(&file, self.byte(mine), 1)?;
        file.write_all_at(&mine.to_le_bytes(), at)?;
        unlock(&file, last, LAST)?;
        Ok(Place {
            file,
            before: self.byte(before),
        })
    }

    fn byte(&self, place: i64) -> i64 {
        (i64::from(self.number) + 1) * PLACES + place
    }

    /// Makes a file that everybody may open who may open the database.
    fn make(&self) -> io::Result<File> {
        let database = fs::metadata(&self.database)?;
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(database.mode() & 0o666)
            .open(&self.file)?;
        // What the mask of this process took from it.
        made.set_permissions(Permissions::from_mode(database.mode() & 0o666))?;
        let found = made.metadata()?;
        if (found.uid(), found.gid()) != (database.uid(), database.gid()) {
            // Only root may, and only root needs to.
            drop(fchown(&made, Some(database.uid()), Some(database.gid())));
        }
        Ok(made)
    }
}

impl Place {
    /// Tells whether nobody stands ahead.
    pub(super) fn is_first(&self) -> bool {
        lock(&self.file, self.before, 1).is_ok()
    }
}

/// Locks bytes, for this handle of the file; [`ErrorKind::WouldBlock`] if another one has them.
fn lock(file: &File, from: i64, length: i64) -> io::Result<()> {
    control(file, from, length, true)
}

fn unlock(file: &File, from: i64, length: i64) -> io::Result<()> {
    control(file, from, length, false)
}

#[cfg(target_os = "linux")]
fn control(file: &File, from: i64, length: i64, locks: bool) -> io::Result<()> {
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc,
    };
    let narrow = |_| io::Error::from(ErrorKind::Unsupported);
    let kind = if locks { libc::F_WRLCK } else { libc::F_UNLCK };
    let bytes = libc::flock {
        l_type: kind.try_into().map_err(narrow)?,
        l_whence: libc::SEEK_SET.try_into().map_err(narrow)?,
        l_start: from,
        l_len: length,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&bytes))?;
    Ok(())
}

/// Only Linux has locks that belong to a handle.
#[cfg(not(target_os = "linux"))]
fn control(_: &File, _: i64, _: i64, _: bool) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.db");
        fs::write(&file, "").expect("written");
        (directory, file)
    }

    #[test]
    fn places_are_in_the_order_of_coming() {
        let (_directory, file) = database();
        let queue = Queue::new(&file, 0);
        let mut places: Vec<_> = (0..5).map(|_| queue.enter().expect("a place")).collect();
        while !places.is_empty() {
            let firsts: Vec<_> = places.iter().map(Place::is_first).collect();
            assert!(firsts[0]);
            assert!(firsts[1..].iter().all(|is_first| !is_first));
            drop(places.remove(0));
        }
        assert!(queue.enter().expect("a place").is_first());
    }

    #[test]
    fn whoever_leaves_early_is_not_waited_for() {
        let (_directory, file) = database();
        let queue = Queue::new(&file, 0);
        let (first, second) = (queue.enter().expect("a place"), queue.enter());
        let third = queue.enter().expect("a place");
        drop(first);
        assert!(!third.is_first());
        drop(second);
        assert!(third.is_first());
    }

    #[test]
    fn queues_of_one_file_and_of_two_files_know_nothing_of_each_other() {
        let (_directory, file) = database();
        let (_other_directory, other) = database();
        let queues = [
            Queue::new(&file, 0),
            Queue::new(&file, 1),
            Queue::new(&other, 0),
        ];
        let places = queues.map(|queue| queue.enter().expect("a place"));
        assert!(places.iter().all(Place::is_first));
    }

    #[test]
    fn whoever_names_the_database_by_a_link_stands_in_the_same_queue() {
        let (directory, file) = database();
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let _first = Queue::new(&file, 0).enter().expect("a place");
        let second = Queue::new(&link, 0).enter().expect("a place");
        assert!(!second.is_first());
    }

    #[test]
    fn the_last_place_is_followed_by_the_first() {
        let (_directory, file) = database();
        let queue = Queue::new(&file, 0);
        for last in [PLACES - 2, PLACES - 1, i64::MAX, -1] {
            fs::write(&queue.file, last.to_le_bytes()).expect("written");
            let (first, second) = (queue.enter().expect("a place"), queue.enter());
            assert!(first.is_first());
            assert!(!second.expect("a place").is_first());
        }
    }

    #[test]
    fn its_file_is_as_open_as_the_database() {
        let (_directory, file) = database();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("changed");
        let queue = Queue::new(&file, 0);
        drop(queue.enter().expect("a place"));
        let [database, made] = [&file, &queue.file].map(|path| fs::metadata(path).expect("there"));
        assert_eq!((made.uid(), made.gid()), (database.uid(), database.gid()));
        assert_eq!(made.mode() & 0o7777, database.mode() & 0o666);
    }
}
