//! One module for each command: it gets its ports, does its work, and prints the result.

mod brake;
mod check_config;
mod completions;
mod demo;
mod doctor;
mod dry_run;
mod explain;
mod find;
mod man;
mod migrate;
mod nearest;
mod one_router;
#[cfg(test)]
mod orders;
mod router;
mod router_sim;
mod run;
mod secrets;
mod status;
mod subscriber;
mod tenant;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use expiry_core::Store;

pub(crate) use demo::Summary;
pub(crate) use explain::{explained, told};
pub(crate) use one_router::register;
pub(crate) use subscriber::Faults;

use crate::{
    args::{Cli, Command, RouterCommand, TenantCommand},
    error::CliError,
    output::Output,
    settings::{Loaded, Settings},
    wiring,
};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other commands need a right configuration"
)]
pub(crate) async fn run(cli: Cli, loaded: &Loaded) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = Output::new(&mut stdout, cli.global.json).on_terminal(terminal);
    // These work, or are needed most, when the configuration is wrong.
    match &cli.command {
        Command::Completions { shell } => return completions::run(*shell),
        Command::Man { dir } => return man::run(dir.as_deref()),
        Command::CheckConfig => return check_config::run(loaded, &mut out),
        Command::Doctor => return doctor::run(loaded, &mut out).await,
        _ => {}
    }
    let settings = &loaded.settings()?;
    match cli.command {
        Command::Run(args) => {
            let store = opened(settings, !args.dry_run).await?;
            run::run(&args, settings, store, &mut out).await
        }
        Command::Status(args) => status::run(&args, opened(settings, false).await?, &mut out).await,
        Command::Explain(who) => {
            let store = opened(settings, false).await?;
            explain::run(&who, &settings.watcher.retry, &*store, &*store, &mut out).await
        }
        Command::Brake { command } => {
            let store = opened(settings, false).await?;
            brake::run(command.as_ref(), &*store, &*store, &mut out).await
        }
        Command::Secrets { command } => {
            let store = opened(settings, false).await?;
            secrets::run(command.as_ref(), &*store, &mut out).await
        }
        Command::Subscriber(command) => {
            let store = opened(settings, command.begins()).await?;
            subscriber::run(command, &*store, &*store, &mut out).await
        }
        Command::Router(command) => {
            let store = opened(settings, matches!(command, RouterCommand::Add(_))).await?;
            let gateway = wiring::gateway(&settings.gateway);
            router::run(command, &*store, &*store, &*gateway, &mut out).await
        }
        Command::Tenant(command) => {
            let store = opened(settings, matches!(command, TenantCommand::Add { .. })).await?;
            tenant::run(command, &*store, &mut out).await
        }
        Command::Migrate => {
            migrate::tell(wiring::migrate(settings).await?, &mut out);
            Ok(())
        }
        Command::Demo(args) => demo::run(&args, &mut out).await,
        Command::RouterSim(args) => router_sim::run(&args, &mut out).await,
        Command::Completions { .. }
        | Command::Man { .. }
        | Command::CheckConfig
        | Command::Doctor => Ok(()),
    }
}

/// Opens the database. One that is not there is made only by what has something to do in an empty one:
/// a path that was mistyped makes nothing.
async fn opened(settings: &Settings, begins: bool) -> Result<Arc<dyn Store>, CliError> {
    if begins {
        wiring::store(settings).await
    } else {
        wiring::store_that_is_there(settings).await
    }
}
