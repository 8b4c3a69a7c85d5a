//! The real engine in a simulated world: everything that we can think of happens to it, from one
//! seed, in paused time.
//!
//! `EXPIRY_SIM_SEEDS=0..10000 cargo test --release -p expiry-core --all-features --test simulation`
//! runs more seeds than the tests do by themselves; a single number runs one. A seed that fails is
//! told with its timeline and the shortest plan that still fails.

mod end;
mod kept;
mod orders;
mod owners;
mod people;
mod plan;
mod ports;
mod steps;
mod truth;
mod watching;
mod world;

use std::{
    cell::Cell,
    env,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use expiry_core::testing::TestClock;
use tokio::runtime::Builder;

use crate::{
    plan::{Plan, shrink},
    truth::Truth,
    world::World,
};

/// What every run of the tests goes through.
const SEEDS: Range<u64> = 0..128;

#[test]
fn whatever_happens_the_rules_hold() {
    let seeds = chosen();
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let runs: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| first_failure(&next, seeds.end)))
            .collect();
        let found = runs.into_iter().map(|run| run.join().expect("no panic"));
        found.flatten().min_by_key(|plan| plan.seed)
    });
    if let Some(plan) = failed {
        panic!("{}", report(&plan));
    }
}

#[test]
fn a_seed_is_one_story() {
    let plan = Plan::of(3);
    let tell = || simulate(&plan).timeline();
    assert_eq!(tell(), tell());
}

fn first_failure(next: &AtomicU64, end: u64) -> Option<Plan> {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return None;
        }
        let plan = Plan::of(seed);
        if fails(&plan) {
            next.store(end, Ordering::Relaxed);
            return Some(plan);
        }
    }
}

fn chosen() -> Range<u64> {
    let Ok(text) = env::var("EXPIRY_SIM_SEEDS") else {
        return SEEDS;
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).zip(number(to)),
        None => number(&text).map(|seed| (seed, seed + 1)),
    };
    let (from, to) = range.expect("EXPIRY_SIM_SEEDS is a seed, or a range such as 0..1000");
    assert!(from < to, "EXPIRY_SIM_SEEDS={text} has no seed");
    from..to
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the panics of this thread: a part of a watcher that panics is only logged by it.
fn panics() -> u32 {
    static COUNT: Once = Once::new();
    COUNT.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            tell(panic);
        }));
    });
    PANICS.with(Cell::get)
}

fn simulate(plan: &Plan) -> Arc<Truth> {
    let before = panics();
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let run = AssertUnwindSafe(|| runtime.block_on(World::run(plan)));
    let truth = panic::catch_unwind(run).unwrap_or_else(|_| Truth::new(TestClock::default()));
    if panics() != before {
        truth.violate("something panicked");
    }
    truth
}

fn fails(plan: &Plan) -> bool {
    !simulate(plan).violations().is_empty()
}

fn report(plan: &Plan) -> String {
    let small = shrink(plan, fails);
    let truth = simulate(&small);
    format!(
        "seed {} broke a rule:\n{}\n\nthe shortest plan that does:\n{small:#?}\n\nits timeline:\n{}",
        plan.seed,
        truth.violations().join("\n"),
        truth.timeline().join("\n"),
    )
}
