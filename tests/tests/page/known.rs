//! What the page says when it cannot know.

use crate::stage::Stage;

#[tokio::test]
async fn r9_nothing_is_said_to_be_so_before_it_was_heard() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    page.block(&["*/v1/overview", "*/v1/upcoming*", "*/v1/owed*", "*/v1/lag"])
        .await;
    page.reload().await;
    page.until_says("#health-word", "Unknown").await;
    for part in ["upcoming", "owed", "lag"] {
        page.until_says(&format!("#{part}-problem"), "Cannot be loaded")
            .await;
    }
    // The next second has passed, too.
    page.until("document.querySelector('#connection-word').innerText === 'Live'")
        .await;
    for words in [
        "#upcoming-none",
        "#owed-none",
        "#routers-none",
        "#lag-cuts",
        "#routers-count",
    ] {
        assert_eq!(page.text(words).await, "", "{words}");
    }

    page.block(&[]).await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#upcoming-none", "no deadline").await;
    page.until_says("#owed-none", "Nothing is owed.").await;
    page.until_says("#lag-cuts", "none yet").await;
    stage.close().await;
}

#[tokio::test]
async fn r9_who_is_due_while_the_service_is_gone_stays_and_is_not_said_to_be_cut() {
    let stage = Stage::signed_in().await;
    let name = "255700000070";
    stage.subscriber(name, "5s", "02:00:00:00:00:70").await;
    stage.browser.until_says("#upcoming", name).await;
    let dark = stage.kill().await;
    let page = &dark.browser;
    page.until_says("#upcoming", "due, not known").await;
    page.until_says("#health-word", "Unknown").await;
    page.until("Date.parse(document.querySelector('#upcoming time').dateTime) + 8000 < Date.now()")
        .await;
    assert!(page.text("#upcoming").await.contains("due, not known"));
    for words in ["#upcoming-none", "#owed-none"] {
        assert_eq!(page.text(words).await, "", "{words}");
    }
    page.until_says("#routers-count", "1 of 1 up at ").await;
    page.until_says("#watchers", "not known now").await;
    let colour = |of: &str| format!("getComputedStyle(document.querySelector('{of}')).color");
    for mark in [
        "#routers-count",
        "#routers-table .pill",
        "#figure-routers",
        "#health-word",
    ] {
        let is_grey = format!("{} === {}", colour(mark), colour(".foot"));
        assert_eq!(page.eval(&is_grey).await, true, "{mark}");
    }

    let stage = dark.serve().await;
    let page = &stage.browser;
    page.until_says("#health-word", "Healthy").await;
    page.until_silent("#upcoming", name).await;
    page.until_says("#owed-none", "Nothing is owed.").await;
    stage.close().await;
}

#[tokio::test]
async fn r9_who_is_due_is_not_dropped_by_the_clock_alone() {
    let stage = Stage::signed_in().await;
    let name = "255700000071";
    let page = &stage.browser;
    // Without a word on the cut.
    page.block(&["*/v1/events*"]).await;
    page.reload().await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#connection", "Back in").await;
    stage.subscriber(name, "15s", "02:00:00:00:00:71").await;
    page.until_says("#upcoming", name).await;
    page.block(&["*/v1/events*", "*/v1/upcoming*"]).await;
    page.until_says("#upcoming", "due, not known").await;
    page.until("Date.parse(document.querySelector('#upcoming time').dateTime) + 8000 < Date.now()")
        .await;
    assert_eq!(page.text("#health-word").await, "Healthy");
    assert!(page.text("#upcoming").await.contains("due, not known"));
    page.block(&[]).await;
    page.until_silent("#upcoming", name).await;
    page.until_says("#upcoming-none", "no deadline").await;
    stage.close().await;
}

#[tokio::test]
async fn a_page_that_counts_down_has_nothing_in_motion_between_two_seconds() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage
        .subscriber("255700000072", "1m", "02:00:00:00:00:72")
        .await;
    page.until_says("#upcoming", "255700000072").await;
    for _ in 0..2 {
        let left = page.text("#upcoming time").await;
        page.until_silent("#upcoming time", &left).await;
        assert_eq!(page.eval("document.getAnimations().length").await, 0);
    }
    stage.close().await;
}
