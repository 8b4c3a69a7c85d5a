//! One router of three is a black hole: what it costs the others.

use std::time::Duration;

use expiry_core::watcher::WatcherConfig;
use expiry_mikrotik::sim::Link;
use tokio::time::{Instant, sleep_until};

use crate::{
    figures::{Times, line, ms, spread, target, title},
    old,
    world::{World, client, is_cut_on},
};

/// On each router.
const PEOPLE: u32 = 600;

/// Between two ends of access on one router.
const STEP: Duration = Duration::from_millis(50);

pub(crate) async fn run() {
    title("One router of three dead as a black hole, 1200 cuts on the others, one after the other");
    let none = healthy(Link::Up).await;
    let one = healthy(Link::BlackHole).await;
    line("lag with none dead", &spread(&none));
    line("lag with one dead", &spread(&one));
    let (without, with) = (none.at(0.99), one.at(0.99));
    let allowed = (without / 10).max(Duration::from_millis(5));
    target(
        "p99 of the others is later by",
        &ms(with.saturating_sub(without)),
        &ms(allowed),
        with <= without + allowed,
    );
    let old = old_behind_a_dead_router().await;
    line(
        "old design: whoever is behind one who was on the dead router",
        &ms(old),
    );
}

/// Returns the lags on the two routers that are up throughout.
async fn healthy(third: Link) -> Times {
    let world = World::new().await;
    let sites = [
        world.site("a").await,
        world.site("b").await,
        world.site("c").await,
    ];
    let lead = Duration::from_secs(15);
    let (began, opening) = (Instant::now(), world.now().await + lead);
    for number in 0..PEOPLE {
        let end = opening + STEP * number;
        for (offset, site) in (0_u32..).zip(&sites) {
            let apart = STEP * offset / 3;
            world
                .person(site, offset * 10_000 + number, end + apart)
                .await;
        }
    }
    let running = world.watch(WatcherConfig::default());
    world.reached(3).await;
    sleep_until(began + lead - Duration::from_millis(500)).await;
    sites[2].sim.set_link(third).await;
    let mut lags = Vec::new();
    for site in &sites[..2] {
        let people = usize::try_from(PEOPLE).expect("few");
        let cuts = world
            .events
            .wait_for_cuts(Duration::from_secs(90), people, is_cut_on(site.router.id))
            .await;
        lags.extend(cuts.into_iter().map(|(lag, _)| lag));
    }
    running.stop().await;
    Times::new(lags)
}

async fn old_behind_a_dead_router() -> Duration {
    let world = World::new().await;
    let (dead, healthy) = (world.site("dead").await, world.site("healthy").await);
    dead.sim.set_link(Link::BlackHole).await;
    let began = Instant::now();
    for (number, site) in (1..).zip([&dead, &healthy]) {
        let person = client(number);
        old::cut(site.sim.addr(), &person.name, &[person.mac]).await;
    }
    began.elapsed()
}
