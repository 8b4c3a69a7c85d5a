use std::{sync::Arc, time::Duration};

use super::world::{HOUR, World, mac, mac_undo, name_undo, ok};
use crate::{AuditId, AuditKind, Outcome, Pruned, State, Store};

const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};

pub async fn r3_an_open_undo_row_is_never_pruned(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(router, &[name_undo("s"), mac_undo(mac(1))]).await;
    settle(&world).await;

    let pruned = ok(world.prune(Duration::ZERO, 1000).await);

    assert_eq!(pruned.undo, 0);
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    assert_eq!(restore.undo, [name_undo("s"), mac_undo(mac(1))]);
    let half = [name_undo("s")];
    world.settle_on(router, &restore, LOOK_AT_ONCE, &half).await;
    settle(&world).await;
    assert_eq!(ok(world.prune(Duration::ZERO, 1000).await).undo, 1);
    assert_eq!(world.task(router).await.undo, [mac_undo(mac(1))]);
}

pub async fn r3_what_was_undone_is_kept_until_the_last_look(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    world
        .settle_on(router, &restore, LOOK_AT_ONCE, &restore.undo)
        .await;
    settle(&world).await;

    assert_eq!(ok(world.prune(Duration::ZERO, 1000).await).undo, 0);

    let look = world.task(router).await;
    assert_eq!(look.undo, restore.undo);
    let back = Outcome::Returned {
        way_in: None,
        retry_in: Duration::ZERO,
    };
    world.settle_on(router, &look, back, &[]).await;
    let again = world.task(router).await;
    assert_eq!(again.undo, restore.undo, "it is undone again");
    world.confirm(router, &again).await;
    settle(&world).await;
    assert_eq!(ok(world.prune(Duration::ZERO, 1000).await).undo, 1);
}

pub async fn r2_pruning_drops_nothing_that_is_owed_or_to_be_looked_at(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    let ended = world.ended("s", &[]).await;
    let cut = world.task(one).await;
    world.settle_on(one, &cut, LOOK_AT_ONCE, &[]).await;
    let gone = world.live("gone", &[]).await;
    ok(world.remove_subscriber(gone.id).await);
    let before = (
        world.tasks(one).await,
        world.tasks(two).await,
        world.owed().await,
    );
    settle(&world).await;

    ok(world.prune(Duration::ZERO, 1000).await);

    let after = (
        world.tasks(one).await,
        world.tasks(two).await,
        world.owed().await,
    );
    assert_eq!(before, after);
    assert_eq!(world.explained("s").await.subscriber, ended);
    assert_eq!(
        world.explained("s").await.events.len(),
        3,
        "made, ended, cut on one"
    );
}

pub async fn old_events_go_oldest_first_a_few_at_a_time(store: Arc<dyn Store>) {
    let world = World::new(store);
    for number in 0..5 {
        world.live(&format!("s{number}"), &[]).await;
    }
    settle(&world).await;
    let all = world.audit().await;

    let none = Pruned::default();
    assert_eq!(ok(world.prune(HOUR, 1000).await), none, "they are young");
    let some = Pruned { events: 2, ..none };
    assert_eq!(ok(world.prune(Duration::ZERO, 2).await), some);

    let left = world.audit().await;
    assert_eq!(left, all[2..]);
    let on = ok(world.events(all[0].id, 1).await);
    assert_eq!(on, all[2..3], "whoever was behind reads on");
    settle(&world).await;
    assert!(ok(world.prune(Duration::ZERO, 1000).await).events >= 3);
    assert_eq!(
        ok(world.prune(Duration::ZERO, 1000).await),
        none,
        "twice is harmless"
    );
    assert_eq!(ok(world.events(AuditId::START, 9).await), []);
}

pub async fn r8_watchers_who_prune_at_once_drop_each_row_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    for number in 0..20 {
        world.live(&format!("s{number}"), &[]).await;
    }
    settle(&world).await;

    let prune = || world.prune(Duration::ZERO, 15);
    let (a, b, c) = tokio::join!(prune(), prune(), prune());

    let dropped: u64 = [a, b, c].map(|pruned| ok(pruned).events).iter().sum();
    assert_eq!(dropped, 20);
}

pub async fn r9_counters_outlive_the_events(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.cut(router, &[]).await;
    let before = ok(world.lag().await);
    settle(&world).await;

    ok(world.prune(Duration::ZERO, 1000).await);

    assert_eq!(ok(world.lag().await), before);
    assert_eq!(world.explained("s").await.events, []);
    let on = world.explained("s").await.routers.remove(0);
    assert_eq!(on.targets[0].progress.state, State::Confirmed);
    assert!(!world.kinds().await.contains(&AuditKind::CutConfirmed));
}

/// Lets everything so far be in the past.
async fn settle(world: &World) {
    let now = world.time().await;
    world.pass(now).await;
}
