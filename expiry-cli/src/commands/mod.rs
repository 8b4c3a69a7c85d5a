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

use std::io;

pub(crate) use demo::Summary;
pub(crate) use explain::{explained, told};
pub(crate) use one_router::register;
pub(crate) use subscriber::Faults;

use crate::{
    args::{Cli, Command},
    error::CliError,
    output::Output,
    settings::Loaded,
    wiring,
};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other commands need a right configuration"
)]
pub(crate) async fn run(cli: Cli, loaded: &Loaded) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    let mut out = Output::new(&mut stdout, cli.global.json);
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
            run::run(&args, settings, wiring::store(settings).await?, &mut out).await
        }
        Command::Status(args) => status::run(&args, wiring::store(settings).await?, &mut out).await,
        Command::Explain(who) => {
            let store = wiring::store(settings).await?;
            explain::run(&who, &settings.watcher.retry, &*store, &*store, &mut out).await
        }
        Command::Brake { command } => {
            let store = wiring::store(settings).await?;
            brake::run(command.as_ref(), &*store, &*store, &mut out).await
        }
        Command::Secrets { command } => {
            let store = wiring::store(settings).await?;
            secrets::run(command.as_ref(), &*store, &mut out).await
        }
        Command::Subscriber(command) => {
            let store = wiring::store(settings).await?;
            subscriber::run(command, &*store, &*store, &mut out).await
        }
        Command::Router(command) => {
            let store = wiring::store(settings).await?;
            let gateway = wiring::gateway(&settings.gateway);
            router::run(command, &*store, &*store, &*gateway, &mut out).await
        }
        Command::Tenant(command) => {
            tenant::run(command, &*wiring::store(settings).await?, &mut out).await
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
