//! Both stores pass the suite that the in-memory store passes.

use std::sync::Arc;

use expiry_core::Store;
use expiry_store::StoreConfig;
use tempfile::TempDir;

mod sqlite {
    use super::*;

    async fn open() -> (Arc<dyn Store>, TempDir) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("expiry.db");
        let url = format!("sqlite://{}", file.display());
        let config = StoreConfig::parse(&url).expect("valid URL");
        let store = expiry_store::open(&config).await.expect("opened");
        (store, directory)
    }

    expiry_core::store_conformance!(open);
}
