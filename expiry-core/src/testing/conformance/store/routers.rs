use std::sync::Arc;

use chrono::TimeDelta;

use super::{
    reconcile::{by_name, record},
    world::{
        World, assert_refused, facts, mac, mac_undo, macs, name_undo, names_of, new_subscriber, ok,
        username,
    },
};
use crate::{
    Access, Conflict, Hardware, OpenWork, Outcome, RouterChange, RouterId, RouterState, Settlement,
    Store, StoreError, Task, UndoKey, Want, WayIn,
};

pub async fn r2_a_router_added_later_owes_what_its_reading_finds(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.ended("away", &[]).await;
    world.live("live", &[]).await;
    world.add(&new_subscriber("none", Access::None, &[])).await;

    let before = world.time().await;
    let router = world.router("r").await;
    world.router_of(Some(tenant), "theirs").await;

    assert_eq!(world.owed().await, (0, 0), "nobody was seen there yet");
    assert_to_be_read(&world, router).await;
    let on = ["s", "live", "none"].map(|name| (by_name(name), WayIn::Account));
    record(&world, router, &on, &[]).await;
    let cut = world.task(router).await;
    assert_eq!(
        (cut.username.as_ref(), &cut.macs),
        (Some(&username("s")), &macs(&[mac(1)]))
    );
    assert_eq!(cut.revision, ended.revision);
    assert!(!cut.backlog && cut.due_at >= before && cut.progress.online);
    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_a_subscriber_bound_elsewhere_is_not_owed_on_a_new_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    let bound = world.router("bound").await;
    let mut new = new_subscriber("s", Access::Forever, &[]);
    new.router = Some(bound);
    let made = world.add(&new).await;
    world.revoke(made.id).await;

    let router = world.router("r").await;
    record(&world, router, &[(by_name("s"), WayIn::Account)], &[]).await;

    assert_eq!(world.owed().await, (1, 0));
}

pub async fn r2_an_enabled_router_tries_what_is_owed_and_owes_what_it_shows(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let mut cut = cut_all_kinds(&world, router).await;
    let waits = waiting(&world, router).await;
    world.switch(router, false).await;
    world.ended("late", &[]).await;
    cut.push(by_name("late"));

    world.switch(router, true).await;

    assert_entered(&world, router, &waits, &cut).await;
}

pub async fn r2_an_accepted_router_is_another_box_and_owes_what_it_shows(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let cut = cut_all_kinds(&world, router).await;
    let waits = waiting(&world, router).await;
    reach(&world, router).await;

    ok(world.accept_router(router).await);

    assert_eq!(world.router_row(router).await.seen, None);
    assert_entered(&world, router, &waits, &cut).await;
}

pub async fn r2_a_router_at_another_address_may_be_another_box(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    for change in [
        RouterChange {
            host: Some("elsewhere.example".into()),
            ..Default::default()
        },
        RouterChange {
            port: Some(8729),
            ..Default::default()
        },
    ] {
        let cut = cut_all_kinds(&world, router).await;
        let waits = waiting(&world, router).await;
        reach(&world, router).await;

        let changed = ok(world.change_router(router, &change).await);

        assert_eq!(changed.seen, None);
        assert_eq!(world.router_row(router).await.seen, None);
        assert_entered(&world, router, &waits, &cut).await;
        for task in world.tasks(router).await {
            world.confirm(router, &task).await;
        }
        world.plan().await;
    }
}

pub async fn r8_what_was_seen_in_the_box_of_before_is_not_recorded(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    for step in 0..3 {
        let before = world.fence(router).await;
        let task = world.task(router).await;
        let change = RouterChange {
            host: (step == 0).then(|| "elsewhere.example".into()),
            port: (step == 1).then_some(8729),
            ..Default::default()
        };
        if step == 2 {
            ok(world.accept_router(router).await);
        } else {
            ok(world.change_router(router, &change).await);
        }

        let settlement = Settlement {
            task: (&task).into(),
            outcome: Outcome::Confirmed { next_look: None },
            undone: Vec::new(),
        };
        assert_refused!(
            world.settle(&before, &[settlement]).await,
            StoreError::NotOwner(id) if id == router
        );
        let seen = RouterState::Reached(facts("hotspot", None));
        assert_refused!(
            world.router_state(&before, &seen).await,
            StoreError::NotOwner(id) if id == router
        );
        assert_eq!(world.router_row(router).await.seen, None);
        assert_eq!(world.owed().await, (1, 0));
        let owned = ok(world.own(world.watcher, super::world::HOUR).await);
        assert!(owned[0].epoch > before.epoch && !owned[0].taken_over);
    }
    let before = world.fence(router).await;
    let change = RouterChange {
        username: Some("another".into()),
        ..Default::default()
    };
    ok(world.change_router(router, &change).await);
    assert_eq!(world.fence(router).await, before, "it is the same box");
}

pub async fn a_change_that_says_what_is_there_owes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    cut_all_kinds(&world, router).await;
    reach(&world, router).await;
    let same = RouterChange {
        host: Some("r.example".into()),
        port: Some(8728),
        username: Some("another".into()),
        enabled: Some(true),
        ..Default::default()
    };

    ok(world.change_router(router, &same).await);

    assert_eq!(world.tasks(router).await, []);
    assert!(world.router_row(router).await.seen.is_some());
}

pub async fn a_disabled_router_is_neither_counted_nor_served(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let fence = world.fence(router).await;

    world.switch(router, false).await;

    assert_eq!(world.owed().await, (0, 0));
    let status = ok(world.status(9).await);
    assert_eq!(status.owed, []);
    let row = &status.routers[0];
    assert_eq!((row.enabled, row.owner, row.owed_cuts), (false, None, 0));
    assert_refused!(
        world.work(&fence, 9, 9).await,
        StoreError::NotOwner(id) if id == router
    );
    let owned = ok(world.own(world.watcher, super::world::HOUR).await);
    assert!(owned.is_empty());
    assert_eq!(ok(world.open_work(router).await).cuts, ["s"]);
}

pub async fn open_work_lists_what_a_router_would_leave_behind(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    assert_eq!(ok(world.open_work(router).await), OpenWork::default());

    let back = world.ended("back", &[]).await;
    world.cut(router, &[name_undo("back")]).await;
    world.ended("done", &[mac(9)]).await;
    world.cut(router, &[mac_undo(mac(9))]).await;
    world.pay(back.id).await;
    world.ended("z", &[]).await;
    world.ended("a", &[]).await;
    let live = world.live("live", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);

    let open = ok(world.open_work(router).await);
    assert_eq!(open.cuts, [mac(1).to_string(), "a".into(), "z".into()]);
    assert_eq!(open.restores, ["back"]);
    assert_eq!(open.undo, [mac(9).to_string()]);
    let elsewhere = ok(world.open_work(other).await);
    assert_eq!((elsewhere.restores.len(), elsewhere.undo.len()), (0, 0));
}

pub async fn r2_a_router_is_not_removed_while_a_cut_is_owed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;

    assert_busy(&world, router).await;
    world.cut(router, &[]).await;

    ok(world.remove_router(router, false).await);
}

pub async fn r3_a_router_is_not_removed_while_something_is_to_be_undone(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;

    assert_busy(&world, router).await;
    world.switch(router, false).await;
    assert_busy(&world, router).await;
    world.switch(router, true).await;
    world.pay(ended.id).await;
    assert_busy(&world, router).await;
    world.confirm(router, &world.task(router).await).await;

    ok(world.remove_router(router, false).await);
}

pub async fn a_router_removed_by_force_takes_all_that_is_open_with_it(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.ended("t", &[]).await;
    let fence = world.fence(router).await;

    ok(world.remove_router(router, true).await);

    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
    assert_refused!(world.open_work(router).await, StoreError::Missing(_));
    assert_eq!(names_of(&world.tasks(other).await), ["s", "t"]);
    assert_eq!(world.owed().await, (2, 0));
    let again = world.router("r").await;
    assert_ne!(again, router);
    world.pay(ended.id).await;
    let on = ["s", "t"].map(|name| (by_name(name), WayIn::Account));
    record(&world, again, &on, &[]).await;
    assert_eq!(names_of(&world.tasks(again).await), ["t"]);
}

/// Cuts a subscriber, a device, and a removed subscriber whose look is ahead; returns a key of each.
async fn cut_all_kinds(world: &World, router: RouterId) -> Vec<UndoKey> {
    let name = format!("s{}", world.time().await.timestamp_micros());
    let device = mac(7);
    world.ended(&name, &[]).await;
    let live = world.live(&format!("{name}-live"), &[device]).await;
    ok(world.remove_device(live.id, device).await);
    let gone = world.live(&format!("{name}-gone"), &[]).await;
    ok(world.remove_subscriber(gone.id).await);
    let tasks = world.tasks(router).await;
    assert_eq!(tasks.len(), 3);
    let later = Outcome::Confirmed {
        next_look: Some(super::world::HOUR),
    };
    for task in &tasks {
        world.settle_on(router, task, later.clone(), &[]).await;
    }
    assert_eq!(world.tasks(router).await, []);
    vec![
        by_name(&name),
        UndoKey::Mac(device),
        UndoKey::Name(gone.username),
    ]
}

/// Owes a cut that was tried and waits.
async fn waiting(world: &World, router: RouterId) -> Task {
    let name = format!("w{}", world.time().await.timestamp_micros());
    world.ended(&name, &[]).await;
    let task = world.task(router).await;
    let failed = Outcome::Unconfirmed {
        error: "refused".into(),
        online: None,
        retry_in: super::world::HOUR,
    };
    world.settle_on(router, &task, failed, &[]).await;
    assert_eq!(world.tasks(router).await, []);
    task
}

/// What was owed is tried now, for as long as it has been owed; what was confirmed stays so, until
/// the reading, which comes at once, finds it on.
async fn assert_entered(world: &World, router: RouterId, waits: &Task, cut: &[UndoKey]) {
    assert_to_be_read(world, router).await;
    let task = world.task(router).await;
    assert_eq!(
        (task.id, task.due_at, task.backlog, task.progress.attempts),
        (waits.id, waits.due_at, false, 0)
    );
    let on: Vec<_> = cut
        .iter()
        .map(|key| (key.clone(), WayIn::Account))
        .collect();
    let found = record(world, router, &on, &[]).await.found;
    assert_eq!(found.len(), cut.len());
    assert_eq!(world.tasks(router).await.len(), cut.len() + 1);
}

async fn assert_to_be_read(world: &World, router: RouterId) {
    let fence = world.fence(router).await;
    let work = ok(world.work(&fence, 9, 9).await);
    assert_eq!(work.reconciled_at, None);
}

async fn reach(world: &World, router: RouterId) {
    let fence = world.fence(router).await;
    let seen = facts("hotspot", None);
    let hardware = Hardware::clone(&seen.hardware);
    ok(world
        .router_state(&fence, &RouterState::Reached(seen))
        .await);
    assert_eq!(world.router_row(router).await.seen, Some(hardware));
}

async fn assert_busy(world: &World, router: RouterId) {
    assert_refused!(
        world.remove_router(router, false).await,
        StoreError::Conflict(Conflict::RouterBusy)
    );
    assert!(!ok(world.open_work(router).await).is_empty());
}

pub async fn r2_a_router_is_not_removed_while_a_cut_is_owed_that_nobody_planned(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::milliseconds(50);
    world
        .add(&new_subscriber("s", Access::Until(end), &[]))
        .await;
    world.pass(end).await;

    assert_eq!(ok(world.open_work(router).await).cuts, ["s"]);
    let refused = world.remove_router(router, false).await;

    assert!(
        matches!(refused, Err(StoreError::Conflict(Conflict::RouterBusy))),
        "{refused:?}"
    );
    ok(world.remove_router(router, true).await);
}

pub async fn r2_what_is_removed_while_a_router_is_disabled_is_cut_there_later(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.live("gone", &[mac(1)]).await;
    let stays = world.live("stays", &[mac(2)]).await;
    world.switch(router, false).await;
    ok(world.remove_subscriber(gone.id).await);
    ok(world.remove_device(stays.id, mac(2)).await);
    world.plan().await;

    world.switch(router, true).await;

    let tasks = world.tasks(router).await;
    let mut cut: Vec<_> = tasks
        .iter()
        .map(|task| (task.username.clone(), task.macs.clone(), task.want))
        .collect();
    cut.sort();
    let expected = [
        (None, macs(&[mac(2)]), Want::Cut),
        (Some(username("gone")), macs(&[mac(1)]), Want::Cut),
    ];
    assert_eq!(cut, expected);
}
