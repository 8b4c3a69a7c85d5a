use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::world::{HOUR, World, facts, mac, mac_undo, name_undo, new_subscriber, ok, username};
use crate::{
    Access, AuditKind, NewSubscriber, Outcome, RouterState, State, Store, Want, WatcherId, WayIn,
};

const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};

pub async fn r9_the_next_ends_are_listed_first_end_first(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    let now = world.time().await;
    for (name, ahead) in [("third", 90), ("first", 60), ("over", -5)] {
        let end = Access::Until(now + TimeDelta::seconds(ahead));
        world.add(&new_subscriber(name, end, &[])).await;
    }
    let theirs = NewSubscriber {
        tenant: Some(tenant),
        ..new_subscriber("second", Access::Until(now + TimeDelta::seconds(70)), &[])
    };
    let theirs = world.add(&theirs).await;
    world
        .add(&new_subscriber("forever", Access::Forever, &[]))
        .await;
    world.add(&new_subscriber("none", Access::None, &[])).await;
    let gone = world.live("gone", &[]).await;
    ok(world.remove_subscriber(gone.id).await);

    let all = ok(world.upcoming(9).await);

    let names: Vec<_> = all.iter().map(|one| one.username.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(all[0].ends_at, now + TimeDelta::seconds(60));
    assert_eq!(
        (all[1].subscriber, all[1].tenant.as_deref()),
        (theirs.id, Some("acme"))
    );
    assert_eq!(all[0].tenant, None);
    assert_eq!(ok(world.upcoming(2).await), all[..2]);
}

pub async fn r9_a_subscriber_who_is_owed_counts_once_on_all_routers(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    let end = world.time().await + TimeDelta::milliseconds(50);
    world
        .add(&new_subscriber("s", Access::Until(end), &[]))
        .await;
    let live = world.live("live", &[mac(1), mac(2)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    ok(world.remove_device(live.id, mac(2)).await);
    world.pass(end).await;
    let count = || async { ok(world.status(0).await).owed_subscribers };

    assert_eq!(count().await, 2, "planned or not");
    world.plan().await;
    assert_eq!(count().await, 2);
    world.switch(two, false).await;
    for task in world.tasks(one).await {
        world.confirm(one, &task).await;
    }
    assert_eq!(count().await, 0);
    world.switch(two, true).await;
    assert_eq!(count().await, 2);
}

pub async fn an_unknown_name_has_no_explanation(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    world.live("s", &[]).await;

    let found = ok(world.explain(None, &username("t"), 9).await);
    let theirs = ok(world.explain(Some(tenant), &username("s"), 9).await);

    assert_eq!((found.subscribers, theirs.subscribers), (vec![], vec![]));
    assert!(found.now <= world.time().await);
}

pub async fn a_live_subscriber_is_explained_with_the_routers_of_its_scope(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    let (b, a) = (world.router("b").await, world.router("a").await);
    world.router_of(Some(tenant), "theirs").await;
    world.switch(a, false).await;
    let fence = world.fence(b).await;
    ok(world
        .router_state(&fence, &RouterState::Failed("no route".into()))
        .await);
    let made = world.live("s", &[mac(1)]).await;
    let mut bound = new_subscriber("bound", Access::Forever, &[]);
    bound.router = Some(b);
    world.add(&bound).await;

    let found = world.explained("s").await;

    assert_eq!((&found.subscriber, found.removed_at), (&made, None));
    let seen: Vec<_> = found
        .routers
        .iter()
        .map(|on| (on.id, on.name.as_str(), on.in_scope, on.enabled, on.owner))
        .collect();
    let owner = Some(world.watcher);
    assert_eq!(
        seen,
        [(a, "a", false, false, None), (b, "b", true, true, owner)]
    );
    let on_b = &found.routers[1];
    assert!(on_b.down_since.is_some() && on_b.attempted_at.is_some());
    assert_eq!(on_b.last_error.as_deref(), Some("no route"));
    assert!(
        found
            .routers
            .iter()
            .all(|on| on.targets.is_empty() && on.undo.is_empty())
    );
    assert_eq!(found.events.len(), 1);
    let bound = world.explained("bound").await;
    let names: Vec<_> = bound.routers.iter().map(|on| on.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    let all = ok(world.explain(None, &username("s"), 9).await);
    let watchers: Vec<_> = all.watchers.iter().map(|row| (row.id, row.alive)).collect();
    assert_eq!(watchers, [(world.watcher, true)]);
}

pub async fn a_cut_is_explained_with_its_progress_and_what_it_disabled(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    let undo = [name_undo("s"), mac_undo(mac(1))];
    assert!(world.intend_on(router, &cut, &undo).await);
    let left = Outcome::Unconfirmed {
        error: "1 session".into(),
        online: Some(true),
        retry_in: HOUR,
    };
    world.settle_on(router, &cut, left, &[]).await;

    let found = world.explained("s").await;

    let on = &found.routers[0];
    let target = &on.targets[0];
    assert_eq!(
        (target.task, target.device, target.want),
        (cut.id, None, Want::Cut)
    );
    assert_eq!(
        (target.revision, Some(target.due_at)),
        (ended.revision, ended.access.end())
    );
    let progress = &target.progress;
    assert_eq!(
        (progress.state, progress.attempts, progress.online),
        (State::Owed, 1, true)
    );
    assert_eq!(progress.last_error.as_deref(), Some("1 session"));
    assert!(progress.next_attempt_at > target.attempted_at && target.attempted_at.is_some());
    assert!(!target.cannot_hold);
    let disabled: Vec<_> = on.undo.iter().map(|row| row.undo.clone()).collect();
    assert_eq!(disabled, undo);
    let now = world.time().await;
    assert!(
        on.undo
            .iter()
            .all(|row| row.undone_at.is_none() && row.opened_at <= now)
    );

    world.pay(ended.id).await;
    let restore = world.task(router).await;
    world
        .settle_on(router, &restore, LOOK_AT_ONCE, &restore.undo)
        .await;
    let restored = world.explained("s").await;
    let on = &restored.routers[0];
    assert_eq!(
        (on.targets[0].want, on.targets[0].progress.state),
        (Want::Restore, State::Confirmed)
    );
    assert!(on.targets[0].progress.verify_at.is_some());
    assert!(on.undo.iter().all(|row| row.undone_at.is_some()));
}

pub async fn what_keeps_coming_back_is_explained_with_its_way_in(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let back = Outcome::Returned {
        way_in: Some(WayIn::Radius),
        retry_in: HOUR,
    };
    for _ in 0..3 {
        let fence = world.fence(router).await;
        let task = world
            .explained("s")
            .await
            .routers
            .remove(0)
            .targets
            .remove(0);
        let settlement = crate::Settlement {
            task: crate::TaskRef {
                id: task.task,
                revision: task.revision,
                want: task.want,
            },
            outcome: back.clone(),
            undone: Vec::new(),
        };
        ok(world.settle(&fence, &[settlement]).await);
    }

    let found = world.explained("s").await;

    let target = &found.routers[0].targets[0];
    assert!(target.cannot_hold);
    assert_eq!(target.progress.way_in, Some(WayIn::Radius));
    let told = found.events.last().map(|event| event.entry.kind.clone());
    let way_in = Some(WayIn::Radius);
    assert_eq!(told, Some(AuditKind::CannotHold { way_in }));
}

pub async fn r2_a_removed_subscriber_is_explained_while_something_is_owed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let first = world.live("s", &[mac(1)]).await;
    ok(world.remove_subscriber(first.id).await);
    let second = world.live("s", &[mac(2)]).await;
    ok(world.remove_device(second.id, mac(2)).await);

    let found = ok(world.explain(None, &username("s"), 9).await).subscribers;

    let ids: Vec<_> = found
        .iter()
        .map(|one| (one.subscriber.id, one.removed_at.is_some()))
        .collect();
    assert_eq!(ids, [(second.id, false), (first.id, true)]);
    let target = &found[0].routers[0].targets[0];
    assert_eq!((target.device, target.want), (Some(mac(2)), Want::Cut));
    assert_eq!(found[1].routers[0].targets[0].progress.state, State::Owed);
    assert_eq!(found[1].events.len(), 3, "made, removed, ended");

    for task in world.tasks(router).await {
        world.confirm(router, &task).await;
    }
    world.plan().await;
    let left = ok(world.explain(None, &username("s"), 9).await).subscribers;
    assert_eq!(left.len(), 1);
}

pub async fn who_had_a_name_is_told_after_nothing_else_is_left(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let first = world.live("s", &[]).await;
    ok(world.remove_subscriber(first.id).await);
    let explain = |limit| {
        let world = &world;
        async move { ok(world.explain(None, &username("s"), limit).await) }
    };
    assert_eq!(explain(9).await.former, [], "it is still there");
    world.confirm(router, &world.task(router).await).await;
    world.plan().await;

    let left = explain(9).await;

    assert_eq!(left.subscribers, []);
    let kinds: Vec<_> = left.former.iter().map(|event| &event.entry.kind).collect();
    let [
        _,
        AuditKind::SubscriberRemoved { .. },
        AuditKind::AccessEnded,
        AuditKind::CutConfirmed,
    ] = kinds[..]
    else {
        panic!("made, removed, ended, cut: {kinds:?}");
    };
    assert_eq!(explain(1).await.former, left.former[3..]);
    let second = world.live("s", &[]).await;
    let both = explain(9).await;
    assert_eq!(both.subscribers[0].subscriber.id, second.id);
    assert_eq!(both.former, left.former);
    let other = ok(world.explain(None, &username("other"), 9).await);
    assert_eq!(other.former, []);
}

pub async fn a_router_out_of_scope_is_explained_while_something_stands_there(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.switch(router, false).await;

    let found = world.explained("s").await;

    let on = &found.routers[0];
    assert_eq!((on.in_scope, on.enabled), (false, false));
    assert_eq!(on.targets[0].progress.state, State::Owed);
    ok(world.remove_router(router, true).await);
    assert_eq!(world.explained("s").await.routers, []);
}

pub async fn the_latest_events_are_told_oldest_first(store: Arc<dyn Store>) {
    let world = World::new(store);
    let made = world.live("s", &[]).await;
    world.live("other", &[]).await;
    for last in 1..=4 {
        ok(world.add_device(made.id, mac(last)).await);
    }

    let found = ok(world.explain(None, &made.username, 3).await).subscribers;

    let devices: Vec<_> = found[0]
        .events
        .iter()
        .map(|event| event.entry.device)
        .collect();
    assert_eq!(devices, [2, 3, 4].map(|last| Some(mac(last))));
}

pub async fn r8_a_silent_owner_is_no_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = WatcherId::fresh();
    let owned = ok(world.own(other, HOUR).await);
    let fence = crate::Fence {
        router,
        watcher: other,
        epoch: owned[0].epoch,
    };
    ok(world
        .router_state(&fence, &RouterState::Reached(facts("r", None)))
        .await);
    world.live("s", &[]).await;
    let found = world.explained("s").await;
    assert_eq!(found.routers[0].owner, Some(other));

    ok(world.release(other).await);

    let found = world.explained("s").await;
    assert_eq!(
        (found.routers[0].owner, found.routers[0].down_since),
        (None, None)
    );
}
