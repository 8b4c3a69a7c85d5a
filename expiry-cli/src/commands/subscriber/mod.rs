mod export;
mod import;
mod pay;
mod sheet;
mod view;

use std::io;

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, AccessChange, Directory, EnforcementStore, NewSubscriber, RouterId, Subscriber,
    SubscriberId,
};
pub(crate) use import::Faults;
use view::{Names, Removed, View};

use super::find;
use crate::{
    args::{AddSubscriber, DeviceCommand, End, Extension, SubscriberCommand},
    error::CliError,
    output::Output,
};

/// How many subscribers are read at a time.
const PAGE: u32 = 1_000;

pub(super) async fn run(
    command: SubscriberCommand,
    directory: &dyn Directory,
    clock: &dyn EnforcementStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let (subscriber, shown) = match command {
        SubscriberCommand::Add(args) => {
            let shown = Shown::read(directory, clock, args.who.tenant.as_deref()).await?;
            (add(args, directory, shown.now).await?, shown)
        }
        SubscriberCommand::Extend { who, until } => {
            let shown = Shown::read(directory, clock, who.tenant.as_deref()).await?;
            let change = extension(&until, shown.now)?;
            let subscriber = find::subscriber(directory, &who).await?;
            takes_nothing(&subscriber, change)?;
            let extended = directory.change_access(subscriber.id, change).await?;
            // Somebody else may have given more meanwhile: nothing was taken then, nor given.
            takes_nothing(&extended, change)?;
            (extended, shown)
        }
        SubscriberCommand::Pay(args) => return pay::run(args, directory, out).await,
        SubscriberCommand::Revoke(who) => {
            let mut shown = Shown::read(directory, clock, who.tenant.as_deref()).await?;
            let subscriber = find::subscriber(directory, &who).await?;
            let revoked = directory
                .change_access(subscriber.id, AccessChange::Revoke)
                .await?;
            // The time was read before.
            shown.now = shown.now.max(revoked.access.end().unwrap_or(shown.now));
            (revoked, shown)
        }
        SubscriberCommand::Show(who) => {
            let shown = Shown::read(directory, clock, who.tenant.as_deref()).await?;
            let found = find::subscriber(directory, &who).await?;
            return Ok(out.show(&shown.names.view(&found, shown.now))?);
        }
        SubscriberCommand::Device(DeviceCommand::Add { who, mac }) => {
            let shown = Shown::read(directory, clock, who.tenant.as_deref()).await?;
            let subscriber = find::subscriber(directory, &who).await?;
            (directory.add_device(subscriber.id, mac).await?, shown)
        }
        SubscriberCommand::Device(DeviceCommand::Remove { who, mac }) => {
            let shown = Shown::read(directory, clock, who.tenant.as_deref()).await?;
            let subscriber = find::subscriber(directory, &who).await?;
            (directory.remove_device(subscriber.id, mac).await?, shown)
        }
        SubscriberCommand::Remove(who) => {
            let subscriber = find::subscriber(directory, &who).await?;
            directory.remove_subscriber(subscriber.id).await?;
            let removed = who.username;
            out.answer(&Removed { removed });
            return Ok(());
        }
        SubscriberCommand::Import(args) => {
            return import::run(&args, directory, io::stdin(), out).await;
        }
        SubscriberCommand::Export(args) => return export::run(&args, directory, out).await,
        SubscriberCommand::List { tenant } => {
            return list(tenant, directory, clock.now().await?, out).await;
        }
    };
    out.answer(&shown.names.view(&subscriber, shown.now));
    Ok(())
}

/// What an answer is made of besides the subscriber. It is read before an order is carried out, since
/// nothing may fail between the order and its answer.
struct Shown {
    names: Names,
    now: DateTime<Utc>,
}

impl Shown {
    async fn read(
        directory: &dyn Directory,
        clock: &dyn EnforcementStore,
        tenant: Option<&str>,
    ) -> Result<Self, CliError> {
        Ok(Self {
            names: Names::read(directory, tenant.map(Into::into)).await?,
            now: clock.now().await?,
        })
    }
}

async fn add(
    args: AddSubscriber,
    directory: &dyn Directory,
    now: DateTime<Utc>,
) -> Result<Subscriber, CliError> {
    let tenant = find::tenant(directory, args.who.tenant.as_deref()).await?;
    let new = NewSubscriber {
        tenant: tenant.map(|tenant| tenant.id),
        username: args.who.username,
        service: args.service,
        access: bought(&args.end, now),
        router: bound_to(directory, args.router.as_deref()).await?,
        devices: args.devices.into_iter().collect(),
    };
    let added = if args.no_tenant {
        directory.add_subscriber(&new).await
    } else {
        directory.add_unplaced_subscriber(&new).await
    };
    Ok(added?)
}

async fn bound_to(
    directory: &dyn Directory,
    name: Option<&str>,
) -> Result<Option<RouterId>, CliError> {
    match name {
        Some(name) => Ok(Some(find::router(directory, name).await?.id)),
        None => Ok(None),
    }
}

fn bought(end: &End, now: DateTime<Utc>) -> Access {
    match (end.expires_at, end.length) {
        (Some(at), _) => Access::Until(at),
        (None, Some(length)) => Access::None.changed(AccessChange::Extend(length), now),
        (None, None) => Access::Forever,
    }
}

fn extension(until: &Extension, now: DateTime<Utc>) -> Result<AccessChange, CliError> {
    match (until.length, until.until) {
        (Some(length), _) => Ok(AccessChange::Extend(length)),
        (None, Some(at)) if at <= now => Err(CliError::NotAhead { at }),
        (None, Some(at)) if until.shorten => Ok(AccessChange::Set(Access::Until(at))),
        (None, Some(at)) => Ok(AccessChange::ExtendTo(at)),
        (None, None) => Err(CliError::NothingToExtend),
    }
}

/// Refuses to extend to an end that access goes beyond.
fn takes_nothing(subscriber: &Subscriber, change: AccessChange) -> Result<(), CliError> {
    if let AccessChange::ExtendTo(at) = change
        && subscriber.access.goes_beyond(at)
    {
        return Err(CliError::GoesBeyond {
            username: subscriber.username.clone(),
            end: subscriber.access.end(),
            at,
        });
    }
    Ok(())
}

async fn list(
    tenant: Option<String>,
    directory: &dyn Directory,
    now: DateTime<Utc>,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let id = find::tenant(directory, tenant.as_deref())
        .await?
        .map(|tenant| tenant.id);
    let names = Names::read(directory, tenant).await?;
    let mut list = out.long_list()?;
    let mut after = SubscriberId(0);
    loop {
        let page = directory.subscribers(id, after, PAGE).await?;
        let Some(end) = page.last() else { break };
        after = end.id;
        let views = page.iter().map(|subscriber| names.view(subscriber, now));
        list.page(&views.collect::<Vec<_>>())?;
    }
    Ok(list.end::<View>()?)
}

#[cfg(test)]
mod tests;
