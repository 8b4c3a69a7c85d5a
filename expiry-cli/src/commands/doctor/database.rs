use std::{collections::BTreeSet, sync::Arc, time::Duration};

use expiry_core::{Cause, KeyState, Secrets, Store, StoreError};
use expiry_store::StoreConfig;
use tokio::time::{Instant, timeout};

use super::check::{Check, Findings, answer};
use crate::{
    error::{CliError, chain},
    output::count,
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
    let config = match wiring::store_config(settings, wiring::Purpose::Use) {
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
            let key = answer(KEY_FILE, store.secrets()).await;
            findings.add(key.map_or_else(|check| check, |secrets| key_check(&secrets)))?;
            Some(store)
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
            "stop the watchers, make a backup, and run `expiryctl migrate`".into()
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

/// Does the key open what was sealed?
fn key_check(secrets: &Secrets) -> Check {
    let file = secrets.key_file.display();
    let shut: Vec<_> = secrets.shut().collect();
    let of_key = shut.iter().filter(|secret| {
        let cause = secret.cause.as_ref();
        cause.is_some_and(|cause| cause.cause() != Cause::NoPassword)
    });
    let sealed_with: BTreeSet<_> = of_key
        .clone()
        .filter_map(|secret| secret.sealed_with.as_deref())
        .collect();
    let names: Vec<_> = of_key.map(|secret| secret.name.as_str()).collect();
    let keys = sealed_with.into_iter().collect::<Vec<_>>().join(", ");
    let passwords = count(names.len() as u64, "password");
    let sealed = format!("{passwords} sealed with key {keys}: {}", names.join(", "));
    match &secrets.key {
        KeyState::Missing if names.is_empty() => Check::ok(
            KEY_FILE,
            format!("{file} will be made with the first router"),
        ),
        KeyState::Here(_) if names.is_empty() => {
            Check::ok(KEY_FILE, format!("{file} fits; is it in the backup?"))
        }
        KeyState::Unusable(fault) => {
            let advice = "without the right key no router password can be read";
            Check::failed(KEY_FILE, fault, advice)
        }
        KeyState::Missing => Check::failed(KEY_FILE, format!("{file} is missing, {sealed}"), LOST),
        KeyState::Here(id) => {
            Check::failed(KEY_FILE, format!("{file} holds key {id}, {sealed}"), LOST)
        }
    }
}

const LOST: &str = "copy the right key file there from the machine or backup that has it; if it is \
                    lost, `expiryctl secrets reset`";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use expiry_core::{NoPasswordCause, RouterId, RouterSecret};

    use super::*;
    use crate::commands::doctor::check::State;

    fn secrets(key: KeyState, cause: Option<NoPasswordCause>) -> Secrets {
        Secrets {
            key_file: PathBuf::from("/a.key"),
            key,
            routers: vec![RouterSecret {
                router: RouterId(1),
                name: "r1".into(),
                sealed_with: Some("abcd".into()),
                cause,
                opened_by: Vec::new(),
                remembered_by: Vec::new(),
            }],
        }
    }

    #[test]
    fn r11_a_key_that_opens_not_all_is_a_failure() {
        let (sealed_with, file) = ("abcd".to_owned(), "/a.key".to_owned());
        let missing = NoPasswordCause::KeyMissing { sealed_with, file };
        let public = "key file /a.key can be read by others: run `chmod 600 /a.key`";
        let none = Secrets {
            routers: Vec::new(),
            ..secrets(KeyState::Missing, None)
        };
        for (secrets, state, found) in [
            (
                secrets(KeyState::Here("abcd".into()), None),
                State::Ok,
                "/a.key fits",
            ),
            (none, State::Ok, "/a.key will be made"),
            (
                secrets(KeyState::Missing, Some(missing.clone())),
                State::Failed,
                "/a.key is missing, 1 password sealed with key abcd: r1",
            ),
            (
                secrets(KeyState::Here("ef01".into()), Some(missing)),
                State::Failed,
                "/a.key holds key ef01, 1 password sealed with key abcd: r1",
            ),
            (
                secrets(KeyState::Unusable(public.into()), None),
                State::Failed,
                public,
            ),
            (
                secrets(
                    KeyState::Here("abcd".into()),
                    Some(NoPasswordCause::Damaged),
                ),
                State::Ok,
                "/a.key fits",
            ),
        ] {
            let check = key_check(&secrets);
            assert_eq!(check.state, state, "{check}");
            assert!(check.found.starts_with(found), "{check}");
        }
    }
}
