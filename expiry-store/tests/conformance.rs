//! Both stores pass the suite that the in-memory store passes.

use std::sync::Arc;

use chrono::TimeDelta;
use expiry_core::Store;
use expiry_store::StoreConfig;
use tempfile::TempDir;

mod sqlite {
    use super::*;

    async fn open() -> (Arc<dyn Store>, TempDir) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = expiry_store::open(&config(&directory))
            .await
            .expect("opened");
        (store, directory)
    }

    fn config(directory: &TempDir) -> StoreConfig {
        let file = directory.path().join("expiry.db");
        let url = format!("sqlite://{}", file.display());
        StoreConfig::parse(&url).expect("valid URL")
    }

    async fn ahead(directory: &TempDir, by: TimeDelta) -> Arc<dyn Store> {
        let mut config = config(directory);
        config.clock_ahead = by;
        expiry_store::open(&config).await.expect("opened")
    }

    expiry_core::store_conformance!(open, ahead);
}
