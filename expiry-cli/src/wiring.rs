//! The one place that names concrete adapters.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use expiry_core::{
    EventSink, RouterGateway, Store, SystemClock,
    config::Place,
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
    let (config, origin) = store_config(settings, Purpose::Begin)?;
    open(&config, origin).await
}

/// Opens the database; what is not there is not made.
pub(crate) async fn store_that_is_there(settings: &Settings) -> Result<Arc<dyn Store>, CliError> {
    let (config, origin) = store_config(settings, Purpose::Use)?;
    open(&config, origin).await
}

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For what is in it.
    Use,
    /// To put something into it, also if it is not there yet.
    Begin,
}

/// Opens an embedded database of its own, in a directory that exists.
pub(crate) async fn store_in(directory: &Path) -> Result<Arc<dyn Store>, CliError> {
    let mut config = parse(&own(&directory.join("expiry.db")), &Place::Default)?;
    config.key_file = directory.join("expiry.key");
    open(&config, Place::Default).await
}

/// Brings the database up to this program.
pub(crate) async fn migrate(settings: &Settings) -> Result<Migrated, CliError> {
    let (config, origin) = store_config(settings, Purpose::Begin)?;
    expiry_store::migrate(&config)
        .await
        .map_err(|source| CliError::Database { origin, source })
}

pub(crate) fn gateway(config: &GatewayConfig) -> Arc<dyn RouterGateway> {
    Arc::new(MikrotikGateway::new(config.clone()))
}

/// For trying routers while somebody waits: a login that stays silent is told as that within this time,
/// not only that nothing came.
pub(crate) fn trying(config: &GatewayConfig, told_within: Duration) -> Arc<dyn RouterGateway> {
    gateway(&GatewayConfig {
        login: config.login.min(told_within),
        ..config.clone()
    })
}

pub(crate) fn watcher(
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    settings: &Settings,
) -> Watcher {
    watcher_on(store, events, settings.watcher.clone(), &settings.gateway)
}

pub(crate) fn watcher_on(
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    config: WatcherConfig,
    gateway: &GatewayConfig,
) -> Watcher {
    let config = WatcherConfig {
        seed: rand::random(),
        ..config
    };
    let gateway = self::gateway(gateway);
    Watcher::new(store, gateway, Arc::new(SystemClock), events, config)
}

pub(crate) fn dry_run(
    store: Arc<dyn Store>,
    config: &WatcherConfig,
    gateway: &GatewayConfig,
) -> DryRun {
    DryRun::new(store, self::gateway(gateway), Arc::new(SystemClock), config)
}

async fn open(config: &StoreConfig, origin: Place) -> Result<Arc<dyn Store>, CliError> {
    let opened = expiry_store::open(config).await;
    opened.map_err(|source| CliError::Database { origin, source })
}

/// Says which database is meant, and who said so. Its directory is made if it is this user's own, and
/// something is to be written.
pub(crate) fn store_config(
    settings: &Settings,
    purpose: Purpose,
) -> Result<(StoreConfig, Place), CliError> {
    let (url, origin) = match &settings.database {
        Database::Url { url, from } => (url.clone(), from.clone()),
        Database::Own(path) => {
            if purpose == Purpose::Use && !path.exists() {
                return Err(CliError::NothingYet { path: path.clone() });
            }
            if let Some(directory) = path.parent()
                && purpose == Purpose::Begin
            {
                make_private(directory)?;
            }
            (own(path), Place::Default)
        }
        Database::Nowhere => return Err(CliError::NoDataDirectory),
    };
    let mut config = parse(&url, &origin)?;
    config.make = purpose == Purpose::Begin;
    config.allow_server_connections(settings.max_connections);
    if let Some(listen) = &settings.database_listen {
        let listening = config.listen_at(listen);
        listening.map_err(|source| CliError::Database {
            origin: origin.clone(),
            source,
        })?;
    }
    if let Some(file) = &settings.key_file {
        config.key_file.clone_from(file);
    }
    Ok((config, origin))
}

fn own(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn parse(url: &str, origin: &Place) -> Result<StoreConfig, CliError> {
    StoreConfig::parse(url).map_err(|source| CliError::Database {
        origin: origin.clone(),
        source,
    })
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
