//! The connections to the file that lies at the path now.
//!
//! A connection that was opened while the file could only be read never writes, and one to a file
//! that was moved away or deleted goes on reading and writing what nobody else sees. So the file is
//! looked at before each transaction, and all connections are given up together.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use expiry_core::StoreError;
use sqlx::{SqlitePool, sqlite::SqlitePoolOptions};
use tokio::time::Instant;

use super::{
    PATIENCE,
    file::{Identity, beside, obstacle, unexplained},
    opening::{self, options, reading},
};
use crate::error::{Fault, Result};

/// How long a file that came in place of another one must not have changed before it is used: it
/// may be a copy that is still being made.
const SETTLED: Duration = Duration::from_millis(500);

/// The ways to the file.
pub(super) struct Connections {
    file: PathBuf,
    /// Most readers.
    readers: u32,
    open: Mutex<Arc<Open>>,
    trouble: Mutex<Trouble>,
    /// One at a time opens the file that came in place of another.
    opening: tokio::sync::Mutex<()>,
}

/// Connections to one file.
pub(super) struct Open {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    file: Identity,
    /// The write-ahead log that was seen with it.
    wal: Mutex<Option<Identity>>,
}

#[derive(Default)]
struct Trouble {
    /// Since when writes are refused.
    refused: Option<Instant>,
    /// The file that came in place of the one that is open.
    arrived: Option<Arrived>,
}

/// A file as it was first seen as it is.
struct Arrived {
    file: Identity,
    length: u64,
    changed: Option<SystemTime>,
    since: Instant,
}

impl Connections {
    /// Connects to nothing yet; the file must be there.
    pub(super) fn new(file: &Path, readers: u32) -> Result<Self> {
        let found = identity(file)?;
        Ok(Self {
            file: file.into(),
            readers,
            open: Mutex::new(Arc::new(Open::new(file, found, readers))),
            trouble: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// Returns connections to the file that lies at the path.
    pub(super) async fn current(&self) -> Result<Arc<Open>> {
        let open = Arc::clone(&self.open());
        if identity(&self.file)? == open.file {
            return Ok(open);
        }
        let _alone = self.opening.lock().await;
        let open = Arc::clone(&self.open());
        let found = identity(&self.file)?;
        if found == open.file {
            return Ok(open);
        }
        self.settle(found)?;
        self.put_aside(&open)?;
        opening::is_ours(&self.file).await?;
        tracing::warn!(
            file = %self.file.display(),
            "the database file was replaced by another one, which was opened"
        );
        Ok(self.replace(&open, found))
    }

    /// Gives these connections up: they cannot write, or not be opened.
    pub(super) fn give_up(&self, open: &Arc<Open>) {
        if Arc::ptr_eq(&self.open(), open) {
            self.replace(open, open.file);
        }
    }

    /// Says why nothing can be written, where that is known.
    pub(super) fn refused(&self, error: sqlx::Error) -> Fault {
        let is_refusal = opening::is_refusal(&error);
        let obstacle = obstacle(&self.file);
        let Some(obstacle) = obstacle.or_else(|| is_refusal.then(|| unexplained(&self.file)))
        else {
            return error.into();
        };
        let mut trouble = self.trouble();
        if trouble.refused.is_none() {
            trouble.refused = Some(Instant::now());
            tracing::error!("the database cannot be written, so nobody is cut: {obstacle}");
        }
        StoreError::Unavailable(obstacle.into()).into()
    }

    /// A transaction that writes has begun.
    pub(super) fn taken(&self) {
        if let Some(since) = self.trouble().refused.take() {
            let after_s = since.elapsed().as_secs_f64();
            tracing::warn!(
                after_s,
                "the database was opened anew and can be written again"
            );
        }
    }

    /// Waits until a file is not changed any more.
    fn settle(&self, file: Identity) -> Result<()> {
        let found = std::fs::metadata(&self.file).map_err(|error| self.gone(&error))?;
        let (length, changed) = (found.len(), found.modified().ok());
        let mut trouble = self.trouble();
        let is_same = trouble.arrived.as_ref().is_some_and(|seen| {
            seen.file == file && seen.length == length && seen.changed == changed
        });
        if !is_same {
            trouble.arrived = Some(Arrived {
                file,
                length,
                changed,
                since: Instant::now(),
            });
        }
        let since = trouble.arrived.as_ref().map(|seen| seen.since);
        if since.is_some_and(|since| since.elapsed() >= SETTLED) {
            trouble.arrived = None;
            return Ok(());
        }
        let shown = self.file.display();
        let reason = format!("{shown} was replaced by another file, which is opened in a moment");
        Err(StoreError::Unavailable(reason.into()).into())
    }

    /// The write-ahead log of the file of before would be taken for that of the new one.
    fn put_aside(&self, open: &Open) -> Result<()> {
        let wal = beside(&self.file, "-wal");
        let theirs = *open.wal();
        if theirs.is_none() || Identity::of(&wal).ok() != theirs {
            return Ok(());
        }
        let found = std::fs::metadata(&wal).and_then(|found| found.modified());
        let written = DateTime::<Utc>::from(found.map_err(|error| self.gone(&error))?);
        // Each has its own name: it may hold the only copy of what was committed last.
        let suffix = written.format("-wal.of-replaced-%Y%m%dT%H%M%S%.6fZ");
        let aside = beside(&self.file, &suffix.to_string());
        std::fs::rename(&wal, &aside).map_err(|error| self.gone(&error))?;
        match std::fs::remove_file(beside(&self.file, "-shm")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.gone(&error)),
            _ => Ok(()),
        }?;
        tracing::warn!(
            file = %aside.display(),
            "the write-ahead log of the database file that was replaced was put aside"
        );
        Ok(())
    }

    fn replace(&self, old: &Open, file: Identity) -> Arc<Open> {
        let new = Arc::new(Open::new(&self.file, file, self.readers));
        *self.open() = Arc::clone(&new);
        for pool in [&old.writer, &old.readers] {
            let pool = pool.clone();
            tokio::spawn(async move { pool.close().await });
        }
        new
    }

    fn gone(&self, error: &std::io::Error) -> Fault {
        let reason = format!("{}: {error}", self.file.display());
        StoreError::Unavailable(reason.into()).into()
    }

    fn open(&self) -> MutexGuard<'_, Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(path: &Path, file: Identity, readers: u32) -> Self {
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
        };
        Self {
            writer: pool(1).connect_lazy_with(options(path)),
            readers: pool(readers.max(1)).connect_lazy_with(reading(path)),
            file,
            wal: Mutex::default(),
        }
    }

    /// Remembers which write-ahead log belongs to the file: a transaction has begun.
    pub(super) fn note_wal(&self, file: &Path) {
        if let Ok(found) = Identity::of(&beside(file, "-wal")) {
            *self.wal() = Some(found);
        }
    }

    fn wal(&self) -> MutexGuard<'_, Option<Identity>> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns which file lies at the path.
pub(super) fn identity(file: &Path) -> Result<Identity> {
    Identity::of(file).map_err(|error| {
        let shown = file.display();
        let reason = if error.kind() == ErrorKind::NotFound {
            format!("{shown} is gone: put it back, or stop what uses it before you make a new one")
        } else {
            format!("{shown} cannot be reached: {error}")
        };
        StoreError::Unavailable(reason.into()).into()
    })
}
