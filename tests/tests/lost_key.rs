//! The key that seals router passwords is lost, and there is a way on, by the real programs.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use expiry_core::MacAddr;
use expiry_mikrotik::sim::SimRouter;
use expiry_tests::{
    pg,
    process::Ended,
    world::{World, sim_router, until},
};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// A world whose key is lost, with a second router `hill`, and `alice` whose access has ended and who
/// is on at `tower`.
async fn without_key(database: Option<&str>) -> (World, SimRouter) {
    let world = World::new(database).await;
    let hill = sim_router("hill").await;
    world.register("hill", &hill).await;
    World::device(&world.router, "alice", MacAddr::new([2, 0, 0, 0, 0, 1]));
    let add = ["subscriber", "add", "alice", "--for", "1h"];
    world.expiry.ok(&add).await;
    world.expiry.ok(&["subscriber", "revoke", "alice"]).await;
    let key = world.path("expiry.key");
    fs::rename(&key, world.path("kept.key")).expect("lost");
    // Who adds a router looks at the others, too.
    for router in [&world.router, &hill] {
        router.with(expiry_mikrotik::sim::Simulator::take_stats);
    }
    (world, hill)
}

fn give_back(world: &World) {
    fs::rename(world.path("kept.key"), world.path("expiry.key")).expect("found again");
}

fn make_other(world: &World) {
    let key = world.path("expiry.key");
    fs::write(&key, "07".repeat(32)).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("private");
}

async fn set_password(world: &World, router: &str) -> Ended {
    let file = world.path("router-password").display().to_string();
    let set = ["router", "set", router, "--password-file", &file];
    world.expiry.ended(&set).await
}

async fn every_command_works(world: &World, cause: &str) {
    for command in [
        &["subscriber", "list"][..],
        &["subscriber", "show", "alice"],
        &["subscriber", "extend", "alice", "--for", "1h"],
        &["subscriber", "revoke", "alice"],
        &["status"],
        &["explain", "alice"],
        &["secrets"],
        &["router", "set", "hill", "--host", "localhost"],
        &["router", "set", "hill", "--host", "127.0.0.1"],
        &["router", "disable", "hill"],
        &["router", "enable", "hill"],
        &["router", "strays", "hill"],
        &["brake"],
    ] {
        world.expiry.ok(command).await;
    }
    let list = world.expiry.json(&["router", "list"]).await;
    for router in list.as_array().expect("a list") {
        assert_eq!(router["no_password"]["cause"], cause, "{list}");
    }
    let list = world.expiry.ok(&["router", "list"]).await;
    assert!(
        list.contains("no password: it is sealed with key "),
        "{list}"
    );
    let test = world.expiry.ended(&["router", "test", "tower"]).await;
    assert_eq!(test.code, 1, "{test:?}");
    let way_out = match cause {
        "key_unusable" => "mend the key file",
        _ => "`expiryctl router set tower --password-file FILE`",
    };
    assert!(test.stderr.contains(way_out), "{test:?}");
    assert!(test.stderr.contains("expiry.key"), "{test:?}");
    let once = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(once.code, 3, "the cut is still owed: {once:?}");
    let status = world.expiry.json(&["status"]).await;
    let routers = status["routers"].as_array().expect("a list");
    assert_eq!(routers.len(), 2);
    for router in routers {
        let error = router["last_error"].as_str().expect("a cause");
        assert!(error.ends_with(&format!("[{cause}]")), "{status}");
    }
    let reasons = status["health_reasons"].to_string();
    assert!(reasons.contains("sealed with key"), "{status}");
    let explained = world.expiry.ok(&["explain", "alice"]).await;
    assert!(explained.contains("sealed with key"), "{explained}");
    let doctor = world.expiry.ended(&["doctor"]).await;
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("FAILED   key file: "), "{doctor:?}");
    assert!(doctor.stdout.contains(way_out), "{doctor:?}");
}

async fn reset(world: &World) {
    let asked = world.expiry.ended(&["secrets", "reset"]).await;
    assert_eq!(asked.code, 2, "{asked:?}");
    let told = "2 router passwords would be forgotten";
    assert!(asked.stdout.contains(told), "{asked:?}");
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    let report = world.expiry.json(&["secrets", "reset", "--yes"]).await;
    assert_eq!(report["reset"], true, "{report}");
    let wanting = report["wanting"].as_array().expect("a list");
    let commands: Vec<_> = wanting.iter().map(|one| &one["command"]).collect();
    assert_eq!(
        commands,
        [
            "expiryctl router set hill --password-file FILE",
            "expiryctl router set tower --password-file FILE"
        ],
        "{report}"
    );
    let status = world.expiry.json(&["status"]).await;
    let error = status["routers"][0]["last_error"].as_str();
    let error = error.expect("a cause");
    assert!(error.contains("secrets reset") && error.ends_with("[no_password]"));
    assert_eq!(status["owed_cuts"], 2, "what is owed stays owed: {status}");
    let again = world.expiry.ok(&["secrets", "reset"]).await;
    assert!(again.starts_with("nothing to forget"), "{again}");
    assert!(again.contains("expiryctl router set tower"), "{again}");
}

async fn the_key_is_gone(database: Option<&str>) {
    let (world, _hill) = without_key(database).await;
    every_command_works(&world, "key_missing").await;
    let refused = set_password(&world, "tower").await;
    assert_eq!(refused.code, 2, "{refused:?}");
    for told in ["expiry.key", "copy it there", "`expiryctl secrets reset`"] {
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    assert!(!world.path("expiry.key").exists());

    reset(&world).await;
    let mode = fs::metadata(world.path("expiry.key")).expect("made");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    for router in ["tower", "hill"] {
        let set = set_password(&world, router).await;
        assert_eq!(set.code, 0, "{set:?}");
    }
    world.expiry.ok(&["run", "--once"]).await;
    assert_eq!(world.confirmed_cuts().await, 2);
}

#[tokio::test]
async fn r11_without_the_key_everything_but_dialling_works_and_a_reset_leads_on() {
    the_key_is_gone(None).await;
}

#[tokio::test]
async fn r11_the_same_on_postgres() {
    the_key_is_gone(Some(&pg::database().await)).await;
}

#[tokio::test]
async fn r11_another_key_cures_one_router_after_the_other_and_removes_any() {
    let (world, _hill) = without_key(None).await;
    make_other(&world);
    every_command_works(&world, "other_key").await;
    let file = world.path("router-password").display().to_string();
    let mut add = vec!["router", "add", "new", "--host", "127.0.0.9"];
    add.extend(["--username", "u", "--password-file", &file]);
    let refused = world.expiry.ended(&add).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("copy the right key"), "{refused:?}");

    let set = set_password(&world, "tower").await;
    assert_eq!(set.code, 0, "{set:?}");
    world.expiry.ok(&["router", "test", "tower"]).await;
    let list = world.expiry.json(&["router", "list"]).await;
    assert_eq!(list[0]["no_password"]["cause"], "other_key", "{list}");
    assert_eq!(list[1]["no_password"], Value::Null, "{list}");
    let once = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(once.code, 3, "{once:?}");
    assert_eq!(world.confirmed_cuts().await, 1, "on tower");

    let remove = ["router", "remove", "hill", "--force"];
    world.expiry.ok(&remove).await;
    let nothing = world.expiry.ok(&["secrets", "reset", "--yes"]).await;
    assert!(nothing.starts_with("nothing to forget"), "{nothing}");
    world.expiry.ok(&["run", "--once"]).await;
}

#[tokio::test]
async fn r11_a_watcher_takes_a_key_that_comes_back_and_a_password_given_anew() {
    let (world, hill) = without_key(None).await;
    make_other(&world);
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router lost").await;
    let dialled = |router: &SimRouter| router.with(|sim| sim.take_stats().logins) > 0;
    assert!(!dialled(&world.router) && !dialled(&hill));

    let set = set_password(&world, "hill").await;
    assert_eq!(set.code, 0, "{set:?}");
    until(5 * SECOND, "hill is dialled", || dialled(&hill)).await;
    assert!(!dialled(&world.router));

    let other = world.path("expiry.key");
    fs::rename(&other, world.path("other.key")).expect("moved");
    give_back(&world);
    let tower = || dialled(&world.router);
    until(10 * SECOND, "tower is dialled", tower).await;
    assert_eq!(watcher.terminate().await, 0);
}

#[tokio::test]
async fn r2_a_watcher_that_had_the_key_cuts_on_when_the_file_is_lost() {
    let world = World::new(None).await;
    let device = World::device(&world.router, "alice", MacAddr::new([2, 0, 0, 0, 0, 1]));
    let add = ["subscriber", "add", "alice", "--for", "1h"];
    world.expiry.ok(&add).await;
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router reached").await;
    fs::remove_file(world.path("expiry.key")).expect("lost");

    world.expiry.ok(&["subscriber", "revoke", "alice"]).await;
    let is_off = || !world.router.with(|sim| sim.client_can_move_bytes(device));
    until(5 * SECOND, "alice is off", is_off).await;
    let doctor = world.expiry.ended(&["doctor"]).await;
    assert!(
        doctor.stdout.contains("expiry.key is missing"),
        "{doctor:?}"
    );

    world.expiry.ok(&["secrets", "reset", "--yes"]).await;
    watcher.line("router lost").await;
    let set = set_password(&world, "tower").await;
    assert_eq!(set.code, 0, "{set:?}");
    let back = ["subscriber", "extend", "alice", "--for", "1h"];
    world.expiry.ok(&back).await;
    until(5 * SECOND, "alice is on", || !is_off()).await;
    assert_eq!(watcher.terminate().await, 0);
}

#[tokio::test]
async fn r11_a_key_file_that_cannot_be_used_is_kept_and_named() {
    let (world, _hill) = without_key(None).await;
    let key = world.path("expiry.key");
    let kept = fs::read(world.path("kept.key")).expect("kept");
    for (content, mode, told) in [
        (&kept[..], 0o644, "`chmod 600 "),
        (b"", 0o600, "does not hold a key"),
        (b"\xff\xff", 0o600, "does not hold a key"),
    ] {
        fs::write(&key, content).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("chmod");
        every_command_works(&world, "key_unusable").await;
        for refused in [
            set_password(&world, "tower").await,
            world.expiry.ended(&["secrets", "reset", "--yes"]).await,
        ] {
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains(told), "{refused:?}");
        }
        assert_eq!(fs::read(&key).expect("kept"), content);
        fs::remove_file(&key).expect("removed");
    }
    give_back(&world);
    world.expiry.ok(&["run", "--once"]).await;
}
