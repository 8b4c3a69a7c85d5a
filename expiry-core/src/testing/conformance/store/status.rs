use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::timeout;

use super::world::{HOUR, World, mac, name_undo, new_router, new_subscriber, ok};
use crate::{Access, ChangeFeed, NewSubscriber, Outcome, Status, Store, Try, Want};

pub async fn r9_status_counts_what_is_true_now(store: Arc<dyn Store>) {
    let world = World::new(store);
    let empty = ok(world.status(9).await);
    assert_eq!(
        (empty.live_subscribers, empty.owed_cuts, empty.owed_restores),
        (0, 0, 0)
    );
    assert_eq!(
        (empty.routers.len(), empty.watchers.len(), empty.owed.len()),
        (0, 0, 0)
    );
    let tenant = world.tenant("acme").await;
    let router = world.router_of(Some(tenant), "b").await;
    world.router("a").await;
    let of_tenant = |name: &str, access| NewSubscriber {
        tenant: Some(tenant),
        ..new_subscriber(name, access, &[])
    };
    let now = world.time().await;
    let back = world.add(&of_tenant("back", Access::Until(now))).await;
    world.plan().await;
    world.cut(router, &[name_undo("back")]).await;
    world.pay(back.id).await;
    world.add(&of_tenant("forever", Access::Forever)).await;
    world.add(&of_tenant("none", Access::None)).await;
    let end = now + TimeDelta::minutes(1);
    world.add(&of_tenant("first", Access::Until(end))).await;
    let over = now - TimeDelta::seconds(5);
    world.add(&of_tenant("over", Access::Until(over))).await;
    let gone = world.live("gone", &[]).await;
    ok(world.remove_subscriber(gone.id).await);
    world.plan().await;

    let status = ok(world.status(9).await);

    assert!(status.now >= now && status.now <= world.time().await);
    assert_eq!(status.live_subscribers, 3);
    assert_eq!((status.owed_cuts, status.owed_restores), (2, 1));
    assert_eq!(status.next_deadline, Some(end));
    let routers: Vec<_> = status
        .routers
        .iter()
        .map(|r| {
            (
                r.name.as_str(),
                r.tenant.as_deref(),
                r.owed_cuts,
                r.owed_restores,
            )
        })
        .collect();
    assert_eq!(routers, [("a", None, 1, 0), ("b", Some("acme"), 1, 1)]);
    assert_eq!(status.routers[1].id, router);
    assert_eq!(status.routers[1].address, "b.example:8728");
    assert!(status.routers[1].enabled);
    assert_eq!(status.routers[1].owner, Some(world.watcher));
}

pub async fn r9_everything_owed_is_listed_oldest_first(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    let router = world.router_of(Some(tenant), "r").await;
    let now = world.time().await;
    for (name, ago) in [("second", 10), ("first", 20)] {
        let mut new = new_subscriber(name, Access::Until(now - TimeDelta::seconds(ago)), &[]);
        new.tenant = Some(tenant);
        world.add(&new).await;
    }
    world.plan().await;
    let tasks = world.tasks(router).await;

    let owed = ok(world.status(9).await).owed;

    let names: Vec<_> = owed.iter().map(|item| item.username.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    let item = &owed[0];
    assert_eq!((item.task, item.want), (Some(tasks[0].id), Want::Cut));
    assert_eq!(item.since, now - TimeDelta::seconds(20));
    assert_eq!(
        (item.tenant.as_deref(), item.router.as_str()),
        (Some("acme"), "r")
    );
    assert_eq!(
        (item.device, item.attempts, item.attempted_at),
        (None, 0, None)
    );
    assert!(!item.online && !item.cannot_hold && item.way_in.is_none());
    let limited = ok(world.status(1).await);
    assert_eq!(limited.owed, owed[..1]);
    assert_eq!(limited.owed_cuts, 2);
}

pub async fn r9_an_attempt_is_noted_when_it_has_ended(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let before = world.time().await;

    assert!(world.intend_on(router, &task, &[]).await);
    assert_eq!(ok(world.status(9).await).owed[0].attempted_at, None);
    let untried = Try {
        task: task.id,
        at: None,
        cannot_hold: false,
    };
    assert_eq!(ok(world.tries().await).tasks, [untried]);
    let left = Outcome::Unconfirmed {
        error: "left".into(),
        online: None,
        retry_in: HOUR,
    };
    world.settle_on(router, &task, left, &[]).await;

    let item = &ok(world.status(9).await).owed[0];
    assert!(item.attempted_at >= Some(before));
    let tried = ok(world.tries().await);
    assert_eq!(
        (tried.tasks[0].task, tried.tasks[0].at),
        (task.id, item.attempted_at)
    );
    world.switch(router, false).await;
    assert_eq!(ok(world.tries().await).tasks, []);
}

pub async fn r9_a_subscriber_whose_cut_is_not_planned_yet_is_not_live(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::milliseconds(50);
    let new = new_subscriber("s", Access::Until(end), &[mac(1)]);
    let made = world.add(&new).await;
    world.pass(end).await;

    let status = ok(world.status(9).await);

    assert_eq!((status.live_subscribers, status.next_deadline), (0, None));
    let names = [made.username].into();
    assert!(
        ok(world.live_at(router, &names, &made.devices).await)
            .names
            .is_empty()
    );
}

pub async fn r9_a_cut_counts_as_owed_before_it_is_planned(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (first, second) = (world.router("a").await, world.router("b").await);
    let end = world.time().await + TimeDelta::milliseconds(50);
    let new = new_subscriber("s", Access::Until(end), &[mac(1)]);
    world.add(&new).await;
    let bound = NewSubscriber {
        router: Some(second),
        ..new_subscriber("bound", Access::Until(end), &[])
    };
    world.add(&bound).await;
    world.pass(end).await;

    let before = ok(world.status(9).await);
    let few = ok(world.status(2).await);
    world.plan().await;
    let after = ok(world.status(9).await);

    assert_eq!((before.owed_cuts, before.owed_restores), (3, 0));
    let by_router = |status: &Status| status.routers.iter().map(|r| r.owed_cuts).collect();
    let counts: Vec<u64> = by_router(&before);
    assert_eq!(counts, [1, 2], "{first} and {second}");
    assert_eq!(few.owed.len(), 2);
    let planned = |status: &Status| status.owed.iter().filter(|i| i.task.is_some()).count();
    assert_eq!((planned(&before), planned(&after)), (0, 3));
    let items = |status: Status| {
        let items = status.owed.into_iter();
        let items = items.map(|i| (i.username, i.router, i.since, i.want, i.online));
        items.collect::<BTreeSet<_>>()
    };
    assert_eq!(items(before), items(after));
}

pub async fn r10_the_outlook_shows_all_that_is_due_and_records_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (first, second) = (world.router("a").await, world.router("b").await);
    let off = world.router("off").await;
    world.switch(off, false).await;
    let paid = world.ended("paid", &[mac(1)]).await;
    for router in [first, second] {
        world.cut(router, &[name_undo("paid")]).await;
    }
    let paid = world.pay(paid.id).await;
    let waits = world.ended("waits", &[]).await;
    let later = Outcome::Unconfirmed {
        error: "left".into(),
        online: None,
        retry_in: HOUR,
    };
    let tasks = world.tasks(first).await;
    let task = tasks
        .iter()
        .find(|task| task.want == Want::Cut)
        .expect("owed");
    world.settle_on(first, task, later, &[]).await;
    let end = world.time().await + TimeDelta::milliseconds(100);
    let new = NewSubscriber {
        router: Some(second),
        ..new_subscriber("unplanned", Access::Until(end), &[mac(2)])
    };
    let unplanned = world.add(&new).await;
    let old = Access::Until(world.time().await - HOUR);
    world.add(&new_subscriber("old", old, &[])).await;
    world.live("live", &[]).await;
    world.pass(end).await;
    let status = ok(world.status(99).await);

    let outlook = ok(world.outlook().await);

    let shown: Vec<_> = outlook
        .tasks
        .iter()
        .map(|(router, task)| {
            let name = task.username.as_ref().map_or("", |name| name.as_str());
            (*router, name, task.want, task.backlog, task.undo.len())
        })
        .collect();
    let of = |router, name, backlog| (router, name, Want::Cut, backlog, 0);
    let expected = [
        (first, "paid", Want::Restore, false, 1),
        of(first, "waits", false),
        of(first, "old", true),
        (second, "paid", Want::Restore, false, 1),
        of(second, "waits", false),
        of(second, "unplanned", false),
        of(second, "old", true),
    ];
    assert_eq!(shown, expected);
    assert_eq!(outlook.next_deadline, paid.access.end());
    let task = &outlook.tasks[5].1;
    assert_eq!((task.id.0, task.revision), (0, unplanned.revision));
    assert_eq!((task.due_at, &task.macs), (end, &unplanned.devices));
    assert!(outlook.tasks[4].1.revision == waits.revision && outlook.now > end);
    let after = ok(world.status(99).await);
    assert_eq!((status.owed, status.watchers), (after.owed, after.watchers));
}

pub async fn r5_changes_of_the_directory_wake_every_feed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let mut feeds = [ok(world.changes().await), ok(world.changes().await)];
    let mut router = None;
    let mut subscriber = None;
    for step in 0..9 {
        for feed in &mut feeds {
            quiet(feed.as_mut()).await;
        }
        match (step, router, subscriber) {
            (0, _, _) => router = Some(world.router("r").await),
            (1, _, _) => subscriber = Some(world.live("s", &[]).await.id),
            (2, _, Some(s)) => drop(world.pay(s).await),
            (3, _, Some(s)) => drop(ok(world.add_device(s, mac(1)).await)),
            (4, _, Some(s)) => drop(ok(world.remove_device(s, mac(1)).await)),
            (5, Some(r), _) => world.switch(r, false).await,
            (6, Some(r), _) => world.switch(r, true).await,
            (7, Some(r), _) => ok(world.accept_router(r).await),
            (8, _, Some(s)) => ok(world.remove_subscriber(s).await),
            _ => unreachable!("the steps build on each other"),
        }
        for feed in &mut feeds {
            assert!(woken(feed.as_mut()).await, "step {step} wakes");
        }
    }
}

pub async fn r5_what_gives_watchers_work_wakes_them(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.fence(router).await;
    let mut feed = ok(world.changes().await);
    let end = world.time().await + TimeDelta::milliseconds(100);
    world
        .add(&new_subscriber("s", Access::Until(end), &[]))
        .await;
    world.pass(end).await;

    quiet(feed.as_mut()).await;
    assert_eq!(world.plan().await.subscribers, 1);
    assert!(woken(feed.as_mut()).await, "planning wakes");

    quiet(feed.as_mut()).await;
    ok(world.nudge().await);
    assert!(woken(feed.as_mut()).await, "a nudge wakes");

    world.cut(router, &[]).await;
    quiet(feed.as_mut()).await;
    let key = crate::UndoKey::Name(super::world::username("s"));
    ok(world.recheck(router, &[key]).await);
    assert!(woken(feed.as_mut()).await, "a recheck wakes");

    quiet(feed.as_mut()).await;
    ok(world.release(world.watcher).await);
    assert!(
        woken(feed.as_mut()).await,
        "a router without an owner wakes"
    );
}

pub async fn r7_records_and_reads_wake_nobody(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let mut feed = ok(world.changes().await);
    quiet(feed.as_mut()).await;

    world.plan().await;
    ok(world.own(world.watcher, HOUR).await);
    assert!(world.intend_on(router, &task, &[name_undo("s")]).await);
    let look = Outcome::Confirmed {
        next_look: Some(Duration::ZERO),
    };
    world.settle_on(router, &task, look, &[]).await;
    ok(world.status(9).await);

    assert!(
        silent(feed.as_mut()).await,
        "nothing has changed for a watcher"
    );
}

pub async fn a_refused_change_changes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[mac(1)]).await;
    let before = (ok(world.status(9).await), world.tasks(router).await);

    let mut twin = new_router("r2");
    twin.address.host = "r.example".into();
    assert!(world.add_router(&twin).await.is_err());
    let taken = new_subscriber("t", Access::Forever, &[mac(2), mac(1)]);
    assert!(world.add_subscriber(&taken).await.is_err());
    assert!(world.remove_router(router, false).await.is_err());

    let after = (ok(world.status(9).await), world.tasks(router).await);
    assert_eq!((before.0.owed, before.1), (after.0.owed, after.1));
    assert_eq!(before.0.live_subscribers, after.0.live_subscribers);
    assert_eq!(after.0.routers.len(), 1);
}

/// Longer than any feed needs to pass a change on. Slow machines can only make a case weaker.
const SILENCE: Duration = Duration::from_millis(400);

/// Takes what a feed still has to say of earlier changes.
pub(super) async fn quiet(feed: &mut dyn ChangeFeed) {
    while let Ok(changed) = timeout(SILENCE, feed.changed()).await {
        ok(changed);
    }
}

pub(super) async fn silent(feed: &mut dyn ChangeFeed) -> bool {
    timeout(SILENCE, feed.changed()).await.is_err()
}

pub(super) async fn woken(feed: &mut dyn ChangeFeed) -> bool {
    match timeout(Duration::from_secs(20), feed.changed()).await {
        Ok(changed) => {
            ok(changed);
            true
        }
        Err(_) => false,
    }
}
