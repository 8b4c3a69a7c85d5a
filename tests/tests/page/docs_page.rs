//! The page that shows the description of the API.

use serde_json::{Value, json};

use crate::stage::Stage;

#[tokio::test]
async fn the_page_of_the_api_lists_every_operation_and_asks_nobody_else() {
    let stage = Stage::new().await;
    let page = &stage.browser;
    page.complaints().await;
    page.open(&format!("{}docs", stage.url)).await;
    page.until_says("#contents", "/api/v1/overview").await;
    page.until_says("#about", "Version").await;

    let api: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let mut operations = 0;
    for (path, methods) in api["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            let title = format!("{} {path}", method.to_uppercase());
            page.until_says(&format!("#contents [href='#{id}']"), &title)
                .await;
            page.until_says(&format!("#{id} h2"), &title).await;
            page.until_says(&format!("#{id} table"), "status").await;
            operations += 1;
        }
    }
    assert!(operations > 15, "{operations}");
    let listed = "document.querySelectorAll('#contents li').length";
    assert_eq!(page.eval(listed).await, operations);

    let hosts = "[...new Set([location, ...performance.getEntriesByType('resource').map((e) => new URL(e.name))].map((url) => url.origin))]";
    let own = stage.url.trim_end_matches('/');
    assert_eq!(page.eval(hosts).await, json!([own]));
    assert_eq!(page.complaints().await, Vec::<String>::new());
    for width in [320, 390, 1180] {
        page.resize(width, 844).await;
        page.until(&format!("innerWidth === {width}")).await;
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(page.eval(wide).await, 0, "at {width} pixels");
    }
    stage.close().await;
}
