//! What the page says when nobody makes cuts, or one cannot be made.

use std::time::Duration;

use expiry_mikrotik::sim::Link;
use expiry_tests::world::{sim_router, until};

use crate::stage::{Stage, TOKEN};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn r10_who_tries_while_a_brake_holds_is_told_that_nothing_was_cut_and_why() {
    let stage = Stage::with(&[("EXPIRY_WATCHER_SHARE_LIMIT", "25")]).await;
    let page = &stage.browser;
    let mut devices = Vec::new();
    for number in 1..=4 {
        let name = format!("25570000003{number}");
        let mac = format!("02:00:00:00:00:3{number}");
        devices.push(stage.subscriber(&name, "1h", &mac).await);
    }
    stage.sign_in(TOKEN).await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#routers-table .state", "up").await;
    for name in ["255700000031", "255700000032"] {
        stage.world.expiry.ok(&["subscriber", "revoke", name]).await;
    }
    page.until_says("#owed", "255700000032").await;
    page.until_says("#health-word", "Critical").await;
    page.until_says("#health-reasons", "Braked: changes ended the access of 2")
        .await;
    page.until_says("#watchers", "braked").await;
    page.until_says("#routers-table .state", "not watched")
        .await;

    page.click("#owed-try").await;
    page.until_says(
        "#owed-tried",
        "Nothing is cut: changes ended the access of 2",
    )
    .await;
    let colour = "document.querySelector('#owed-tried').dataset.state";
    assert_eq!(page.eval(colour).await, "bad");
    assert!(stage.is_moving(devices[1]), "nothing was cut");
    assert!(page.text("#owed").await.contains("255700000032"));

    stage
        .subscriber("255700000035", "1s", "02:00:00:00:00:35")
        .await;
    page.until_says("#owed", "255700000035").await;
    stage.world.expiry.ok(&["brake", "release"]).await;
    until(PATIENCE, "cuts are made again", || {
        !stage.is_moving(devices[1])
    })
    .await;
    page.until_says("#owed-none", "Nothing is owed.").await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#routers-table .state", "up").await;
    assert_eq!(page.text("#owed-tried").await, "");
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn r9_that_nobody_makes_cuts_is_critical_and_no_router_passes_for_watched() {
    let stage = Stage::with(&[("EXPIRY_WATCHER_ENABLED", "false")]).await;
    let page = &stage.browser;
    stage.sign_in(TOKEN).await;
    let nobody = "No watcher is alive: nobody makes cuts.";
    page.until_says("#health-word", "Critical").await;
    page.until_says("#health-reasons", nobody).await;
    page.until_says("#no-watcher", "No watcher was ever seen here")
        .await;
    page.until_says("#routers-table .state", "not watched")
        .await;
    page.until_says("#figure-routers", "0/1").await;
    page.until("document.title === 'Critical – Expiry'").await;

    let quick = stage
        .world
        .expiry
        .clone()
        .with("EXPIRY_WATCHER_HEARTBEAT", "1s")
        .with("EXPIRY_WATCHER_OWNERSHIP", "5s");
    let watcher = quick.service(&["run"]);
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#watchers", "alive").await;
    page.until_says("#routers-table .state", "up").await;
    page.until_says("#figure-routers", "1/1").await;
    assert_eq!(page.text("#no-watcher").await, "");

    watcher.kill().await;
    page.until_says("#health-word", "Critical").await;
    page.until_says("#health-reasons", nobody).await;
    page.until_says("#watchers", "silent").await;
    page.until_says("#routers-table .state", "not watched")
        .await;
    page.until_says("#figure-routers", "0/1").await;
    assert_eq!(page.text("#no-watcher").await, "", "one was seen");
    let device = stage
        .subscriber("255700000036", "6s", "02:00:00:00:00:36")
        .await;
    page.until_says("#upcoming", "waiting: no watcher").await;
    page.until_says("#owed", "255700000036").await;
    page.until_says("#owed .why", "not tried yet").await;
    assert!(stage.is_moving(device));
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn r9_a_cut_that_waits_for_one_router_is_listed_there_with_its_reason() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    let mast = sim_router("mast").await;
    stage.world.register("mast", &mast).await;
    page.until_says("#routers-count", "2 of 2 up").await;
    mast.with(|sim| sim.set_link(Link::Refused));
    page.until_says("#routers-count", "1 of 2 up").await;

    let device = stage
        .subscriber("255700000037", "6s", "02:00:00:00:00:37")
        .await;
    page.until_says("#upcoming", "off on tower").await;
    assert!(!stage.is_moving(device));
    page.until_says("#owed .place", "mast").await;
    page.until_says("#owed .why", "unconfirmed").await;
    page.until_says("#owed .why", "refused").await;
    page.until_says("#owed .since", " s").await;
    page.until_says("#owed-count", "1").await;
    assert!(!page.text("#owed").await.contains("tower"));

    page.click("#owed button.name").await;
    for words in [
        "Router mast: the cut is owed since",
        "It may still be online there.",
        "Router tower: the cut was confirmed",
        "Next: the cut on mast goes on until a reading of the router shows nothing left.",
    ] {
        page.until_says("#subscriber-why", words).await;
    }
    page.press("\u{e00c}").await;

    mast.with(|sim| sim.set_link(Link::Up));
    page.until_says("#owed-none", "Nothing is owed.").await;
    page.until_says("#feed", "255700000037 cut confirmed on mast")
        .await;
    assert_eq!(page.text("#owed-count").await, "");
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
