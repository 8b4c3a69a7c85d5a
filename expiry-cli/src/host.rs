//! What programs of this project share around what they do: their settings, their log, their store,
//! their watcher, their end.

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc, time::Duration};

pub use crate::{args::CommonArgs, service::Inside};
use expiry_core::{
    AuditEvent, Explanation, RouterGateway, Store, config::Loader, watcher::Watcher,
};
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{explained, register, told},
    error::{self, CliError},
    lifecycle,
    log::{self, EventLog, Streams},
    secret, service,
    settings::{self, Asked, Environment, Settings},
    wiring,
};

/// What a program tells of its command line.
#[derive(Debug, Default)]
pub struct Told {
    /// What every program understands.
    pub common: CommonArgs,
    /// What only this one does: the key, the flag, the value.
    pub flags: Vec<(&'static str, &'static str, OsString)>,
    /// Keys that the service manager may hand over, and the names of the credentials.
    pub credentials: &'static [(&'static str, &'static str)],
}

/// Why a program ends without having done what it should.
#[derive(Debug)]
pub struct Failure(CliError);

impl Failure {
    /// The command line, the configuration or a value is wrong.
    pub fn usage(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let (code, source) = (error::USAGE, source.into());
        Self(CliError::Program { code, source })
    }

    /// Something failed at run time.
    pub fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let (code, source) = (error::FAILED, source.into());
        Self(CliError::Program { code, source })
    }
}

/// A program's surroundings.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
}

impl Host {
    /// Opens the database, prepares it if it is empty, and makes sure that the router which the
    /// environment names is registered.
    ///
    /// # Errors
    /// If the database cannot be used, or the router is known by another name.
    pub async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        let store = wiring::store(&self.settings).await.map_err(Failure)?;
        if let Some(router) = &self.settings.one_router {
            register(router, &*store, &*store).await.map_err(Failure)?;
        }
        Ok(store)
    }

    /// Makes a gateway with connections of its own, for trying routers: who waits for that is told of
    /// a login that stays silent after 15 s, though a watcher may bear it for longer.
    pub fn gateway(&self) -> Arc<dyn RouterGateway> {
        wiring::trying(&self.settings.gateway, Duration::from_secs(15))
    }

    /// Makes a watcher that writes what it does to the log.
    pub fn watcher(&self, store: Arc<dyn Store>) -> Watcher {
        wiring::watcher(store, Arc::new(EventLog::default()), &self.settings)
    }

    /// Returns the longest time between two looks of a watcher at the database.
    pub fn interval(&self) -> Duration {
        self.settings.watcher.interval
    }

    /// Returns how long a watcher keeps events.
    pub fn keep(&self) -> Duration {
        self.settings.watcher.keep
    }

    /// Says of each subscriber of an explanation why it is or is not online, and what happens next,
    /// a paragraph each.
    pub fn explanation_in_words(
        &self,
        explanation: &Explanation,
        tenant: Option<&str>,
    ) -> Vec<Vec<String>> {
        explained(explanation, tenant, &self.settings.watcher.retry)
    }

    /// Runs a watcher until `stop` is cancelled, and tells the service manager, and who has `inside`,
    /// how it does.
    ///
    /// # Errors
    /// As [`Watcher::run`].
    pub async fn watch(
        &self,
        store: Arc<dyn Store>,
        inside: &Inside,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        service::watch(store, &self.settings, inside, stop)
            .await
            .map_err(Failure)
    }

    /// Tells the service manager that there is somebody to talk to, with a line for people, for as
    /// long as it is polled. A stop takes at most `patience`.
    pub async fn attend(&self, line: &str, stop: &CancellationToken, patience: Duration) {
        match service::attend(line, stop, patience).await {}
    }
}

/// Says what happened, in a line.
pub fn event_in_words(event: &AuditEvent) -> String {
    told(event)
}

/// Reads a secret from a file: all of its text but one line end at its end.
///
/// # Errors
/// If it cannot be read, is empty, or is not one line of text: a sentence that names the file.
pub fn secret_file(path: &Path) -> Result<SecretString, String> {
    secret::from_file(path).map_err(|wrong| error::chain(&wrong))
}

/// Runs a service: reads its settings, with `section` what only it knows, starts its log, and does
/// `work` until that ends or a signal asks it to stop. The second signal ends it at once.
pub fn serve<S>(
    told: Told,
    section: impl FnOnce(&mut Loader) -> S,
    work: impl AsyncFnOnce(Host, S, CancellationToken) -> Result<(), Failure>,
) -> ExitCode {
    let mut flags = settings::common_flags(&told.common);
    flags.extend(told.flags);
    let asked = Asked {
        config: told.common.config,
        needs_no_file: false,
        flags,
        credentials: told.credentials,
        one_router: true,
    };
    let (loaded, section) = settings::read(asked, &Environment::of_process(), section);
    let (level, format) = loaded.log();
    log::start(Streams::Service, level, format);
    let done = loaded.settings().and_then(|settings| {
        let runtime = Runtime::new().map_err(CliError::Runtime)?;
        let work = async |stop| work(Host { settings }, section, stop).await;
        let done = runtime.block_on(lifecycle::until_signal(work));
        // A name lookup that hangs must not hold up the exit.
        runtime.shutdown_background();
        done?.map_err(|Failure(error)| error)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
