use std::time::Duration;

use expiry_core::{
    Access, BindingKind, Cause, Clock, Directory, Event, MacAddr, NewSubscriber, PresenceKind,
    Service, StatusStore, WayIn,
};
use expiry_mikrotik::sim::{
    ClientConfig, Fault, FaultRule, Link, LoginMethod, SimConfig, Simulator, Trap,
};
use tokio::time::sleep;

use crate::{
    events::{has_returned, is_cut_on},
    world::{DEADLINE, SECOND, Site, WAYS, Way, World, client, config, mac, name},
};

const MINUTE: Duration = Duration::from_mins(1);

/// The pace of reconcile, with its jitter.
const INTERVAL: Duration = Duration::from_secs(331);

fn enable_all(sim: &mut Simulator) {
    for user in sim.users() {
        sim.set_user_disabled(&user.name, false)
            .expect("it is there");
    }
    for number in 0..100 {
        sim.set_bindings_disabled(mac(number), false);
    }
}

#[tokio::test(start_paused = true)]
async fn r9_an_account_enabled_by_hand_an_hour_later_is_shut_within_one_interval() {
    let world = World::new();
    let site = world.site("hill").await;
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(60 * MINUTE).await;
    assert!(!site.can_move(&person));

    site.with(|sim| sim.set_user_disabled(&name(1), false).expect("it is there"));
    sleep(SECOND).await;
    assert!(site.can_move(&person), "he logs in at once");
    sleep(INTERVAL).await;

    assert!(!site.can_move(&person) && !site.could_log_in(&person));
    assert!(site.is_disabled(&name(1)));
    let returned = |event: &Event| matches!(event, Event::Returned { .. });
    assert_eq!(world.events.count(returned), 1);
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 1, "one lag");
    let stopped = site.stopped(&world, person.client);
    sleep(2 * INTERVAL).await;
    assert_eq!(site.stopped(&world, person.client), stopped);
    assert_eq!(world.events.count(returned), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_restored_from_a_backup_while_it_was_away_is_cleared_when_it_is_back() {
    let world = World::new();
    let site = world.site("hill").await;
    let mut ended = Vec::new();
    for (number, way) in (0..30).zip(WAYS.into_iter().cycle()) {
        ended.push(world.person(&site, number, way, DEADLINE).await);
    }
    let live = world.person(&site, 40, Way::Bypass, 600 * MINUTE).await;
    let staff = ClientConfig {
        persistent: true,
        ..ClientConfig::new("staff", mac(41))
    };
    let staff = site.with(|sim| sim.add_client(staff));
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 30, is_cut_on(site.router.id))
        .await;
    sleep(MINUTE).await;

    site.sim.set_link(Link::Refused).await;
    sleep(MINUTE).await;
    site.with(|sim| {
        enable_all(sim);
        sim.reboot();
    });
    sleep(10 * SECOND).await;
    assert!(ended.iter().all(|person| site.can_move(person)));
    site.sim.up().await;
    sleep(30 * SECOND).await;

    for person in &ended {
        assert!(!site.can_move(person), "{person:?}");
    }
    assert!(site.can_move(&live));
    assert!(site.with(|sim| sim.client_can_move_bytes(staff)));
    assert_eq!(world.store.status(9).await.expect("status").owed_cuts, 0);
    assert_eq!(world.events.count(is_cut_on(site.router.id)), 30);
    running.stop().await;
}

/// A router that offers trials, and devices of nobody we know.
struct Strangers {
    site: Site,
    devices: Vec<expiry_mikrotik::sim::ClientId>,
}

async fn strangers(world: &World) -> Strangers {
    let mut config = SimConfig {
        login_latency: Duration::from_millis(300),
        ..config("hill")
    };
    config.login_by.insert(LoginMethod::Trial);
    let site = world.site_with(config).await;
    let devices = site.with(|sim| {
        let staff = sim.add_client(client(50, Way::Account));
        let printer = sim.add_client(ClientConfig {
            access: expiry_mikrotik::sim::Access::Bypass,
            ..ClientConfig::new("printer", mac(51))
        });
        let guest = sim.add_client(ClientConfig {
            persistent: true,
            ..ClientConfig::new("guest", mac(52))
        });
        sim.set_user_disabled("guest", true).expect("it is there");
        sim.kick("guest");
        vec![staff, printer, guest]
    });
    Strangers { site, devices }
}

#[tokio::test(start_paused = true)]
async fn r9_staff_printers_and_unknown_trials_are_listed_and_untouched() {
    let world = World::new();
    let Strangers { site, devices } = strangers(&world).await;
    let none = NewSubscriber {
        tenant: None,
        username: "never-bought".parse().expect("a name"),
        service: Service::Hotspot,
        access: Access::None,
        router: None,
        devices: [mac(53)].into(),
    };
    world.store.add_subscriber(&none).await.expect("made");
    let elsewhere = world.site("valley").await;
    let over = NewSubscriber {
        username: "elsewhere".parse().expect("a name"),
        access: Access::Until(world.clock.wall()),
        router: Some(elsewhere.router.id),
        devices: [mac(54)].into(),
        ..none.clone()
    };
    world.store.add_subscriber(&over).await.expect("made");
    let more = site.with(|sim| {
        [("never-bought", 53), ("elsewhere", 54)]
            .map(|(name, number)| sim.add_client(ClientConfig::new(name, mac(number))))
    });
    let running = world.start();
    sleep(16 * MINUTE).await;

    for device in devices.into_iter().chain(more) {
        assert!(site.with(|sim| sim.client_can_move_bytes(device)));
    }
    let stats = site.with(Simulator::take_stats);
    let writes = stats
        .commands
        .keys()
        .filter(|name| !name.ends_with("/print"));
    let writes: Vec<_> = writes.filter(|name| name.contains("hotspot")).collect();
    assert_eq!(writes, Vec::<&String>::new());
    let strays = world.store.strays(site.router.id).await.expect("listed");
    let mut listed: Vec<_> = strays
        .strays
        .iter()
        .map(|stray| {
            let presence = &stray.presence;
            (presence.mac, presence.kind, presence.way_in)
        })
        .collect();
    listed.sort_by_key(|(mac, ..)| *mac);
    let session = PresenceKind::Session;
    let expected: [(Option<MacAddr>, _, _); 5] = [
        (Some(mac(50)), session, WayIn::Account),
        (Some(mac(51)), PresenceKind::Binding, WayIn::Bypass),
        (Some(mac(52)), session, WayIn::Trial),
        (Some(mac(53)), session, WayIn::Account),
        (Some(mac(54)), session, WayIn::Account),
    ];
    assert_eq!(listed, expected);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_the_trial_of_an_ended_subscribers_device_is_cut() {
    let world = World::new();
    let Strangers { site, devices } = strangers(&world).await;
    sleep(SECOND).await;
    site.with(|sim| {
        sim.configure(|config| {
            config.login_by.remove(&LoginMethod::Trial);
        });
    });
    let person = world.person(&site, 1, Way::Account, DEADLINE).await;
    let running = world.start();
    world
        .events
        .wait_for_cuts(20 * SECOND, 1, is_cut_on(site.router.id))
        .await;
    sleep(10 * MINUTE).await;
    assert!(!site.can_move(&person));
    site.with(|sim| {
        sim.configure(|config| {
            config.login_by.insert(LoginMethod::Trial);
        });
        sim.set_client_on(person.client, false);
        sim.set_client_on(person.client, true);
    });
    sleep(SECOND).await;
    assert!(site.can_move(&person));

    world
        .events
        .wait_for(INTERVAL, 1, has_returned(WayIn::Trial))
        .await;
    sleep(SECOND / 10).await;

    assert!(!site.can_move(&person));
    for device in devices {
        let moves = site.with(|sim| sim.client_can_move_bytes(device));
        assert!(moves, "{device:?} is nobody we know");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_without_a_hotspot_is_no_outage() {
    let world = World::new();
    let site = world.site("hill").await;
    let refuse = Fault::Refuse(Trap::new("no such command prefix"));
    site.with(|sim| sim.inject(FaultRule::on("/ip/hotspot", refuse)));
    let running = world.start();
    sleep(20 * MINUTE).await;

    let unread = |event: &Event| {
        matches!(event, Event::Unread { error, cause: Cause::NoHotspot, .. }
            if error.contains("no such command prefix"))
    };
    let lost = |event: &Event| matches!(event, Event::RouterLost { .. });
    assert_eq!(
        (world.events.count(unread), world.events.count(lost)),
        (1, 0)
    );
    let status = world.store.status(9).await.expect("status");
    assert_eq!(status.routers[0].down_since, None);
    assert_eq!(site.with(Simulator::take_stats).logins, 1);
    let row = &status.routers[0];
    assert!(row.is_hindered() && row.ends_soon.is_some(), "{row:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r7_a_reading_is_three_prints_and_shows_nothing_that_does_not_pass() {
    let world = World::new();
    let site = world.site("hill").await;
    site.with(|sim| {
        for number in 0..300 {
            sim.add_binding(mac(number), BindingKind::Bypassed, "paid once");
            sim.set_bindings_disabled(mac(number), true);
            sim.add_binding(mac(number), BindingKind::Blocked, "banned");
        }
    });
    let running = world.start();
    sleep(5 * MINUTE).await;
    site.with(Simulator::take_stats);
    sleep(32 * SECOND).await;

    let stats = site.with(Simulator::take_stats);
    for table in ["active", "host", "ip-binding"] {
        assert_eq!(stats.commands[&format!("/ip/hotspot/{table}/print")], 1);
    }
    assert_eq!(stats.connection_prints(), 0);
    let strays = world.store.strays(site.router.id).await.expect("listed");
    assert_eq!(strays.strays, []);
    running.stop().await;
}
