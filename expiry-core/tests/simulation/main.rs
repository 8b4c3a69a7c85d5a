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
mod past;
mod people;
mod plan;
mod ports;
mod steps;
mod truth;
mod watching;
mod world;

use std::{
    cell::Cell,
    env, fmt,
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
    let mut failed: Vec<Failure> = thread::scope(|scope| {
        let runs: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| failures(&next, seeds.end)))
            .collect();
        let found = runs.into_iter().map(|run| run.join().expect("no panic"));
        found.flatten().collect()
    });
    failed.sort_by_key(|failure| failure.plan.seed);
    if let Some(first) = failed.first() {
        let all: Vec<_> = failed.iter().map(Failure::to_string).collect();
        panic!("{}\n\n{}", report(first), all.join("\n"));
    }
}

#[test]
fn a_seed_is_one_story() {
    for seed in 0..24 {
        let plan = Plan::of(seed);
        let tell = || simulate(&plan).timeline();
        assert_eq!(tell(), tell(), "seed {seed}");
    }
}

/// Runs the seeds that are left, and returns those that break a rule. Only when
/// `EXPIRY_SIM_ALL` is set does it go on after the first.
fn failures(next: &AtomicU64, end: u64) -> Vec<Failure> {
    let goes_on = env::var_os("EXPIRY_SIM_ALL").is_some();
    let mut found = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return found;
        }
        if let Some(failure) = Failure::of(Plan::of(seed)) {
            if !goes_on {
                next.store(end, Ordering::Relaxed);
            }
            found.push(failure);
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

/// A plan that broke a rule, and what it broke then.
struct Failure {
    plan: Plan,
    violations: Vec<String>,
    timeline: Vec<String>,
}

impl Failure {
    fn of(plan: Plan) -> Option<Self> {
        let truth = simulate(&plan);
        let violations = truth.violations();
        (!violations.is_empty()).then(|| Self {
            plan,
            violations,
            timeline: truth.timeline(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.plan.seed;
        write!(f, "seed {seed} broke a rule: {}", self.violations[0])
    }
}

/// Tells what was found and the shortest plan that still fails. A plan that fails only at times is
/// told as it failed first.
fn report(found: &Failure) -> String {
    let plan = &found.plan;
    let seed = plan.seed;
    let broken = found.violations.join("\n");
    let small = Failure::of(shrink(plan, fails));
    let (how, shown) = match &small {
        Some(small) => ("the shortest plan that does", small),
        None => ("it does not always do so; the plan that did", found),
    };
    format!(
        "seed {seed} broke a rule:\n{broken}\n\n{how}:\n{:#?}\n\nwhich breaks:\n{}\n\nits timeline:\n{}",
        shown.plan,
        shown.violations.join("\n"),
        shown.timeline.join("\n"),
    )
}
