//! What happens, as it happens: after a break of the stream, and after a pause.

use std::{fs, iter};

use crate::stage::Stage;

#[tokio::test]
async fn r9_a_stream_that_broke_goes_on_where_it_ended_without_a_reload() {
    let stage = Stage::signed_in().await;
    stage.subscriber("before", "1h", "02:00:00:00:00:50").await;
    stage.browser.until_says("#feed", "before added").await;
    stage.browser.eval("window.since = 'before'").await;

    let dark = stage.kill().await;
    dark.browser.until_says("#connection", "Back in").await;
    let head = "username,expires_at,devices\n".to_owned();
    let lines = (100..200).map(|number| format!("meanwhile{number},forever,\n"));
    let list: String = iter::once(head).chain(lines).collect();
    let file = dark.world.path("list.csv");
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    dark.world.expiry.ok(&["subscriber", "import", &file]).await;

    let stage = dark.serve().await;
    let page = &stage.browser;
    page.until_says("#connection", "Live").await;
    // More than are loaded at once: the first of them come by the stream alone.
    for name in ["meanwhile100", "meanwhile150", "meanwhile199", "before"] {
        page.until_says("#feed", &format!("{name} added")).await;
    }
    stage.subscriber("after", "1h", "02:00:00:00:00:51").await;
    page.until_says("#feed", "after added").await;
    page.until_says("#upcoming", "after").await;
    assert_eq!(page.eval("window.since").await, "before", "no reload");
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn r9_events_that_are_not_in_the_log_any_more_leave_the_list_when_the_stream_goes_on() {
    let stage = Stage::signed_in().await;
    stage.subscriber("before", "1h", "02:00:00:00:00:52").await;
    stage.browser.until_says("#feed", "before added").await;
    stage.browser.eval("window.since = 'before'").await;

    let dark = stage.kill().await;
    dark.browser.until_says("#connection", "Back in").await;
    dark.world.meddle("DELETE FROM {}event").await;
    dark.world
        .expiry
        .ok(&["subscriber", "add", "meanwhile", "--for", "1h"])
        .await;

    let stage = dark.serve().await;
    let page = &stage.browser;
    page.until_says("#feed", "meanwhile added").await;
    page.until_silent("#feed", "before").await;
    page.until_says("#upcoming", "before").await;
    stage.subscriber("after", "1h", "02:00:00:00:00:53").await;
    page.until_says("#feed", "after added").await;
    assert_eq!(page.eval("window.since").await, "before", "no reload");
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn events_of_a_pause_are_counted_and_shown_when_it_ends() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    page.until_says("#feed", "served by watcher").await;
    stage.subscriber("before", "1h", "02:00:00:00:00:54").await;
    page.until_says("#feed", "before added").await;
    let pressed = "document.querySelector('#feed-hold').ariaPressed";
    assert_eq!(page.eval(pressed).await, "false");

    page.click("#feed-hold").await;
    page.until_says("#feed-hold", "Go on").await;
    assert_eq!(page.eval(pressed).await, "true");
    let shown = page.text("#feed").await;
    stage
        .subscriber("meanwhile", "1h", "02:00:00:00:00:55")
        .await;
    page.until_says("#upcoming", "meanwhile").await;
    page.until_says("#feed-hold", "Go on (1 event)").await;
    assert_eq!(page.text("#feed").await, shown, "it stands still");

    page.click("#feed-hold").await;
    page.until_says("#feed", "meanwhile added").await;
    page.until_says("#feed-hold", "Pause").await;
    assert_eq!(page.eval(pressed).await, "false");
    stage.subscriber("after", "1h", "02:00:00:00:00:56").await;
    page.until_says("#feed", "after added").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
