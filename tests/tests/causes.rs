//! Why a router cannot be served is named, with the way out, by the real programs.

use expiry_mikrotik::sim::{HotspotMenu, SimConfig};
use expiry_tests::world::World;
use serde_json::Value;

async fn tested(world: &World, change: impl FnOnce(&mut SimConfig)) -> (i32, Value, String) {
    world.router.with(|sim| sim.configure(change));
    let ended = world
        .expiry
        .ended(&["router", "test", "tower", "--json"])
        .await;
    let report = serde_json::from_str(&ended.stdout).expect("JSON");
    (ended.code, report, ended.stderr)
}

#[tokio::test]
async fn a_router_without_a_hotspot_is_never_blamed_on_its_policies() {
    let world = World::new(None).await;
    for (menu, cause, way_out) in [
        (
            HotspotMenu::NoPackage,
            "no_hotspot",
            "/system package enable hotspot",
        ),
        (
            HotspotMenu::Forbidden,
            "device_mode",
            "/system device-mode update hotspot=yes",
        ),
    ] {
        let (code, report, told) = tested(&world, |config| config.hotspot_menu = menu).await;
        assert_eq!(
            (code, &report["cause"]),
            (1, &Value::from(cause)),
            "{report}"
        );
        assert!(told.contains(way_out) && !told.contains("policy"), "{told}");
        let doctor = world.expiry.ended(&["doctor"]).await;
        assert!(doctor.stdout.contains(way_out), "{doctor:?}");
    }
    let (code, report, told) = tested(&world, |config| {
        config.hotspot_menu = HotspotMenu::Present;
        config.hotspot_enabled = false;
        config.wall_clock_start = 86_400;
    })
    .await;
    assert_eq!((code, told.as_str()), (0, ""), "{report}");
    let warnings = report["warnings"].as_array().expect("a list");
    let causes: Vec<_> = warnings.iter().map(|warning| &warning["cause"]).collect();
    assert_eq!(causes, ["no_hotspot_server", "clock_not_set"], "{report}");
    let (code, report, told) = tested(&world, |config| config.write_policy = false).await;
    assert_eq!(
        (code, &report["cause"]),
        (1, &Value::from("no_write_policy"))
    );
    assert!(told.contains("`write`"), "{told}");
}

#[tokio::test]
async fn an_account_that_may_not_write_is_named_with_what_to_type() {
    let world = World::new(None).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    World::device(&world.router, "alice", mac);
    let end = ["subscriber", "add", "alice", "--for", "1h"];
    world.expiry.ok(&end).await;
    world.expiry.ok(&["subscriber", "revoke", "alice"]).await;
    world
        .router
        .with(|sim| sim.configure(|config| config.write_policy = false));

    let once = world.expiry.ended(&["run", "--once"]).await;

    assert_eq!(once.code, 3, "{once:?}");
    let way_out = "/user group set GROUP policy=api,read,write";
    for command in [&["status"][..], &["explain", "alice"], &["doctor"]] {
        let ended = world.expiry.ended(command).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("not enough permissions (9)"), "{told}");
        assert!(told.contains(way_out), "{told}");
    }
    assert!(once.stderr.contains(way_out), "{once:?}");
}

#[tokio::test]
async fn r1_one_box_under_two_addresses_is_named_and_owes_nothing_by_itself() {
    let world = World::new(None).await;
    let mac = expiry_core::MacAddr::new([2, 0, 0, 0, 0, 1]);
    World::device(&world.router, "alice", mac);
    // The box is on record as `tower` from here on.
    world.expiry.ok(&["run", "--once"]).await;
    let port = world.router.addr().port().to_string();
    let file = world.path("router-password").display().to_string();
    let again = [
        "router",
        "add",
        "twin",
        "--host",
        "localhost",
        "--port",
        &port,
        "--username",
        "expiry",
        "--password-file",
        &file,
    ];
    let refused = world.expiry.ended(&again).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("the same box as router `tower`"),
        "{refused:?}"
    );

    // While it cannot be reached it can only be believed.
    world.router.down().await;
    let believed = world.expiry.ended(&again).await;
    assert_eq!(believed.code, 0, "{believed:?}");
    assert!(
        believed.stderr.contains("note: router `twin`"),
        "{believed:?}"
    );
    world.router.up().await;
    world.expiry.ok(&["run", "--once"]).await;
    let end = ["subscriber", "add", "alice", "--for", "1h"];
    world.expiry.ok(&end).await;
    world.expiry.ok(&["subscriber", "revoke", "alice"]).await;

    let once = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(once.code, 1, "it is no cut that is owed: {once:?}");
    let waits = "waits for you: 1 on twin, the same box as router `tower`";
    assert!(once.stdout.contains(waits), "{once:?}");
    assert!(
        once.stdout.contains("`expiryctl router remove twin`"),
        "{once:?}"
    );
    for command in [&["router", "test", "twin"][..], &["doctor"]] {
        let ended = world.expiry.ended(command).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("the same box as router `tower`"), "{told}");
    }
    let status = world.expiry.ok(&["status"]).await;
    assert!(status.contains("twin localhost:"), "{status}");
    assert!(status.contains("not served since"), "{status}");
    world
        .expiry
        .ok(&["router", "remove", "twin", "--force"])
        .await;
    let once = world.expiry.ended(&["run", "--once"]).await;
    assert_eq!(once.code, 0, "{once:?}");
}
