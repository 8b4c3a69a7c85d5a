//! Payments through the real service: each adds its time once, whatever happens to the callbacks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use expiry_tests::{
    http::{Admin, Answer, post},
    pg,
    world::World,
};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet};

const NAME: &str = "255700000001";
const HOUR: u64 = 3600;

async fn databases() -> [Option<String>; 2] {
    [None, Some(pg::database().await)]
}

fn payment(reference: usize) -> Value {
    json!({"reference": format!("QK{reference}"), "username": NAME, "seconds": HOUR})
}

/// Makes somebody who has an hour left, and returns until when.
async fn paying(database: Option<&str>) -> (World, DateTime<Utc>) {
    let world = World::new(database).await;
    let add = ["subscriber", "add", NAME, "--for", "1h"];
    world.expiry.ok(&add).await;
    let end = end(&world).await;
    (world, end)
}

/// Returns when access ends.
async fn end(world: &World) -> DateTime<Utc> {
    let shown = world.expiry.json(&["subscriber", "show", NAME]).await;
    let end = shown["expires_at"].as_str().expect("an end");
    end.parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_hundred_callbacks_of_ten_payments_grant_ten() {
    for database in databases().await {
        let (world, before) = paying(database.as_deref()).await;
        let admin = Admin::start(&world.expiry, &[]).await;

        let mut sent = JoinSet::new();
        for call in 0..100 {
            let address = admin.address.clone();
            sent.spawn(async move {
                let answer = post(&address, "/api/v1/payments", &payment(call % 10)).await;
                (call % 10, answer.expect("answered"))
            });
        }
        let answers = sent.join_all().await;

        // To the second, and beyond.
        assert_eq!(end(&world).await - before, TimeDelta::hours(10));
        let answers = answers.into_iter().map(|(at, answer)| (at, Some(answer)));
        note(&mut BTreeMap::new(), answers.collect());
        assert_eq!(admin.service.terminate().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_service_killed_before_it_answers_takes_no_payment_twice() {
    for database in databases().await {
        let (world, before) = paying(database.as_deref()).await;
        let mut told = BTreeMap::new();
        // It is killed with some answered, some taken and not answered, and some not read.
        for answered in [0, 1, 3, 6] {
            let admin = Admin::start(&world.expiry, &[]).await;
            let (count, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let mut sent = JoinSet::new();
            for reference in 0..10 {
                let (count, enough) = (Arc::clone(&count), Arc::clone(&enough));
                let address = admin.address.clone();
                sent.spawn(async move {
                    let answer = post(&address, "/api/v1/payments", &payment(reference)).await;
                    if answer.is_ok() && count.fetch_add(1, Ordering::SeqCst) + 1 >= answered {
                        enough.notify_one();
                    }
                    (reference, answer.ok())
                });
            }
            if answered > 0 {
                enough.notified().await;
            }
            admin.service.kill().await;
            note(&mut told, sent.join_all().await);
        }

        let admin = Admin::start(&world.expiry, &[]).await;
        for reference in 0..10 {
            let answer = post(&admin.address, "/api/v1/payments", &payment(reference)).await;
            note(&mut told, vec![(reference, answer.ok())]);
        }
        assert_eq!(told.len(), 10);
        assert_eq!(end(&world).await - before, TimeDelta::hours(10));
        assert_eq!(admin.service.terminate().await, 0);
    }
}

/// Whoever was answered before is answered the same.
fn note(told: &mut BTreeMap<usize, String>, answers: Vec<(usize, Option<Answer>)>) {
    for (reference, answer) in answers {
        let Some(Answer { status, body }) = answer else {
            continue;
        };
        assert_eq!(status, 200, "{body}");
        let before = told.entry(reference).or_insert_with(|| body.clone());
        assert_eq!(*before, body);
    }
}
