mod removal;
mod strays;
mod test;
mod view;

use std::collections::BTreeMap;

use expiry_core::{
    Directory, NewRouter, PasswordStore, RouterAddress, RouterChange, RouterGateway,
};
use view::{Done, RouterLine};

use super::find;
use crate::{
    args::{AddRouter, RouterCommand, SetRouter},
    error::CliError,
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
        RouterCommand::Add(args) => add(args, directory, out).await,
        RouterCommand::Set(args) => set(args, directory, out).await,
        RouterCommand::List => list(directory, out).await,
        RouterCommand::Test { name } => {
            let router = find::router(directory, &name).await?;
            test::run(&router, passwords, gateway, out).await
        }
        RouterCommand::Enable { name } => switch(name, true, directory, out).await,
        RouterCommand::Disable { name } => switch(name, false, directory, out).await,
        RouterCommand::Accept { name } => {
            let router = find::router(directory, &name).await?;
            directory.accept_router(router.id).await?;
            Ok(out.show(&Done {
                router: name,
                done: "accepted",
            })?)
        }
        RouterCommand::Strays { name } => strays::run(name, directory, out).await,
        RouterCommand::Remove { name, force } => removal::run(name, force, directory, out).await,
    }
}

async fn add(
    args: AddRouter,
    directory: &dyn Directory,
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
    let router = directory.add_router(&new).await?;
    Ok(out.show(&RouterLine::new(&router, args.tenant))?)
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
    let router = directory.change_router(router.id, &change).await?;
    let tenants = directory.tenants().await?;
    let tenant = tenants
        .into_iter()
        .find(|tenant| Some(tenant.id) == router.tenant);
    Ok(out.show(&RouterLine::new(&router, tenant.map(|tenant| tenant.slug)))?)
}

async fn list(directory: &dyn Directory, out: &mut Output<'_>) -> Result<(), CliError> {
    let tenants = directory.tenants().await?;
    let slugs: BTreeMap<_, _> = tenants.into_iter().map(|t| (t.id, t.slug)).collect();
    let routers = directory.routers().await?;
    let line = |router| {
        let tenant = |id| slugs.get(&id).cloned();
        RouterLine::new(router, router.tenant.and_then(tenant))
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
    Ok(out.show(&Done { router: name, done })?)
}

#[cfg(test)]
mod tests;
