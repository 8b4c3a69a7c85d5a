//! Where the focus is after something was done by keyboard, and whether what came of it is told.

use expiry_mikrotik::sim::Link;

use crate::{browser::Browser, stage::Stage};

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";

/// Goes to what `selector` finds and presses Enter there.
async fn enter(page: &Browser, selector: &str) {
    page.eval(&format!("document.querySelector('{selector}').focus()"))
        .await;
    page.press(ENTER).await;
}

async fn has_focus(page: &Browser, selector: &str) -> bool {
    page.eval(&format!("document.activeElement.matches('{selector}')"))
        .await
        == true
}

#[tokio::test]
async fn who_changes_access_by_keyboard_is_told_what_came_of_it_and_is_still_there() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage
        .subscriber("255700000090", "20m", "02:00:00:00:00:90")
        .await;
    page.until_says("#upcoming", "255700000090").await;
    enter(page, "#upcoming button.name").await;
    page.until_says("#subscriber-why", "Router tower").await;
    // A screen reader hears what is put into a place that it knew before.
    let is_heard = "(e => e.checkVisibility() && e.closest('dialog').matches(':modal'))(document.querySelector('#subscriber [role=status]'))";
    assert_eq!(page.eval(is_heard).await, true);

    enter(page, "#extend-do").await;
    page.until_says("#subscriber [role=status]", "now has access until")
        .await;
    assert!(has_focus(page, "#subscriber [role=status]").await);
    page.press(TAB).await;
    assert!(has_focus(page, "#extend [name=span]").await, "it goes on");

    page.until("!document.querySelector('#revoke').disabled")
        .await;
    enter(page, "#revoke").await;
    page.until("document.querySelector('#confirm').open").await;
    enter(page, "#confirm-yes").await;
    page.until_says("#subscriber [role=status]", "was revoked")
        .await;
    page.until("document.querySelector('#revoke').disabled")
        .await;
    assert!(has_focus(page, "#subscriber [role=status]").await);
    stage.close().await;
}

#[tokio::test]
async fn a_button_keeps_the_focus_while_it_works_and_when_it_is_done() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    enter(page, "#routers-table .act button").await;
    assert!(has_focus(page, "#routers-table .act button").await);
    page.until_says("#routers-table .result", "Connected, logged in, read")
        .await;
    assert!(has_focus(page, "#routers-table .act button").await);

    stage.world.router.with(|sim| sim.set_link(Link::Refused));
    stage
        .subscriber("255700000091", "1s", "02:00:00:00:00:91")
        .await;
    page.until_says("#owed", "255700000091").await;
    enter(page, "#owed-try").await;
    page.until_silent("#owed-tried", "Trying each").await;
    assert!(has_focus(page, "#owed-try").await);
    stage.world.router.with(|sim| sim.set_link(Link::Up));
    page.until_says("#owed-none", "Nothing is owed.").await;
    assert!(has_focus(page, "#owed-title").await, "its button went");
    stage.close().await;
}
