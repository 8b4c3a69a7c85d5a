use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{Directory, testing::memory::Fault};
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// What a payment has besides a reference and a username.
type Fields<'a> = &'a [(&'a str, Value)];

const PATH: &str = "/api/v1/payments";

fn payment(with: Fields<'_>) -> Value {
    let mut payment = json!({"reference": "QK7", "username": "255700000001"});
    for (field, value) in with {
        payment[*field] = value.clone();
    }
    payment
}

async fn pay(world: &World, with: Fields<'_>) -> Answer {
    world.post(PATH, payment(with)).await
}

fn end(access: &Value) -> DateTime<Utc> {
    let at = access["at"].as_str().expect("an end");
    at.parse().expect("a time")
}

async fn access(world: &World) -> Value {
    let found = world.get("/api/v1/subscribers?q=255700000001").await.json();
    found["items"][0]["access"].clone()
}

#[tokio::test]
async fn r3_a_callback_that_comes_again_adds_nothing_and_is_answered_the_same() {
    let world = World::new();
    world.subscriber("255700000001", 60).await;
    let before = access(&world).await;

    let first = pay(&world, &[("seconds", json!(3600))]).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_eq!(first.headers["idempotency-replayed"], "false");
    // The plus of a number is no part of it.
    let spelled = [
        ("seconds", json!(3600)),
        ("username", json!("+255700000001")),
    ];
    let again = pay(&world, &spelled).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.text, first.text);

    let first = first.json();
    assert_eq!(end(&first["access"]) - end(&before), TimeDelta::hours(1));
    assert_eq!(access(&world).await, first["access"]);
    assert_eq!(first["from"], before);
    assert_eq!(first["made"], false);
    assert_eq!(first["delivery"], json!({"done": true, "pending": []}));
}

#[tokio::test]
async fn r3_a_payment_whose_answer_was_lost_is_not_taken_twice() {
    let world = World::new();
    world.subscriber("255700000001", 60).await;
    let before = access(&world).await;
    let mut answers = 0;
    world.store.fail_when(move |call| {
        answers += usize::from(call == "pay");
        if call == "pay" && answers == 1 {
            Fault::After
        } else {
            Fault::None
        }
    });

    let lost = pay(&world, &[("seconds", json!(60))]).await;
    assert_eq!(lost.problem(), (504, "outcome_unknown".into()));
    let again = pay(&world, &[("seconds", json!(60))]).await;

    assert_eq!(again.headers["idempotency-replayed"], "true");
    let paid = end(&again.json()["access"]);
    assert_eq!(paid - end(&before), TimeDelta::minutes(1));
    assert_eq!(access(&world).await, again.json()["access"]);
}

#[tokio::test]
async fn a_payment_makes_whom_nobody_knows_only_when_told_to() {
    let world = World::new();
    let near = "255700000011";
    world.subscriber(near, 60).await;
    let seconds = ("seconds", json!(60));

    let unknown = pay(&world, std::slice::from_ref(&seconds)).await;
    assert_eq!(unknown.problem(), (404, "subscriber_not_found".into()));
    let detail = unknown.json()["detail"].to_string();
    assert!(
        detail.contains(near) && detail.contains("`create`"),
        "{detail}"
    );

    let device = ("devices", json!(["aabbccddeeff"]));
    let made = pay(&world, &[seconds, device, ("create", json!(true))]).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let made = made.json();
    assert_eq!(
        (&made["made"], &made["from"]),
        (&json!(true), &json!({"kind": "none"}))
    );
    let shown = world
        .get(&format!("/api/v1/subscribers/{}", made["subscriber"]))
        .await;
    assert_eq!(shown.json()["devices"], json!(["AA:BB:CC:DD:EE:FF"]));
}

#[tokio::test]
async fn r12_a_payment_that_cannot_be_taken_says_why_and_adds_nothing() {
    let world = World::new();
    let known = world.subscriber("255700000001", 3600).await;
    let tenant = world.store.add_tenant("acme", "Acme").await.expect("added");
    let taken = pay(
        &world,
        &[("seconds", json!(60)), ("reference", json!("old"))],
    )
    .await;
    assert_eq!(taken.status, StatusCode::OK);
    let of_tenant = [
        ("seconds", json!(60)),
        ("tenant", json!("acme")),
        ("username", json!("joe")),
        ("create", json!(true)),
    ];
    assert_eq!(pay(&world, &of_tenant).await.status, StatusCode::OK);
    let before = access(&world).await;
    let minute = ("seconds", json!(60));
    let cases: &[(Fields<'_>, u16, &str, &str)] = &[
        (&[], 400, "invalid_body", "either seconds or until"),
        (
            &[minute.clone(), ("until", json!("2999-01-01T00:00:00Z"))],
            400,
            "invalid_body",
            "either seconds or until",
        ),
        (&[("seconds", json!(0))], 400, "invalid_body", "seconds"),
        (&[("seconds", json!(-5))], 400, "invalid_body", "seconds"),
        (
            &[("until", json!("2020-01-01T00:00:00Z"))],
            400,
            "invalid_body",
            "until: ",
        ),
        (
            &[("until", json!("2026-12-31"))],
            400,
            "invalid_body",
            "until",
        ),
        (
            &[minute.clone(), ("reference", json!(" "))],
            400,
            "invalid_body",
            "reference: ",
        ),
        (
            &[minute.clone(), ("reference", json!("a\u{0}"))],
            400,
            "invalid_body",
            "reference: ",
        ),
        (
            &[minute.clone(), ("reference", json!(17))],
            400,
            "invalid_body",
            "reference",
        ),
        (
            &[minute.clone(), ("username", json!(""))],
            400,
            "invalid_body",
            "username: ",
        ),
        (
            &[minute.clone(), ("devices", json!(["x"]))],
            400,
            "invalid_body",
            "devices: ",
        ),
        (
            &[minute.clone(), ("note", json!("n".repeat(501)))],
            400,
            "invalid_body",
            "note: ",
        ),
        (
            &[minute.clone(), ("amount", json!(5))],
            400,
            "invalid_body",
            "amount",
        ),
        (
            &[minute.clone(), ("tenant", json!("zoo"))],
            404,
            "tenant_not_found",
            "`zoo`",
        ),
        (
            &[("seconds", json!(61)), ("reference", json!("old"))],
            409,
            "reference_reused",
            "`old`",
        ),
        (
            &[
                minute.clone(),
                ("username", json!("joe")),
                ("create", json!(true)),
            ],
            409,
            "tenant_missing",
            "`acme`",
        ),
    ];
    for (with, status, code, words) in cases {
        let refused = pay(&world, with).await;
        assert_eq!(refused.problem(), (*status, (*code).into()), "{with:?}");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(words), "{with:?}: {detail}");
    }
    let less = known.access.end().expect("an end") - TimeDelta::seconds(1);
    let refused = pay(&world, &[("until", json!(less))]).await;
    assert_eq!(refused.problem(), (409, "access_goes_beyond".into()));
    assert_eq!(access(&world).await, before);
    let nobody = world
        .store
        .subscriber(None, &"joe".parse().expect("a name"))
        .await;
    assert_eq!(nobody.expect("read"), None);
    assert_eq!(tenant.slug, "acme");
}
