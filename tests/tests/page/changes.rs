//! Explain, extend and revoke.

use std::time::Duration;

use expiry_tests::world::until;

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn r3_who_is_extended_stays_and_who_is_revoked_is_off_after_a_yes() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    let device = stage
        .sheet("255700000010", "20m", "02:00:00:00:00:10")
        .await;
    page.until_says("#subscriber-why", "Access goes on until")
        .await;
    page.until_says("#subscriber-events", "added").await;

    page.click("#extend label:has([value='3600'])").await;
    page.click("#extend-do").await;
    page.until_says("#subscriber-note", "255700000010 now has access until")
        .await;
    page.until_says("#subscriber-left", "1:19:").await;
    page.until_says("#upcoming time", "1:19:").await;
    page.until_says("#subscriber-events", "access changed")
        .await;

    page.click("#revoke").await;
    page.until_says("#confirm", "255700000010 is taken off every router now")
        .await;
    page.press("\u{e00c}").await;
    page.until("!document.querySelector('#confirm').open").await;
    assert!(stage.is_moving(device));
    assert_eq!(page.text("#subscriber-state").await, "access");

    page.click("#revoke").await;
    page.until("document.querySelector('#confirm').open").await;
    page.click("#confirm-yes").await;
    page.until_says(
        "#subscriber-note",
        "The access of 255700000010 was revoked.",
    )
    .await;
    page.until_says("#subscriber-state", "ended").await;
    page.until_says("#subscriber-events", "cut confirmed").await;
    until(PATIENCE, "it is off", || !stage.is_moving(device)).await;
    page.until_silent("#upcoming", "255700000010").await;

    page.click("#extend-do").await;
    page.until_says("#subscriber-events", "restore confirmed")
        .await;
    until(PATIENCE, "it is on again", || stage.is_moving(device)).await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn what_the_service_refuses_is_said_where_it_was_asked_for() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage
        .sheet("255700000011", "20m", "02:00:00:00:00:11")
        .await;
    page.click("#extend label:has([value='other'])").await;
    page.until("!document.querySelector('#extend-other').hidden")
        .await;
    page.click("#extend-amount").await;
    page.press("99999999999999\u{e007}").await;
    page.until_says("#subscriber-problem", "Not extended:")
        .await;
    page.until_says("#subscriber-left", "left").await;
    stage.close().await;
}

#[tokio::test]
async fn r9_a_change_whose_answer_is_lost_is_neither_said_to_be_made_nor_refused() {
    let stage = Stage::signed_in().await;
    let name = "255700000012";
    stage.sheet(name, "20m", "02:00:00:00:00:12").await;
    let page = &stage.browser;
    // The request is on its way when the service goes.
    stage.freeze().await;
    page.click("#extend-do").await;
    page.until("document.querySelector('#extend-do').disabled")
        .await;
    let dark = stage.kill().await;
    let page = &dark.browser;
    page.until("!document.querySelector('#extend-do').disabled")
        .await;
    page.until_says(
        "#subscriber-problem",
        "It is not known whether 255700000012 was extended: look before you try again",
    )
    .await;
    assert_eq!(page.text("#subscriber-note").await, "");

    page.until_says("#subscriber-stale", "Cannot be explained")
        .await;

    // Nobody is there who could take the request.
    page.click("#revoke").await;
    page.until("document.querySelector('#confirm').open").await;
    page.click("#confirm-yes").await;
    page.until_says(
        "#subscriber-problem",
        "It is not known whether 255700000012 was revoked: look before you try again",
    )
    .await;
    page.until("!document.querySelector('#revoke').disabled")
        .await;
    assert_eq!(page.text("#subscriber-note").await, "");

    let stage = dark.serve().await;
    let page = &stage.browser;
    page.until_silent("#subscriber-stale", "Cannot be explained")
        .await;
    page.until_says("#subscriber-problem", "was revoked: look before")
        .await;
    page.until_says("#subscriber-left", "left, until").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
