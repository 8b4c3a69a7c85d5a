//! Empty databases, and what to put into them.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, NewRouter, NewSubscriber, Router, RouterAddress, Service, Store, Subscriber,
};
use expiry_store::StoreConfig;
use expiry_tests::pg;
use tempfile::TempDir;

/// A database and its key file, which may be opened more than once.
pub(crate) struct Home {
    pub(crate) config: StoreConfig,
    pub(crate) url: String,
    directory: TempDir,
}

impl Home {
    pub(crate) fn new(url: impl FnOnce(&TempDir) -> String) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let url = url(&directory);
        let mut config = StoreConfig::parse(&url).expect("valid URL");
        config.key_file = directory.path().join("test.key");
        Self {
            config,
            url,
            directory,
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        expiry_store::open(&self.config).await.expect("opened")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

pub(crate) async fn postgres() -> Home {
    let url = pg::database().await;
    Home::new(|_| url)
}

pub(crate) fn sqlite() -> Home {
    Home::new(|directory| format!("sqlite://{}", directory.path().join("expiry.db").display()))
}

pub(crate) async fn add_router(store: &dyn Store, name: &str) -> Router {
    store.add_router(&new_router(name)).await.expect("added")
}

pub(crate) fn new_router(name: &str) -> NewRouter {
    NewRouter {
        name: name.into(),
        tenant: None,
        address: RouterAddress {
            host: format!("{name}.example"),
            port: 8728,
            username: "api".into(),
        },
        password: "not a secret".into(),
    }
}

pub(crate) async fn add_subscriber(
    store: &dyn Store,
    name: &str,
    end: DateTime<Utc>,
) -> Subscriber {
    let new = NewSubscriber {
        tenant: None,
        username: name.parse().expect("name"),
        service: Service::Hotspot,
        access: Access::Until(end),
        router: None,
        devices: BTreeSet::new(),
    };
    store.add_subscriber(&new).await.expect("added")
}
