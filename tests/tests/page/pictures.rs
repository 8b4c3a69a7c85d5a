//! The pictures of the documentation.

use std::{env, path::PathBuf};

use expiry_mikrotik::sim::Link;
use expiry_tests::world::sim_router;

use crate::stage::Stage;

const LIGHT: &str = "rgb(243, 245, 248)";
const DARK: &str = "rgb(12, 16, 22)";

/// Draws the page on three screens, with somebody about to go, somebody owed and routers in many
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
    for (name, access) in [
        ("255772236727", "3s"),
        ("255754210044", "45s"),
        ("255713550182", "4m"),
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
    ] {
        page.prefer(scheme).await;
        page.resize(width, height).await;
        let drawn = format!(
            "document.querySelector('.plot').clientWidth === document.querySelector('#lag-over-time').clientWidth && innerWidth === {width}"
        );
        page.until(&drawn).await;
        assert_eq!(
            page.eval("getComputedStyle(document.body).backgroundColor")
                .await,
            background
        );
        assert!(page.eval("document.querySelector('#health-word').getBoundingClientRect().bottom < innerHeight").await == true);
        if let Some(directory) = env::var_os("EXPIRY_PICTURES") {
            page.picture(&PathBuf::from(directory).join(format!("{name}.png")))
                .await;
        }
    }
    stage.close().await;
}
