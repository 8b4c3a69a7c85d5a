use std::{collections::BTreeSet, sync::Arc};

use chrono::TimeDelta;

use super::{
    reconcile::{by_name, record},
    world::{HOUR, World, mac, name_undo, names_of, new_subscriber, ok},
};
use crate::{
    Access, Brake, Heartbeat, Outcome, RouterId, Store, Subscriber, SubscriberId, WatcherId, WayIn,
};

pub async fn r10_nothing_is_handed_out_once_changes_ended_more_than_the_limit(
    store: Arc<dyn Store>,
) {
    let (world, router) = limited(store, 20).await;
    let all = subscribers(&world, 10).await;
    world.revoke(all[0]).await;
    world.revoke(all[1]).await;
    assert_eq!(world.tasks(router).await.len(), 2, "as many are allowed");
    assert_eq!(ok(world.status(0).await).brakes, []);

    let fence = world.fence(router).await;
    world.revoke(all[2]).await;
    assert_eq!(
        ok(world.work(&fence, 9, 9).await).tasks,
        [],
        "at the first call"
    );

    let brakes = ok(world.status(0).await).brakes;
    let [
        Brake::Share {
            ended,
            subscribers,
            limit_percent,
            ..
        },
    ] = brakes[..]
    else {
        panic!("one brake, not {brakes:?}")
    };
    assert_eq!((ended, subscribers, limit_percent), (3, 10, 20));
    assert_eq!(
        ok(world.machine("any").await).share,
        brakes.first().cloned()
    );
    assert_eq!(world.owed().await, (3, 0), "it stays owed");
}

pub async fn r10_a_share_brake_holds_until_it_is_released_and_accepts_what_is_owed(
    store: Arc<dyn Store>,
) {
    let (world, router) = limited(store, 20).await;
    let all = subscribers(&world, 10).await;
    for id in &all[..3] {
        world.revoke(*id).await;
    }
    assert_eq!(world.tasks(router).await, []);
    for id in &all[..2] {
        world.pay(*id).await;
    }
    assert_eq!(
        world.tasks(router).await,
        [],
        "fewer are no reason to go on"
    );

    let released = ok(world.release_brakes().await);

    assert!(
        matches!(released[..], [Brake::Share { ended: 3, .. }]),
        "{released:?}"
    );
    assert_eq!(names_of(&world.tasks(router).await), ["s2"]);
    world.revoke(all[3]).await;
    world.revoke(all[4]).await;
    assert_eq!(
        world.tasks(router).await.len(),
        3,
        "what was accepted counts no more"
    );
    world.revoke(all[5]).await;
    assert_eq!(world.tasks(router).await, []);
}

pub async fn r10_restores_wait_for_a_share_brake_too(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 20).await;
    let all = subscribers(&world, 5).await;
    world.revoke(all[0]).await;
    world.cut(router, &[name_undo("s0")]).await;
    world.revoke(all[1]).await;
    assert_eq!(world.tasks(router).await, []);

    world.pay(all[0]).await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (1, 1));
}

pub async fn r10_time_that_passes_never_counts(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 1).await;
    let end = world.time().await + TimeDelta::milliseconds(200);
    for name in ["a", "b", "c"] {
        let new = new_subscriber(name, Access::Until(end), &[]);
        world.add(&new).await;
    }
    world.pass(end).await;

    world.plan().await;

    assert_eq!(world.tasks(router).await.len(), 3);
    let added = world.router("added").await;
    let on = ["a", "b", "c"].map(|name| (by_name(name), WayIn::Account));
    record(&world, added, &on, &[]).await;
    assert_eq!(world.tasks(added).await.len(), 3, "nor does a new router");
    assert_eq!(ok(world.status(0).await).brakes, []);
}

pub async fn r10_every_change_that_ends_access_counts(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 39).await;
    let all = subscribers(&world, 10).await;
    let past = Access::Until(world.time().await - HOUR);
    world.set(all[0], past).await;
    ok(world.remove_device(all[1], mac(1)).await);
    assert_eq!(world.tasks(router).await.len(), 2);
    ok(world.remove_subscriber(all[2]).await);
    assert_eq!(world.tasks(router).await.len(), 3, "3 of 9");

    world.add(&new_subscriber("new", past, &[])).await;

    assert_eq!(world.tasks(router).await, [], "4 of 10");
}

pub async fn r10_who_had_ended_already_is_not_ended_by_a_change(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 20).await;
    let end = world.time().await + TimeDelta::seconds(1);
    let mut ended = Vec::new();
    for number in 0..4 {
        let new = new_subscriber(&format!("e{number}"), Access::Until(end), &[]);
        ended.push(world.add(&new).await.id);
    }
    world.pass(end).await;
    world.plan().await;

    world.revoke(ended[0]).await;
    world.set(ended[1], Access::Until(end - HOUR)).await;
    ok(world.add_device(ended[2], mac(2)).await);
    ok(world.remove_device(ended[2], mac(2)).await);
    ok(world.remove_subscriber(ended[3]).await);

    assert!(world.tasks(router).await.len() >= 4);
    assert_eq!(ok(world.status(0).await).brakes, []);
}

pub async fn r10_who_is_cut_nowhere_counts_as_nothing(store: Arc<dyn Store>) {
    let (world, _) = limited(store, 20).await;
    let tenant = world.tenant("without routers").await;
    for name in ["a", "b", "c"] {
        let mut new = new_subscriber(name, Access::Forever, &[]);
        new.tenant = Some(tenant);
        let made = world.add(&new).await;
        world.revoke(made.id).await;
    }

    ok(world.own(world.watcher, HOUR).await);

    assert_eq!(ok(world.status(0).await).brakes, []);
}

pub async fn r10_who_was_cut_lately_counts_too(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 20).await;
    let all = subscribers(&world, 10).await;
    for id in &all[..2] {
        world.revoke(*id).await;
        world.cut(router, &[]).await;
    }
    assert_eq!(ok(world.status(0).await).brakes, []);

    world.revoke(all[2]).await;

    assert_eq!(
        world.tasks(router).await,
        [],
        "one after the other are as many"
    );
}

pub async fn r10_who_was_let_in_again_counts_no_more(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 20).await;
    let all = subscribers(&world, 10).await;
    for id in &all {
        world.revoke(*id).await;
        world.pay(*id).await;
    }

    world.revoke(all[0]).await;

    assert_eq!(world.tasks(router).await.len(), 1);
}

pub async fn r10_the_strictest_limit_of_all_living_watchers_holds(store: Arc<dyn Store>) {
    let (world, router) = limited(store, 50).await;
    let all = subscribers(&world, 10).await;
    let strict = WatcherId::fresh();
    let beat = Heartbeat {
        share_limit: Some(10),
        ..Heartbeat::new(strict, HOUR)
    };
    let fence = world.fence(router).await;
    ok(world.store().own(&beat).await);
    ok(world.release(strict).await);
    world.revoke(all[0]).await;
    world.revoke(all[1]).await;
    assert_eq!(
        ok(world.work(&fence, 9, 9).await).tasks.len(),
        2,
        "it is gone"
    );

    ok(world.stand_by(&beat).await);

    assert_eq!(ok(world.work(&fence, 9, 9).await).tasks, []);
}

pub async fn r10_an_owner_without_work_finds_the_limit_exceeded(store: Arc<dyn Store>) {
    let (world, _) = limited(store, 20).await;
    let all = subscribers(&world, 2).await;
    world.revoke(all[0]).await;
    let mut feed = ok(world.changes().await);
    super::status::quiet(feed.as_mut()).await;

    ok(world.own(world.watcher, HOUR).await);

    assert_eq!(ok(world.status(0).await).brakes.len(), 1);
    assert!(
        super::status::woken(feed.as_mut()).await,
        "and all hear of it"
    );
}

pub async fn r10_without_a_limit_any_number_is_handed_out(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    for id in subscribers(&world, 5).await {
        world.revoke(id).await;
    }

    assert_eq!(world.tasks(router).await.len(), 5);
}

/// A store whose only watcher has a limit.
async fn limited(store: Arc<dyn Store>, percent: u8) -> (World, RouterId) {
    let mut world = World::new(store);
    world.share_limit = Some(percent);
    let router = world.router("r").await;
    (world, router)
}

/// So many who are live, all with different devices.
pub(super) async fn subscribers(world: &World, count: u8) -> Vec<SubscriberId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let made: Subscriber = world.live(&format!("s{number}"), &[mac(number)]).await;
        ids.push(made.id);
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    ids
}

/// What a watcher finds that could not confirm a cut.
pub(super) fn failed() -> Outcome {
    Outcome::Unconfirmed {
        error: "left".into(),
        online: Some(true),
        retry_in: HOUR,
    }
}
