mod removal;
mod strays;
mod test;
mod view;

use std::collections::BTreeMap;

use expiry_core::{
    Clock, Directory, NewRouter, PasswordStore, Router, RouterAddress, RouterChange, RouterGateway,
    SystemClock,
};
use view::{Done, RouterLine};

use super::find;
use crate::{
    args::{AddRouter, RouterCommand, SetRouter},
    error::{self, CliError},
    output::Output,
    secret,
};

pub(super) use view::BoxName;

pub(super) async fn run(
    command: RouterCommand,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        RouterCommand::Add(args) => add(args, directory, passwords, gateway, out).await,
        RouterCommand::Set(args) => set(args, directory, out).await,
        RouterCommand::List => list(directory, passwords, out).await,
        RouterCommand::Test { name } => {
            let router = find::router(directory, &name).await?;
            let all = directory.routers().await?;
            test::run(&router, &all, passwords, gateway, out).await
        }
        RouterCommand::Enable { name } => switch(name, true, directory, out).await,
        RouterCommand::Disable { name } => switch(name, false, directory, out).await,
        RouterCommand::Accept { name } => {
            let router = find::router(directory, &name).await?;
            directory.accept_router(router.id).await?;
            out.answer(&Done {
                router: name,
                done: "accepted",
            });
            Ok(())
        }
        RouterCommand::Strays { name } => strays::run(name, directory, out).await,
        RouterCommand::Remove { name, force } => removal::run(name, force, directory, out).await,
    }
}

async fn add(
    args: AddRouter,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tenant = find::tenant(directory, args.tenant.as_deref()).await?;
    let password = secret::from_file_or_terminal(args.password_file.as_deref(), &args.username)?;
    let new = NewRouter {
        name: args.name,
        tenant: tenant.map(|tenant| tenant.id),
        address: RouterAddress {
            host: args.host,
            port: args.port,
            username: args.username,
        },
        password,
    };
    let note = look_first(&new, directory, passwords, gateway).await?;
    let router = directory.add_router(&new).await?;
    out.answer(&RouterLine::new(&router, args.tenant));
    if let Some(note) = note {
        error::note(&note);
    }
    Ok(())
}

/// Looks at a router that is to be added, where it can be reached: the same box twice is refused.
/// What else is wrong with it is a note, since it may be mended later.
async fn look_first(
    new: &NewRouter,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
    gateway: &dyn RouterGateway,
) -> Result<Option<String>, CliError> {
    let all = directory.routers().await?;
    let now = SystemClock.wall();
    let looked = expiry_core::look_first(gateway, new, &all, passwords, now).await;
    let looked = looked.map_err(|trouble| CliError::SameBox {
        router: new.name.clone(),
        trouble,
    })?;
    let Some(notes) = looked else {
        return Ok(Some(format!("router `{}` does not answer yet", new.name)));
    };
    let told = notes.iter().map(|trouble| trouble.told(Some(&new.name)));
    let told: Vec<_> = told.collect();
    Ok((!told.is_empty()).then(|| format!("router `{}`: {}", new.name, told.join("; "))))
}

async fn set(
    args: SetRouter,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let router = find::router(directory, &args.name).await?;
    if let Some(tenant) = find::tenant(directory, args.tenant.as_deref()).await?
        && router.tenant != Some(tenant.id)
    {
        return Err(CliError::OtherTenant {
            router: router.name,
            tenant: tenant.slug,
        });
    }
    let given = args.host.is_some() || args.port.is_some() || args.username.is_some();
    let password = match args.password_file.as_deref() {
        Some(file) => Some(secret::from_file(file)?),
        None if given => None,
        None => match secret::from_file_or_terminal(None, &router.address.username) {
            Ok(password) => Some(password),
            Err(CliError::NoPassword) => return Err(CliError::NothingToChange),
            Err(error) => return Err(error),
        },
    };
    let change = RouterChange {
        host: args.host,
        port: args.port,
        username: args.username,
        password,
        enabled: None,
    };
    let tenants = directory.tenants().await?;
    let router = directory.change_router(router.id, &change).await?;
    let tenant = tenants
        .into_iter()
        .find(|tenant| Some(tenant.id) == router.tenant);
    out.answer(&RouterLine::new(&router, tenant.map(|tenant| tenant.slug)));
    Ok(())
}

async fn list(
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tenants = directory.tenants().await?;
    let slugs: BTreeMap<_, _> = tenants.into_iter().map(|t| (t.id, t.slug)).collect();
    let routers = directory.routers().await?;
    let secrets = passwords.secrets().await?;
    let without: BTreeMap<_, _> = secrets
        .wanting()
        .filter_map(|secret| Some((secret.router, secret.cause.as_ref()?)))
        .collect();
    let line = |router: &Router| {
        let tenant = |id| slugs.get(&id).cloned();
        RouterLine::new(router, router.tenant.and_then(tenant))
            .without_password(without.get(&router.id).copied())
    };
    let lines: Vec<_> = routers.iter().map(line).collect();
    Ok(out.list(&lines)?)
}

async fn switch(
    name: String,
    enabled: bool,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let router = find::router(directory, &name).await?;
    let change = RouterChange {
        enabled: Some(enabled),
        ..RouterChange::default()
    };
    directory.change_router(router.id, &change).await?;
    let done = if enabled { "enabled" } else { "disabled" };
    out.answer(&Done { router: name, done });
    Ok(())
}

#[cfg(test)]
mod tests;
