//! Router passwords at rest: sealed by a key in a file, never by anything in the database.

mod file;
mod key;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use expiry_core::{KeyState, NoPasswordCause, StoreError};
use secrecy::SecretString;

use self::file::NoKey;
pub(crate) use self::key::SealingKey;

/// Seals and opens router passwords. The key file is read each time: it may be replaced at any time.
pub(crate) struct Sealer {
    file: PathBuf,
    /// Keys that the file held since this process began. What they sealed still opens here when the
    /// file is lost: who is served is not to suffer before a restart.
    held: Mutex<Vec<SealingKey>>,
}

/// What the key file holds at one moment, and what it held before.
pub(crate) struct Keys {
    file: PathBuf,
    found: Result<SealingKey, NoKey>,
    held: Vec<SealingKey>,
}

impl Sealer {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self {
            file,
            held: Mutex::default(),
        }
    }

    /// Reads the key file.
    pub(crate) fn look(&self) -> Keys {
        let found = file::read(&self.file);
        let mut held = self.held();
        if let Ok(key) = &found {
            held.retain(|one| one.id() != key.id());
            held.push(key.clone());
        }
        Keys {
            file: self.file.clone(),
            found,
            held: held.clone(),
        }
    }

    /// Returns the key to seal with. It is made only if nothing is sealed: `used` are the ids of the
    /// keys that sealed what there is. Two processes that make one at once get the same.
    pub(crate) fn key_to_seal(&self, used: &[String]) -> Result<SealingKey, StoreError> {
        match (self.look().found, used.first()) {
            (Ok(key), _) => Ok(key),
            (Err(NoKey::Missing), None) => self.make(),
            (Err(NoKey::Missing), Some(other)) => Err(StoreError::Key(format!(
                "router passwords are sealed with key {other}, and key file {} does not exist: copy \
                 it there from the machine or backup that has it; if it is lost, `expiryctl \
                 secrets reset` makes a new one and forgets those passwords",
                self.file.display()
            ))),
            (Err(NoKey::Unusable(fault)), _) => Err(StoreError::Key(fault)),
        }
    }

    /// As [`Self::key_to_seal`], for a first password of a router. A key that sealed nothing of what
    /// there is belongs to another database, or is not the one that was lost.
    pub(crate) fn key_to_begin(&self, used: &[String]) -> Result<SealingKey, StoreError> {
        let key = self.key_to_seal(used)?;
        match used.first() {
            Some(other) if !used.iter().any(|used| used == key.id()) => {
                Err(StoreError::Key(format!(
                    "router passwords are sealed with key {other}, but key file {} holds key {}: copy \
                     the right key file there; if it is lost, `expiryctl secrets reset` forgets \
                     those passwords",
                    self.file.display(),
                    key.id()
                )))
            }
            _ => Ok(key),
        }
    }

    /// Makes a key where there is none, and returns the one that is there then.
    pub(crate) fn make(&self) -> Result<SealingKey, StoreError> {
        let made = file::make(&self.file);
        made.map_err(|error| {
            let file = self.file.display();
            StoreError::Key(format!("cannot make key file {file}: {error}"))
        })?;
        self.look().found.map_err(|fault| {
            StoreError::Key(match fault {
                NoKey::Missing => format!("key file {} is gone again", self.file.display()),
                NoKey::Unusable(fault) => fault,
            })
        })
    }

    fn held(&self) -> MutexGuard<'_, Vec<SealingKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    pub(crate) fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// Says what the key file holds.
    pub(crate) fn state(&self) -> KeyState {
        match &self.found {
            Ok(key) => KeyState::Here(key.id().into()),
            Err(NoKey::Missing) => KeyState::Missing,
            Err(NoKey::Unusable(fault)) => KeyState::Unusable(fault.clone()),
        }
    }

    /// Tells whether the file holds the last of [`Self::ids`].
    pub(crate) fn are_kept(&self) -> bool {
        self.found.is_ok()
    }

    /// Returns the ids of all keys at hand, that of the file last.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.held.iter().map(SealingKey::id).collect()
    }

    /// Opens the password of the router called `name`, which the key of this id sealed. Nothing is
    /// sealed with no key.
    pub(crate) fn open(
        &self,
        name: &str,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<SecretString, NoPasswordCause> {
        match self.held.iter().find(|key| key.id() == key_id) {
            Some(key) => key.open(name, sealed),
            None => self.open_by_file(name, key_id, sealed),
        }
    }

    /// As [`Self::open`], with nothing but what the file holds now.
    pub(crate) fn open_by_file(
        &self,
        name: &str,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<SecretString, NoPasswordCause> {
        if key_id.is_empty() {
            return Err(NoPasswordCause::Forgotten);
        }
        let sealed_with = key_id.into();
        let file = self.file.display().to_string();
        match &self.found {
            Ok(key) if key.id() == key_id => key.open(name, sealed),
            Ok(key) => Err(NoPasswordCause::OtherKey {
                sealed_with,
                file,
                found: key.id().into(),
            }),
            Err(NoKey::Missing) => Err(NoPasswordCause::KeyMissing { sealed_with, file }),
            Err(NoKey::Unusable(fault)) => Err(NoPasswordCause::KeyUnusable {
                sealed_with,
                fault: fault.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
