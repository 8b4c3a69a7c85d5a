//! `kill -9` of the watcher between any two commands of a cut.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::sim::{Fault, FaultRule, SimStats};
use expiry_tests::{
    pg,
    world::{World, until},
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

#[tokio::test(flavor = "multi_thread")]
async fn r2_r3_a_watcher_killed_between_any_two_commands_loses_nothing() {
    // A cut sends about so many commands; the last positions fall behind its confirmation.
    kill_at_each_of(0..22, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_r3_the_same_on_postgresql() {
    kill_at_each_of((0..22).step_by(3), true).await;
}

async fn kill_at_each_of(positions: impl Iterator<Item = u64>, on_server: bool) {
    let mut cases = JoinSet::new();
    let mut count = 0;
    for position in positions {
        let database = if on_server {
            Some(pg::database().await)
        } else {
            None
        };
        count += 1;
        cases.spawn(async move { killed_at(position, count % 2 == 0, database.as_deref()).await });
    }
    let reached = cases
        .join_all()
        .await
        .into_iter()
        .filter(|reached| *reached)
        .count();
    assert!(
        reached > count / 2,
        "of {count} positions in a cut only {reached} were reached"
    );
}

/// Kills the watcher while the router works on the command at `position` of the cut; starts
/// another, with or without a payment in between. Tells whether the cut got that far.
async fn killed_at(position: u64, pays: bool, database: Option<&str>) -> bool {
    let world = World::new(database).await;
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let device = World::device(&world.router, "+255700000001", mac);
    world.router.with(|sim| {
        sim.add_user("255700000001", "x")
            .expect("another account of the name");
        sim.set_user_disabled("255700000001", true)
            .expect("the operator disabled it");
    });
    let mac = mac.to_string();
    let add = [
        "subscriber",
        "add",
        "255700000001",
        "--for",
        "1h",
        "--device",
        &mac,
    ];
    world.expiry.ok(&add).await;
    let mut first = world.expiry.service(&["run"]);
    first.line("router reached").await;

    world.router.with(|sim| {
        let stall = Fault::Stall(Duration::from_secs(3));
        sim.inject(FaultRule::on("/ip/", stall).after(position).once());
    });
    world
        .expiry
        .ok(&["subscriber", "revoke", "255700000001"])
        .await;
    let done = || world.router.with(|sim| of_hotspot(sim.stats()));
    let mut confirmed = false;
    until(Duration::from_secs(20), "the cut gets on", || {
        confirmed = first
            .lines()
            .iter()
            .any(|line| line.contains("cut confirmed"));
        confirmed || done() >= position
    })
    .await;
    let reached = !confirmed;
    first.kill().await;
    if pays {
        world
            .expiry
            .ok(&["subscriber", "extend", "255700000001", "--for", "1h"])
            .await;
    }

    let mut second = world.expiry.service(&["run"]);
    second.line("router reached").await;
    let patience = Duration::from_mins(1);
    let disabled = |name: &str| {
        world.router.with(|sim| {
            sim.users()
                .into_iter()
                .find(|user| user.name == name)
                .expect("it exists")
                .disabled
        })
    };
    if pays {
        until(patience, "the payer can log in", || {
            world.router.with(|sim| sim.client_could_log_in(device)) && !disabled("+255700000001")
        })
        .await;
    } else {
        until(patience, "the subscriber is off", || {
            !world.router.with(|sim| sim.client_can_move_bytes(device)) && disabled("+255700000001")
        })
        .await;
    }
    assert!(
        is_settled(&world).await,
        "position {position}: nothing is owed any more"
    );
    assert!(
        disabled("255700000001"),
        "position {position}: the operator's choice stands"
    );
    assert_eq!(second.terminate().await, 0);
    let confirmed = world.confirmed_cuts().await;
    assert!(
        confirmed <= 1,
        "position {position}: confirmed {confirmed} times"
    );
    if !pays {
        assert_eq!(confirmed, 1, "position {position}");
    }
    reached
}

/// Commands so far that are part of cuts.
fn of_hotspot(stats: &SimStats) -> u64 {
    let commands = stats
        .commands
        .iter()
        .filter(|(path, _)| path.starts_with("/ip/"));
    commands.map(|(_, count)| count).sum()
}

async fn is_settled(world: &World) -> bool {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut ticks = interval(Duration::from_millis(200));
    while Instant::now() < deadline {
        ticks.tick().await;
        let status = world.expiry.json(&["status"]).await;
        if status["owed_cuts"] == 0 && status["owed_restores"] == 0 {
            return true;
        }
    }
    false
}
