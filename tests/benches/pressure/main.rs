//! Cuts while others press: `cargo bench -p expiry-tests --bench pressure`, with the name of a scenario
//! (`flood`, `disk`, `refused`) to run only that. Prints what was reached, and fails if it is less than
//! promised.
//!
//! The programs are the real ones; the routers are simulated, over TCP on loopback.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

#[path = "../everyday/figures.rs"]
mod figures;
mod flood;
mod storage;

use std::{env, process::ExitCode};

use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let chosen: Vec<_> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let runs = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    let runtime = Runtime::new().expect("a runtime");
    println!("{}", figures::machine());
    let mut holds = true;
    if runs("flood") {
        holds &= runtime.block_on(flood::run());
    }
    if runs("disk") {
        holds &= runtime.block_on(storage::full());
    }
    if runs("refused") {
        holds &= runtime.block_on(storage::refused());
    }
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
