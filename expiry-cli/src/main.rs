//! `expiryctl`: the watcher, its administration, the demo and the router simulator.

use std::process::ExitCode;

fn main() -> ExitCode {
    expiry_cli::main()
}
