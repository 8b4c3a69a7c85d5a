//! Which key is at hand, and which passwords of routers it opens.

use std::path::PathBuf;

use crate::{NoPasswordCause, RouterId};

/// The key at hand, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Where the key is expected.
    pub key_file: PathBuf,
    /// The key there.
    pub key: KeyState,
    /// Every router, by name.
    pub routers: Vec<RouterSecret>,
}

/// The key at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// There is one, of this id.
    Here(String),
    /// There is no key file.
    Missing,
    /// There is a file that cannot be used, for this reason.
    Unusable(String),
}

/// The password of a router, as far as it may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSecret {
    /// The router.
    pub router: RouterId,
    /// Its name.
    pub name: String,
    /// The id of the key that sealed the password; `None` if there is none any more.
    pub sealed_with: Option<String>,
    /// Why it does not open here; `None` if it does.
    pub cause: Option<NoPasswordCause>,
    /// The machines whose watchers are alive and have that key in a file.
    pub opened_by: Vec<String>,
    /// The machines whose watchers are alive and have that key in memory, while no file has it any more.
    pub remembered_by: Vec<String>,
}

impl RouterSecret {
    /// Tells whether there is a password, and it does not open here.
    pub fn is_shut(&self) -> bool {
        self.cause.is_some() && self.sealed_with.is_some()
    }
}

impl Secrets {
    /// Returns the passwords that do not open here.
    pub fn shut(&self) -> impl Iterator<Item = &RouterSecret> {
        self.routers.iter().filter(|secret| secret.is_shut())
    }

    /// Returns the routers that cannot be logged in to before they are given a password.
    pub fn wanting(&self) -> impl Iterator<Item = &RouterSecret> {
        self.routers.iter().filter(|secret| secret.cause.is_some())
    }

    /// Tells whether the same passwords do not open here.
    pub fn shuts_same(&self, other: &Self) -> bool {
        let place = |secret: &RouterSecret| (secret.router, secret.sealed_with.clone());
        self.shut().map(place).eq(other.shut().map(place))
    }
}
