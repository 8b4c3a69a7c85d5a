use axum::http::{Method, StatusCode};
use rstest::rstest;
use serde_json::Value;

use crate::world::World;

#[rstest]
#[case(
    "/api/v1/subscribers?username=255700000001",
    "username",
    "q, state, tenant, router, limit, cursor"
)]
#[case(
    "/api/v1/subscribers?Q=255700000001",
    "Q",
    "q, state, tenant, router, limit, cursor"
)]
#[case("/api/v1/upcoming?limit=1&offset=2", "offset", "limit")]
#[case("/api/v1/owed?tenant=acme", "tenant", "router, want, limit, cursor")]
#[case("/api/v1/events?since=1", "since", "after, last, limit")]
#[case("/api/v1/events/stream?last=1", "last", "after")]
#[tokio::test]
async fn a_parameter_that_is_not_known_is_refused_by_its_name(
    #[case] path: &str,
    #[case] name: &str,
    #[case] known: &str,
) {
    let world = World::new();
    let answer = world.get(path).await;
    assert_eq!(answer.problem(), (400, "invalid_parameter".into()));
    let expected = format!("there is no parameter `{name}`; those there are: {known}");
    assert_eq!(answer.json()["detail"], expected);
}

#[tokio::test]
async fn every_endpoint_refuses_what_it_does_not_know() {
    let world = World::new();
    let described = world.get("/api/v1/openapi.json").await.json();
    let paths = described["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        let path = path.replace("{id}", "1");
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let asked = format!("{path}?no_such=1");
            let answer = world.call(method.clone(), &asked, None).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {asked}");
            let json = answer.json();
            let field = if path.contains("/admin/") {
                assert_eq!(json["success"], false, "{path}");
                "message"
            } else {
                assert_eq!(answer.problem().1, "invalid_parameter", "{path}");
                "detail"
            };
            let told = json[field].as_str().expect("text");
            assert!(told.contains("`no_such`"), "{path}: {told}");
        }
    }
}

#[tokio::test]
async fn old_endpoints_without_their_slash_refuse_it_too() {
    let world = World::new();
    let asked = "/api/admin/cleanup-expired?tenant=acme";
    let answer = world.call(Method::POST, asked, None).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let told = "there is no parameter `tenant`; this takes none";
    assert_eq!(answer.json()["message"], Value::from(told));
}

#[tokio::test]
async fn nobody_without_the_token_learns_which_there_are() {
    let world = World::new();
    let answer = world.get_with("/api/v1/subscribers?username=1", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_question_mark_alone_and_known_ones_pass() {
    let world = World::new();
    for path in [
        "/api/v1/overview?",
        "/api/v1/subscribers?q=%2B255700000001&limit=5",
        "/app.js?v=2",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}
