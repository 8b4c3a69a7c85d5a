//! The ports: each call is one transaction, and none waits for ever.

mod directory;
mod enforcement;
mod reads;

use std::time::Duration;

use expiry_core::StoreError;

use super::transaction::{may_be_done, watched};
use crate::error;

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// A peer that vanished without a word must not hold a call.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = error::Result<T>>,
) -> Result<T> {
    watched(async {
        match tokio::time::timeout(limit, call).await {
            Ok(done) => Ok(done?),
            Err(elapsed) if may_be_done() => Err(StoreError::OutcomeUnknown(Box::new(elapsed))),
            Err(elapsed) => Err(StoreError::Unavailable(Box::new(elapsed))),
        }
    })
    .await
}
