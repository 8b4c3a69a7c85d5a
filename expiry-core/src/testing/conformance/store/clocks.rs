//! What a clock that was ahead leaves behind. `ahead` is the same store by a clock that is an hour
//! ahead of that of `store`.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    brake::{braked, free, machine},
    reconcile::{by_name, record},
    share::{failed, subscribers},
    world::{HOUR, World, mac, name_undo, names_of, new_subscriber, ok},
};
use crate::{
    Access, AuditKind, Outcome, Revision, RouterId, Store, SubscriberId, UndoKey, Want, WatcherId,
    WayIn,
};

pub use super::lateness::{
    r9_a_single_check_sees_what_nobody_watched, r9_backlog_and_who_is_late_are_counted_apart,
    r9_what_ended_while_nobody_watched_has_no_lag,
};

const LOOK_LATER: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::from_secs(10)),
};

pub async fn r1_what_a_clock_ahead_has_planned_is_not_cut_before_its_time(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let end = world.time().await + HOUR / 2;
    let new = new_subscriber("s", Access::Until(end), &[mac(1)]);
    world.add(&new).await;
    assert_eq!(ahead.plan().await.subscribers, 1);
    assert_eq!(ahead.tasks(router).await.len(), 1);
    ok(ahead.release(ahead.watcher).await);
    ok(world.nudge().await);

    assert_eq!(
        world.tasks(router).await,
        [],
        "by the right clock it is live"
    );
    assert_eq!(world.owed().await, (0, 0));
    assert_eq!(ok(world.outlook().await).tasks, []);

    let planned = world.plan().await;
    assert_eq!((planned.subscribers, planned.next_deadline), (1, Some(end)));
    let status = ok(world.status(9).await);
    assert_eq!(
        (status.live_subscribers, status.next_deadline),
        (1, Some(end))
    );
    assert_eq!(world.plan().await.subscribers, 0, "it is taken back once");
    let told: Vec<_> = world.kinds().await;
    let taken_back = AuditKind::EndTakenBack {
        revision: Revision(2),
    };
    let of_ends = |kind: &&AuditKind| {
        matches!(
            kind,
            AuditKind::AccessEnded | AuditKind::EndTakenBack { .. }
        )
    };
    let ends: Vec<_> = told.iter().filter(of_ends).collect();
    assert_eq!(ends, [&AuditKind::AccessEnded, &taken_back]);
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r1_whom_a_clock_ahead_found_on_is_owed_nothing(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let end = world.time().await + HOUR / 2;
    for name in ["planned", "not"] {
        let new = new_subscriber(name, Access::Until(end), &[]);
        world.add(&new).await;
        if name == "planned" {
            ahead.plan().await;
        }
    }
    let later = world.router("later").await;
    for router in [router, later] {
        let on = ["planned", "not"].map(|name| (by_name(name), WayIn::Account));
        record(&ahead, router, &on, &[]).await;
        let keys = ["planned", "not"].map(by_name);
        ok(ahead.recheck(router, &keys).await);
    }
    assert_eq!(names_of(&ahead.tasks(later).await), ["planned"]);
    ok(ahead.release(ahead.watcher).await);

    world.plan().await;

    for router in [router, later] {
        assert!(ok(world.open_work(router).await).is_empty());
        assert_eq!(world.tasks(router).await, []);
    }
}

pub async fn r2_what_a_clock_ahead_has_planned_is_cut_at_its_time(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::milliseconds(200);
    for name in ["planned again", "left as it is"] {
        let new = new_subscriber(&name.replace(' ', "-"), Access::Until(end), &[]);
        world.add(&new).await;
    }
    assert_eq!(ahead.plan().await.subscribers, 2);
    let early = world.plan().await;
    assert!(early.now >= end || early.next_deadline == Some(end));

    ahead.plan().await;
    world.pass(end).await;

    let tasks = world.tasks(router).await;
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    assert!(tasks.iter().all(|task| task.due_at == end));
}

pub async fn r3_who_was_cut_by_a_clock_ahead_is_let_in_again(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let end = world.time().await + HOUR / 2;
    let new = new_subscriber("s", Access::Until(end), &[]);
    world.add(&new).await;
    ahead.plan().await;
    ahead.cut(router, &[name_undo("s")]).await;
    ok(ahead.release(ahead.watcher).await);

    world.plan().await;

    let restore = world.task(router).await;
    assert_eq!(
        (restore.want, &restore.undo[..]),
        (Want::Restore, &[name_undo("s")][..])
    );
}

pub async fn r2_a_restore_that_a_clock_behind_owes_costs_no_cut(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (behind, world) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let end = world.time().await - HOUR / 2;
    let new = new_subscriber("s", Access::Until(end), &[]);
    let made = world.add(&new).await;
    world.cut(router, &[name_undo("s")]).await;
    ok(world.release(world.watcher).await);

    let key = UndoKey::Name(made.username);
    ok(behind.recheck(router, &[key]).await);
    assert_eq!(behind.task(router).await.want, Want::Restore);
    ok(behind.release(behind.watcher).await);

    assert_eq!(world.plan().await.subscribers, 1);
    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.due_at), (Want::Cut, end));
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_a_device_or_subscriber_removed_by_a_clock_ahead_is_cut_now(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let kept = world.live("kept", &[mac(1)]).await;
    let gone = world.live("gone", &[]).await;
    ok(ahead.remove_device(kept.id, mac(1)).await);
    ok(ahead.remove_subscriber(gone.id).await);
    world.pay(kept.id).await;

    world.plan().await;

    let tasks = world.tasks(router).await;
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    let now = world.time().await;
    assert!(tasks.iter().all(|task| task.due_at <= now));
    assert_eq!(world.owed().await, (2, 0));
}

pub async fn r10_what_was_due_long_before_its_owner_came_is_backlog(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let all = subscribers(&world, 3).await;
    world.revoke(all[0]).await;
    world.revoke(all[1]).await;
    assert!(world.tasks(router).await.iter().all(|task| !task.backlog));
    let fence = world.fence(router).await;
    let work = ok(ahead.work(&fence, 9, 9).await);
    assert!(
        work.tasks.iter().all(|task| !task.backlog),
        "its owner was there"
    );
    ok(world.release(world.watcher).await);

    // Nobody watched for an hour.
    ahead.revoke(all[2]).await;

    let tasks = ahead.tasks(router).await;
    assert_eq!(names_of(&tasks), ["s2", "s0", "s1"]);
    let backlog: Vec<_> = tasks.iter().map(|task| task.backlog).collect();
    assert_eq!(backlog, [false, true, true]);
    let fence = ahead.fence(router).await;
    for (most, expected) in [(0, 1), (1, 2), (2, 3)] {
        let work = ok(ahead.work(&fence, 9, most).await);
        assert_eq!(
            work.tasks.len(),
            expected,
            "with at most {most} of the backlog"
        );
    }
}

pub async fn r8_a_heartbeat_from_far_ahead_keeps_nobody_alive(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (world, ahead) = (World::new(store), World::new(ahead));
    let router = world.router("r").await;
    let minute = Duration::from_mins(1);
    let old = WatcherId::fresh();
    let epoch = ok(ahead.own(old, minute).await)[0].epoch;
    let status = ok(world.status(0).await);
    assert!(!status.watchers[0].alive);
    assert_eq!(status.routers[0].owner, None);

    let owned = ok(world.own(world.watcher, minute).await);

    assert_eq!(owned.len(), 1);
    assert!(owned[0].taken_over && owned[0].epoch > epoch);
    assert_eq!(
        ok(world.status(0).await).routers[0].owner,
        Some(world.watcher)
    );
    assert_eq!(ok(world.own(old, minute).await).len(), 0, "{router}");
}

pub async fn r2_attempts_of_a_clock_ahead_are_due_when_its_brake_ends(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = stamped_ahead(&world, World::new(ahead)).await;
    assert_eq!(
        world.tasks(router).await,
        [],
        "they wait for a time far ahead"
    );
    let before = world.time().await;
    let m = machine("m");
    assert!(ok(world.record_machine(&m, 0, &braked(before)).await));
    assert_eq!(world.tasks(router).await, []);

    assert!(ok(world.record_machine(&m, 1, &free(before)).await));

    assert_all_is_due(&world, router).await;
}

pub async fn r2_attempts_of_a_clock_ahead_are_due_after_a_release(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = stamped_ahead(&world, World::new(ahead)).await;
    let now = world.time().await;
    ok(world.record_machine(&machine("m"), 0, &braked(now)).await);

    ok(world.release_brakes().await);

    assert_all_is_due(&world, router).await;
}

pub async fn r9_an_attempt_of_a_clock_ahead_is_not_taken_for_one_to_come(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let world = World::new(store);
    stamped_ahead(&world, World::new(ahead)).await;
    let now = world.time().await;
    ok(world.record_machine(&machine("m"), 0, &braked(now)).await);
    ok(world.release_brakes().await);

    let items = ok(world.status(9).await).owed;

    assert!(!items.is_empty());
    assert!(
        items.iter().all(|item| item.attempted_at.is_none()),
        "{items:?}"
    );
    ok(world.nudge().await);
    let owned = ok(world.own(world.watcher, HOUR).await);
    assert!(owned[0].nudged_at <= Some(world.time().await));
}

pub async fn r10_changes_count_for_an_hour_and_while_they_owe_a_cut(
    store: Arc<dyn Store>,
    ahead: Arc<dyn Store>,
) {
    let (mut world, mut ahead) = (World::new(store), World::new(ahead));
    (world.share_limit, ahead.share_limit) = (Some(25), Some(25));
    let router = world.router("r").await;
    let all = forever(&world, 8).await;
    world.revoke(all[0]).await;
    world.cut(router, &[]).await;
    world.revoke(all[1]).await;
    world.tasks(router).await;
    ok(world.release(world.watcher).await);

    // An hour later the first is forgotten; the second is not cut yet.
    ahead.revoke(all[2]).await;
    assert_eq!(ahead.tasks(router).await.len(), 2);
    ahead.revoke(all[3]).await;
    assert_eq!(ahead.tasks(router).await, []);
}

/// A cut that was tried in vain, and one whose look is ahead, both by the clock that is ahead.
async fn stamped_ahead(world: &World, ahead: World) -> RouterId {
    let router = world.router("r").await;
    let ids = subscribers(world, 2).await;
    for id in &ids {
        world.revoke(*id).await;
    }
    let tasks = ahead.tasks(router).await;
    assert_eq!(names_of(&tasks), ["s0", "s1"]);
    ahead.settle_on(router, &tasks[0], failed(), &[]).await;
    ahead.settle_on(router, &tasks[1], LOOK_LATER, &[]).await;
    ok(ahead.nudge().await);
    ahead
        .settle_on(router, &ahead.task(router).await, failed(), &[])
        .await;
    ok(ahead.release(ahead.watcher).await);
    router
}

async fn assert_all_is_due(world: &World, router: RouterId) {
    let tasks = world.tasks(router).await;
    assert_eq!(names_of(&tasks), ["s0", "s1"]);
    let now = world.time().await;
    assert!(tasks.iter().all(|task| task.due_at <= now));
    assert!(tasks[1].progress.confirmed_at <= Some(now));
}

async fn forever(world: &World, count: u8) -> Vec<SubscriberId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let new = new_subscriber(&format!("f{number}"), Access::Forever, &[]);
        ids.push(world.add(&new).await.id);
    }
    ids
}
