//! Where the database is, and how to log: each value from the first source that has one.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use crate::{
    args::{GlobalArgs, LogFormat, LogLevel},
    error::CliError,
};

/// What all commands are told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) log_format: LogFormat,
}

/// Which database to open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// The one that was asked for.
    Url {
        url: String,
        /// Who asked, for messages.
        origin: &'static str,
    },
    /// The embedded one of this user; its directory is made.
    Own(PathBuf),
    /// There is none: no URL, and no home to put one in.
    Nowhere,
}

impl Settings {
    /// Takes flags before the environment before defaults. `env` reads one variable.
    pub(crate) fn resolve(
        flags: &GlobalArgs,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, CliError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let text = |name: &str| env(name).map(|value| value.to_string_lossy().into_owned());
        let url = |origin, url: Option<String>| url.map(|url| Database::Url { url, origin });
        let database = url("--database", flags.database.clone())
            .or_else(|| url("EXPIRY_DATABASE", text("EXPIRY_DATABASE")))
            .or_else(|| url("DATABASE_URL", text("DATABASE_URL")))
            .or_else(|| own_database(env).map(Database::Own))
            .unwrap_or(Database::Nowhere);
        let key_file = flags
            .key_file
            .clone()
            .or_else(|| env("EXPIRY_KEY_FILE").map(PathBuf::from));
        let log_level = match flags.log_level {
            Some(level) => Some(level),
            None => one_of("EXPIRY_LOG_LEVEL", text, "error, warn, info, debug, trace")?,
        };
        let log_format = match flags.log_format {
            Some(format) => format,
            None => one_of("EXPIRY_LOG_FORMAT", text, "text, json")?.unwrap_or(LogFormat::Text),
        };
        Ok(Self {
            database,
            key_file,
            log_level,
            log_format,
        })
    }
}

fn own_database(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(Path::new(".local/share"))))?;
    Some(data.join("expiry/expiry.db"))
}

fn one_of<T: ValueEnum>(
    variable: &'static str,
    text: impl Fn(&str) -> Option<String>,
    allowed: &'static str,
) -> Result<Option<T>, CliError> {
    let Some(value) = text(variable) else {
        return Ok(None);
    };
    let parsed = T::from_str(&value, true);
    parsed.map(Some).map_err(|_| CliError::Setting {
        variable,
        value,
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resolve(flags: &GlobalArgs, env: &[(&str, &str)]) -> Settings {
        let env: BTreeMap<_, _> = env.iter().copied().collect();
        Settings::resolve(flags, |name| env.get(name).map(OsString::from)).expect("settings")
    }

    fn url(url: &str, origin: &'static str) -> Database {
        let url = url.into();
        Database::Url { url, origin }
    }

    #[test]
    fn a_flag_is_stronger_than_the_environment_and_that_than_the_default() {
        let all = [
            ("EXPIRY_DATABASE", "sqlite:///b"),
            ("DATABASE_URL", "sqlite:///c"),
            ("HOME", "/home/joe"),
        ];
        let flags = GlobalArgs {
            database: Some("sqlite:///a".into()),
            ..GlobalArgs::default()
        };
        assert_eq!(
            resolve(&flags, &all).database,
            url("sqlite:///a", "--database")
        );
        let none = GlobalArgs::default();
        assert_eq!(
            resolve(&none, &all).database,
            url("sqlite:///b", "EXPIRY_DATABASE")
        );
        assert_eq!(
            resolve(&none, &all[1..]).database,
            url("sqlite:///c", "DATABASE_URL")
        );
        let own = Database::Own("/home/joe/.local/share/expiry/expiry.db".into());
        assert_eq!(resolve(&none, &all[2..]).database, own);
        assert_eq!(resolve(&none, &[]).database, Database::Nowhere);
    }

    #[test]
    fn the_data_directory_counts_only_if_it_is_absolute() {
        let none = GlobalArgs::default();
        let absolute = [("XDG_DATA_HOME", "/data"), ("HOME", "/home/joe")];
        let own = Database::Own("/data/expiry/expiry.db".into());
        assert_eq!(resolve(&none, &absolute).database, own);
        let relative = [("XDG_DATA_HOME", "data"), ("HOME", "/home/joe")];
        let own = Database::Own("/home/joe/.local/share/expiry/expiry.db".into());
        assert_eq!(resolve(&none, &relative).database, own);
    }

    #[test]
    fn an_empty_variable_is_none_at_all() {
        let env = [
            ("EXPIRY_DATABASE", ""),
            ("EXPIRY_LOG_LEVEL", ""),
            ("HOME", "/h"),
        ];
        let settings = resolve(&GlobalArgs::default(), &env);
        assert!(matches!(settings.database, Database::Own(_)));
        assert_eq!(settings.log_level, None);
    }

    #[test]
    fn a_wrong_level_is_named_with_its_variable() {
        let env = |name: &str| (name == "EXPIRY_LOG_LEVEL").then(|| "loud".into());
        let error = Settings::resolve(&GlobalArgs::default(), env).expect_err("refused");
        assert_eq!(error.exit_code(), crate::error::USAGE);
        assert!(
            error.to_string().starts_with("EXPIRY_LOG_LEVEL is `loud`"),
            "{error}"
        );
    }
}
