//! The pictures of the documentation.

use std::{env, path::PathBuf};

use expiry_mikrotik::sim::Link;
use expiry_tests::world::sim_router;

use crate::{browser::Browser, stage::Stage};

const LIGHT: &str = "rgb(243, 245, 248)";
const DARK: &str = "rgb(12, 16, 22)";

/// Draws the page on large and small screens, with somebody about to go, somebody owed and routers in many
/// states. With `EXPIRY_PICTURES=DIRECTORY` it keeps the pictures there.
#[tokio::test]
async fn it_is_drawn_for_large_and_small_screens_in_light_and_dark() {
    let stage = Stage::signed_in().await;
    let page = &stage.browser;
    let mut routers = Vec::new();
    for name in [
        "beach-bar",
        "bus-station",
        "clinic",
        "hotel-roof",
        "market-north",
        "school",
    ] {
        let router = sim_router(name).await;
        stage.world.register(name, &router).await;
        routers.push(router);
    }
    page.until_says("#routers-count", "7 of 7 up").await;
    for number in 1..9_u8 {
        let access = format!("{}s", u32::from(number) * 2);
        stage
            .subscriber(
                &format!("25577000010{number}"),
                &access,
                &format!("02:00:00:00:01:0{number}"),
            )
            .await;
    }
    page.until_says("#feed", "255770000108 cut confirmed").await;
    routers[4].with(|sim| sim.set_link(Link::Refused));
    page.until_says("#routers-table", "down").await;
    stage
        .subscriber("255713550182", "4m", "02:00:00:00:02:01")
        .await;
    for (name, access) in [
        ("255772236727", "3s"),
        ("255754210044", "45s"),
        ("255768914400", "11m"),
        ("255744020931", "19m"),
        ("amina@acme", "26m"),
        ("255789300517", "95m"),
        ("255621774009", "7h"),
        ("255655080132", "3d"),
    ] {
        stage
            .world
            .expiry
            .ok(&["subscriber", "add", name, "--for", access])
            .await;
    }
    page.until_says("#owed", "255772236727").await;
    page.until_says("#health-word", "Needs attention").await;
    page.until_says("#upcoming", "255655080132").await;
    page.until_silent("#upcoming", "255772236727").await;

    for (name, scheme, width, height, background) in [
        ("page-light", "light", 1440, 1180, LIGHT),
        ("page-dark", "dark", 1440, 1180, DARK),
        ("page-phone", "light", 390, 844, LIGHT),
        ("page-phone-dark", "dark", 390, 844, DARK),
    ] {
        page.prefer(scheme).await;
        page.resize(width, height).await;
        page.until(&is_drawn(width)).await;
        assert_eq!(
            page.eval("getComputedStyle(document.body).backgroundColor")
                .await,
            background
        );
        assert!(page.eval("document.querySelector('#health-word').getBoundingClientRect().bottom < innerHeight").await == true);
        if width < 600 {
            let whole = page.eval("document.documentElement.scrollHeight").await;
            let whole = whole.as_u64().and_then(|whole| u32::try_from(whole).ok());
            page.resize(width, whole.expect("a height")).await;
            page.until(&is_drawn(width)).await;
        }
        keep(page, name).await;
    }

    let name = "[...document.querySelectorAll('#upcoming button')].find((e) => e.innerText === '255713550182').focus()";
    page.eval(name).await;
    page.press("\u{e007}").await;
    page.until_says("#subscriber-why", "Router tower").await;
    page.click("#extend-do").await;
    page.until_says("#subscriber-note", "now has access").await;
    page.until_says("#subscriber-events", "access changed")
        .await;
    for (name, scheme, width, height) in [
        ("sheet", "light", 900, 820),
        ("sheet-phone", "dark", 390, 844),
    ] {
        page.prefer(scheme).await;
        page.resize(width, height).await;
        page.until(&is_drawn(width)).await;
        keep(page, name).await;
    }
    stage.close().await;
}

/// Whether the page follows the size of the screen, down to its plots.
fn is_drawn(width: u32) -> String {
    format!(
        "document.querySelector('.plot').clientWidth === document.querySelector('#lag-over-time').clientWidth && innerWidth === {width}"
    )
}

async fn keep(page: &Browser, name: &str) {
    if let Some(directory) = env::var_os("EXPIRY_PICTURES") {
        page.picture(&PathBuf::from(directory).join(format!("{name}.png")))
            .await;
    }
}
