//! `expiry`: the watcher, its administration, the demo and the router simulator.

mod args;
mod commands;
mod error;
mod lifecycle;
mod log;
mod nearest;
mod output;
mod secret;
mod settings;
mod wiring;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{
    args::{Cli, Command, LogFormat},
    error::CliError,
    log::Streams,
    settings::Settings,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return args::refuse(&refused, std::env::args_os()),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.details() {
                error::print(&line);
            }
            error::print(&error::chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let settings = Settings::resolve(&cli.global, |name| std::env::var_os(name))?;
    let is_service = matches!(&cli.command, Command::Run(args) if !args.once);
    let (streams, format) = if is_service && cli.global.json {
        (Streams::Service, LogFormat::Json)
    } else if is_service {
        (Streams::Service, settings.log_format)
    } else {
        (Streams::Command, settings.log_format)
    };
    log::start(streams, settings.log_level, format);
    let runtime = Runtime::new().map_err(CliError::Runtime)?;
    let result = runtime.block_on(commands::run(cli, &settings));
    // A name lookup that hangs must not hold up the exit.
    runtime.shutdown_background();
    result
}
