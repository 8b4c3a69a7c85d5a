use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use expiry_core::{Store, StoreError};
use expiry_store::StoreConfig;
use tokio::time::{Instant, timeout};

use super::check::{Check, Findings};
use crate::{
    error::{CliError, chain},
    settings::Settings,
    wiring,
};

const DATABASE: &str = "database";
const KEY_FILE: &str = "key file";

/// How long opening may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Opens the store; nothing more can be checked without it.
pub(super) async fn open(
    settings: &Settings,
    findings: &mut Findings<'_, '_>,
) -> Result<Option<Arc<dyn Store>>, CliError> {
    let config = match wiring::store_config(settings) {
        Ok((config, _)) => config,
        Err(error) => {
            let advice = "name a database with --database, EXPIRY_DATABASE or in the file";
            findings.add(Check::failed(DATABASE, chain(&error), advice))?;
            return Ok(None);
        }
    };
    let started = Instant::now();
    let opened = timeout(PATIENCE, expiry_store::open(&config)).await;
    let reached = format!(
        "{} opened in {} ms, schema version {}",
        config.shown_url(),
        started.elapsed().as_millis(),
        expiry_store::schema_version(&config)
    );
    let store = match opened {
        Ok(Ok(store)) => {
            findings.add(Check::ok(DATABASE, reached))?;
            findings.add(writing(&config).await)?;
            findings.add(key(&config.key_file))?;
            Some(store)
        }
        Ok(Err(error @ StoreError::Key(_))) => {
            findings.add(Check::ok(DATABASE, reached))?;
            let advice = "without the right key no router password can be read";
            findings.add(Check::failed(KEY_FILE, chain(&error), advice))?;
            None
        }
        Ok(Err(error)) => {
            let found = format!("{}: {}", config.shown_url(), chain(&error));
            findings.add(Check::failed(DATABASE, found, advice(&config, &error)))?;
            None
        }
        Err(_) => {
            let (url, after) = (config.shown_url(), PATIENCE.as_secs());
            let found = format!("{url}: no answer within {after} s");
            let advice = "is the server up, and the way to it open?";
            findings.add(Check::failed(DATABASE, found, advice))?;
            None
        }
    };
    Ok(store)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named has the general advice"
)]
fn advice(config: &StoreConfig, error: &StoreError) -> String {
    match error {
        StoreError::SchemaTooOld { .. } => {
            "stop the watchers, make a backup, and run `expiry migrate`".into()
        }
        StoreError::SchemaTooNew { .. } => {
            "install the version of expiry that the other machines have".into()
        }
        StoreError::SchemaUnknown(_) => {
            "export the subscribers with the program that made it, and import them into an empty \
             database"
                .into()
        }
        StoreError::Refused(_) => "have the owner of the tables run the GRANT above".into(),
        StoreError::Corrupt { .. } => "restore the database from a backup".into(),
        _ if config.shown_url().starts_with("sqlite") => {
            "may this user read and write the file and its directory?".into()
        }
        _ => "is the server up, and may this user connect to that database?".into(),
    }
}

/// Writes what is there already: a database that can only be read looks well otherwise.
async fn writing(config: &StoreConfig) -> Check {
    const NAME: &str = "writing to the database";
    match timeout(PATIENCE, expiry_store::try_writing(config)).await {
        Ok(Ok(())) => Check::ok(NAME, "possible"),
        Ok(Err(error)) => {
            let advice = "until that is mended nobody is cut, and nobody can pay";
            Check::failed(NAME, chain(&error), advice)
        }
        Err(_) => {
            let found = format!("not possible within {} s", PATIENCE.as_secs());
            Check::failed(NAME, found, "does another program hold it for long?")
        }
    }
}

/// The store has opened, so the key is the right one if any is needed.
fn key(file: &Path) -> Check {
    let shown = file.display();
    match fs::metadata(file) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            let found = format!("{shown} can be read by others");
            Check::failed(KEY_FILE, found, format!("run `chmod 600 {shown}`"))
        }
        Ok(_) => Check::ok(KEY_FILE, format!("{shown} fits; is it in the backup?")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::ok(
            KEY_FILE,
            format!("{shown} will be made with the first router"),
        ),
        Err(error) => Check::failed(
            KEY_FILE,
            format!("{shown}: {error}"),
            "may this user read it?",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::State;

    #[test]
    fn r11_a_key_that_others_can_read_is_a_failure() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.key");
        assert_eq!(key(&file).state, State::Ok, "it is made later");
        fs::write(&file, "00").expect("written");
        for (mode, state) in [(0o600, State::Ok), (0o640, State::Failed)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("chmod");
            assert_eq!(key(&file).state, state, "{mode:o}");
        }
    }
}
