//! The command `expiryctl`: the watcher, its administration, the demo and the router simulator.
//!
//! What it shares with other programs of this project (settings and where they come from, log lines,
//! signals, the service manager, the wiring of store, gateway and watcher) is [`host`].

#![warn(missing_docs)]

mod args;
mod commands;
mod error;
pub mod host;
mod lifecycle;
mod log;
mod nearest;
mod output;
mod secret;
mod service;
mod settings;
mod terminal;
mod wiring;
mod words;

use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::{
    args::{Cli, Command, LogFormat},
    error::CliError,
    log::Streams,
    settings::Environment,
};

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(refused) => return args::refuse(&refused, std::env::args_os()),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            error::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let loaded = settings::load(&cli, &Environment::of_process());
    let is_service = matches!(&cli.command, Command::Run(args) if !args.once && !args.dry_run);
    let (level, format) = loaded.log();
    let (streams, format) = if is_service && cli.global.json {
        (Streams::Service, LogFormat::Json)
    } else if is_service {
        (Streams::Service, format)
    } else {
        (Streams::Command, format)
    };
    log::start(streams, level, format);
    let runtime = Runtime::new().map_err(CliError::Runtime)?;
    let result = runtime.block_on(commands::run(cli, &loaded));
    // A name lookup that hangs must not hold up the exit.
    runtime.shutdown_background();
    result
}
