//! Signing in, and what the page shows of what the watcher does.

use expiry_mikrotik::sim::Link;

use crate::stage::{Stage, TOKEN};

#[tokio::test]
async fn r11_only_the_right_token_opens_the_page_and_the_tab_forgets_it() {
    let stage = Stage::new().await;
    let page = &stage.browser;
    stage.sign_in("wrong").await;
    page.until_says("#sign-in-problem", "This token is wrong.")
        .await;
    assert_eq!(page.text("#app").await, "");

    stage.sign_in(TOKEN).await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#watchers", "alive").await;
    assert_eq!(
        page.eval("localStorage.length + document.cookie.length")
            .await,
        0
    );
    assert_eq!(page.eval("location.href.includes('token')").await, false);
    page.reload().await;
    page.until_says("#health-word", "Healthy").await;

    page.click("#sign-out").await;
    page.until("document.activeElement?.id === 'token'").await;
    assert_eq!(page.eval("sessionStorage.length").await, 0);
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn r5_a_countdown_reaches_zero_and_the_subscriber_leaves_the_list_when_it_is_off() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    page.until_says("#upcoming-none", "no deadline").await;
    let device = stage
        .subscriber("255700000001", "6s", "02:00:00:00:00:01")
        .await;
    page.until_says("#upcoming", "255700000001").await;
    page.until("/^0:0[1-6]$/.test(document.querySelector('#upcoming time')?.innerText)")
        .await;
    assert!(stage.is_moving(device));

    page.until_says("#upcoming", "off on").await;
    assert!(!stage.is_moving(device), "what is shown as off is off");
    page.until_silent("#upcoming", "255700000001").await;
    page.until_says("#feed", "255700000001 cut confirmed on tower")
        .await;
    page.until_says("#lag-cuts", "1 cut").await;
    page.until("document.querySelectorAll('#lag-over-time circle').length === 1")
        .await;
    page.until("document.querySelectorAll('#lag-histogram rect').length === 1")
        .await;
    page.until_says("#owed-none", "Nothing is owed.").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}

#[tokio::test]
async fn r9_a_router_that_is_down_shows_with_who_waits_for_it_until_it_is_back() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    let router = &stage.world.router;
    page.until_says("#routers-table", "7.18.2").await;
    page.click("#routers-table .act button").await;
    page.until_says("#routers-table .result", "Connected, logged in, read")
        .await;

    router.with(|sim| sim.set_link(Link::Refused));
    stage
        .subscriber("255700000002", "1s", "02:00:00:00:00:02")
        .await;
    page.until_says("#owed", "255700000002").await;
    page.until_says("#owed", "unconfirmed").await;
    page.until_says("#owed .place", "tower").await;
    page.until_says("#health-word", "Needs attention").await;
    page.until_says("#health-reasons", "1 subscriber").await;
    page.until_says("#routers-table .state", "down").await;
    page.until("document.title === 'Needs attention – Expiry'")
        .await;
    page.click("#routers-table .act button").await;
    page.until_says("#routers-table .result", "Failed at connecting")
        .await;

    router.with(|sim| sim.set_link(Link::Up));
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#owed-none", "Nothing is owed.").await;
    page.until_says("#routers-table .state", "up").await;
    page.until_says("#lag-outage", "1 cut").await;
    page.until("document.querySelectorAll('#lag-over-time polygon').length === 1")
        .await;
    assert_eq!(page.text("#lag-cuts").await, "none yet");
    stage.close().await;
}

#[tokio::test]
async fn r9_a_service_that_is_gone_is_said_and_what_happened_meanwhile_is_caught_up() {
    let stage = Stage::signed_in().await;
    let dark = stage.kill().await;
    dark.browser.until_says("#connection", "Back in").await;
    dark.world
        .expiry
        .ok(&["subscriber", "add", "255700000003", "--for", "1h"])
        .await;
    dark.browser.until_says("#health-word", "Unknown").await;
    dark.browser
        .until_says("#health-reasons", "cannot be reached")
        .await;
    dark.browser
        .until_says("#owed-problem", "Cannot be loaded")
        .await;
    assert_eq!(dark.browser.text("#owed-none").await, "", "nobody knows");

    let stage = dark.serve().await;
    let page = &stage.browser;
    page.until_says("#connection", "Live").await;
    page.until_says("#feed", "255700000003 added").await;
    page.until_says("#upcoming", "255700000003").await;
    page.until_says("#health-word", "Healthy").await;
    stage.close().await;
}

#[tokio::test]
async fn the_page_is_used_by_keyboard_alone_and_everything_has_a_name() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    stage
        .subscriber("255700000004", "1h", "02:00:00:00:00:04")
        .await;
    page.until_says("#upcoming", "255700000004").await;

    page.press("/").await;
    page.until("document.activeElement.id === 'search-field'")
        .await;
    page.press("0000004").await;
    page.until_says("#search-list", "255700000004").await;
    page.press("\u{e015}").await;
    page.until("document.activeElement.innerText.includes('255700000004')")
        .await;
    assert_eq!(
        page.eval("document.activeElement.matches(':focus-visible')")
            .await,
        true
    );
    page.press("\u{e007}").await;
    page.until_says("#subscriber-why", "tower").await;
    let within = "document.querySelector('#subscriber').contains(document.activeElement)";
    for _ in 0..20 {
        assert_eq!(
            page.eval(&format!(
                "{within} || document.activeElement === document.body"
            ))
            .await,
            true
        );
        page.press("\u{e004}").await;
    }
    page.press("\u{e00c}").await;
    page.until("!document.querySelector('#subscriber').open")
        .await;
    page.until("document.activeElement.id === 'search-field'")
        .await;

    let controls = page.controls().await;
    let has = |role: &str, name: &str| {
        controls
            .iter()
            .any(|(r, n)| (r.as_str(), n.as_str()) == (role, name))
    };
    assert!(
        has("button", "255700000004") && has("button", "Test tower"),
        "{controls:?}"
    );
    assert!(
        has("table", "Routers") && has("link", "Skip to the content"),
        "{controls:?}"
    );
    let nameless: Vec<_> = controls
        .iter()
        .filter(|(role, name)| name.is_empty() && role != "main")
        .collect();
    assert!(nameless.is_empty(), "{nameless:?}");
    stage.close().await;
}

#[tokio::test]
async fn no_screen_is_too_narrow_for_it() {
    let stage = Stage::signed_in().await;
    let long = "a-very-long-name-without-any-space-in-it@a-hotel-chain-with-a-long-domain.example";
    stage.subscriber(long, "1h", "02:00:00:00:00:05").await;
    let page = &stage.browser;
    page.until_says("#upcoming", long).await;
    for width in [320, 390, 700, 1024, 1180, 1920] {
        page.resize(width, 844).await;
        page.until(&format!("innerWidth === {width}")).await;
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(page.eval(wide).await, 0, "at {width} pixels");
    }
    stage.close().await;
}

#[tokio::test]
async fn r12_the_countdown_goes_by_the_clock_of_the_database() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    assert_eq!(page.eval("(Date.now = () => 0)()").await, 0);
    stage
        .subscriber("255700000006", "1h", "02:00:00:00:00:06")
        .await;
    page.until("/^59:[0-5]\\d$/.test(document.querySelector('#upcoming time')?.innerText)")
        .await;
    stage.close().await;
}

#[tokio::test]
async fn r9_who_is_late_now_is_told_apart_from_the_old_backlog_and_ends_known_late_are_told() {
    let stage = Stage::signed_in().await;
    let (page, router) = (&stage.browser, &stage.world.router);
    assert_eq!(page.text("#health-owing").await, "");
    router.with(|sim| sim.set_link(Link::Refused));
    let ended = "2026-01-01T00:00:00Z";
    let before = ["subscriber", "add", "255700000081", "--expires-at", ended];
    stage.world.expiry.ok(&before).await;
    page.until_says("#health-owing", "0 late now; of the old backlog 1 of 1.")
        .await;
    stage
        .subscriber("255700000082", "1s", "02:00:00:00:00:82")
        .await;
    page.until_says("#health-owing", "1 late now; of the old backlog 1 of 1.")
        .await;
    assert_eq!(page.text("#health-known").await, "");

    router.with(|sim| sim.set_link(Link::Up));
    page.until_says("#health-known", "no lag: 1 cut since the start")
        .await;
    page.until_silent("#health-owing", "late now").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
