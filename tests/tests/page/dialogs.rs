//! Dialogs: what closes them, and how wide they are.

use crate::{browser::Browser, stage::Stage};

const SHEET: &str = "document.querySelector('#subscriber')";

/// A place of the sheet: its left edge and its middle, in pixels of the screen.
async fn edge(page: &Browser) -> (i64, i64) {
    let place = format!("(r => [r.left, r.top + r.height / 2])({SHEET}.getBoundingClientRect())");
    let place = page.eval(&place).await;
    #[expect(clippy::cast_possible_truncation, reason = "a pixel of the screen")]
    let pixel = |at: usize| place[at].as_f64().expect("a number") as i64;
    (pixel(0), pixel(1))
}

#[tokio::test]
async fn a_sheet_closes_by_a_click_beside_it_and_by_none_within() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage.sheet("255700000080", "1h", "02:00:00:00:00:80").await;
    let (left, middle) = edge(page).await;
    let (within, beside) = ((left + 8, middle), (left - 40, middle));
    let is_open = format!("{SHEET}.open");

    page.drag(within, within).await;
    assert_eq!(page.eval(&is_open).await, true, "its padding is within");
    page.drag((left + 100, middle), beside).await;
    assert_eq!(page.eval(&is_open).await, true, "a selection ended beside");
    page.drag(beside, beside).await;
    assert_eq!(page.eval(&is_open).await, false);
    stage.close().await;
}

#[tokio::test]
async fn no_screen_is_too_narrow_for_a_sheet() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage.sheet("255700000081", "1h", "02:00:00:00:00:81").await;
    for width in [320, 390, 700, 1440] {
        page.resize(width, 844).await;
        page.until(&format!("innerWidth === {width}")).await;
        let wide = format!("{SHEET}.scrollWidth - {SHEET}.clientWidth");
        assert_eq!(page.eval(&wide).await, 0, "at {width} pixels");
    }
    stage.close().await;
}
