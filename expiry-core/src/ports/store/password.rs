use async_trait::async_trait;

use super::StoreError;
use crate::{RouterId, RouterLogin, Secrets};

/// The passwords of routers, for whoever dials one without owning it.
///
/// # Errors
/// Every method as for [`Directory`](super::Directory).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PasswordStore: Send + Sync {
    /// Returns a router with the password to log in there.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::NoPassword`] if it has no password that opens.
    async fn router_login(&self, router: RouterId) -> Result<RouterLogin, StoreError>;

    /// Tells which key is at hand, and which passwords it opens. Changes nothing.
    async fn secrets(&self) -> Result<Secrets, StoreError>;

    /// Forgets the passwords that do not open, which are those that `seen` says, and makes a key if
    /// there is none. Without such a password nothing changes. What is owed stays owed. Returns how
    /// things are then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if other passwords do not open by now; [`StoreError::Key`] if the
    /// key file is there and cannot be used, or none can be made. Then nothing was forgotten.
    async fn reset_secrets(&self, seen: &Secrets) -> Result<Secrets, StoreError>;
}
