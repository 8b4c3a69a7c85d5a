//! What somebody meets who begins: nothing is made by accident, and what is missing is named.

use std::fs;

use expiry_tests::{process::Expiry, world::World};

#[tokio::test]
async fn what_only_asks_makes_no_database_and_says_that_there_is_none() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let typo = format!("sqlite://{}/typo/expiry.db", home.path().display());
    let absent = format!("sqlite://{}/expiry.db", home.path().display());
    for (database, says) in [(typo, "no directory"), (absent, "nothing is there yet")] {
        let expiry = Expiry::new(database, home.path());
        for words in [
            "status",
            "explain 255700000001",
            "brake",
            "brake release",
            "secrets",
            "run --once --dry-run",
            "subscriber list",
            "subscriber show 255700000001",
            "subscriber extend 255700000001 --for 1h",
            "subscriber pay 255700000001 --reference 1 --for 1h",
            "subscriber export",
            "router list",
            "router strays tower",
            "router remove tower",
            "tenant list",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            let ended = expiry.ended(&words).await;
            assert_eq!(ended.code, 2, "{words:?}: {ended:?}");
            assert!(ended.stderr.contains(says), "{words:?}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{words:?}: {ended:?}");
        }
        let doctor = expiry.ended(&["doctor"]).await;
        assert!(doctor.stdout.contains(says), "{doctor:?}");
        let left = fs::read_dir(home.path()).expect("a directory");
        let left: Vec<_> = left.map(|entry| entry.expect("read").file_name()).collect();
        assert_eq!(left, ["empty.toml"]);
    }
}

#[tokio::test]
async fn the_first_that_is_added_makes_the_database_in_the_home_of_who_adds_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    // An empty variable is none.
    let expiry = Expiry::new("", home.path());
    let refused = expiry.ended(&["status"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("no database yet"), "{refused:?}");
    let add = ["subscriber", "add", "255700000001", "--for", "1h"];
    expiry.ok(&add).await;
    expiry.ok(&["status"]).await;
    let made = home.path().join("data/expiry/expiry.db");
    assert!(made.exists());
}

#[tokio::test]
async fn r9_cron_is_missed_when_it_said_how_often_it_comes_and_not_before() {
    let world = World::new(None).await;
    let (asked, critical) = (["status", "--exit-code"], 4);
    world.expiry.ok(&["run", "--once"]).await;
    let ended = world.expiry.ended(&asked).await;
    assert_eq!(
        ended.code, critical,
        "nobody knows of another run: {ended:?}"
    );

    for _ in 0..2 {
        let run = ["run", "--once", "--every", "60s"];
        world.expiry.ok(&run).await;
    }

    let ended = world.expiry.ended(&asked).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let says = "watchers: none, checked by cron every 1 minute\n";
    assert!(ended.stdout.contains(says), "{ended:?}");
    let checks = ended
        .stdout
        .matches("checks by cron every 1 minute, last at");
    assert_eq!(checks.count(), 1, "{ended:?}");
    let doctor = world.expiry.ended(&["doctor"]).await;
    assert!(
        doctor.stdout.contains("checked by cron every 1 minute"),
        "{doctor:?}"
    );
}

#[tokio::test]
async fn lists_of_nothing_say_so_in_words_and_stay_lists_in_json() {
    let world = World::new(None).await;
    for router in world
        .expiry
        .json(&["router", "list"])
        .await
        .as_array()
        .expect("a list")
    {
        let name = router["name"].as_str().expect("a name");
        world.expiry.ok(&["router", "remove", name]).await;
    }
    for (words, says) in [
        (
            ["router", "list"],
            "no routers yet: `expiryctl router add` makes one",
        ),
        (
            ["subscriber", "list"],
            "no subscribers yet: `expiryctl subscriber add`",
        ),
        (
            ["tenant", "list"],
            "no tenants yet: `expiryctl tenant add SLUG`",
        ),
    ] {
        let said = world.expiry.ok(&words).await;
        assert!(said.starts_with(says), "{said}");
        let json = world.expiry.json(&words).await;
        assert_eq!(json, serde_json::json!([]), "{words:?}");
    }
}

#[tokio::test]
async fn what_is_taken_already_and_what_is_mistyped_come_with_the_way_out() {
    let world = World::new(None).await;
    let add = ["subscriber", "add", "joe", "--for", "1h"];
    world.expiry.ok(&add).await;
    for (words, says) in [
        (&add[..], "`expiryctl subscriber extend joe --for 1d`"),
        (
            &["subscriber", "extend", "joe", "--for", "-2h"],
            "--shorten",
        ),
        (
            &["run", "--interval", "soon"],
            "not a time such as 30s or 5m",
        ),
        (&["run", "--interval", "500ms"], "whole seconds"),
    ] {
        let ended = world.expiry.ended(words).await;
        assert_eq!(ended.code, 2, "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{words:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{words:?}: {ended:?}");
    }
    for words in [&[][..], &["router"], &["subscriber", "device"]] {
        let ended = world.expiry.ended(words).await;
        assert_eq!(ended.code, 2, "{words:?}: {ended:?}");
        assert!(ended.stderr.contains("Commands:"), "{words:?}: {ended:?}");
    }
    for interval in ["30", "30s"] {
        world
            .expiry
            .ok(&["run", "--once", "--interval", interval])
            .await;
    }
}

#[tokio::test]
async fn health_is_told_by_the_exit_code_when_asked_for() {
    let world = World::new(None).await;
    let ask = ["status", "--exit-code"];
    let ended = world.expiry.ended(&ask).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.contains("health: critical"), "{ended:?}");
    assert_eq!(world.expiry.ended(&["status"]).await.code, 0);
    let brake = world.expiry.ok(&["brake"]).await;
    assert!(brake.contains("cuts wait"), "{brake}");

    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router reached").await;
    let ended = world.expiry.ended(&ask).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let brake = world.expiry.ok(&["brake"]).await;
    assert!(brake.contains("cuts are made"), "{brake}");
    assert_eq!(watcher.terminate().await, 0);
}
