//! The keys before all sections.

use std::{
    fs,
    path::{Path, PathBuf},
};

use expiry_core::config::{Field, Key, Loader, Place, Section};
use expiry_store::StoreConfig;

use super::{Database, Environment};

#[derive(Clone, Debug)]
pub(super) struct General {
    database: Option<String>,
    database_file: Option<PathBuf>,
    pub(super) database_listen: Option<String>,
    pub(super) max_connections: u32,
    pub(super) key_file: Option<PathBuf>,
    pub(super) log_level: Option<&'static str>,
    pub(super) log_format: Option<&'static str>,
}

impl Default for General {
    fn default() -> Self {
        Self {
            database: None,
            database_file: None,
            database_listen: None,
            max_connections: StoreConfig::SERVER_CONNECTIONS,
            key_file: None,
            log_level: None,
            log_format: Some("text"),
        }
    }
}

impl Section for General {
    const NAME: &'static str = "";
    const KEYS: &'static [Key<Self>] = &[
        Key::new("database", Field::Text(|g: &mut Self| &mut g.database))
            .also(&["DATABASE_URL"])
            .secret(),
        Key::new("database_file", Field::Path(|g| &mut g.database_file)),
        Key::new(
            "database_listen",
            Field::Text(|g: &mut Self| &mut g.database_listen),
        )
        .secret(),
        Key::count("max_connections", (2, 100), |g| &mut g.max_connections),
        Key::new("key_file", Field::Path(|g| &mut g.key_file)),
        Key::new(
            "log_level",
            Field::Word {
                at: |g| &mut g.log_level,
                words: &["error", "warn", "info", "debug", "trace"],
            },
        ),
        Key::new(
            "log_format",
            Field::Word {
                at: |g| &mut g.log_format,
                words: &["text", "json"],
            },
        ),
    ];
}

impl General {
    /// Decides between the URL, the file that holds it, and this user's own database.
    pub(super) fn database(&self, loader: &mut Loader, environment: &Environment) -> Database {
        let (from, file_from) = (
            loader.place("database").clone(),
            loader.place("database_file").clone(),
        );
        if let (Some(_), Some(_)) = (&self.database, &self.database_file)
            && is_same_source(&from, &file_from)
        {
            loader.fault(
                file_from.clone(),
                "database and database_file are both given: leave one out",
            );
        }
        match (&self.database, &self.database_file) {
            (_, Some(file)) if file_from > from => match url_in(file) {
                Ok(url) => {
                    let from = file_from;
                    Database::Url { url, from }
                }
                Err(message) => {
                    loader.fault(file_from, message);
                    Database::Nowhere
                }
            },
            (Some(url), _) => {
                let url = url.clone();
                Database::Url { url, from }
            }
            (None, _) => match expiry_store::data_directory(|name| environment.get(name)) {
                Some(data) => Database::Own(data.join("expiry/expiry.db")),
                None => Database::Nowhere,
            },
        }
    }
}

fn is_same_source(a: &Place, b: &Place) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn url_in(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read database_file {shown}: {error}"))?;
    match text.trim() {
        "" => Err(format!(
            "database_file {shown} is empty: it must hold the URL"
        )),
        url => Ok(url.into()),
    }
}
