use std::time::Duration;

use expiry_core::{Directory, Event, StatusStore};
use expiry_mikrotik::sim::{ClientId, Fault, FaultRule, SimRouter, Simulator, Trap};
use rstest::rstest;
use tokio::time::sleep;

use crate::{
    events::{is_cut_on, is_restored},
    world::{DEADLINE, Person, SECOND, SHORTLY_BEFORE, Site, Way, World, client, mac, name},
};

/// Two sites where access ends at the same time; things go wrong at the first.
struct Scene {
    world: World,
    struck: Site,
    person: Person,
    bypassed: ClientId,
    calm: Site,
    neighbour: Person,
}

impl Scene {
    async fn set() -> Self {
        let world = World::new();
        let struck = world.site("struck").await;
        let person = world.person(&struck, 1, Way::Fasttrack, DEADLINE).await;
        let bypassed = struck.with(|sim| {
            let plus = format!("+{}", name(1));
            sim.add_user(&plus, "x").expect("a new name");
            sim.set_user_disabled(&plus, true).expect("it is there");
            sim.add_client(client(2, Way::Bypass))
        });
        let added = Directory::add_device(&*world.store, person.id, mac(2)).await;
        added.expect("a device");
        let calm = world.site("calm").await;
        let neighbour = world.person(&calm, 3, Way::Account, DEADLINE).await;
        Self {
            world,
            struck,
            person,
            bypassed,
            calm,
            neighbour,
        }
    }

    fn is_off(&self) -> bool {
        let bypassed = self
            .struck
            .with(|sim| sim.client_can_move_bytes(self.bypassed));
        !self.struck.can_move(&self.person) && !bypassed
    }

    fn is_on(&self) -> bool {
        let bypassed = self
            .struck
            .with(|sim| sim.client_can_move_bytes(self.bypassed));
        self.struck.can_move(&self.person) && bypassed
    }

    /// Lets it all happen, with a fault at one command after the deadline, and asserts that it
    /// ends well. Returns the lag of the struck router and that of the calm one.
    async fn play(self, fault: Option<FaultRule>) -> (Duration, Duration, u64) {
        let running = self.world.start();
        self.world.reach(SHORTLY_BEFORE).await;
        let before = self.struck.commands();
        let what = format!("{fault:?}");
        if let Some(fault) = fault {
            self.struck.with(|sim| sim.inject(fault));
        }
        let (events, ids) = (
            &self.world.events,
            [self.struck.router.id, self.calm.router.id],
        );
        let calm = events
            .wait_for_cuts(60 * SECOND, 1, is_cut_on(ids[1]))
            .await[0]
            .0;
        let lag = events
            .wait_for_cuts(120 * SECOND, 1, is_cut_on(ids[0]))
            .await[0]
            .0;
        assert!(self.is_off(), "{what}");
        sleep(40 * SECOND).await;
        let commands = self.struck.commands() - before;
        assert!(self.is_off(), "{what}");
        assert!(!self.struck.could_log_in(&self.person), "{what}");
        assert!(!self.calm.can_move(&self.neighbour), "{what}");
        for id in ids {
            assert_eq!(
                events.count(is_cut_on(id)),
                1,
                "{what}: {:#?}",
                events.all()
            );
        }

        self.world.pay(self.person.id).await;
        events.wait_for(60 * SECOND, 1, is_restored).await;
        sleep(SECOND).await;
        assert!(self.is_on(), "{what}");
        assert!(self.struck.is_disabled(&format!("+{}", name(1))), "{what}");
        running.stop().await;
        (lag, calm, commands)
    }
}

fn trap(message: &'static str) -> Trap {
    Trap::new(message)
}

fn broken_off(rows: usize, traps: usize) -> Fault {
    Fault::BreakOff {
        rows,
        trap: trap("no such item (4)"),
        traps,
    }
}

#[rstest]
#[case::lost_answer(Fault::LoseAnswer)]
#[case::closed(Fault::Close)]
#[case::half_an_answer(Fault::CutAnswer)]
#[case::half_open(Fault::HalfOpen)]
#[case::silence(Fault::Silence)]
#[case::garbage(Fault::Garbage)]
#[case::huge_word(Fault::HugeWord)]
#[case::refused(Fault::Refuse(trap("action failed (6)")))]
#[case::refused_twice(Fault::RefuseTwice(trap("not enough permissions (9)")))]
#[case::broken_off(broken_off(0, 1))]
#[case::broken_off_after_a_row_with_two_traps(broken_off(1, 2))]
#[case::short_stall(Fault::Stall(Duration::from_secs(3)))]
#[case::long_stall(Fault::Stall(Duration::from_secs(12)))]
#[case::fatal(Fault::Fatal)]
#[tokio::test(start_paused = true)]
async fn r2_a_fault_at_any_command_of_a_cut_and_its_looks_costs_only_time(#[case] fault: Fault) {
    let (_, calm_without, commands) = Scene::set().await.play(None).await;
    assert!(commands > 30, "{commands}");
    for position in 0..commands {
        let rule = FaultRule::on("", fault.clone()).after(position).once();
        let (lag, calm, _) = Scene::set().await.play(Some(rule)).await;
        assert!(lag < 30 * SECOND, "{lag:?} at {position}");
        let delayed = calm.saturating_sub(calm_without);
        assert!(
            delayed < Duration::from_millis(5),
            "{delayed:?} at {position}"
        );
    }
}

#[rstest]
#[case(Fault::LoseAnswer)]
#[case(Fault::Silence)]
#[case(Fault::Garbage)]
#[case(Fault::Stall(Duration::from_secs(8)))]
#[tokio::test(start_paused = true)]
async fn r2_a_router_that_fails_again_and_again_is_cut_in_the_end(#[case] fault: Fault) {
    for spared in [0, 3, 7, 11] {
        let rule = FaultRule::on("", fault.clone()).after(spared).times(6);
        let (_, calm, _) = Scene::set().await.play(Some(rule)).await;
        assert!(calm < Duration::from_millis(30), "{calm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r2_a_reboot_after_any_command_of_a_cut_costs_only_time() {
    let (_, _, commands) = Scene::set().await.play(None).await;
    for position in 0..commands {
        let scene = Scene::set().await;
        let sim = std::sync::Arc::clone(&scene.struck.sim);
        scene
            .struck
            .with(|sim| sim.configure(|c| c.delay = Duration::from_millis(2)));
        let origin = scene.world.origin;
        tokio::spawn(async move {
            let done = |sim: &SimRouter| sim.with(|sim| sim.stats().commands.values().sum::<u64>());
            tokio::time::sleep_until(origin + SHORTLY_BEFORE).await;
            let before = done(&sim);
            while done(&sim) < before + position {
                sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep_until(origin + DEADLINE).await;
            sim.with(Simulator::reboot);
        });
        let (lag, ..) = scene.play(None).await;
        assert!(lag < 10 * SECOND, "{lag:?} at {position}");
    }
}

#[rstest]
#[case("/ip/hotspot/user/print")]
#[case("/ip/hotspot/active/print")]
#[case("/ip/hotspot/host/print")]
#[case("/ip/hotspot/cookie/print")]
#[case("/ip/hotspot/ip-binding/print")]
#[case("/ip/firewall/connection/print")]
#[case("/system")]
#[tokio::test(start_paused = true)]
async fn r2_a_table_that_always_breaks_off_is_told_and_confirms_nothing(
    #[case] table: &'static str,
    #[values(0, 1, 1_000)] rows: usize,
    #[values("no such item (4)", "internal error, contact MikroTik support")] message: &'static str,
) {
    let scene = Scene::set().await;
    let running = scene.world.start();
    scene.world.reach(SHORTLY_BEFORE).await;
    let connects = scene.struck.with(|sim| sim.stats().connects);
    let fault = Fault::BreakOff {
        rows,
        trap: trap(message),
        traps: 1,
    };
    scene
        .struck
        .with(|sim| sim.inject(FaultRule::on(table, fault)));
    let (events, id) = (&scene.world.events, scene.struck.router.id);
    scene.world.reach(DEADLINE + 60 * SECOND).await;

    assert_eq!(events.count(|e| matches!(e, Event::RouterLost { .. })), 0);
    if table != "/system" {
        assert_eq!(events.count(is_cut_on(id)), 0, "{:#?}", events.all());
        let owed = scene.world.store.status(9).await.expect("status").owed;
        let error = owed[0].last_error.clone().unwrap_or_default();
        assert!(error.contains(table) && error.contains(message), "{error}");
    }
    // Whoever is seen is cut all the same, flows that skip the firewall too.
    let shows_enough = rows > 0 || !table.starts_with("/ip/");
    if shows_enough {
        assert!(!scene.struck.can_move(&scene.person));
    }
    let connects = scene.struck.with(|sim| sim.stats().connects) - connects;
    assert_eq!(connects, 0, "the router answered");

    scene.struck.with(Simulator::clear_faults);
    if events.count(is_cut_on(id)) == 0 {
        events.wait_for_cuts(20 * SECOND, 1, is_cut_on(id)).await;
    }
    assert!(scene.is_off());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_cut_is_owed_while_the_router_refuses_to_remove_a_connection() {
    let world = World::new();
    let site = world.site("struck").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    site.with(|sim| {
        // A flow on which nothing is sent stays in the table after its session.
        sim.set_client_on(person.client, false);
        let refused = Fault::Refuse(trap("action failed (6)"));
        sim.inject(FaultRule::on("/ip/firewall/connection/remove", refused));
    });
    world.reach(60 * SECOND).await;
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 0);
    let status = world.store.status(10).await.expect("status");
    let error = status.owed[0].last_error.as_deref().expect("an error");
    assert!(error.contains("3 × connection"), "{error}");
    assert!(
        error.contains("the router refused: action failed (6)"),
        "{error}"
    );
    site.with(Simulator::clear_faults);
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    assert!(site.with(|sim| sim.table("/ip/firewall/connection").is_empty()));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_gone_before_it_is_removed_is_no_refusal() {
    let world = World::new();
    let site = world.site("struck").await;
    world.person(&site, 1, Way::Fasttrack, DEADLINE).await;
    let running = world.start();
    world.reach(SHORTLY_BEFORE).await;
    let gone = Fault::Refuse(trap("no such item (4)"));
    site.with(|sim| {
        let rule = FaultRule::on("/ip/firewall/connection/remove", gone);
        sim.inject(rule.times(3));
    });
    let lag = world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await[0]
        .0;
    assert!(lag < SECOND, "it is removed in the same attempt: {lag:?}");
    running.stop().await;
}
