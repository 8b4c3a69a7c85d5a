use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, error::CliError};

pub(super) fn run(shell: Shell) -> Result<(), CliError> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "expiryctl", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
