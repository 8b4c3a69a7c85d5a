//! What subscribers type and routers send stays text.

use expiry_tests::world::World;

use crate::stage::{Stage, mac};

/// It would leave a mark in the page.
const NAME: &str = "<img src=x onerror=\"window.owned=1\">";
const IDENTITY: &str = "<b onclick=window.owned=1>box</b>";
const STRAY: &str = "<script>window.owned=1</script>";

#[tokio::test]
async fn nothing_that_looks_like_markup_becomes_any() {
    let stage = Stage::after(|router| {
        router.with(|sim| sim.configure(|config| config.identity = IDENTITY.into()));
        World::device(router, STRAY, mac(0x21));
    })
    .await;
    let page = &stage.browser;
    stage.subscriber(NAME, "6s", "02:00:00:00:00:20").await;
    stage.sign_in(crate::stage::TOKEN).await;
    let elements = "document.querySelectorAll('#app b, #app script, #app img').length";

    page.until_says("#upcoming", NAME).await;
    let own = page.eval(elements).await;
    page.press("/").await;
    page.press("<img").await;
    page.until_says("#search-list", NAME).await;
    page.press("\u{e015}\u{e007}").await;
    page.until_says("#subscriber-name", NAME).await;
    page.until_says("#subscriber-why", "tower").await;
    page.until_says("#subscriber-events", "cut confirmed").await;
    page.press("\u{e00c}").await;
    page.until_says("#feed", NAME).await;
    page.until_says("#routers-table", IDENTITY).await;
    page.click("#routers-table .act button").await;
    page.until_says("#routers-table .result", IDENTITY).await;
    page.until("!document.querySelector('#routers-table .strays button').disabled")
        .await;
    page.click("#routers-table .strays button").await;
    page.until_says("#strays-list", STRAY).await;

    assert_eq!(page.eval(elements).await, own, "only the page's own");
    assert_eq!(page.eval("typeof window.owned").await, "undefined");
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
