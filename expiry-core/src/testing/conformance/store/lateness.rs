//! Since when something is owed, and what is told of ends that were known late.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{
    reconcile::by_name,
    world::{HOUR, World, facts, mac, name_undo, new_subscriber, ok},
};
use crate::{
    Access, AccessChange, Backlog, Field, HealthReport, Heartbeat, LagKind, PutOptions,
    PutSubscriber, Reconciliation, RouterState, Service, Store, Task, WatcherId, WatcherKind,
};

pub async fn r9_an_end_that_was_past_when_it_was_entered_has_no_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let over = Access::Until(world.time().await - TimeDelta::days(700));
    world.add(&new_subscriber("over", over, &[])).await;
    let task = world.task(router).await;

    let done = world.confirm(router, &task).await;

    let waited = done.waited.expect("the first confirmation");
    assert_eq!((waited.kind, done.lag()), (LagKind::KnownLate, None));
    assert!(waited.span < HOUR);
    let lags = ok(world.lag().await).all;
    let counts = (lags.cuts.count(), lags.outage_cuts.count());
    assert_eq!((counts, lags.known_late_cuts.count()), ((0, 0), 1));
    assert_eq!(ok(world.latest_lags(9).await), []);
    let target = &world.explained("over").await.routers[0].targets[0];
    assert!(target.known_late_at.is_some());
}

pub async fn r9_who_ended_before_it_was_known_is_no_outage_either(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let failed = RouterState::Failed("refused".into());
    ok(world.router_state(&fence, &failed).await);
    let over = Access::Until(world.time().await - HOUR);
    world.add(&new_subscriber("over", over, &[])).await;
    let reached = RouterState::Reached(facts("hotspot", None));
    ok(world.router_state(&fence, &reached).await);
    world.cut(router, &[]).await;

    let lags = ok(world.lag().await).all;

    let counts = (lags.outage_cuts.count(), lags.known_late_cuts.count());
    assert_eq!(counts, (0, 1));
}

pub async fn r9_what_is_owed_is_owed_since_its_end_whatever_plans_it_anew(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let made = world.ended("s", &[mac(1)]).await;
    let id = made.id;
    let first = world.task(router).await;
    assert_eq!(Some(first.due_at), made.access.end());
    let of = |tasks: Vec<Task>| {
        let mut own = tasks.into_iter().filter(|task| task.username.is_some());
        own.next().expect("it is owed")
    };

    ok(world.add_device(id, mac(2)).await);
    let mut seen = vec![of(world.tasks(router).await)];
    ok(world.remove_device(id, mac(1)).await);
    let tasks = world.tasks(router).await;
    assert_eq!(tasks.len(), 2, "a removed device is cut by itself");
    seen.extend(tasks);
    let list = |access: Access, devices: &[crate::MacAddr]| PutSubscriber {
        tenant: None,
        username: made.username.clone(),
        service: Service::Hotspot,
        access,
        router: Field::Keep,
        devices: Field::Set(devices.iter().copied().collect()),
    };
    let earlier = Access::Until(first.due_at - TimeDelta::days(1));
    for row in [list(made.access, &[mac(3)]), list(earlier, &[mac(3)])] {
        ok(world.put_subscribers(&[row], PutOptions::default()).await);
        seen.push(of(world.tasks(router).await));
    }
    world.revoke(id).await;
    seen.push(of(world.tasks(router).await));
    ok(world.remove_subscriber(id).await);
    seen.push(of(world.tasks(router).await));

    for task in &seen {
        assert_eq!(
            (task.due_at, task.backlog),
            (first.due_at, false),
            "{task:?}"
        );
    }
    let removed = of(world.tasks(router).await);
    let before = world.time().await - first.due_at;
    let done = world.confirm(router, &removed).await;
    let lag = done.lag().expect("the first confirmation");
    assert!(lag >= before.to_std().expect("past"), "{lag:?}");
}

pub async fn r9_what_came_back_keeps_its_one_lag_whatever_plans_it_anew(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let made = world.ended("s", &[]).await;
    world.cut(router, &[]).await;
    let on = Reconciliation {
        on: [(by_name("s"), Some(crate::WayIn::Account))].into(),
        strays: Vec::new(),
        pace: std::time::Duration::ZERO,
        is_partial: false,
    };
    ok(world.reconciled(&fence, &on).await);

    ok(world.add_device(made.id, mac(1)).await);

    let task = world.task(router).await;
    assert_eq!(Some(task.due_at), made.access.end());
    assert_eq!(world.confirm(router, &task).await.waited, None);
    assert_eq!(ok(world.lag().await).all.cuts.count(), 1);
}

pub async fn r9_a_restore_is_owed_since_the_payment_whatever_plans_it_anew(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let made = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(made.id).await;
    let first = world.task(router).await;
    let later = world.time().await;
    world.pass(later).await;

    ok(world.add_device(made.id, mac(1)).await);
    let device = world.task(router).await;
    world.pay(made.id).await;
    let again = world.task(router).await;

    assert_eq!((device.due_at, again.due_at), (first.due_at, first.due_at));
}

pub async fn r9_a_new_end_is_owed_since_itself(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let made = world.ended("s", &[]).await;
    let first = world.task(router).await;
    world.pay(made.id).await;

    let revoked = world.revoke(made.id).await;

    let task = world.task(router).await;
    assert_eq!(Some(task.due_at), revoked.access.end());
    assert!(task.due_at > first.due_at);
    let done = world.confirm(router, &task).await;
    assert_eq!(done.waited.map(|waited| waited.kind), Some(LagKind::Prompt));
}

pub async fn r9_a_router_that_came_into_service_later_owes_without_a_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let over = Access::Until(world.time().await - HOUR);
    world.add(&new_subscriber("over", over, &[])).await;
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let on = Reconciliation {
        on: [(by_name("over"), Some(crate::WayIn::Account))].into(),
        strays: Vec::new(),
        pace: std::time::Duration::ZERO,
        is_partial: false,
    };
    ok(world.reconciled(&fence, &on).await);

    world.cut(router, &[]).await;

    let lags = ok(world.lag().await).all;
    assert_eq!((lags.cuts.count(), lags.known_late_cuts.count()), (0, 1));
}

pub async fn r9_backlog_and_who_is_late_are_counted_apart(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let (router, other) = (world.router("r").await, world.router("other").await);
    let over = Access::Until(world.time().await - TimeDelta::days(9));
    for name in ["a", "b", "c"] {
        world.add(&new_subscriber(name, over, &[])).await;
    }
    let live = world.live("fresh", &[]).await;
    let fresh = world.revoke(live.id).await;
    let status = ok(world.status(3).await);
    assert_eq!((status.owed_subscribers, status.late_subscribers), (4, 0));
    assert_eq!(status.backlog, Backlog { left: 3, of: 3 });
    let names: Vec<_> = status.owed.iter().map(|item| item.subscriber).collect();
    assert_eq!(names[..2], [fresh.id; 2], "backlog is listed last");
    let flags: Vec<_> = status.owed.iter().map(|item| item.backlog).collect();
    assert_eq!(flags, [false, false, true]);
    let here = status.routers.iter().find(|one| one.id == router);
    assert_eq!(here.and_then(|one| one.oldest_cut), fresh.access.end());

    let summary = ok(ahead.summary(std::time::Duration::ZERO, 9).await);
    assert_eq!((summary.tenants[0].owed, summary.tenants[0].late), (4, 1));
    assert_eq!(summary.status.late_subscribers, 1);

    for at in [router, other] {
        let tasks = world.tasks(at).await;
        let task = tasks.iter().find(|task| {
            let name = task.username.as_ref();
            name.is_some_and(|name| name.as_str() == "a")
        });
        world.confirm(at, task.expect("it is owed")).await;
    }
    let status = ok(world.status(0).await);
    assert_eq!(status.backlog, Backlog { left: 2, of: 3 });
    assert_eq!(status.owed_subscribers, 3);
}

pub async fn r9_who_comes_back_after_a_cut_is_late_and_no_backlog(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let over = Access::Until(world.time().await - HOUR);
    world.add(&new_subscriber("over", over, &[])).await;
    world.cut(router, &[]).await;
    let on = Reconciliation {
        on: [(by_name("over"), Some(crate::WayIn::Account))].into(),
        strays: Vec::new(),
        pace: std::time::Duration::ZERO,
        is_partial: false,
    };
    ok(world.reconciled(&fence, &on).await);

    let status = ok(world.status(9).await);

    assert_eq!(
        (status.late_subscribers, status.backlog),
        (1, Backlog::default())
    );
    assert!(!status.owed[0].backlog);
}

pub async fn r9_a_router_that_does_not_answer_says_what_ends_there_soon(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (up, down) = (world.router("up").await, world.router("down").await);
    world.router("new").await;
    let reached = RouterState::Reached(facts("hotspot", None));
    ok(world.router_state(&world.fence(up).await, &reached).await);
    let failed = RouterState::Failed("refused".into());
    ok(world.router_state(&world.fence(down).await, &failed).await);
    let now = world.time().await;
    for (name, minutes, router) in [
        ("a", 10, None),
        ("b", 50, Some(up)),
        ("c", 50, Some(down)),
        ("d", 90, None),
    ] {
        let end = Access::Until(now + TimeDelta::minutes(minutes));
        let mut new = new_subscriber(name, end, &[]);
        new.router = router;
        world.add(&new).await;
    }

    let status = ok(world.status(0).await);

    let soon: Vec<_> = status
        .routers
        .iter()
        .map(|one| (one.name.as_str(), one.ends_soon))
        .collect();
    assert_eq!(soon, [("down", Some(2)), ("new", Some(1)), ("up", None)]);
    let reasons = HealthReport::of(&status).reasons;
    assert!(
        reasons[0].starts_with("router down does not answer since"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with("router new was never reached"),
        "{reasons:?}"
    );
}

pub async fn r9_a_router_that_refuses_to_be_read_says_what_ends_there_soon(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (shut, silent) = (world.router("shut").await, world.router("silent").await);
    let reached = RouterState::Reached(facts("hotspot", None));
    for (router, line) in [
        (shut, "not enough permissions (9) [no_read_policy]"),
        (silent, "waits for an answer since 4 s"),
    ] {
        let fence = world.fence(router).await;
        ok(world.router_state(&fence, &reached).await);
        let hindered = RouterState::Hindered(line.into());
        ok(world.router_state(&fence, &hindered).await);
    }
    let now = world.time().await;
    for (name, minutes, router) in [
        ("a", 10, None),
        ("b", 50, Some(shut)),
        ("c", 50, Some(silent)),
        ("d", 90, Some(shut)),
    ] {
        let end = Access::Until(now + TimeDelta::minutes(minutes));
        let mut new = new_subscriber(name, end, &[]);
        new.router = router;
        world.add(&new).await;
    }

    let status = ok(world.status(0).await);

    let soon: Vec<_> = status
        .routers
        .iter()
        .map(|one| (one.name.as_str(), one.is_hindered(), one.ends_soon))
        .collect();
    assert_eq!(soon, [("shut", true, Some(2)), ("silent", false, None)]);
    let reasons = HealthReport::of(&status).reasons;
    assert!(
        reasons[0].starts_with("router shut answers and cannot be served")
            && reasons[0].ends_with("2 accesses end there within the hour"),
        "{reasons:?}"
    );
}

pub async fn r9_a_single_check_beats_and_watches_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let check = Heartbeat {
        kind: WatcherKind::Check,
        ..Heartbeat::new(WatcherId::fresh(), std::time::Duration::from_mins(1))
    };

    assert_eq!(ok(world.store().own(&check).await)[0].router.id, router);

    let status = ok(world.status(0).await);
    let watcher = &status.watchers[0];
    assert!(watcher.alive && watcher.kind == WatcherKind::Check && !watcher.watches());
    assert_eq!(status.routers[0].owner, Some(check.watcher));
    let reasons = HealthReport::of(&status).reasons;
    assert_eq!(reasons[0], "no watcher is alive: nobody makes cuts");
    ok(world.release(check.watcher).await);
}

pub async fn r9_a_check_that_comes_again_is_remembered_and_respected_no_longer(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let every = std::time::Duration::from_mins(1);
    let mut last = None;
    for interval in [Some(every), Some(every), None] {
        let check = Heartbeat {
            kind: WatcherKind::Check,
            interval,
            ..Heartbeat::new(WatcherId::fresh(), every)
        };
        assert_eq!(ok(world.store().own(&check).await)[0].router.id, router);
        ok(world.release(check.watcher).await);
        last = interval.map(|_| check.watcher).or(last);

        let status = ok(world.status(0).await);
        let [kept] = &status.watchers[..] else {
            panic!("the last one that comes again: {:?}", status.watchers);
        };
        assert_eq!((Some(kept.id), kept.alive), (last, false));
        assert_eq!(kept.comes_again(status.now), Some(every));
        assert_eq!(status.routers[0].owner, None);
        let reasons = HealthReport::of(&status).reasons;
        assert_eq!(reasons, ["router r was never reached"]);
    }
}

/// By a clock an hour ahead, nobody has watched for an hour.
pub async fn r9_what_ended_while_nobody_watched_has_no_lag(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let seen = world.ended("seen", &[]).await;
    world.tasks(router).await;
    ok(world.release(world.watcher).await);
    let left = world.time().await;
    world.pass(left).await;
    let end = world.time().await + HOUR / 2;
    world
        .add(&new_subscriber("by time", Access::Until(end), &[]))
        .await;
    let live = world.live("revoked", &[]).await;
    world.revoke(live.id).await;

    ahead.plan().await;
    let tasks = ahead.tasks(router).await;

    assert_eq!(tasks.len(), 3);
    for task in &tasks {
        let done = ahead.confirm(router, task).await;
        let kind = done.waited.expect("the first confirmation").kind;
        let was_seen = Some(task.due_at) == seen.access.end();
        let expected = if was_seen {
            LagKind::Prompt
        } else {
            LagKind::KnownLate
        };
        assert_eq!(kind, expected, "{task:?}");
    }
}

/// A single check does not end the time in which nobody watches.
pub async fn r9_a_single_check_sees_what_nobody_watched(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let live = world.live("s", &[]).await;
    let set = AccessChange::Set(Access::Until(world.time().await + HOUR / 2));
    ok(world.change_access(live.id, set).await);
    let check = Heartbeat {
        kind: WatcherKind::Check,
        ..Heartbeat::new(ahead.watcher, std::time::Duration::from_mins(1))
    };
    ok(ahead.store().own(&check).await);
    ahead.plan().await;

    let status = ok(ahead.status(9).await);

    assert_eq!((status.late_subscribers, status.backlog.left), (0, 1));
    assert_eq!(status.owed[0].router_id, router);
}
