use std::sync::Arc;

use super::world::{HOUR, World, mac, mac_undo, macs, name_undo, ok, recorded, username};
use crate::{Access, Outcome, Settled, State, Store, Want};

const DONE: Outcome = Outcome::Confirmed { next_look: None };

pub async fn r3_a_payment_before_anything_was_touched_voids_the_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;

    world.pay(ended.id).await;
    world.plan().await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r3_a_payment_after_the_intent_owes_the_restore(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);

    let before = world.time().await;
    let paid = world.pay(ended.id).await;

    let restore = world.task(router).await;
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.revision, paid.revision);
    assert_eq!(restore.username, Some(username("s")));
    assert_eq!(restore.macs, macs(&[mac(1)]));
    assert_eq!(restore.undo, [name_undo("s")]);
    assert!(restore.due_at >= before && restore.due_at <= world.time().await);
    assert!(!restore.backlog);
    assert_eq!(world.owed().await, (0, 1));
}

pub async fn r3_a_payment_after_a_confirmed_cut_owes_the_restore(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(router, &[mac_undo(mac(1))]).await;

    world.pay(ended.id).await;

    let restore = world.task(router).await;
    assert_eq!(restore.undo, [mac_undo(mac(1))]);
    let done = world.confirm(router, &restore).await;
    assert_eq!(done.progress.state, State::Confirmed);
    assert_eq!(world.owed().await, (0, 0));
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r3_a_restore_is_owed_only_where_something_was_disabled(store: Arc<dyn Store>) {
    let world = World::new(store);
    let touched = world.router("touched").await;
    let clean = world.router("clean").await;
    let ended = world.ended("s", &[]).await;
    world.cut(touched, &[name_undo("s")]).await;
    world.cut(clean, &[]).await;

    world.pay(ended.id).await;

    assert_eq!(world.task(touched).await.want, Want::Restore);
    assert_eq!(world.tasks(clean).await, []);
    assert_eq!(world.owed().await, (0, 1));
}

pub async fn r3_a_payment_between_intent_and_settlement_supersedes_the_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);
    world.pay(ended.id).await;

    let settled = world.settle_on(router, &cut, DONE, &[]).await;

    assert_eq!(settled, Settled::Superseded);
    let restore = world.task(router).await;
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.undo, [name_undo("s")]);
}

pub async fn r3_an_intent_after_the_payment_commits_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    world.pay(ended.id).await;

    let stands = world.intend_on(router, &cut, &[name_undo("s")]).await;
    world.plan().await;

    assert!(!stands);
    assert_eq!(world.owed().await, (0, 0));
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r3_an_intent_and_a_payment_at_once_end_in_one_of_two_ways(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    for round in 0..8 {
        let name = format!("s{round}");
        let ended = world.ended(&name, &[]).await;
        let cut = world.task(router).await;
        let undo = [name_undo(&name)];

        let (stood, _) = tokio::join!(world.intend_on(router, &cut, &undo), world.pay(ended.id));

        let tasks = world.tasks(router).await;
        assert_eq!(tasks.len(), usize::from(stood), "{tasks:?}");
        for restore in tasks {
            assert_eq!(restore.want, Want::Restore);
            assert_eq!(restore.undo, undo);
            world.confirm(router, &restore).await;
        }
    }
}

pub async fn r3_another_payment_keeps_the_restore_owed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;

    let paid = world.pay(ended.id).await;

    let settled = world.settle_on(router, &restore, DONE, &restore.undo).await;
    assert_eq!(settled, Settled::Superseded);
    let again = world.task(router).await;
    assert_eq!((again.want, again.revision), (Want::Restore, paid.revision));
    assert_eq!(again.undo, [name_undo("s")]);
}

pub async fn r3_a_payment_after_a_confirmed_restore_owes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    world.confirm(router, &world.task(router).await).await;

    world.pay(ended.id).await;
    world.plan().await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r3_access_that_ends_again_turns_the_restore_into_a_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;

    world.revoke(ended.id).await;

    let settled = world.settle_on(router, &restore, DONE, &restore.undo).await;
    assert_eq!(settled, Settled::Superseded);
    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.undo.as_slice()), (Want::Cut, &[][..]));
    world.confirm(router, &cut).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    assert_eq!(
        restore.undo,
        [name_undo("s")],
        "what stands is not forgotten"
    );
}

pub async fn r3_access_set_to_none_takes_the_restore_back(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;

    world.set(ended.id, Access::None).await;
    world.plan().await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(ok(world.open_work(router).await).undo, ["s"]);
    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [name_undo("s")]);
}

pub async fn r3_a_payment_reaches_a_router_that_is_disabled_for_now(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.switch(router, false).await;

    world.pay(ended.id).await;
    assert_eq!(world.owed().await, (0, 0));
    world.switch(router, true).await;
    world.plan().await;

    let restore = world.task(router).await;
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.undo, [name_undo("s")]);
}

pub async fn r3_a_restore_on_a_disabled_router_turns_into_a_cut_when_access_ends(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.switch(router, false).await;
    world.pay(ended.id).await;

    ok(world.remove_subscriber(ended.id).await);
    world.plan().await;
    world.switch(router, true).await;
    world.plan().await;

    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.username), (Want::Cut, Some(username("s"))));
}

pub async fn r3_the_lag_of_a_restore_counts_from_the_payment(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    let before = world.time().await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;

    let settled = world.settle_on(router, &restore, DONE, &restore.undo).await;

    let lag = recorded(settled).lag().expect("the first confirmation");
    let at_most = (world.time().await - before).to_std().expect("time passes");
    assert!(lag <= at_most && lag < HOUR);
}
