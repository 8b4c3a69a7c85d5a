//! Which file is read, and what else can set something.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use expiry_core::config::{Fault, Place, Sources};

use super::Asked;
use crate::args::{Cli, Command, CommonArgs};

/// The variable that names the file.
pub(super) const CONFIG: &str = "EXPIRY_CONFIG";

/// The credential that holds the URL of the database.
const DATABASE: &str = "database";

/// The file that is read if there is one.
const DEFAULT_FILE: &str = "/etc/expiry/expiry.toml";

/// What surrounds the process.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
    default_file: PathBuf,
}

/// What there is to read.
pub(super) struct Found {
    /// The file that was read, if there is one.
    pub(super) file: Option<PathBuf>,
    pub(super) sources: Sources,
    /// What should have been read and could not be.
    pub(super) faults: Vec<Fault>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            default_file: DEFAULT_FILE.into(),
        }
    }

    /// Any other, for tests.
    #[cfg(test)]
    pub(super) fn new(variables: &[(&str, &str)], default_file: &Path) -> Self {
        let variables = variables.iter().map(|(n, v)| (n.into(), v.into()));
        Self {
            variables: variables.collect(),
            default_file: default_file.into(),
        }
    }

    /// Returns a variable that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<OsString> {
        let mut found = self.variables.iter().filter(|(given, _)| given == name);
        let value = found.next().map(|(_, value)| value.clone());
        value.filter(|value| !value.is_empty())
    }

    /// Reads a secret that the service manager handed over, without the end of its line.
    pub(super) fn credential(&self, name: &str) -> Option<io::Result<String>> {
        let directory = self.get("CREDENTIALS_DIRECTORY")?;
        match fs::read_to_string(Path::new(&directory).join(name)) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Some(Ok(text.strip_suffix('\r').unwrap_or(text).into()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    }
}

pub(super) fn find(asked: Asked, environment: &Environment) -> Found {
    let mut sources = Sources {
        variables: environment.variables.clone(),
        flags: asked.flags,
        ..Sources::default()
    };
    let mut faults = Vec::new();
    for (key, name) in [("database", DATABASE)].iter().chain(asked.credentials) {
        match environment.credential(name) {
            Some(Ok(text)) => sources.credentials.push((key, name, text)),
            // It names a database, or a secret, so no other may be taken in its place.
            Some(Err(error)) => faults.push(unreadable_credential(name, &error)),
            None => {}
        }
    }
    let read = if asked.needs_no_file {
        Ok(None)
    } else {
        read(asked.config, environment)
    };
    let file = match read {
        Ok(Some((path, bytes))) => {
            sources.file = Some((path.clone(), bytes));
            Some(path)
        }
        Ok(None) => None,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    Found {
        file,
        sources,
        faults,
    }
}

/// What to say of a credential that is there, and yet cannot be read.
pub(super) fn unreadable_credential(name: &'static str, error: &io::Error) -> Fault {
    Fault {
        place: Place::Credential(name),
        message: format!("it cannot be read: {error}"),
    }
}

/// Tells whether a command has nothing to do with this machine's configuration.
pub(super) fn needs_no_file(command: &Command) -> bool {
    matches!(command, Command::Demo(_) | Command::RouterSim(_))
}

fn read(
    config: Option<PathBuf>,
    environment: &Environment,
) -> Result<Option<(PathBuf, Vec<u8>)>, Fault> {
    let by_flag = config.map(|path| (path, Place::Flag("--config")));
    let by_variable = environment.get(CONFIG).map(PathBuf::from);
    let by_variable = by_variable.map(|path| (path, Place::Variable(CONFIG.into())));
    let default = (environment.default_file.clone(), Place::Default);
    let (path, from) = by_flag.or(by_variable).unwrap_or(default);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) if from == Place::Default && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault {
            message: format!("cannot read {}: {error}", path.display()),
            place: if from == Place::Default {
                Place::File {
                    path,
                    line: 0,
                    column: 0,
                }
            } else {
                from
            },
        }),
    }
}

/// A key, the flag that sets it, and the value.
pub(crate) type Flag = (&'static str, &'static str, OsString);

/// What every command line can set, by key.
pub(crate) fn common_flags(common: &CommonArgs) -> Vec<Flag> {
    let database = common.database.as_ref().map(OsString::from);
    let key_file = common.key_file.as_ref().map(OsString::from);
    let given = [
        ("database", "--database", database),
        ("key_file", "--key-file", key_file),
        ("log_level", "--log-level", word(common.log_level)),
        ("log_format", "--log-format", word(common.log_format)),
    ];
    let given = given.into_iter();
    given
        .filter_map(|(key, flag, value)| Some((key, flag, value?)))
        .collect()
}

/// What the command line sets, by key.
pub(super) fn flags(cli: &Cli) -> Vec<Flag> {
    let mut flags = common_flags(&cli.global.common);
    let mut set = |key, flag, value: Option<OsString>| {
        flags.extend(value.map(|value| (key, flag, value)));
    };
    if let Command::Run(run) = &cli.command {
        let seconds = |seconds: u64| format!("{seconds}s").into();
        set("watcher.interval", "--interval", run.interval.map(seconds));
        set(
            "watcher.reconcile",
            "--reconcile",
            run.reconcile.map(seconds),
        );
        let share = run.share_limit.map(|percent| percent.to_string().into());
        set("watcher.share_limit", "--share-limit", share);
        let comments = run.match_comments.then(|| "true".into());
        set("watcher.match_comments", "--match-comments", comments);
    }
    flags
}

fn word(value: Option<impl ValueEnum>) -> Option<OsString> {
    Some(value?.to_possible_value()?.get_name().into())
}
