use std::sync::Arc;

use super::MemoryStore;
use crate::{Store, SystemClock};

async fn open() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new(Arc::new(SystemClock))), ())
}

crate::store_conformance!(open);
