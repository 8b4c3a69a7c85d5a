use std::{sync::Arc, time::Duration};

use super::world::{
    HOUR, World, account, mac, mac_undo, name_undo, new_subscriber, ok, recorded, username,
};
use crate::{
    Access, BindingKind, MacAddr, Outcome, State, Store, Undo, UndoItem, UndoKey, Want, WayIn,
};

const DONE: Outcome = Outcome::Confirmed { next_look: None };

pub async fn r3_the_first_finding_stands_and_later_ones_only_add(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    let both = [account("s"), account("+1")];
    let later = Undo::new(UndoKey::Name(username("s")), both.to_vec());

    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);
    assert!(world.intend_on(router, &cut, &[]).await);
    assert!(
        world
            .intend_on(router, &cut, &[mac_undo(mac(1)), later.clone()])
            .await
    );
    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);

    world.pay(ended.id).await;
    let restore = world.task(router).await;
    assert_eq!(
        restore.undo,
        [later, mac_undo(mac(1))],
        "oldest finding first"
    );
}

pub async fn r3_more_findings_than_one_statement_can_take_are_kept(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    let device = |n: u16| {
        let [high, low] = n.to_be_bytes();
        MacAddr::new([2, 0, 0, 1, high, low])
    };
    // SQLite takes 32 766 values in a statement, and a finding is seven.
    let others = (0..5_000).map(|n| mac_undo(device(n)));
    let all: Vec<_> = others.chain([name_undo("s"), mac_undo(mac(1))]).collect();

    assert!(world.intend_on(router, &cut, &all[..1]).await);
    assert!(world.intend_on(router, &cut, &all).await);
    assert!(world.intend_on(router, &cut, &all).await, "nothing is new");

    world.pay(ended.id).await;
    let restore = world.task(router).await;
    assert_eq!(restore.undo, [name_undo("s"), mac_undo(mac(1))]);
    world.confirm(router, &restore).await;
    world.live("t", &[device(4_999), device(0)]).await;
    let restore = world.task(router).await;
    assert_eq!(
        restore.undo,
        [mac_undo(device(0)), mac_undo(device(4_999))],
        "oldest finding first"
    );
}

pub async fn r3_equal_rows_are_undone_as_often_as_they_were_found(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    let twice = Undo::new(
        UndoKey::Name(username("s")),
        vec![account("s"), account("s")],
    );

    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);
    assert!(
        world
            .intend_on(router, &cut, std::slice::from_ref(&twice))
            .await
    );

    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [twice]);
}

pub async fn r3_a_finding_reads_back_as_it_was_made(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    let sparse = UndoItem::IpBinding {
        mac: None,
        address: None,
        to_address: None,
        server: None,
        kind: BindingKind::Bypassed,
        comment: None,
    };
    let full = UndoItem::IpBinding {
        mac: Some(mac(1)),
        address: Some("10.0.0.0/24".into()),
        to_address: Some("10.5.50.2-10.5.50.9".into()),
        server: Some("hotspot1".into()),
        kind: BindingKind::Regular,
        comment: Some("Mama Ŋo's \"phone\" \\ 100 %; --".into()),
    };
    let limited = UndoItem::User {
        name: "+1".into(),
        server: Some("hotspot1".into()),
    };
    let found = Undo::new(UndoKey::Mac(mac(1)), vec![full, limited, sparse]);

    assert!(
        world
            .intend_on(router, &cut, std::slice::from_ref(&found))
            .await
    );

    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [found]);
}

pub async fn r3_a_finding_without_rows_opens_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    let nothing = Undo::new(UndoKey::Name(username("s")), Vec::new());

    assert!(world.intend_on(router, &cut, &[nothing]).await);

    world.pay(ended.id).await;
    assert_eq!(world.owed().await, (0, 0));
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r3_a_closed_finding_is_opened_with_the_new_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    world.confirm(router, &world.task(router).await).await;
    let found = Undo::new(UndoKey::Name(username("s")), vec![account("+1")]);

    world.revoke(ended.id).await;
    world.cut(router, std::slice::from_ref(&found)).await;

    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [found]);
}

pub async fn r3_findings_of_one_router_are_not_undone_on_another(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(one, &[name_undo("s")]).await;
    world.cut(two, &[mac_undo(mac(1))]).await;

    world.pay(ended.id).await;

    assert_eq!(world.task(one).await.undo, [name_undo("s")]);
    assert_eq!(world.task(two).await.undo, [mac_undo(mac(1))]);
    world.confirm(one, &world.task(one).await).await;
    assert_eq!(world.owed().await, (0, 1));
}

pub async fn r3_a_restore_closes_only_what_it_covers(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(router, &[name_undo("s"), mac_undo(mac(1))]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;

    let half = world
        .settle_on(router, &restore, DONE, &[name_undo("s")])
        .await;

    let half = recorded(half);
    assert_eq!((half.progress.state, half.lag()), (State::Owed, None));
    let rest = world.task(router).await;
    assert_eq!(rest.undo, [mac_undo(mac(1))]);
    let whole = world.confirm(router, &rest).await;
    assert_eq!(whole.progress.state, State::Confirmed);
    assert!(whole.lag().is_some());
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r3_an_undo_that_has_grown_meanwhile_keeps_the_restore_owed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    let grown = Undo::new(
        UndoKey::Name(username("s")),
        vec![account("s"), account("+1")],
    );
    assert!(
        world
            .intend_on(router, &restore, std::slice::from_ref(&grown))
            .await
    );

    let settled = world.settle_on(router, &restore, DONE, &restore.undo).await;

    assert_eq!(recorded(settled).progress.state, State::Owed);
    assert_eq!(world.task(router).await.undo, [grown]);
}

pub async fn r3_a_settlement_closes_nothing_that_is_not_its_own(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let one = world.ended("one", &[]).await;
    world.cut(router, &[name_undo("one")]).await;
    world.ended("two", &[]).await;
    world.cut(router, &[name_undo("two")]).await;
    world.pay(one.id).await;
    let restore = world.task(router).await;

    let undone = [name_undo("one"), name_undo("two"), name_undo("nobody")];
    let settled = world.settle_on(router, &restore, DONE, &undone).await;

    assert_eq!(recorded(settled).progress.state, State::Confirmed);
    assert_eq!(ok(world.open_work(router).await).undo, ["two"]);
}

pub async fn r3_a_cut_closes_no_undo(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);

    world.settle_on(router, &cut, DONE, &[name_undo("s")]).await;

    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [name_undo("s")]);
}

pub async fn r3_an_unconfirmed_restore_closes_no_undo(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    let failed = Outcome::Unconfirmed {
        error: "refused".into(),
        online: None,
        retry_in: Duration::ZERO,
    };

    world
        .settle_on(router, &restore, failed, &restore.undo)
        .await;

    let again = world.task(router).await;
    assert_eq!((again.want, again.undo), (Want::Restore, restore.undo));
}

pub async fn r3_a_device_that_moved_is_restored_for_its_new_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let old = world.ended("old", &[mac(1)]).await;
    world.cut(router, &[mac_undo(mac(1))]).await;
    let new = world.live("new", &[]).await;
    ok(world.remove_device(old.id, mac(1)).await);

    ok(world.add_device(new.id, mac(1)).await);

    let tasks = world.tasks(router).await;
    let restore = &tasks[0];
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.username, Some(username("new")));
    assert_eq!(restore.undo, [mac_undo(mac(1))]);
    let others: Vec<_> = tasks[1..]
        .iter()
        .map(|task| (task.want, &task.macs))
        .collect();
    assert!(
        others
            .iter()
            .all(|(want, macs)| *want == Want::Cut && macs.is_empty())
    );
}

pub async fn r3_a_name_made_again_is_restored_for_its_new_owner(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    ok(world.remove_subscriber(gone.id).await);

    let next = world.live("s", &[]).await;

    let restore = world.task(router).await;
    assert_eq!(
        (restore.want, restore.revision),
        (Want::Restore, next.revision)
    );
    assert_eq!(restore.undo, [name_undo("s")]);
}

pub async fn r3_a_settlement_owes_the_restore_of_what_somebody_else_owns(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.live("live", &[mac(1)]).await;
    let cut = world.task(router).await;
    let hers = [mac_undo(mac(1))];
    assert!(world.intend_on(router, &cut, &hers).await);
    world.set(ended.id, Access::None).await;

    world.settle_on(router, &cut, DONE, &[]).await;

    let restore = world.task(router).await;
    assert_eq!(restore.username, Some(username("live")));
    assert_eq!(
        (restore.want, restore.undo.as_slice()),
        (Want::Restore, &hers[..])
    );
}

pub async fn r3_planning_owes_the_restore_of_what_a_dead_watcher_left(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.live("live", &[mac(1)]).await;
    let cut = world.task(router).await;
    assert!(world.intend_on(router, &cut, &[mac_undo(mac(1))]).await);
    assert_eq!(world.owed().await, (1, 0));

    world.plan().await;

    assert_eq!(world.owed().await, (1, 1));
    let restore = &world.tasks(router).await[0];
    assert_eq!(restore.username, Some(username("live")));
    assert_eq!(restore.undo, [mac_undo(mac(1))]);
}

pub async fn r3_a_restore_found_undone_is_owed_with_all_it_had_undone(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    let look = Outcome::Confirmed {
        next_look: Some(Duration::ZERO),
    };
    world.settle_on(router, &restore, look, &restore.undo).await;
    let look = world.task(router).await;
    assert_eq!(look.progress.state, State::Confirmed);
    assert_eq!(look.undo, [name_undo("s")], "a look knows what was undone");

    let returned = Outcome::Returned {
        way_in: Some(WayIn::Unknown),
        retry_in: Duration::ZERO,
    };
    world.settle_on(router, &look, returned, &[]).await;

    assert_eq!(world.owed().await, (0, 1));
    let again = world.task(router).await;
    assert_eq!(again.undo, [name_undo("s")]);
    world.confirm(router, &again).await;
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r3_a_restore_that_was_written_twice_is_known_by_its_looks(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    for _ in 0..2 {
        let restore = world.task(router).await;
        assert!(world.intend_on(router, &restore, &[]).await);
        // The second confirmation comes later than the first.
        world.pass(world.time().await).await;
        let look = Outcome::Confirmed {
            next_look: Some(Duration::ZERO),
        };
        world.settle_on(router, &restore, look, &restore.undo).await;
    }

    let look = world.task(router).await;

    assert_eq!(look.progress.state, State::Confirmed);
    assert_eq!(look.undo, [name_undo("s")]);
}

pub async fn r3_an_open_undo_outlives_the_removed_subscriber(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    ok(world.remove_subscriber(gone.id).await);
    world.cut(router, &[]).await;
    world.plan().await;
    world.plan().await;

    assert_eq!(ok(world.open_work(router).await).undo, ["s"]);
    world.live("s", &[]).await;
    assert_eq!(world.task(router).await.undo, [name_undo("s")]);
}

pub async fn r3_nobody_restores_what_no_live_access_in_scope_owns(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let gone = world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    ok(world.remove_subscriber(gone.id).await);
    let elsewhere = world.router("elsewhere").await;
    let end = world.time().await + HOUR;
    let mut bound = new_subscriber("s", Access::Until(end), &[]);
    bound.router = Some(elsewhere);

    world.add(&bound).await;
    world.plan().await;

    assert_eq!(
        world.owed().await,
        (1, 0),
        "the cut of the removed one stands"
    );
    assert_eq!(ok(world.open_work(router).await).undo, ["s"]);
}
