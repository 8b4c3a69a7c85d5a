use std::sync::Arc;

use super::world::{World, assert_refused, facts, new_subscriber, ok, recorded};
use crate::{
    Access, Conflict, Fence, Outcome, RouterState, RouterStatus, Store, StoreError, WatcherId,
};

const DONE: Outcome = Outcome::Confirmed { next_look: None };

pub async fn r1_first_contact_says_which_box_it_is(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let seen = facts("hotspot", Some("HC10"));

    reach(&world, &fence, "hotspot", Some("HC10")).await;

    assert_eq!(
        world.router_row(router).await.seen.as_ref(),
        Some(&seen.hardware)
    );
    let status = status_of(&world).await;
    assert_eq!(status.seen, Some(seen.hardware));
    assert_eq!((status.down_since, status.last_error), (None, None));
    assert!(status.attempted_at.is_some());
}

pub async fn r1_a_known_box_may_change_its_identity(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    reach(&world, &fence, "hotspot", Some("HC10")).await;

    reach(&world, &fence, "renamed", Some("HC10")).await;

    let seen = world.router_row(router).await.seen.expect("it was reached");
    assert_eq!(
        (seen.identity.as_str(), seen.serial.as_deref()),
        ("renamed", Some("HC10"))
    );
}

pub async fn r1_another_box_does_not_replace_the_known_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    reach(&world, &fence, "hotspot", Some("HC10")).await;

    let other = RouterState::Reached(facts("other", Some("HC11")));
    ok(world.router_state(&fence, &other).await);

    let seen = world.router_row(router).await.seen.expect("it was reached");
    assert_eq!(seen.serial.as_deref(), Some("HC10"));
    ok(world.accept_router(router).await);
    let fence = world.fence(router).await;
    reach(&world, &fence, "other", Some("HC11")).await;
    let seen = world
        .router_row(router)
        .await
        .seen
        .expect("it was accepted");
    assert_eq!(seen.serial.as_deref(), Some("HC11"));
}

pub async fn r1_the_same_box_is_refused_under_a_second_name(store: Arc<dyn Store>) {
    let world = World::new(store);
    let first = world.router("first").await;
    let second = world.router("second").await;
    let fence = world.fence(first).await;
    reach(&world, &fence, "hotspot", Some("HC10")).await;
    world.switch(first, false).await;

    let fence = world.fence(second).await;
    let twin = RouterState::Reached(facts("hotspot", Some("HC10")));
    let refused = world.router_state(&fence, &twin).await;

    assert_refused!(
        refused,
        StoreError::Conflict(Conflict::RouterSerial { serial, router })
            if serial == "HC10" && router == "first"
    );
    assert_eq!(world.router_row(second).await.seen, None);
}

pub async fn boxes_without_a_serial_number_are_not_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    for name in ["one", "two"] {
        let router = world.router(name).await;
        let fence = world.fence(router).await;
        reach(&world, &fence, "MikroTik", None).await;
        assert!(world.router_row(router).await.seen.is_some());
    }
}

pub async fn r9_an_outage_has_one_beginning_and_an_end(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    assert_eq!(status_of(&world).await.attempted_at, None);

    fail(&world, &fence, "refused").await;
    let first = status_of(&world).await;
    fail(&world, &fence, "no route").await;
    let second = status_of(&world).await;
    reach(&world, &fence, "hotspot", None).await;
    let third = status_of(&world).await;

    assert!(first.down_since.is_some());
    assert_eq!(first.down_since, second.down_since);
    assert!(second.attempted_at >= first.attempted_at);
    let errors = [first.last_error, second.last_error];
    assert_eq!(errors, [Some("refused".into()), Some("no route".into())]);
    assert_eq!((third.down_since, third.last_error), (None, None));
}

pub async fn r9_a_cut_that_waited_for_the_router_has_an_outage_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    world.ended("waited", &[]).await;
    fail(&world, &fence, "refused").await;
    reach(&world, &fence, "hotspot", None).await;
    let back = world.time().await;
    let waited = world.task(router).await;
    let settled = world.settle_on(router, &waited, DONE, &[]).await;
    assert!(recorded(settled).is_outage());

    world.pass(back).await;
    let fresh = world
        .add(&new_subscriber("fresh", Access::Forever, &[]))
        .await;
    world.revoke(fresh.id).await;
    let fresh = world.task(router).await;
    let settled = recorded(world.settle_on(router, &fresh, DONE, &[]).await);
    assert!(settled.lag().is_some() && !settled.is_outage());
}

pub async fn r9_a_router_that_was_never_down_causes_no_outage_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    world.ended("s", &[]).await;
    reach(&world, &fence, "hotspot", None).await;

    let task = world.task(router).await;
    let settled = world.settle_on(router, &task, DONE, &[]).await;

    assert!(!recorded(settled).is_outage());
}

pub async fn r9_watchers_are_listed_freshest_first(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let other = WatcherId::fresh();
    ok(world.own(other, super::world::HOUR).await);
    let before = world.time().await;
    world.pass(before).await;
    ok(world.own(world.watcher, super::world::HOUR).await);

    let status = ok(world.status(9).await);

    let ids: Vec<_> = status.watchers.iter().map(|row| row.id).collect();
    assert_eq!(ids, [world.watcher, other]);
    assert!(status.watchers[0].heartbeat_at > before);
    assert!(status.watchers.iter().all(|row| row.alive));
    assert_eq!(status.routers[0].owner, Some(other));
}

async fn reach(world: &World, fence: &Fence, identity: &str, serial: Option<&str>) {
    let state = RouterState::Reached(facts(identity, serial));
    ok(world.router_state(fence, &state).await);
}

async fn fail(world: &World, fence: &Fence, error: &str) {
    let state = RouterState::Failed(error.into());
    ok(world.router_state(fence, &state).await);
}

async fn status_of(world: &World) -> RouterStatus {
    let mut routers = ok(world.status(9).await).routers;
    assert_eq!(routers.len(), 1);
    routers.remove(0)
}
