use std::{sync::Arc, time::Duration};

use super::world::{World, mac, mac_undo, macs, name_undo, new_subscriber, ok, recorded, username};
use crate::{Access, Outcome, Settled, State, Store, Want};

const DONE: Outcome = Outcome::Confirmed { next_look: None };
const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};

pub async fn r2_a_removed_device_is_cut_by_itself(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1), mac(2)]).await;

    let before = world.time().await;
    let changed = ok(world.remove_device(live.id, mac(1)).await);

    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.revision), (Want::Cut, changed.revision));
    assert_eq!(
        (cut.username.clone(), cut.macs.clone()),
        (None, macs(&[mac(1)]))
    );
    assert!(cut.due_at >= before && !cut.backlog);
    let item = &ok(world.status(9).await).owed[0];
    assert_eq!((item.subscriber, item.device), (live.id, Some(mac(1))));
    assert_eq!(ok(world.open_work(router).await).cuts, [mac(1).to_string()]);
}

pub async fn r2_a_removed_device_is_owed_where_its_subscriber_could_be(store: Arc<dyn Store>) {
    let world = World::new(store);
    let bound = world.router("bound").await;
    world.router("other").await;
    let mut new = new_subscriber("s", Access::Forever, &[mac(1)]);
    new.router = Some(bound);
    let made = world.add(&new).await;

    ok(world.remove_device(made.id, mac(1)).await);

    assert_eq!(world.task(bound).await.macs, macs(&[mac(1)]));
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_a_payment_leaves_the_cut_of_a_removed_device(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let cut = world.task(router).await;

    world.pay(live.id).await;
    world.plan().await;

    assert_eq!(world.task(router).await, cut);
    let settled = world.settle_on(router, &cut, DONE, &[]).await;
    recorded(settled);
}

pub async fn r2_an_ended_subscriber_is_cut_without_the_device_it_lost(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1), mac(2)]).await;

    ok(world.remove_device(ended.id, mac(1)).await);

    let mut carried: Vec<_> = world
        .tasks(router)
        .await
        .into_iter()
        .map(|task| (task.username, task.macs))
        .collect();
    carried.sort();
    let own = (Some(username("s")), macs(&[mac(2)]));
    assert_eq!(carried, [(None, macs(&[mac(1)])), own]);
}

pub async fn r3_a_device_that_is_added_again_is_not_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let cut = world.task(router).await;

    ok(world.add_device(live.id, mac(1)).await);
    world.plan().await;

    assert_eq!(world.owed().await, (0, 0));
    assert!(!world.intend_on(router, &cut, &[mac_undo(mac(1))]).await);
}

pub async fn r3_a_device_that_is_made_with_a_live_subscriber_is_not_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let cut = world.task(router).await;

    world.live("next", &[mac(1)]).await;

    assert_eq!(world.owed().await, (0, 0));
    assert!(!world.intend_on(router, &cut, &[mac_undo(mac(1))]).await);
}

pub async fn r2_a_removed_device_stays_owed_where_its_new_owner_may_not_be(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (near, far) = (world.router("near").await, world.router("far").await);
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let mut bound = new_subscriber("next", Access::Forever, &[mac(1)]);
    bound.router = Some(near);

    world.add(&bound).await;

    assert_eq!(world.tasks(near).await, []);
    assert_eq!(world.task(far).await.macs, macs(&[mac(1)]));
}

pub async fn r2_a_removed_device_stays_owed_if_its_new_owner_has_no_access(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let next = world.add(&new_subscriber("next", Access::None, &[])).await;

    ok(world.add_device(next.id, mac(1)).await);

    assert_eq!(world.task(router).await.macs, macs(&[mac(1)]));
    world.pay(next.id).await;
    assert_eq!(world.tasks(router).await, []);
}

pub async fn r2_a_removed_device_of_an_ended_owner_is_cut_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1), mac(2)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    ok(world.remove_device(live.id, mac(2)).await);

    let next = world.ended("next", &[mac(1)]).await;
    ok(world.add_device(next.id, mac(2)).await);

    let cut = world.task(router).await;
    assert_eq!(cut.username, Some(username("next")));
    assert_eq!(cut.macs, macs(&[mac(1), mac(2)]));
}

pub async fn r2_a_removed_subscriber_is_owed_until_confirmed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    let live = world.live("s", &[mac(1)]).await;

    ok(world.remove_subscriber(live.id).await);
    world.plan().await;

    for router in [one, two] {
        let cut = world.task(router).await;
        assert_eq!(
            (cut.username, cut.macs),
            (Some(username("s")), macs(&[mac(1)]))
        );
    }
    world.cut(one, &[]).await;
    world.plan().await;
    assert_eq!(ok(world.status(9).await).owed[0].username, username("s"));
    world.cut(two, &[]).await;
    world.plan().await;
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r2_the_looks_at_a_removed_subscriber_are_not_forgotten(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    ok(world.remove_subscriber(live.id).await);
    for cut in world.tasks(router).await {
        world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
    }

    world.plan().await;

    let looks = world.tasks(router).await;
    assert_eq!(looks.len(), 2);
    assert!(
        looks
            .iter()
            .all(|look| look.progress.state == State::Confirmed)
    );
}

pub async fn r2_a_removed_subscriber_is_owed_on_a_router_that_is_disabled_for_now(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    let ended = world.ended("s", &[]).await;
    world.switch(router, false).await;
    ok(world.remove_subscriber(ended.id).await);
    world.cut(other, &[]).await;
    world.plan().await;

    world.switch(router, true).await;

    assert_eq!(world.task(router).await.username, Some(username("s")));
}

pub async fn r3_a_live_namesake_takes_the_name_out_of_a_cut_in_flight(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.live("s", &[mac(1)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let cut = world.task(router).await;

    world.live("s", &[]).await;

    assert!(!world.intend_on(router, &cut, &[name_undo("s")]).await);
    let settled = world.settle_on(router, &cut, DONE, &[]).await;
    assert_eq!(settled, Settled::Superseded);
    let rest = world.task(router).await;
    assert_eq!(
        (rest.id, rest.username, rest.macs),
        (cut.id, None, macs(&[mac(1)]))
    );
}

pub async fn r3_a_cut_ends_when_live_subscribers_have_all_it_was_about(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.live("s", &[mac(1), mac(2)]).await;
    ok(world.remove_subscriber(gone.id).await);

    let named = world.live("other", &[mac(1)]).await;
    let rest = world.task(router).await;
    assert_eq!(
        (rest.username, rest.macs),
        (Some(username("s")), macs(&[mac(2)]))
    );
    ok(world.add_device(named.id, mac(2)).await);
    assert_eq!(world.task(router).await.macs, macs(&[]));
    world.live("s", &[]).await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r3_a_payment_takes_the_claim_away_too(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.live("s", &[]).await;
    ok(world.remove_subscriber(gone.id).await);
    let next = world.add(&new_subscriber("s", Access::None, &[])).await;
    assert_eq!(world.owed().await, (1, 0));

    world.pay(next.id).await;

    assert_eq!(world.tasks(router).await, []);
}

pub async fn r2_a_namesake_who_is_not_live_takes_nothing_away(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.live("s", &[mac(1)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let cut = world.task(router).await;

    world.add(&new_subscriber("s", Access::None, &[])).await;

    assert_eq!(world.task(router).await, cut);
}

pub async fn r1_a_namesake_of_another_tenant_takes_nothing_away(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let tenant = world.tenant("a").await;
    let gone = world.live("s", &[mac(1)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let cut = world.task(router).await;
    let mut stranger = new_subscriber("s", Access::Forever, &[mac(1)]);
    stranger.tenant = Some(tenant);

    world.add(&stranger).await;
    world.plan().await;

    assert_eq!(world.task(router).await, cut);
}
