use axum::{
    body::Body,
    http::{Request, StatusCode},
};

use crate::world::{TOKEN, World};

const GUARDED: [&str; 4] = [
    "/api/admin/expiry-watcher/",
    "/api/v1/overview",
    "/api/v1/nothing",
    "/metrics",
];

#[tokio::test]
async fn r11_missing_and_wrong_are_one_answer() {
    for path in GUARDED {
        let world = World::new();
        let mut answers = Vec::new();
        for token in [None, Some("wrong"), Some(&TOKEN[1..])] {
            let header = token.map(|token| ("x-admin-token", token));
            let answer = world.get_with(path, header.as_slice()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            let mut json = answer.json();
            if let Some(id) = json.get_mut("request_id") {
                *id = "".into();
            }
            answers.push(json);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
        if path.contains("admin") {
            assert_eq!(answers[0]["success"], false);
        }
    }
}

#[tokio::test]
async fn all_three_ways_to_send_the_token_open_it() {
    let world = World::new();
    for header in ways(&format!("Bearer {TOKEN}")) {
        let answer = world.get_with("/api/v1/overview", &[header]).await;
        assert_eq!(answer.status, StatusCode::OK, "{header:?}");
    }
}

#[tokio::test]
async fn the_right_token_opens_it_whatever_stands_in_the_other_places() {
    let bearer = format!("Bearer {TOKEN}");
    for right in 0..3 {
        let world = World::new();
        let mut headers = ways(&bearer).map(|(name, _)| (name, "Bearer of another"));
        headers[right] = ways(&bearer)[right];
        let answer = world.get_with("/api/v1/overview", &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{right}");
    }
}

/// The three headers that a token may be in.
fn ways(bearer: &str) -> [(&str, &str); 3] {
    [
        ("X-Admin-Token", TOKEN),
        ("X-Admin-Access", TOKEN),
        ("Authorization", bearer),
    ]
}

#[tokio::test]
async fn who_sends_no_token_is_refused_and_has_guessed_none() {
    let world = World::new();
    for _ in 0..20 {
        let answer = world.get_with("/api/v1/overview", &[]).await;
        assert_eq!(answer.problem(), (401, "unauthorized".into()));
    }
    assert_eq!(world.get("/api/v1/overview").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn r11_who_sends_several_wrong_tokens_at_once_guessed_as_often() {
    let world = World::new();
    for n in 0..5 {
        let (one, other) = (format!("guess {n}"), format!("other {n}"));
        let headers = [("x-admin-token", &*one), ("x-admin-access", &*other)];
        let answer = world.get_with("/api/v1/overview", &headers).await;
        assert_eq!(answer.problem(), (401, "unauthorized".into()));
    }
    let guess = [("x-admin-token", "one more")];
    let answer = world.get_with("/api/v1/overview", &guess).await;
    assert_eq!(answer.problem(), (429, "too_many_attempts".into()));
}

#[tokio::test(start_paused = true)]
async fn r11_who_guesses_has_to_wait_and_nobody_who_has_the_token() {
    let world = World::new();
    // Within the minute that is counted.
    for n in 0..40 {
        let guess = format!("guess {n}");
        let began = tokio::time::Instant::now();
        let answer = world
            .get_with("/api/v1/overview", &[("x-admin-token", &guess)])
            .await;
        if n < 10 {
            assert_eq!(answer.problem(), (401, "unauthorized".into()), "{n}");
        } else {
            assert_eq!(answer.problem(), (429, "too_many_attempts".into()), "{n}");
            assert!(began.elapsed().as_secs() >= 1, "guesses come slowly");
            let wait = answer.headers["retry-after"].to_str().expect("text");
            let wait: u64 = wait.parse().expect("seconds");
            assert!((1..=61).contains(&wait));
        }
        let began = tokio::time::Instant::now();
        let right = world.get("/api/v1/overview").await;
        assert_eq!(right.status, StatusCode::OK, "{n}");
        assert!(began.elapsed().is_zero());
    }
}

#[tokio::test]
async fn an_old_client_that_goes_on_with_one_wrong_token_is_told_so_each_time() {
    let world = World::new();
    for path in ["/api/v1/overview", "/api/admin/expiry-watcher/", "/metrics"] {
        for _ in 0..100 {
            let old = [("x-admin-token", "the token of last year")];
            let answer = world.get_with(path, &old).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    // A person who mistypes beside it is not kept waiting.
    for n in 0..9 {
        let mistyped = format!("the tokn {n}");
        let answer = world
            .get_with("/api/v1/overview", &[("x-admin-token", &mistyped)])
            .await;
        assert_eq!(answer.problem(), (401, "unauthorized".into()));
    }
}

#[tokio::test]
async fn every_answer_forbids_scripts_from_elsewhere_and_has_an_id() {
    let world = World::new();
    for path in [
        "/",
        "/docs",
        "/app.js",
        "/api/v1/overview",
        "/nothing",
        "/readyz",
    ] {
        let answer = world.get(path).await;
        let policy = answer.headers["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        assert!(answer.headers["x-request-id"].len() >= 32);
    }
}

#[tokio::test]
async fn a_page_that_did_not_change_is_not_sent_again() {
    let world = World::new();
    let first = world.get("/app.js").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(
        first.headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    let tag = &first.headers["etag"];
    for (path, status) in [("/app.js", 304), ("/app.css", 200)] {
        let request = Request::get(path).header("if-none-match", tag);
        let answer = world
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.headers["cache-control"], "no-cache");
        assert_eq!(answer.headers["etag"] == tag, status == 304);
        assert_eq!(answer.text.is_empty(), status == 304);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let world = World::new();
    let long = serde_json::json!({"username": "a".repeat(70_000)});
    let answer = world.post("/api/v1/subscribers", long.clone()).await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));
    let answer = world
        .post("/api/admin/mikrotik/test-connection/", long)
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Request::post("/api/v1/subscribers").header("x-admin-token", TOKEN);
    let answer = world
        .send(request.body(Body::from("{}")).expect("a request"))
        .await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
}
