//! Whom the admin service takes a request to come from, over a real connection.

use expiry_tests::{
    http::{Admin, TOKEN, ask},
    world::World,
};

/// Asks with a token, through proxies.
async fn status(admin: &Admin, token: &str, through: &[&str]) -> u16 {
    let mut headers = vec![("x-admin-token", token)];
    headers.extend(through.iter().map(|hop| ("x-forwarded-for", *hop)));
    ask(&admin.address, "GET", "/api/v1/overview", &headers)
        .await
        .status
}

/// Guesses until it has to wait.
async fn guess(admin: &Admin, through: &[&str]) {
    for n in 0..10 {
        let guess = format!("guess {n}");
        assert_eq!(status(admin, &guess, through).await, 401);
    }
    assert_eq!(status(admin, "one more", through).await, 429);
}

#[tokio::test]
async fn r11_who_guesses_through_a_trusted_proxy_makes_nobody_else_wait() {
    let world = World::new(None).await;
    let trusting = world
        .expiry
        .clone()
        .with("EXPIRY_HTTP_TRUSTED_PROXIES", "127.0.0.1,10.8.0.0/24");
    let admin = Admin::start(&trusting, &[]).await;
    // What the guesser says itself comes before what the proxies say of it.
    guess(&admin, &["198.51.100.1", "203.0.113.9, 10.8.0.7"]).await;
    assert_eq!(status(&admin, "a guess", &["203.0.113.9"]).await, 429);
    assert_eq!(status(&admin, "a guess", &["198.51.100.1"]).await, 401);
    assert_eq!(status(&admin, TOKEN, &["203.0.113.9"]).await, 200);
    assert_eq!(status(&admin, TOKEN, &["198.51.100.1"]).await, 200);
    assert_eq!(status(&admin, TOKEN, &[]).await, 200);

    assert_eq!(admin.service.terminate().await, 0);
}

#[tokio::test]
async fn r11_who_guesses_is_not_believed_to_be_another_each_time() {
    let world = World::new(None).await;
    let mut admin = Admin::start(&world.expiry, &[]).await;
    for n in 0..10 {
        let (claimed, guess) = (format!("203.0.113.{n}"), format!("guess {n}"));
        assert_eq!(status(&admin, &guess, &[&claimed]).await, 401);
    }
    assert_eq!(status(&admin, "a guess", &["198.51.100.1"]).await, 429);
    let line = admin.service.line("trusted_proxies").await;
    assert!(!line.contains(TOKEN), "{line}");

    assert_eq!(admin.service.terminate().await, 0);
}
