//! A token that is not accepted any more.

use crate::stage::{Stage, TOKEN};

const OTHER: &str = "another-token-0123456789-0123456789-0123";

#[tokio::test]
async fn r11_a_token_that_is_not_accepted_any_more_is_forgotten_and_asked_for_again() {
    let stage = Stage::signed_in().await;
    stage
        .subscriber("255700000060", "1h", "02:00:00:00:00:60")
        .await;
    let page = &stage.browser;
    page.until_says("#upcoming", "255700000060").await;
    assert_eq!(page.eval("sessionStorage.length").await, 1);

    let dark = stage.kill().await;
    let stage = dark.serve_with(&[("EXPIRY_HTTP_TOKEN", OTHER)]).await;
    let page = &stage.browser;
    page.until_says("#sign-in-problem", "The token is not accepted any more.")
        .await;
    assert_eq!(page.eval("sessionStorage.length").await, 0);
    assert_eq!(page.text("#app").await, "");
    let left = "document.body.textContent.includes('255700000060')";
    assert_eq!(page.eval(left).await, false);

    stage.sign_in(TOKEN).await;
    page.until_says("#sign-in-problem", "This token is wrong.")
        .await;
    stage.sign_in(OTHER).await;
    page.until_says("#health-word", "Healthy").await;
    page.until_says("#upcoming", "255700000060").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    stage.close().await;
}
