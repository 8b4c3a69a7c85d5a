//! Nothing that can fail stands between an order and its answer: a client that is told of a failure
//! orders again, and pays twice.

use axum::http::Method;
use expiry_core::testing::memory::Fault;
use serde_json::{Value, json};

use crate::world::World;

/// Has every call to the store fail once an order was carried out there.
fn fail_after_the_order(world: &World) {
    let mut is_done = false;
    world.store.fail_when(move |call| {
        let fails = is_done;
        let orders = ["add_", "change_", "remove_"];
        is_done |= orders.iter().any(|verb| call.starts_with(verb));
        if fails { Fault::Before } else { Fault::None }
    });
}

/// Tells whether an answer is right.
type Right<'a> = &'a dyn Fn(&Value) -> bool;

#[tokio::test]
async fn once_an_order_is_carried_out_nothing_fails() {
    let world = World::new();
    let router = world.router("tower").await.0;
    let subscriber = world.subscriber("255700000001", 60).await.id.0;
    let subscriber = format!("/api/v1/subscribers/{subscriber}");
    let router = format!("/api/v1/routers/{router}");
    let access = |answer: &Value| answer["access"]["kind"] == "until";
    let enabled = |answer: &Value| answer["enabled"] == true;
    let disabled = |answer: &Value| answer["enabled"] == false;
    let ended = |answer: &Value| answer["state"] == "ended";
    let new = json!({"username": "255700000002", "for_seconds": 60});
    let box_2 = json!({"name": "hill", "host": "192.0.2.2", "username": "u", "password": "p"});
    let orders: [(String, Value, Right<'_>); 6] = [
        ("/api/v1/subscribers".into(), new, &access),
        (
            format!("{subscriber}/extend"),
            json!({"seconds": 60}),
            &access,
        ),
        (format!("{subscriber}/revoke"), Value::Null, &ended),
        ("/api/v1/routers".into(), box_2, &enabled),
        (format!("{router}/disable"), Value::Null, &disabled),
        (format!("{router}/enable"), Value::Null, &enabled),
    ];
    for (path, body, is_right) in orders {
        fail_after_the_order(&world);
        let body = Some(body).filter(|body| !body.is_null());
        let answer = world.call(Method::POST, &path, body).await;
        world.store.heal();
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
        assert!(is_right(&answer.json()), "{path}: {}", answer.json());
    }
}
