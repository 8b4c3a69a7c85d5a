//! Checks everything around the watcher, from the configuration to each router.

mod check;
mod clock;
mod database;
mod routers;
mod watching;

use std::sync::Arc;

use expiry_core::{PasswordStore, Router, Store};

use self::check::{Check, Findings};
use crate::{
    error::CliError,
    output::Output,
    settings::{Loaded, Settings},
    wiring,
};

pub(super) async fn run(loaded: &Loaded, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut findings = Findings::new(out);
    configuration(loaded, &mut findings)?;
    if let Ok(settings) = loaded.settings() {
        examine(&settings, &mut findings).await?;
    }
    findings.conclude()
}

fn configuration(loaded: &Loaded, findings: &mut Findings<'_, '_>) -> Result<(), CliError> {
    const NAME: &str = "configuration";
    let file = loaded.file.as_ref();
    let found = file.map_or_else(|| "no file".into(), |file| file.display().to_string());
    if loaded.faults.is_empty() {
        return findings.add(Check::ok(NAME, found));
    }
    for fault in &loaded.faults {
        let advice = "correct it; nothing else is checked before";
        findings.add(Check::failed(NAME, fault.to_string(), advice))?;
    }
    Ok(())
}

async fn examine(settings: &Settings, findings: &mut Findings<'_, '_>) -> Result<(), CliError> {
    findings.doing("opening the database");
    let Some(store) = database::open(settings, findings).await? else {
        return Ok(());
    };
    findings.add(clock::against(&*store).await)?;
    findings.add(clock::kernel().await)?;
    findings.doing("reading what is owed");
    for check in watching::check(&*store).await {
        findings.add(check)?;
    }
    let routers = match enabled(&*store).await {
        Ok(routers) => routers,
        Err(check) => return findings.add(check),
    };
    routers::examine(
        routers,
        &(store as Arc<dyn PasswordStore>),
        &wiring::trying(&settings.gateway, routers::LOGIN),
        findings,
    )
    .await
}

async fn enabled(store: &dyn Store) -> Result<Vec<Router>, Check> {
    let routers = check::answer("routers", store.routers()).await?;
    let enabled: Vec<_> = routers.into_iter().filter(|r| r.enabled).collect();
    if enabled.is_empty() {
        let found = "none is enabled: nobody can be cut";
        let advice = "add one with `expiryctl router add`, or enable it with `expiryctl router \
                      enable`";
        return Err(Check::warning("routers", found, advice));
    }
    Ok(enabled)
}
