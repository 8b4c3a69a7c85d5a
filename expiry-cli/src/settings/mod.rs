//! The whole configuration: the strongest source of each value, and every fault with its place.

mod general;
mod one_router;
mod sources;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use expiry_core::{
    config::{Fault, Loader, Place, Setting},
    watcher::WatcherConfig,
};
use expiry_mikrotik::GatewayConfig;
use expiry_store::StoreConfig;

use self::{general::General, sources::Found};
pub(crate) use self::{
    one_router::OneRouter,
    sources::{Environment, Flag, common_flags},
};
use crate::{
    args::{Cli, Command, LogFormat, LogLevel},
    error::CliError,
};

/// What commands are told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    /// Where changes are heard of, if not there.
    pub(crate) database_listen: Option<String>,
    /// Most connections to a server of databases.
    pub(crate) max_connections: u32,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) log_format: LogFormat,
    pub(crate) watcher: WatcherConfig,
    pub(crate) gateway: GatewayConfig,
    /// The router that the environment names, if it does.
    pub(crate) one_router: Option<OneRouter>,
}

/// Which database to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// The one that was asked for.
    Url {
        url: String,
        /// Who asked.
        from: Place,
    },
    /// The embedded one of this user; its directory is made.
    Own(PathBuf),
    /// There is none: no URL, and no home to put one in.
    Nowhere,
}

/// All there is to say about a configuration.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The file that was read, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Every value in force.
    pub(crate) listed: Vec<Setting>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    settings: Settings,
}

impl Loaded {
    /// Returns how to log; by default where that is what is wrong.
    pub(crate) fn log(&self) -> (Option<LogLevel>, LogFormat) {
        (self.settings.log_level, self.settings.log_format)
    }

    /// Returns the settings if nothing is wrong with any.
    pub(crate) fn settings(&self) -> Result<Settings, CliError> {
        if self.faults.is_empty() {
            Ok(self.settings.clone())
        } else {
            Err(CliError::Configuration(self.faults.clone()))
        }
    }
}

/// What a program asks of its configuration.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The file that its command line names.
    pub(crate) config: Option<PathBuf>,
    /// Whether no file has anything to say to it.
    pub(crate) needs_no_file: bool,
    /// What its command line sets.
    pub(crate) flags: Vec<Flag>,
    /// Keys that the service manager may hand over, and the names of the credentials.
    pub(crate) credentials: &'static [(&'static str, &'static str)],
    /// Whether the router that the environment names matters.
    pub(crate) one_router: bool,
}

/// The keys of the section that only the admin service reads. That these are all, its tests and those
/// here check against the file `docs/expiry.toml`.
const HTTP_KEYS: &[&str] = &[
    "listen",
    "token",
    "token_file",
    "trusted_proxies",
    "hosts",
    "watcher_enabled",
];

/// The other variables that it understands.
const HTTP_VARIABLES: &[&str] = &["EXPIRY_LISTEN", "EXPIRY_WATCHER_ENABLED"];

/// Reads everything that this command line is told by.
pub(crate) fn load(cli: &Cli, environment: &Environment) -> Loaded {
    let asked = Asked {
        config: cli.global.common.config.clone(),
        needs_no_file: sources::needs_no_file(&cli.command),
        flags: sources::flags(cli),
        credentials: &[],
        one_router: matches!(
            cli.command,
            Command::Run(_) | Command::Doctor | Command::CheckConfig
        ),
    };
    let (loaded, ()) = read(asked, environment, |loader| {
        loader.leave("http", HTTP_KEYS, HTTP_VARIABLES);
    });
    loaded
}

/// Reads everything that a program is told by, and with `more` what only it knows.
pub(crate) fn read<T>(
    asked: Asked,
    environment: &Environment,
    more: impl FnOnce(&mut Loader) -> T,
) -> (Loaded, T) {
    let router_matters = asked.one_router;
    let Found {
        file,
        sources,
        faults,
    } = sources::find(asked, environment);
    let mut loader = Loader::new(sources);
    for Fault { place, message } in faults {
        loader.fault(place, message);
    }
    // Known to this program, but its own business.
    let _ = loader.variable(sources::CONFIG);
    let more = more(&mut loader);
    let general = loader.section::<General>();
    let watcher = loader.section();
    let gateway = loader.section();
    let database = general.database(&mut loader, environment);
    let feed = general.database_listen.as_deref();
    let store = check(&mut loader, &database, feed, general.key_file.as_deref());
    let (one_router, mut of_router) = if router_matters {
        one_router::read(&mut loader, environment)
    } else {
        (None, Vec::new())
    };
    let (mut listed, faults) = loader.finish();
    if let Some((store, from)) = store {
        for setting in &mut listed {
            match setting.key.as_str() {
                "database" => {
                    setting.value = Some(format!("{:?}", store.shown_url()));
                    setting.from = from.clone();
                }
                "key_file" => setting.value = Some(format!("\"{}\"", store.key_file.display())),
                _ => {}
            }
        }
    }
    listed.append(&mut of_router);
    let settings = Settings {
        database,
        database_listen: general.database_listen,
        max_connections: general.max_connections,
        key_file: general.key_file,
        log_level: general
            .log_level
            .and_then(|word| LogLevel::from_str(word, true).ok()),
        log_format: general
            .log_format
            .and_then(|word| LogFormat::from_str(word, true).ok())
            .unwrap_or(LogFormat::Text),
        watcher,
        gateway,
        one_router,
    };
    let all = Loaded {
        file,
        listed,
        faults,
        settings,
    };
    (all, more)
}

/// Understands the database's URL, which nothing has opened yet.
fn check(
    loader: &mut Loader,
    database: &Database,
    listen: Option<&str>,
    key_file: Option<&Path>,
) -> Option<(StoreConfig, Place)> {
    let (url, from) = match database {
        Database::Url { url, from } => (url.clone(), from.clone()),
        Database::Own(path) => (format!("sqlite://{}", path.display()), Place::Default),
        Database::Nowhere => return None,
    };
    match StoreConfig::parse(&url) {
        Ok(mut config) => {
            if let Some(Err(error)) = listen.map(|url| config.listen_at(url)) {
                let from = loader.place("database_listen").clone();
                loader.fault(from, format!("database_listen: {error}"));
            }
            if let Some(file) = key_file {
                config.key_file = file.into();
            }
            Some((config, from))
        }
        Err(error) => {
            loader.fault(from, format!("database: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
