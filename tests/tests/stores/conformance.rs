//! PostgreSQL passes the suite that every store passes.

use std::sync::Arc;

use chrono::TimeDelta;
use expiry_core::Store;

use crate::setup::{Home, postgres};

async fn open() -> (Arc<dyn Store>, Home) {
    let home = postgres().await;
    (home.open().await, home)
}

async fn ahead(home: &Home, by: TimeDelta) -> Arc<dyn Store> {
    let mut config = home.config.clone();
    config.clock_ahead = by;
    expiry_store::open(&config).await.expect("opened")
}

expiry_core::store_conformance!(open, ahead);
