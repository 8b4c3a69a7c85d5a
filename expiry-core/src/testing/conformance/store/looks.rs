use std::{sync::Arc, time::Duration};

use super::world::{HOUR, World, mac, mac_undo, name_undo, ok, recorded};
use crate::{Outcome, State, Store, Want, WayIn};

const DONE: Outcome = Outcome::Confirmed { next_look: None };
const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};
const BACK: Outcome = Outcome::Returned {
    way_in: Some(WayIn::Trial),
    retry_in: Duration::ZERO,
};

pub async fn r2_looks_are_work_until_the_last_found_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let cut = world.task(router).await;
    let first = recorded(world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await);
    assert_eq!(world.owed().await, (0, 0), "a look is not owed");

    let look = world.task(router).await;
    assert_eq!(
        (look.id, look.revision, look.want),
        (cut.id, cut.revision, Want::Cut)
    );
    assert_eq!(look.progress, first.progress);
    let later = Outcome::Confirmed {
        next_look: Some(HOUR),
    };
    let second = recorded(world.settle_on(router, &look, later, &[]).await);
    assert_eq!((second.lag(), second.progress.looks), (None, 1));
    assert_eq!(second.progress.confirmed_at, first.progress.confirmed_at);

    let fence = world.fence(router).await;
    let work = ok(world.work(&fence, 9, 9).await);
    assert_eq!(work.tasks, []);
    let confirmed = first.progress.confirmed_at.expect("it was");
    assert_eq!(work.next_at, Some(confirmed + HOUR));
    recorded(world.settle_on(router, &look, DONE, &[]).await);
    assert_eq!(ok(world.work(&fence, 9, 9).await).next_at, None);
}

pub async fn r2_who_came_back_is_owed_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let cut = world.task(router).await;
    let first = recorded(world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await);
    let look = world.task(router).await;

    let returned = recorded(world.settle_on(router, &look, BACK, &[]).await);

    assert_eq!(returned.lag(), None);
    assert_eq!(world.owed().await, (1, 0));
    let again = world.task(router).await;
    assert_eq!(again.progress, returned.progress);
    assert_eq!(
        (again.progress.state, again.progress.returns),
        (State::Owed, 1)
    );
    let item = &ok(world.status(9).await).owed[0];
    assert!(item.online && !item.cannot_hold);
    assert_eq!(item.way_in, Some(WayIn::Trial));
    let second = recorded(world.settle_on(router, &again, LOOK_AT_ONCE, &[]).await);
    assert!(first.lag().is_some());
    assert_eq!(second.lag(), None, "there is one lag for each deadline");
}

pub async fn r2_after_three_returns_a_cut_cannot_hold_and_is_not_hurried(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    for round in 0..3 {
        assert!(world.task(router).await.progress.returns == round);
        let cut = world.task(router).await;
        world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
        let look = world.task(router).await;
        world.settle_on(router, &look, BACK, &[]).await;
    }
    let cut = world.task(router).await;
    let later = Outcome::Unconfirmed {
        error: "still there".into(),
        online: Some(true),
        retry_in: HOUR,
    };
    world.settle_on(router, &cut, later, &[]).await;

    ok(world.nudge().await);

    assert_eq!(world.tasks(router).await, []);
    let item = &ok(world.status(9).await).owed[0];
    assert!(item.cannot_hold);
    assert_eq!(item.way_in, Some(WayIn::Trial));
    world.revoke(ended.id).await;
    assert_eq!(
        world.task(router).await.progress.returns,
        0,
        "a new deadline starts anew"
    );
}

pub async fn r2_a_look_that_is_about_to_write_is_owed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let cut = world.task(router).await;
    world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
    let look = world.task(router).await;

    assert!(world.intend_on(router, &look, &[name_undo("s")]).await);

    assert_eq!(world.owed().await, (1, 0));
    assert_eq!(world.task(router).await.progress.state, State::Owed);
    let returned = recorded(world.settle_on(router, &look, BACK, &[]).await);
    assert_eq!(returned.progress.returns, 1);
}

pub async fn r3_a_restore_carries_what_is_open_and_its_look_what_it_undid(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.cut(router, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    world.confirm(router, &world.task(router).await).await;
    world.revoke(ended.id).await;
    world.cut(router, &[mac_undo(mac(1))]).await;

    world.pay(ended.id).await;

    let restore = world.task(router).await;
    assert_eq!(
        restore.undo,
        [mac_undo(mac(1))],
        "only what is open while it is owed"
    );
    world
        .settle_on(router, &restore, LOOK_AT_ONCE, &restore.undo)
        .await;
    let look = world.task(router).await;
    assert_eq!(look.undo, restore.undo, "not what an earlier restore undid");
    world.settle_on(router, &look, BACK, &[]).await;
    let again = world.task(router).await;
    assert_eq!(again.undo, restore.undo, "and nothing else is opened again");
}
