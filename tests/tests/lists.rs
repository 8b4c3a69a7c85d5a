//! Lists of subscribers by the real binary: what ends is cut, what is paid comes back.

use std::{fs, time::Duration};

use expiry_core::MacAddr;
use expiry_tests::{
    pg,
    world::{World, until},
};

const MACS: [MacAddr; 2] = [
    MacAddr::new([2, 0, 0, 0, 0, 1]),
    MacAddr::new([2, 0, 0, 0, 0, 2]),
];

#[tokio::test]
async fn r2_r3_a_list_cuts_who_ends_and_lets_in_who_pays_on_sqlite() {
    ends_and_payments(None).await;
}

#[tokio::test]
async fn r2_r3_a_list_cuts_who_ends_and_lets_in_who_pays_on_postgres() {
    ends_and_payments(Some(&pg::database().await)).await;
}

async fn ends_and_payments(database: Option<&str>) {
    let world = World::new(database).await;
    let devices = MACS.map(|mac| World::device(&world.router, &name(mac), mac));
    let are_on =
        || devices.map(|device| world.router.with(|sim| sim.client_can_move_bytes(device)));
    assert_eq!(are_on(), [true, true]);

    let made = import(&world, ["2026-01-01T00:00:00Z", "forever"]).await;
    assert_eq!(made["made"], 2, "{made}");
    world.expiry.ok(&["run", "--once"]).await;
    assert_eq!(are_on(), [false, true]);

    let list = write(&world, ["forever", "2026-01-01T00:00:00Z"]);
    let refused = world.expiry.ended(&["subscriber", "import", &list]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("--shorten"), "{refused:?}");
    world.expiry.ok(&["run", "--once"]).await;
    assert_eq!(are_on(), [false, true], "nothing of it was taken");
    let shorten = ["subscriber", "import", &list, "--shorten"];
    let changed = world.expiry.json(&shorten).await;
    assert_eq!(changed["ended"], 1, "{changed}");
    assert_eq!(changed["updated"], 2, "{changed}");
    world.expiry.ok(&["run", "--once"]).await;
    until(Duration::from_secs(10), "who paid is on", || are_on()[0]).await;
    assert_eq!(are_on(), [true, false]);

    let list = world.expiry.ok(&["subscriber", "export"]).await;
    let file = world.path("export.csv");
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    let same = world.expiry.json(&["subscriber", "import", &file]).await;
    assert_eq!(same["unchanged"], 2, "an export changes nothing: {same}");
}

#[tokio::test]
async fn a_fault_in_one_line_leaves_all_as_it_was() {
    let world = World::new(None).await;
    let file = world.path("list.csv");
    let list = "username,expires_at,devices\n\
                joe,forever,02:00:00:00:00:01\n\
                eve,tomorrow,02:00:00:00:00:0G\n";
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    let ended = world.expiry.ended(&["subscriber", "import", &file]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.stdout, "");
    for place in [
        ":3:5: expires_at: `tomorrow`",
        ":3:14: devices: ",
        "2 faults",
    ] {
        assert!(ended.stderr.contains(place), "{place}: {ended:?}");
    }
    let list = world.expiry.ok(&["subscriber", "list"]).await;
    assert!(!list.contains("joe"), "{list}");
}

fn name(mac: MacAddr) -> String {
    mac.to_string().replace(':', "")
}

async fn import(world: &World, ends: [&str; 2]) -> serde_json::Value {
    let file = write(world, ends);
    world.expiry.json(&["subscriber", "import", &file]).await
}

fn write(world: &World, ends: [&str; 2]) -> String {
    let mut list = String::from("username,expires_at,devices\n");
    for (mac, end) in MACS.into_iter().zip(ends) {
        list += &[&name(mac), ",", end, ",", &mac.to_string(), "\n"].concat();
    }
    let file = world.path("list.csv");
    fs::write(&file, list).expect("written");
    file.display().to_string()
}
