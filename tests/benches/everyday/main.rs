//! The figures of an ordinary bad day, measured in one run: `cargo bench -p expiry-tests`, with the
//! name of a scenario to run only that. Nothing here is asserted; what misses its target says so.
//!
//! The routers are simulated, over TCP on loopback, with 0.5 ms of serial work for each command.
//! The old design that is measured beside ours works as many billing systems do: one subscriber
//! after the other, a new login for each step, whole tables printed.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

mod backlog;
mod crowd;
mod figures;
mod import;
mod isolation;
mod limit;
mod old;
mod outage;
mod world;

use std::env;

use tokio::runtime::Runtime;

fn main() {
    let chosen: Vec<_> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let runs = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    let runtime = Runtime::new().expect("a runtime");
    println!("{}", figures::machine());
    if runs("limit") {
        runtime.block_on(limit::run());
    }
    if runs("crowd") {
        runtime.block_on(crowd::run());
    }
    if runs("isolation") {
        runtime.block_on(isolation::run());
    }
    if runs("outage") {
        runtime.block_on(outage::run());
    }
    if runs("import") {
        runtime.block_on(import::run());
    }
    if runs("backlog") {
        runtime.block_on(backlog::run());
    }
}
