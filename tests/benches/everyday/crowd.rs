//! Midnight: everybody's access ends in the same second, on one router.

use std::time::Duration;

use expiry_core::watcher::WatcherConfig;
use tokio::time::{Instant, sleep_until};

use crate::{
    figures::{Times, line, ms, spread, target, title},
    old,
    world::{World, client, is_cut_on, sim_config},
};

const PEOPLE: u32 = 500;

pub(crate) async fn run() {
    title("500 subscribers bound to one router end in the same second");
    let ours = ours().await;
    let old = theirs().await;
    line(
        "old design: its one pass, after waiting for its poll",
        &ms(old),
    );
    line(
        "ratio of old pass to our last confirmation",
        &format!("{:.1}", old.as_secs_f64() / ours.as_secs_f64()),
    );
}

async fn ours() -> Duration {
    let world = World::new().await;
    let mut site = world.site("crowd").await;
    let lead = Duration::from_secs(8);
    let (began, end) = (Instant::now(), world.now().await + lead);
    for number in 0..PEOPLE {
        world.person(&site, number, end).await;
    }
    let running = world.watch(WatcherConfig::default());
    world.reached(1).await;
    sleep_until(began + lead - Duration::from_millis(300)).await;
    let before = site.sim.with(expiry_mikrotik::sim::Simulator::take_stats);
    let people = usize::try_from(PEOPLE).expect("few");
    let cuts = world
        .events
        .wait_for_cuts(Duration::from_mins(1), people, is_cut_on(site.router.id))
        .await;
    let stats = site.sim.with(expiry_mikrotik::sim::Simulator::take_stats);
    let stops = Times::new(site.stops(began + lead));
    running.stop().await;

    let lags = Times::new(cuts.into_iter().map(|(lag, _)| lag).collect());
    let removed = stats
        .commands
        .get("/ip/firewall/connection/remove")
        .copied();
    let removed = removed.unwrap_or_default();
    let commands = stats.commands_in_all() - removed;
    let each = |count: u64| format!("{:.2}", count_of(count) / f64::from(PEOPLE));
    let last = lags.at(1.0);
    target(
        "last confirmed",
        &ms(last),
        "5 s",
        last <= Duration::from_secs(5),
    );
    line("lag", &spread(&lags));
    line(
        "traffic stop",
        &format!("{} of {} devices", spread(&stops), stops.len()),
    );
    target(
        "logins",
        &(before.logins + stats.logins).to_string(),
        "1",
        before.logins + stats.logins == 1,
    );
    target(
        "commands per subscriber, connections apart",
        &each(commands),
        "12",
        commands <= u64::from(PEOPLE) * 12,
    );
    line("connection removals per subscriber", &each(removed));
    line(
        "prints of the connection table",
        &stats.connection_prints().to_string(),
    );
    let table = stats.connection_table_bytes;
    let bytes = stats.bytes_in + stats.bytes_out - table;
    line("bytes per subscriber, connection table apart", &each(bytes));
    line("bytes of the connection table per subscriber", &each(table));
    last
}

async fn theirs() -> Duration {
    let sim = expiry_mikrotik::sim::SimRouter::listen("127.0.0.1:0", sim_config("old"))
        .await
        .expect("a port");
    let people: Vec<_> = (0..PEOPLE).map(client).collect();
    for person in &people {
        sim.with(|sim| sim.add_client(person.clone()));
    }
    let began = Instant::now();
    for person in &people {
        old::cut(sim.addr(), &person.name, &[person.mac]).await;
    }
    began.elapsed()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]
fn count_of(count: u64) -> f64 {
    count as f64
}
