//! One module for each command: it gets its ports, does its work, and prints the result.

mod demo;
mod find;
mod migrate;
mod router;
mod router_sim;
mod run;
mod status;
mod subscriber;
mod tenant;

use std::io;

pub(crate) use demo::Summary;
pub(crate) use subscriber::Faults;

use crate::{
    args::{Cli, Command},
    error::CliError,
    output::Output,
    settings::Settings,
    wiring,
};

pub(crate) async fn run(cli: Cli, settings: &Settings) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    let mut out = Output::new(&mut stdout, cli.global.json);
    match cli.command {
        Command::Run(args) => run::run(&args, wiring::store(settings).await?, &mut out).await,
        Command::Status => status::run(&*wiring::store(settings).await?, &mut out).await,
        Command::Subscriber(command) => {
            let store = wiring::store(settings).await?;
            subscriber::run(command, &*store, &*store, &mut out).await
        }
        Command::Router(command) => {
            let store = wiring::store(settings).await?;
            router::run(command, &*store, &*wiring::gateway(), &mut out).await
        }
        Command::Tenant(command) => {
            tenant::run(command, &*wiring::store(settings).await?, &mut out).await
        }
        Command::Migrate => migrate::run(wiring::migrate(settings).await?, &mut out),
        Command::Demo(args) => demo::run(&args, &mut out).await,
        Command::RouterSim(args) => router_sim::run(&args, &mut out).await,
    }
}
