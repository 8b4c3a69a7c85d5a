use async_trait::async_trait;

use super::StoreError;
use crate::{RouterId, RouterLogin};

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
}
