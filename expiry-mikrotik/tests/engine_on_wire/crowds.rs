use expiry_mikrotik::sim::Simulator;
use std::time::Duration;

use crate::{
    events::is_cut_on,
    world::{DEADLINE, SECOND, WAYS, World},
};

#[tokio::test(start_paused = true)]
async fn r7_a_hundred_who_end_together_share_their_reads_and_one_login() {
    let world = World::new();
    let site = world.site("hill").await;
    let mut ending = Vec::new();
    let mut staying = Vec::new();
    for number in 0..100 {
        let way = WAYS[usize::from(number) % WAYS.len()];
        ending.push(world.person(&site, number, way, DEADLINE).await);
        staying.push(
            world
                .person(&site, number + 1000, way, DEADLINE * 100)
                .await,
        );
    }
    let running = world.start();

    let cuts = world
        .events
        .wait_for_cuts(30 * SECOND, 100, is_cut_on(site.router.id))
        .await;

    for person in &ending {
        assert!(
            !site.can_move(person) && !site.could_log_in(person),
            "{person:?}"
        );
        let stopped = site.stopped(&world, person.client).expect("it is off");
        assert!(stopped >= DEADLINE, "{person:?}");
    }
    assert!(staying.iter().all(|person| site.can_move(person)));
    let stops = site.traffic(&world).into_iter().filter(|event| !event.2);
    assert_eq!(
        stops.count(),
        100,
        "each of them stopped once, and nobody else"
    );

    let stats = site.with(Simulator::take_stats);
    let removed = stats.commands["/ip/firewall/connection/remove"];
    let commands = stats.commands_in_all() - removed;
    assert_eq!(removed, 300);
    assert!(commands <= 12 * 100, "{commands} commands");
    assert_eq!((stats.connects, stats.logins), (1, 1));
    assert_eq!(stats.connection_prints(), 2);
    let serial_work = Duration::from_micros(500) * u32::try_from(commands + removed).expect("few");
    let longest = cuts.iter().map(|(lag, _)| *lag).max();
    assert!(
        longest < Some(serial_work * 2),
        "{longest:?}, work {serial_work:?}"
    );
    running.stop().await;
}
