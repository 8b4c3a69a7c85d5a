use std::sync::Arc;

use chrono::TimeDelta;

use super::world::{HOUR, World, mac, macs, name_undo, names_of, new_subscriber, ok, username};
use crate::{Access, NewSubscriber, Progress, Settled, State, Store, Want};

pub async fn r2_ended_access_is_owed_on_every_router_in_scope_and_only_there(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let ours = [world.router("r1").await, world.router("r2").await];
    let disabled = world.router("off").await;
    let theirs = world.router_of(Some(tenant), "theirs").await;
    world.switch(disabled, false).await;

    world.ended("s", &[mac(1)]).await;

    for router in ours {
        assert_eq!(names_of(&world.tasks(router).await), ["s"]);
    }
    assert_eq!(world.tasks(theirs).await, []);
    assert_eq!(world.owed().await, (2, 0));
}

pub async fn r2_a_subscriber_of_a_tenant_is_owed_on_that_tenants_routers(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let ours = world.router_of(Some(a), "ours").await;
    world.router_of(Some(b), "theirs").await;
    world.router("nobodys").await;
    let over = world.time().await - TimeDelta::seconds(1);

    let new = NewSubscriber {
        tenant: Some(a),
        ..new_subscriber("s", Access::Until(over), &[])
    };
    world.add(&new).await;
    world.plan().await;

    assert_eq!(names_of(&world.tasks(ours).await), ["s"]);
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_a_bound_subscriber_is_owed_on_its_router_alone(store: Arc<dyn Store>) {
    let world = World::new(store);
    let bound = world.router("bound").await;
    world.router("other").await;
    let over = world.time().await - TimeDelta::seconds(1);

    let new = NewSubscriber {
        router: Some(bound),
        ..new_subscriber("s", Access::Until(over), &[])
    };
    world.add(&new).await;
    world.plan().await;

    assert_eq!(names_of(&world.tasks(bound).await), ["s"]);
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_a_cut_carries_what_it_is_about(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;

    let ended = world.ended("s", &[mac(1), mac(2)]).await;

    let task = world.task(router).await;
    assert_eq!(task.want, Want::Cut);
    assert_eq!(task.revision, ended.revision);
    assert_eq!(task.username, Some(username("s")));
    assert_eq!(task.macs, macs(&[mac(1), mac(2)]));
    assert_eq!(Some(task.due_at), ended.access.end());
    assert!(!task.backlog);
    assert_eq!(task.undo, []);
    let since = task.progress.next_attempt_at.expect("it is owed");
    assert!(since <= world.time().await);
    assert_eq!(task.progress, Progress::owed(since));
}

pub async fn r1_access_ahead_is_not_planned(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.live("s", &[mac(1)]).await;

    assert_eq!(world.plan().await.subscribers, 0);

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r2_a_deadline_that_passes_is_planned_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::milliseconds(100);
    let new = new_subscriber("s", Access::Until(end), &[]);
    let made = world.add(&new).await;
    let early = world.plan().await;
    if early.now < end {
        assert_eq!((early.subscribers, early.next_deadline), (0, Some(end)));
        world.pass(end).await;
        let planned = world.plan().await;
        assert_eq!((planned.subscribers, planned.next_deadline), (1, None));
        assert!(planned.now >= end);
    }

    let again = world.plan().await;

    assert_eq!((again.subscribers, again.next_deadline), (0, None));
    let task = world.task(router).await;
    assert_eq!((task.due_at, task.revision), (end, made.revision));
}

pub async fn planning_takes_the_oldest_deadlines_up_to_its_limit(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::seconds(1);
    for (name, after) in [("third", 3), ("first", 1), ("second", 2)] {
        let end = end + TimeDelta::milliseconds(after);
        let new = new_subscriber(name, Access::Until(end), &[]);
        world.add(&new).await;
    }
    world.pass(end + TimeDelta::milliseconds(3)).await;

    let planned = ok(world.plan_due(2).await);

    assert_eq!(planned.subscribers, 2);
    assert_eq!(
        planned.next_deadline,
        Some(end + TimeDelta::milliseconds(3))
    );
    assert_eq!(names_of(&world.tasks(router).await), ["first", "second"]);
    assert_eq!(ok(world.plan_due(2).await).subscribers, 1);
    let all = world.tasks(router).await;
    assert_eq!(names_of(&all), ["first", "second", "third"]);
}

pub async fn the_next_deadline_is_the_first_ahead(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    assert_eq!(world.plan().await.next_deadline, None);
    let end = world.time().await + HOUR;
    let first = new_subscriber("first", Access::Until(end), &[]);
    let first = world.add(&first).await;
    let later = new_subscriber("later", Access::Until(end + HOUR), &[]);
    world.add(&later).await;
    world.ended("ended", &[]).await;

    assert_eq!(world.plan().await.next_deadline, Some(end));
    ok(world.remove_subscriber(first.id).await);
    assert_eq!(world.plan().await.next_deadline, Some(end + HOUR));
}

pub async fn r1_forever_and_none_are_never_planned(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    world.add(&new_subscriber("a", Access::Forever, &[])).await;
    world.add(&new_subscriber("b", Access::None, &[])).await;

    let planned = world.plan().await;

    assert_eq!((planned.subscribers, planned.next_deadline), (0, None));
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r2_what_is_owed_needs_no_planning_after_a_revocation(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let made = world.add(&new_subscriber("s", Access::Forever, &[])).await;

    let revoked = world.revoke(made.id).await;

    let task = world.task(router).await;
    assert_eq!(Some(task.due_at), revoked.access.end());
    assert_eq!(task.revision, revoked.revision);
    assert!(!task.backlog);
}

pub async fn r10_a_deadline_long_past_when_it_is_planned_is_backlog(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let now = world.time().await;
    let day_ago = Access::Until(now - TimeDelta::days(1));
    let just_now = Access::Until(now - TimeDelta::seconds(2));

    world.add(&new_subscriber("old", day_ago, &[])).await;
    world.add(&new_subscriber("new", just_now, &[])).await;
    world.plan().await;

    let tasks = world.tasks(router).await;
    let backlog: Vec<_> = tasks.iter().map(|task| task.backlog).collect();
    assert_eq!(names_of(&tasks), ["new", "old"]);
    assert_eq!(backlog, [false, true]);
}

pub async fn r2_planning_twice_leaves_what_has_been_done(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.cut(router, &[]).await;

    world.plan().await;
    world.plan().await;

    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r2_a_new_end_in_the_past_owes_the_cut_anew(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let old = world.task(router).await;
    world.confirm(router, &old).await;

    let revoked = world.revoke(ended.id).await;
    world.plan().await;

    let task = world.task(router).await;
    assert_eq!(task.revision, revoked.revision);
    assert_eq!(task.progress.state, State::Owed);
    assert_eq!(task.progress.confirmed_at, None);
    let late = crate::Outcome::Confirmed { next_look: None };
    let settled = world.settle_on(router, &old, late, &[]).await;
    assert_eq!(settled, Settled::Superseded);
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r1_access_set_to_none_owes_nothing_any_more(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;

    world.set(ended.id, Access::None).await;
    world.plan().await;

    assert_eq!(world.owed().await, (0, 0));
    assert!(!world.intend_on(router, &cut, &[name_undo("s")]).await);
}

pub async fn r2_a_device_added_after_the_end_is_cut_with_the_rest(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(router, &[]).await;

    let changed = ok(world.add_device(ended.id, mac(2)).await);

    let task = world.task(router).await;
    assert_eq!(task.macs, macs(&[mac(1), mac(2)]));
    assert_eq!(task.revision, changed.revision);
    assert!(Some(task.due_at) > ended.access.end());
    assert!(!task.backlog);
}

pub async fn a_subscriber_bound_to_a_removed_router_is_in_no_scope(store: Arc<dyn Store>) {
    let world = World::new(store);
    let bound = world.router("bound").await;
    world.router("other").await;
    let new = NewSubscriber {
        router: Some(bound),
        ..new_subscriber("s", Access::Forever, &[])
    };
    let made = world.add(&new).await;
    ok(world.remove_router(bound, false).await);

    world.revoke(made.id).await;
    world.plan().await;

    assert_eq!(world.owed().await, (0, 0));
    let found = ok(world.subscriber(None, &made.username).await);
    assert!(found.is_some());
}
