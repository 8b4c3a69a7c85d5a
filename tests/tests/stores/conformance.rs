//! PostgreSQL passes the suite that every store passes.

use std::sync::Arc;

use expiry_core::Store;

use crate::setup::{Home, postgres};

async fn open() -> (Arc<dyn Store>, Home) {
    let home = postgres().await;
    (home.open().await, home)
}

expiry_core::store_conformance!(open);
