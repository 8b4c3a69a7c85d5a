//! An order that was carried out has succeeded, whether or not its answer can be printed.

use std::{
    fs::{self, File, OpenOptions},
    process::Stdio,
};

use expiry_core::MacAddr;
use expiry_tests::world::World;

/// Where nothing can be written: the disk is full.
fn full() -> File {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.expect("a device that is full")
}

/// Where nobody reads.
fn closed() -> Stdio {
    let (_, unread) = std::io::pipe().expect("a pipe");
    unread.into()
}

#[tokio::test]
async fn an_answer_that_cannot_be_printed_is_a_warning_and_no_failure() {
    let world = World::new(None).await;
    let list = world.path("list.csv");
    fs::write(&list, "username,expires_at\nlisted,forever\n").expect("written");
    let list = list.display().to_string();
    let told = world.path("told");
    for order in [
        "migrate",
        "subscriber add alice --for 1h",
        "subscriber extend alice --for 1h",
        "subscriber pay alice --reference 7 --for 1h",
        "subscriber device add alice 02:00:00:00:00:01",
        "subscriber revoke alice",
        "subscriber remove alice",
        "tenant add cafe",
        "tenant remove cafe",
        "router disable tower",
        "router enable tower",
        "brake release",
        &format!("subscriber import {list}"),
    ] {
        for json in ["", " --json"] {
            let words = format!("{order}{json}");
            let words: Vec<_> = words.split(' ').collect();
            let is_once = words.contains(&"add") || words.contains(&"remove");
            if is_once && !json.is_empty() {
                continue;
            }
            for (place, stdout) in [("full", Stdio::from(full())), ("closed", closed())] {
                if is_once && place == "closed" {
                    continue;
                }
                let stderr = File::create(&told).expect("made");
                let code = world.expiry.ended_into(&words, stdout, stderr).await;
                let told = fs::read_to_string(&told).expect("written");
                assert_eq!(code, 0, "{words:?} ({place}): {told}");
                let warning = "warning: it is done, but the answer cannot be printed: ";
                let is_one_line = told.lines().count() == 1;
                assert!(
                    told.starts_with(warning) && is_one_line,
                    "{words:?}: {told}"
                );
            }
        }
    }
    let known = world.expiry.json(&["subscriber", "list"]).await;
    let names: Vec<_> = known.as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 1, "{known}");
    assert_eq!(names[0]["username"], "listed");
}

#[tokio::test]
async fn r2_a_full_disk_under_the_log_ends_no_watcher() {
    let world = World::new(None).await;
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    World::device(&world.router, "alice", mac);
    let add = ["subscriber", "add", "alice", "--for", "1h"];
    world.expiry.ok(&add).await;
    world.expiry.ok(&["subscriber", "revoke", "alice"]).await;
    let once = ["run", "--once", "--log-level", "trace"];
    let code = world.expiry.ended_into(&once, full(), full()).await;
    assert_eq!(code, 0);
    assert_eq!(world.confirmed_cuts().await, 1);
}
