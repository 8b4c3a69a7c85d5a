use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    status::woken,
    world::{
        HOUR, World, assert_refused, facts, mac, macs, name_undo, names_of, new_subscriber, ok,
        username,
    },
};
use crate::{
    Access, Fence, Heartbeat, Intent, Outcome, Reconciliation, RouterId, RouterState, Settlement,
    State, Store, StoreError, Task, UndoKey, Want, WatcherId,
};

pub async fn r8_each_router_has_one_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    let first = ok(world.own(world.watcher, HOUR).await);
    let late = world.router("late").await;
    let second = WatcherId::fresh();

    let rest = ok(world.own(second, HOUR).await);

    let ids: Vec<_> = first.iter().map(|row| row.router.id).collect();
    assert_eq!(ids, [one, two]);
    assert!(
        first
            .iter()
            .all(|row| !row.taken_over && row.nudged_at.is_none())
    );
    let ids: Vec<_> = rest.iter().map(|row| row.router.id).collect();
    assert_eq!(ids, [late]);
    assert_eq!(rest[0].router.address.host, "late.example");
}

pub async fn r8_a_heartbeat_keeps_routers_and_epochs(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let before = ok(world.own(world.watcher, Duration::ZERO).await);

    let after = ok(world.own(world.watcher, Duration::ZERO).await);

    assert_eq!(before[0].epoch, after[0].epoch);
    assert!(!after[0].taken_over);
}

pub async fn r8_a_router_that_was_let_go_is_free_at_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;

    ok(world.release(world.watcher).await);
    ok(world.release(world.watcher).await);

    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
    assert_eq!(ok(world.status(0).await).watchers, []);
    let owned = ok(world.own(WatcherId::fresh(), HOUR).await);
    assert_eq!(owned[0].router.id, router);
    assert!(owned[0].epoch > fence.epoch);
    assert!(!owned[0].taken_over);
}

pub async fn r8_a_router_is_let_go_alone_and_only_by_its_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let kept = world.router("s").await;
    let fence = world.fence(router).await;
    let stranger = Fence {
        watcher: WatcherId::fresh(),
        ..fence
    };
    ok(world.let_go(&stranger).await);
    ok(world.work(&fence, 9, 9).await);
    let mut feed = ok(world.changes().await);
    while woken(feed.as_mut()).await {}

    ok(world.let_go(&fence).await);
    assert!(woken(feed.as_mut()).await, "who may serve it hears of it");
    ok(world.let_go(&fence).await);

    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
    let owned = ok(world.own(WatcherId::fresh(), HOUR).await);
    let ids: Vec<_> = owned.iter().map(|row| row.router.id).collect();
    assert_eq!(ids, [router], "the other one stays its owner's");
    assert!(owned[0].epoch > fence.epoch && !owned[0].taken_over);
    ok(world.let_go(&fence).await);
    let of_next = Fence {
        router,
        watcher: owned_by(&world, router).await,
        epoch: owned[0].epoch,
    };
    ok(world.work(&of_next, 9, 9).await);
    assert_ne!(owned_by(&world, kept).await, of_next.watcher);
}

async fn owned_by(world: &World, router: RouterId) -> WatcherId {
    let status = ok(world.status(0).await);
    let mut routers = status.routers.iter();
    let row = routers.find(|row| row.id == router).expect("listed");
    row.owner.expect("an owner")
}

pub async fn r8_releasing_one_watcher_leaves_the_others(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;

    ok(world.release(WatcherId::fresh()).await);

    ok(world.work(&fence, 9, 9).await);
}

pub async fn r8_a_silent_owner_is_replaced_and_fenced_off(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let silent = WatcherId::fresh();
    let old = ok(world.own(silent, Duration::ZERO).await)[0].epoch;

    let taken = ok(world.own(world.watcher, Duration::ZERO).await);

    assert!(taken[0].epoch > old);
    assert!(taken[0].taken_over);
    let again = ok(world.own(world.watcher, HOUR).await);
    assert!(again[0].taken_over, "it is remembered");
    assert_eq!(ok(world.own(silent, HOUR).await).len(), 0);
    let fence = Fence {
        router,
        watcher: silent,
        epoch: old,
    };
    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
}

pub async fn r8_a_router_taken_over_stays_so_until_an_owner_has_read_it_whole(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    ok(world.own(WatcherId::fresh(), Duration::ZERO).await);
    assert!(is_taken_over(&world).await);

    ok(world.let_go(&world.fence(router).await).await);
    assert!(is_taken_over(&world).await, "let go before it was read");
    ok(world.release(world.watcher).await);
    assert!(is_taken_over(&world).await, "released before it was read");
    world.switch(router, false).await;
    world.switch(router, true).await;
    assert!(is_taken_over(&world).await, "disabled before it was read");
    let fence = world.fence(router).await;
    let partial = reading(true);
    ok(world.reconciled(&fence, &partial).await);
    assert!(is_taken_over(&world).await, "not all of it was read");
    let old = Fence {
        watcher: WatcherId::fresh(),
        ..fence
    };
    let late = world.reconciled(&old, &reading(false)).await;
    assert_refused!(late, StoreError::NotOwner(_));
    assert!(is_taken_over(&world).await, "read by who lost it");

    ok(world.reconciled(&fence, &reading(false)).await);

    assert!(!is_taken_over(&world).await);
    ok(world.release(world.watcher).await);
    assert!(!is_taken_over(&world).await, "it was read and let go");
}

/// Whether the world's watcher, who has the only router, is to read it at once.
async fn is_taken_over(world: &World) -> bool {
    ok(world.own(world.watcher, HOUR).await)[0].taken_over
}

fn reading(is_partial: bool) -> Reconciliation {
    Reconciliation {
        on: BTreeMap::new(),
        strays: Vec::new(),
        pace: HOUR,
        is_partial,
    }
}

pub async fn r8_a_heartbeat_holds_for_as_long_as_its_own_watcher_said(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let (patient, hasty) = (WatcherId::fresh(), WatcherId::fresh());
    ok(world.own(patient, HOUR).await);

    assert_eq!(ok(world.own(hasty, Duration::ZERO).await).len(), 0);

    let status = ok(world.status(0).await);
    assert_eq!(status.routers[0].owner, Some(patient));
    let alive = status.watchers.iter().filter(|watcher| watcher.alive);
    let alive: Vec<_> = alive.map(|watcher| watcher.id).collect();
    assert_eq!(alive, [patient]);
    ok(world.own(patient, Duration::ZERO).await);
    assert_eq!(ok(world.own(hasty, HOUR).await).len(), 1);
}

pub async fn r8_a_router_that_was_disabled_meanwhile_counts_as_taken_over(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    world.switch(router, false).await;
    world.switch(router, true).await;

    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
    let owned = ok(world.own(WatcherId::fresh(), HOUR).await);

    assert!(owned[0].epoch > fence.epoch);
    assert!(owned[0].taken_over);
}

pub async fn r8_watchers_who_claim_at_once_share_no_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    for number in 0..6 {
        world.router(&format!("r{number}")).await;
    }
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let store = world.store();
            tokio::spawn(
                async move { ok(store.own(&Heartbeat::new(WatcherId::fresh(), HOUR)).await) },
            )
        })
        .collect();

    let mut owners = BTreeMap::new();
    for claim in claims {
        for ownership in claim.await.expect("no claim fails") {
            let epoch = owners.insert(ownership.router.id, ownership.epoch);
            assert_eq!(epoch, None, "one owner for each router");
        }
    }
    assert_eq!(owners.len(), 6);
}

pub async fn r8_watchers_who_plan_at_once_plan_each_subscriber_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::seconds(1);
    for number in 0..10 {
        let name = format!("s{number}");
        world
            .add(&new_subscriber(&name, Access::Until(end), &[]))
            .await;
    }
    world.pass(end).await;

    let plans: Vec<_> = (0..4)
        .map(|_| {
            let store = world.store();
            tokio::spawn(async move { ok(store.plan_due(u32::MAX).await).subscribers })
        })
        .collect();

    let mut planned = 0;
    for plan in plans {
        planned += plan.await.expect("no planning fails");
    }
    assert_eq!(planned, 10);
    assert_eq!(world.tasks(router).await.len(), 10);
}

pub async fn r8_an_old_epoch_records_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let silent = WatcherId::fresh();
    let epoch = ok(world.own(silent, Duration::ZERO).await)[0].epoch;
    let old = Fence {
        router,
        watcher: silent,
        epoch,
    };
    ok(world.own(world.watcher, Duration::ZERO).await);
    let task = world.task(router).await;

    assert_nothing_goes(&world, &old, &task).await;

    let nobodys = Fence {
        watcher: WatcherId::fresh(),
        ..world.fence(router).await
    };
    assert_nothing_goes(&world, &nobodys, &task).await;
    let nowhere = Fence {
        router: RouterId(4711),
        ..world.fence(router).await
    };
    assert_nothing_goes(&world, &nowhere, &task).await;

    assert_eq!(world.task(router).await, task);
    assert_eq!(ok(world.open_work(router).await).undo.len(), 0);
    assert_eq!(world.router_row(router).await.seen, None);
}

async fn assert_nothing_goes(world: &World, fence: &Fence, task: &Task) {
    let router = fence.router;
    let intent = Intent {
        task: task.into(),
        undo: vec![name_undo("s")],
        trace: crate::Trace::default(),
    };
    let settlement = Settlement {
        task: task.into(),
        outcome: Outcome::Confirmed { next_look: None },
        undone: Vec::new(),
    };
    let reached = RouterState::Reached(facts("hotspot", None));
    assert_refused!(world.work(fence, 9, 9).await, StoreError::NotOwner(r) if r == router);
    assert_refused!(
        world.intend(fence, &[intent]).await,
        StoreError::NotOwner(_)
    );
    let standing = world.standing(fence, &[task.into()]).await;
    assert_refused!(standing, StoreError::NotOwner(_));
    assert_refused!(
        world.settle(fence, &[settlement]).await,
        StoreError::NotOwner(_)
    );
    assert_refused!(
        world.router_state(fence, &reached).await,
        StoreError::NotOwner(_)
    );
}

pub async fn r8_a_recheck_owes_the_cut_of_an_ended_subscriber_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    world.confirm(router, &world.task(router).await).await;
    world.revoke(ended.id).await;
    world.cut(router, &[]).await;
    assert_eq!(ok(world.open_work(router).await).undo.len(), 0);

    ok(world.recheck(router, &[UndoKey::Name(username("s"))]).await);

    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.progress.state), (Want::Cut, State::Owed));
    assert_eq!(ok(world.open_work(router).await).undo, ["s"]);
    let done = world.confirm(router, &cut).await;
    assert_eq!(done.lag(), None, "it has one lag for each deadline");
}

pub async fn r8_a_recheck_owes_the_restore_of_a_live_subscriber_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    world.confirm(router, &world.task(router).await).await;

    ok(world.recheck(router, &[UndoKey::Name(username("s"))]).await);

    let restore = world.task(router).await;
    assert_eq!(
        (restore.want, restore.progress.state),
        (Want::Restore, State::Owed)
    );
    assert_eq!(restore.undo, [name_undo("s")]);
    assert_eq!(world.owed().await, (0, 1));
}

pub async fn r8_a_recheck_makes_the_cut_that_an_ended_subscriber_has_not(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.ended("s", &[mac(1)]).await;
    let router = world.router("r").await;
    assert_eq!(world.tasks(router).await, []);

    ok(world.recheck(router, &[UndoKey::Mac(mac(1))]).await);

    let cut = world.task(router).await;
    assert_eq!((cut.want, cut.username), (Want::Cut, Some(username("s"))));
    assert_eq!(cut.macs, macs(&[mac(1)]));
}

pub async fn r8_a_recheck_of_many_keys_owes_all_that_stand_for_them(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("name", &[mac(1)]).await;
    world.ended("device", &[mac(2), mac(3)]).await;
    world.ended("another", &[mac(4)]).await;
    let live = world.live("live", &[mac(5), mac(6)]).await;
    ok(world.remove_device(live.id, mac(5)).await);
    let gone = world.live("gone", &[mac(7)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let later = Outcome::Confirmed {
        next_look: Some(HOUR),
    };
    for task in world.tasks(router).await {
        world.settle_on(router, &task, later.clone(), &[]).await;
    }
    let names = ["name", "live", "stranger"].map(|name| UndoKey::Name(username(name)));
    let macs = [3, 5, 6, 7].map(|last| UndoKey::Mac(mac(last)));
    let keys: Vec<_> = names.into_iter().chain(macs).collect();

    ok(world.recheck(router, &keys).await);

    let tasks = world.tasks(router).await;
    let names: BTreeSet<_> = names_of(&tasks).into_iter().collect();
    assert_eq!(names, ["", "device", "gone", "name"].into());
    assert_eq!(tasks.len(), 4);
}

pub async fn r1_a_recheck_cuts_nobody_who_has_not_ended_in_scope(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.add(&new_subscriber("none", Access::None, &[])).await;
    world.live("live", &[]).await;
    let mut bound = new_subscriber("bound", Access::Forever, &[]);
    bound.router = Some(world.router("other").await);
    let bound = world.add(&bound).await;
    world.revoke(bound.id).await;
    let keys = ["none", "live", "bound"].map(|name| UndoKey::Name(username(name)));

    ok(world.recheck(router, &keys).await);
    world.plan().await;

    assert_eq!(world.tasks(router).await, []);
}

pub async fn r8_a_recheck_of_the_unknown_is_harmless(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.live("live", &[mac(1)]).await;
    let stranger = [UndoKey::Name(username("stranger")), UndoKey::Mac(mac(9))];

    ok(world.recheck(router, &stranger).await);
    ok(world.recheck(RouterId(4711), &stranger).await);
    ok(world.recheck(router, &[]).await);

    assert_eq!(world.owed().await, (0, 0));
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r8_a_nudge_hurries_what_waits_and_tells_the_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let later = Outcome::Unconfirmed {
        error: "refused".into(),
        online: Some(true),
        retry_in: HOUR,
    };
    world.settle_on(router, &task, later, &[]).await;
    assert_eq!(world.tasks(router).await, []);

    let before = world.time().await;
    ok(world.nudge().await);

    let hurried = world.task(router).await;
    assert_eq!(hurried.progress.attempts, 1, "it is no new deadline");
    let owned = ok(world.own(world.watcher, HOUR).await);
    let nudged = owned[0].nudged_at.expect("the owner is told");
    assert!(nudged >= before && nudged <= world.time().await);
}
