//! Which database, and where the key to its router passwords lies.

use std::{env, ffi::OsString, fmt, path::PathBuf};

use chrono::TimeDelta;
use expiry_core::StoreError;

use crate::{postgres::address::Address, version::Upgrade};

/// What is needed to open a store.
#[derive(Clone)]
pub struct StoreConfig {
    /// The file that holds the key to the router passwords; made when the first router is added.
    pub key_file: PathBuf,
    /// Most connections to the database that are open at once, not counting those of feeds.
    pub max_connections: u32,
    /// Whether a SQLite file that is not there is made, and an empty database prepared; by default it is.
    /// A directory is never made.
    pub make: bool,
    /// Added to the database's clock, for tests of what a wrong clock leaves behind.
    #[doc(hidden)]
    pub clock_ahead: TimeDelta,
    pub(crate) database: Database,
    /// The server itself, where `database` is a pooler.
    pub(crate) listen: Option<Address>,
}

#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(Box<Address>),
}

impl StoreConfig {
    /// So many connections to a PostgreSQL server are allowed unless more, or fewer, are asked for.
    pub const SERVER_CONNECTIONS: u32 = 8;

    /// Reads a database URL: `sqlite://PATH` (or `sqlite:PATH`), or `postgres://…`
    /// (or `postgresql://…`), in which several hosts may stand, with commas between them: the one
    /// that takes writes is used. The key file is expected beside a SQLite file, with `.key` added to
    /// its name; for PostgreSQL at `expiry/expiry.key` in the user's data directory
    /// (`/var/lib` for who has none).
    ///
    /// # Errors
    /// [`StoreError::Open`] if it is neither. The message holds no password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        match scheme {
            "sqlite" => Self::sqlite(rest.strip_prefix("//").unwrap_or(rest)),
            "postgres" | "postgresql" => Self::postgres(url),
            _ => Err(StoreError::Open {
                url: match scheme {
                    "" => "without a scheme".into(),
                    scheme => format!("{scheme}:…"),
                },
                reason: "expected `sqlite://PATH` or `postgres://USER@HOST/DATABASE`".into(),
            }),
        }
    }

    /// What opening may do to a database that is not up to date.
    pub(crate) fn upgrade(&self) -> Upgrade {
        if self.make {
            Upgrade::OnlyEmpty
        } else {
            Upgrade::Nothing
        }
    }

    fn sqlite(path: &str) -> Result<Self, StoreError> {
        if path.is_empty() || path == ":memory:" {
            return Err(StoreError::Open {
                url: format!("sqlite://{path}"),
                reason: "a database file is needed, as in `sqlite:///var/lib/expiry/expiry.db`"
                    .into(),
            });
        }
        Ok(Self {
            key_file: format!("{path}.key").into(),
            max_connections: 4,
            make: true,
            clock_ahead: TimeDelta::zero(),
            database: Database::Sqlite(path.into()),
            listen: None,
        })
    }

    fn postgres(url: &str) -> Result<Self, StoreError> {
        let address = address(url)?;
        let data = data_directory(|name| env::var_os(name));
        let data = data.unwrap_or_else(|| "/var/lib".into());
        Ok(Self {
            key_file: data.join("expiry/expiry.key"),
            max_connections: Self::SERVER_CONNECTIONS,
            make: true,
            clock_ahead: TimeDelta::zero(),
            database: Database::Postgres(Box::new(address)),
            listen: None,
        })
    }

    /// Allows so many connections to a PostgreSQL server. A SQLite file has its own few.
    pub fn allow_server_connections(&mut self, most: u32) {
        match self.database {
            Database::Sqlite(_) => {}
            Database::Postgres(_) => self.max_connections = most,
        }
    }

    /// Has changes heard of at this URL, where the database is reached through a pooler that passes
    /// no word of them on. It must name the same database.
    ///
    /// # Errors
    /// [`StoreError::Open`] if it is no URL of PostgreSQL, or the database is not one. The message
    /// holds no password.
    pub fn listen_at(&mut self, url: &str) -> Result<(), StoreError> {
        let is_server = url.starts_with("postgres:") || url.starts_with("postgresql:");
        if !is_server || matches!(self.database, Database::Sqlite(_)) {
            return Err(StoreError::Open {
                url: "database_listen".into(),
                reason: "it names the PostgreSQL server behind a pooler, so both URLs begin with \
                         `postgres://`"
                    .into(),
            });
        }
        self.listen = Some(address(url)?);
        Ok(())
    }

    /// The URL without its password.
    pub fn shown_url(&self) -> String {
        match &self.database {
            Database::Sqlite(path) => format!("sqlite://{}", path.display()),
            Database::Postgres(address) => address.shown(),
        }
    }
}

fn address(url: &str) -> Result<Address, StoreError> {
    Address::parse(url).map_err(|reason| StoreError::Open {
        url: "postgres://…".into(),
        reason: format!(
            "{reason}; expected `postgres://USER@HOST:PORT/DATABASE`, several hosts with commas \
             between them, special characters percent-encoded"
        ),
    })
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &self.shown_url())
            .field("key_file", &self.key_file)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// Returns where a user's data is kept: `$XDG_DATA_HOME`, else `~/.local/share`. A relative path does
/// not count.
pub fn data_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sqlite:///var/lib/a.db", "/var/lib/a.db")]
    #[case("sqlite:a.db", "a.db")]
    #[case("sqlite://a b?c.db", "a b?c.db")]
    fn a_sqlite_url_is_a_path_and_its_key_lies_beside(#[case] url: &str, #[case] path: &str) {
        let config = StoreConfig::parse(url).expect("valid");
        assert_eq!(config.shown_url(), format!("sqlite://{path}"));
        assert_eq!(config.key_file, PathBuf::from(format!("{path}.key")));
    }

    #[test]
    fn only_a_server_is_asked_for_more_connections() {
        for (url, most) in [("postgres://me@h/x", 50), ("sqlite:a.db", 4)] {
            let mut config = StoreConfig::parse(url).expect("valid");
            config.allow_server_connections(50);
            assert_eq!(config.max_connections, most, "{url}");
        }
    }

    #[rstest]
    #[case("postgres://me:hidden@db.example:5433/shop")]
    #[case("postgresql://me@db.example:5433/shop?password=hidden")]
    fn r11_a_password_is_never_shown(#[case] url: &str) {
        let config = StoreConfig::parse(url).expect("valid");
        assert_eq!(config.shown_url(), "postgres://me@db.example:5433/shop");
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[rstest]
    #[case("mysql://me:hidden@host/db")]
    #[case("/var/lib/hidden.db")]
    #[case("postgres://me:hidden@host:port/db")]
    #[case("")]
    fn r11_what_is_no_database_url_is_refused_without_showing_it(#[case] url: &str) {
        let error = StoreConfig::parse(url).expect_err("refused").to_string();
        assert!(error.contains("postgres://USER@HOST"), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }

    #[rstest]
    #[case("sqlite:")]
    #[case("sqlite::memory:")]
    fn a_store_outlives_its_process(#[case] url: &str) {
        assert!(StoreConfig::parse(url).is_err());
    }
}
