//! A black-holed router answers again: how soon what is owed is confirmed.

use std::time::Duration;

use expiry_core::{RetryPolicy, watcher::WatcherConfig};
use expiry_mikrotik::sim::Link;
use tokio::time::{Instant, sleep};

use crate::{
    figures::{Times, spread, target, title},
    world::{World, is_cut_on},
};

const PEOPLE: u32 = 50;

pub(crate) async fn run() {
    title("A black-holed router answers again, 50 cuts are owed there");
    let early = WatcherConfig::default();
    measure("after a minute", early, Duration::from_mins(1), 5).await;
    // After two minutes the waits are those of an outage of hours: begin with them.
    let late = WatcherConfig {
        retry: RetryPolicy {
            early: Duration::ZERO,
            ..RetryPolicy::default()
        },
        ..WatcherConfig::default()
    };
    measure(
        "at the pace of an outage of hours",
        late,
        Duration::from_secs(70),
        20,
    )
    .await;
}

async fn measure(what: &str, config: WatcherConfig, outage: Duration, most: u64) {
    let trials = (0..4).map(|trial| {
        // The return falls on another moment between two tries in each trial.
        let outage = outage + Duration::from_millis(1_300) * trial;
        tokio::spawn(trial_of(config.clone(), outage))
    });
    let trials: Vec<_> = trials.collect();
    let mut times = Vec::new();
    for trial in trials {
        times.push(trial.await.expect("no panic"));
    }
    let times = Times::new(times);
    let most = Duration::from_secs(most);
    let within = format!("{} s", most.as_secs());
    target(what, &spread(&times), &within, times.at(1.0) <= most);
}

/// Returns how long after the return the last cut was confirmed.
async fn trial_of(config: WatcherConfig, outage: Duration) -> Duration {
    let world = World::new().await;
    let site = world.site("hill").await;
    let end = world.now().await + Duration::from_secs(5);
    for number in 0..PEOPLE {
        world.person(&site, number, end).await;
    }
    let running = world.watch(config);
    world.reached(1).await;
    site.sim.set_link(Link::BlackHole).await;
    sleep(outage).await;
    site.sim.set_link(Link::Up).await;
    let back = Instant::now();
    let people = usize::try_from(PEOPLE).expect("few");
    let cut = is_cut_on(site.router.id);
    world
        .events
        .wait_for_cuts(Duration::from_mins(1), people, cut)
        .await;
    let took = back.elapsed();
    running.stop().await;
    took
}
