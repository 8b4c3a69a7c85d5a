//! The one place that names concrete adapters.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use expiry_core::{
    EventSink, RouterGateway, Store, SystemClock,
    watcher::{DryRun, Watcher, WatcherConfig},
};
use expiry_mikrotik::{GatewayConfig, MikrotikGateway};
use expiry_store::{Migrated, StoreConfig};

use crate::{
    error::CliError,
    settings::{Database, Settings},
};

/// Opens the database, and prepares it if it is empty.
pub(crate) async fn store(settings: &Settings) -> Result<Arc<dyn Store>, CliError> {
    let (config, origin) = store_config(settings)?;
    expiry_store::open(&config)
        .await
        .map_err(|source| CliError::Database { origin, source })
}

/// Opens an embedded database of its own, in a directory that exists.
pub(crate) async fn store_in(directory: &Path) -> Result<Arc<dyn Store>, CliError> {
    let settings = Settings {
        database: Database::Own(directory.join("expiry.db")),
        key_file: Some(directory.join("expiry.key")),
        log_level: None,
        log_format: crate::args::LogFormat::Text,
    };
    store(&settings).await
}

/// Brings the database up to this program.
pub(crate) async fn migrate(settings: &Settings) -> Result<Migrated, CliError> {
    let (config, origin) = store_config(settings)?;
    expiry_store::migrate(&config)
        .await
        .map_err(|source| CliError::Database { origin, source })
}

pub(crate) fn gateway() -> Arc<dyn RouterGateway> {
    Arc::new(MikrotikGateway::new(GatewayConfig::default()))
}

pub(crate) fn watcher(
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    config: WatcherConfig,
) -> Watcher {
    let config = WatcherConfig {
        seed: rand::random(),
        ..config
    };
    Watcher::new(store, gateway(), Arc::new(SystemClock), events, config)
}

pub(crate) fn dry_run(store: Arc<dyn Store>, config: &WatcherConfig) -> DryRun {
    DryRun::new(store, gateway(), Arc::new(SystemClock), config)
}

fn store_config(settings: &Settings) -> Result<(StoreConfig, &'static str), CliError> {
    let (url, origin) = match &settings.database {
        Database::Url { url, origin } => (url.clone(), *origin),
        Database::Own(path) => {
            if let Some(directory) = path.parent() {
                make_private(directory)?;
            }
            (format!("sqlite://{}", path.display()), "the default place")
        }
        Database::Nowhere => return Err(CliError::NoDataDirectory),
    };
    let mut config =
        StoreConfig::parse(&url).map_err(|source| CliError::Database { origin, source })?;
    if let Some(file) = &settings.key_file {
        config.key_file.clone_from(file);
    }
    Ok((config, origin))
}

/// Makes a directory, and those above it, that only this user can look into.
fn make_private(directory: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|source| CliError::DataDirectory {
        path: directory.into(),
        source,
    })
}
