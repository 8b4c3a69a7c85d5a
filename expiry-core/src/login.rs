//! What is needed to log in to a router, or why there is no password.
//!
//! Passwords are kept apart from routers, so that one that does not open concerns nobody but who
//! dials that router.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::{Cause, Epoch, Router};

/// A router, with the password of the account there.
#[derive(Clone, Debug)]
pub struct RouterLogin {
    /// The router.
    pub router: Router,
    /// The password of its account.
    pub password: SecretString,
}

impl RouterLogin {
    /// Tells whether both lead to the same place under the same account and password.
    pub fn is_same(&self, other: &Self) -> bool {
        self.router.address == other.router.address && is_equal(&self.password, &other.password)
    }
}

/// Why there is no password to log in to a router with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "router `{router}` has no password to log in with: {cause}; {}",
    cause.cause().way_out(Some(router))
)]
pub struct NoPassword {
    /// The name of the router.
    pub router: String,
    /// The cause.
    pub cause: NoPasswordCause,
}

/// The cause of a missing password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoPasswordCause {
    /// What is stored is not what was sealed.
    #[error("what is stored was damaged")]
    Damaged,
    /// It was forgotten when the key was lost.
    #[error("it was forgotten by `expiryctl secrets reset`")]
    Forgotten,
    /// The key file holds another key than the one that sealed it.
    #[error("it is sealed with key {sealed_with}, and key file {file} holds key {found}")]
    OtherKey {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// The key file.
        file: String,
        /// The id of the key there.
        found: String,
    },
    /// There is no key file.
    #[error("it is sealed with key {sealed_with}, and key file {file} does not exist")]
    KeyMissing {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// The key file.
        file: String,
    },
    /// The key file is there and cannot be used.
    #[error("it is sealed with key {sealed_with}, and {fault}")]
    KeyUnusable {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// What is wrong with which file.
        fault: String,
    },
}

impl NoPasswordCause {
    /// Names the cause, for people.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Damaged | Self::Forgotten => Cause::NoPassword,
            Self::OtherKey { .. } => Cause::OtherKey,
            Self::KeyMissing { .. } => Cause::KeyMissing,
            Self::KeyUnusable { .. } => Cause::KeyUnusable,
        }
    }
}

/// A router that a watcher owns.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// The router.
    pub router: Router,
    /// The password to log in with. Without one the router cannot be served; others are.
    pub password: Result<SecretString, NoPassword>,
    /// The epoch of this ownership.
    pub epoch: Epoch,
    /// Whether an earlier owner fell silent instead of letting go, and nobody has read the router whole
    /// since: it may still wake and write, and what it wrote is to be found.
    pub taken_over: bool,
    /// When somebody last asked for an immediate try.
    pub nudged_at: Option<DateTime<Utc>>,
}

impl Ownership {
    /// Returns what is needed to log in.
    ///
    /// # Errors
    /// [`NoPassword`] if there is no password that opens.
    pub fn login(&self) -> Result<RouterLogin, NoPassword> {
        Ok(RouterLogin {
            router: self.router.clone(),
            password: self.password.clone()?,
        })
    }

    /// Tells whether both log in to the same place in the same way, or cannot for the same reason.
    pub fn has_same_login(&self, other: &Self) -> bool {
        let same_password = match (&self.password, &other.password) {
            (Ok(ours), Ok(theirs)) => is_equal(ours, theirs),
            (Err(ours), Err(theirs)) => ours == theirs,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        self.router.address == other.router.address && same_password
    }
}

fn is_equal(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
