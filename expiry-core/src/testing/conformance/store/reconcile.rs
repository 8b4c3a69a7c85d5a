use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::world::{
    HOUR, World, assert_refused, facts, mac, name_undo, new_subscriber, ok, username,
};
use crate::{
    Access, Known, MacAddr, Missing, NewSubscriber, Outcome, Presence, PresenceKind, Reconciled,
    Reconciliation, RouterId, RouterState, State, Store, StoreError, Stray, Task, UndoKey, Want,
    WayIn,
};

const DONE: Outcome = Outcome::Confirmed { next_look: None };
const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};

pub async fn r1_who_has_what_is_asked_by_the_scope_of_the_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    let tenant = world.tenant("acme").await;
    let theirs = world.router_of(Some(tenant), "theirs").await;
    world.live("live", &[mac(1)]).await;
    world.ended("ended", &[mac(2), mac(3)]).await;
    world
        .add(&new_subscriber("none", Access::None, &[mac(4)]))
        .await;
    let over = Access::Until(world.time().await);
    let bound = NewSubscriber {
        router: Some(other),
        ..new_subscriber("bound", over, &[mac(5)])
    };
    world.add(&bound).await;

    let all = keys(
        &["live", "ended", "none", "bound", "nobody"],
        &[1, 2, 3, 4, 5, 6],
    );
    let known = ok(world.known(router, &all).await);
    assert_eq!(
        known,
        of(&keys(&["live"], &[1]), &keys(&["ended"], &[2, 3]))
    );
    let known = ok(world.known(other, &all).await);
    let ended = keys(&["ended", "bound"], &[2, 3, 5]);
    assert_eq!(known, of(&keys(&["live"], &[1]), &ended));
    let few = keys(&["ended"], &[3]);
    assert_eq!(
        ok(world.known(router, &few).await),
        of(&BTreeSet::new(), &few)
    );
    for nowhere in [theirs, RouterId(4711)] {
        assert_eq!(ok(world.known(nowhere, &all).await), Known::default());
    }
    assert_eq!(
        ok(world.known(router, &BTreeSet::new()).await),
        Known::default()
    );
}

pub async fn r2_what_was_removed_has_ended_for_as_long_as_its_row_is_there(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let lost = world.live("live", &[mac(1), mac(2)]).await;
    ok(world.remove_device(lost.id, mac(2)).await);
    let gone = world.live("gone", &[mac(3)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let all = keys(&["live", "gone"], &[1, 2, 3]);

    let known = ok(world.known(router, &all).await);
    assert_eq!(known, of(&keys(&["live"], &[1]), &keys(&["gone"], &[2, 3])));

    for task in world.tasks(router).await {
        world.settle_on(router, &task, DONE, &[]).await;
    }
    world.plan().await;
    let known = ok(world.known(router, &all).await);
    assert_eq!(known, of(&keys(&["live"], &[1]), &BTreeSet::new()));
}

pub async fn r9_who_is_found_on_after_a_confirmed_cut_is_owed_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[mac(1)]).await;
    let first = world.task(router).await;
    world.settle_on(router, &first, DONE, &[]).await;
    assert_eq!(world.owed().await, (0, 0));
    let before = world.time().await;
    world.pass(before).await;

    let on = [
        (UndoKey::Mac(mac(1)), WayIn::Trial),
        (by_name("s"), WayIn::Account),
    ];
    let done = record(&world, router, &on, &[]).await;

    assert_eq!(done.found.len(), 1);
    let found = &done.found[0];
    assert_eq!(
        (found.task, &found.username),
        (first.id, &Some(username("s")))
    );
    assert_eq!(
        (found.way_in, found.cannot_hold),
        (Some(WayIn::Account), false)
    );
    assert_eq!(world.owed().await, (1, 0));
    let cut = world.task(router).await;
    assert_eq!(
        (cut.id, cut.revision, cut.due_at),
        (first.id, first.revision, first.due_at)
    );
    let progress = &cut.progress;
    assert_eq!(
        (progress.state, progress.attempts, progress.returns),
        (State::Owed, 0, 1)
    );
    assert_eq!(
        (progress.online, progress.way_in),
        (true, Some(WayIn::Account))
    );
    let item = &ok(world.status(9).await).owed[0];
    assert!(item.attempted_at <= Some(before), "nothing was tried since");
    let again = world.confirm(router, &cut).await;
    assert_eq!(again.lag(), None, "there is one lag for each deadline");
}

pub async fn r9_a_way_in_that_nobody_uses_is_owed_and_no_return(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[mac(1)]).await;
    let first = world.task(router).await;
    world.settle_on(router, &first, LOOK_AT_ONCE, &[]).await;
    let fence = world.fence(router).await;
    let read = async |on: &[(UndoKey, Option<WayIn>)]| {
        let reconciliation = Reconciliation {
            on: on.iter().cloned().collect(),
            strays: Vec::new(),
            pace: HOUR,
            is_partial: false,
        };
        ok(world.reconciled(&fence, &reconciliation).await).found
    };

    let found = read(&[(by_name("s"), None)]).await;

    assert_eq!((found.len(), found[0].way_in), (1, None));
    let cut = world.task(router).await;
    assert_eq!((cut.progress.state, cut.progress.returns), (State::Owed, 0));
    assert!(!cut.progress.online);
    world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
    let used = (UndoKey::Mac(mac(1)), Some(WayIn::Bypass));
    let found = read(&[(by_name("s"), None), used]).await;
    assert_eq!(found[0].way_in, Some(WayIn::Bypass), "one of two is used");
    assert_eq!(world.task(router).await.progress.returns, 1);
}

pub async fn r9_what_is_owed_already_is_left_as_it_is(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let later = Outcome::Unconfirmed {
        error: "refused".into(),
        online: None,
        retry_in: HOUR,
    };
    world.settle_on(router, &task, later, &[]).await;
    let before = ok(world.status(9).await).owed;

    let done = record(&world, router, &[(by_name("s"), WayIn::Account)], &[]).await;

    assert_eq!(done.found, []);
    assert_eq!(ok(world.status(9).await).owed, before);
    assert_eq!(
        world.tasks(router).await,
        [],
        "it still waits for its next attempt"
    );
}

pub async fn r2_what_comes_back_again_and_again_waits_for_its_pace(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    for round in 1..=3 {
        let cut = world.task(router).await;
        world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
        let done = record(&world, router, &[(by_name("s"), WayIn::Trial)], &[]).await;
        assert_eq!(done.found[0].cannot_hold, round == 3);
    }
    assert_eq!(world.tasks(router).await, [], "not before the sweep");
    let item = &ok(world.status(9).await).owed[0];
    assert!(item.cannot_hold && item.online);
    assert_eq!(item.way_in, Some(WayIn::Trial));
    let done = record(&world, router, &[(by_name("s"), WayIn::Trial)], &[]).await;
    assert_eq!(done.found, []);
    assert_eq!(world.tasks(router).await, [], "and it is not hurried");
}

pub async fn r1_nobody_is_owed_a_cut_who_has_not_ended_in_scope(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    let paid = world.ended("paid", &[mac(1)]).await;
    world.cut(router, &[]).await;
    world.pay(paid.id).await;
    let never = world.ended("never", &[mac(2)]).await;
    world.cut(router, &[]).await;
    world.set(never.id, Access::None).await;
    let over = Access::Until(world.time().await);
    let bound = NewSubscriber {
        router: Some(other),
        ..new_subscriber("bound", over, &[mac(3)])
    };
    world.add(&bound).await;
    world.plan().await;
    let on = ["paid", "never", "bound", "nobody"]
        .map(by_name)
        .into_iter();
    let on: Vec<_> = on
        .chain((1..=4).map(|n| UndoKey::Mac(mac(n))))
        .map(|key| (key, WayIn::Account))
        .collect();

    let done = record(&world, router, &on, &[]).await;

    assert_eq!(done, Reconciled::default());
    assert_eq!(world.tasks(router).await, []);
}

pub async fn r9_ended_subscribers_without_a_row_get_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.ended("s", &[mac(1)]).await;
    world.ended("t", &[]).await;
    let router = world.router("r").await;

    let on = [
        (UndoKey::Mac(mac(1)), WayIn::Bypass),
        (by_name("t"), WayIn::Trial),
    ];
    let found = record(&world, router, &on, &[]).await.found;

    let mut cuts = world.tasks(router).await;
    cuts.sort_by(|a, b| a.username.cmp(&b.username));
    assert_eq!(cuts.len(), 2);
    for (cut, name, way_in) in [
        (&cuts[0], "s", WayIn::Bypass),
        (&cuts[1], "t", WayIn::Trial),
    ] {
        assert_eq!(
            (cut.want, &cut.username),
            (Want::Cut, &Some(username(name)))
        );
        assert!(cut.progress.online && cut.progress.returns == 0);
        let of_cut = found.iter().find(|found| found.task == cut.id);
        assert_eq!(of_cut.and_then(|found| found.way_in), Some(way_in));
    }
}

pub async fn r9_an_end_that_nobody_planned_is_left_to_the_planning(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + TimeDelta::milliseconds(100);
    world
        .add(&new_subscriber("s", Access::Until(end), &[]))
        .await;
    world.pass(end).await;

    let done = record(&world, router, &[(by_name("s"), WayIn::Account)], &[]).await;

    assert_eq!(done, Reconciled::default(), "it is no stray");
    assert_eq!(world.tasks(router).await, []);
    world.plan().await;
    assert_eq!(world.task(router).await.due_at, end);
}

pub async fn r2_who_was_removed_is_owed_again_too(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("live", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    let gone = world.live("gone", &[mac(2)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let later = Outcome::Confirmed {
        next_look: Some(HOUR),
    };
    for task in world.tasks(router).await {
        world.settle_on(router, &task, later.clone(), &[]).await;
    }
    let on = [UndoKey::Mac(mac(1)), UndoKey::Mac(mac(2)), by_name("live")];

    let done = record(&world, router, &on.map(|key| (key, WayIn::MacLogin)), &[]).await;

    let names: BTreeSet<_> = done.found.into_iter().map(|found| found.username).collect();
    assert_eq!(names, [None, Some(username("gone"))].into());
    assert_eq!(world.owed().await, (2, 0));
}

pub async fn r10_who_is_found_long_after_the_end_comes_after_fresh_deadlines(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let now = world.time().await;
    let end = now - TimeDelta::milliseconds(29_500);
    world
        .add(&new_subscriber("old", Access::Until(end), &[]))
        .await;
    world.plan().await;
    let cut = world.task(router).await;
    world.settle_on(router, &cut, DONE, &[]).await;
    world.pass(end + TimeDelta::seconds(30)).await;

    record(&world, router, &[(by_name("old"), WayIn::Account)], &[]).await;
    world.ended("fresh", &[]).await;

    let tasks = world.tasks(router).await;
    let backlog = |task: &Task| (task.username.clone(), task.backlog);
    let expected = [
        (Some(username("fresh")), false),
        (Some(username("old")), true),
    ];
    assert_eq!(tasks.iter().map(backlog).collect::<Vec<_>>(), expected);
}

pub async fn r9_strays_are_replaced_and_keep_when_they_were_first_seen(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let empty = ok(world.strays(router).await);
    assert_eq!((empty.reconciled_at, empty.strays), (None, vec![]));
    assert_refused!(
        world.strays(RouterId(4711)).await,
        StoreError::Missing(Missing::Router)
    );
    let staff = stray("staff", 1);
    let trial = Presence {
        way_in: WayIn::Trial,
        ..stray("T-02:00:00:00:00:02", 2)
    };
    let printer = Presence {
        kind: PresenceKind::Binding,
        login: None,
        comment: Some("printer".into()),
        online: false,
        way_in: WayIn::Bypass,
        ..stray("", 3)
    };

    let seen = [staff.clone(), printer.clone()];
    let first = record(&world, router, &[], &seen).await;
    assert_eq!(first.new_strays, seen);
    let before = ok(world.strays(router).await);
    let reconciled_at = before.reconciled_at.expect("it was read");
    let times = |stray: &Stray| (stray.first_seen, stray.last_seen);
    let both = [(reconciled_at, reconciled_at); 2];
    assert_eq!(before.strays.iter().map(times).collect::<Vec<_>>(), both);
    world.pass(reconciled_at + TimeDelta::milliseconds(2)).await;

    let moved = Presence {
        address: Some("10.5.0.99".into()),
        ..staff.clone()
    };
    let second = record(&world, router, &[], &[moved.clone(), trial.clone()]).await;

    assert_eq!(second.new_strays, std::slice::from_ref(&trial));
    let after = ok(world.strays(router).await);
    let now = after.reconciled_at.expect("it was read");
    assert!(now > reconciled_at);
    let listed: Vec<_> = after
        .strays
        .iter()
        .map(|s| (s.presence.clone(), times(s)))
        .collect();
    let expected = [(moved, (reconciled_at, now)), (trial, (now, now))];
    assert_eq!(listed, expected, "longest known first");
    assert_eq!(
        record(&world, router, &[], &[]).await,
        Reconciled::default()
    );
    assert_eq!(ok(world.strays(router).await).strays, []);
}

pub async fn r9_status_counts_the_strays_of_each_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("a").await;
    world.router("b").await;
    record(&world, router, &[], &[stray("x", 1), stray("y", 2)]).await;

    let status = ok(world.status(0).await);

    let counts: Vec<_> = status.routers.iter().map(|router| router.strays).collect();
    assert_eq!(counts, [2, 0]);
    let listed = ok(world.strays(router).await);
    assert_eq!(status.routers[0].reconciled_at, listed.reconciled_at);
    assert!(listed.reconciled_at.is_some());
    assert_eq!(status.routers[1].reconciled_at, None);
}

pub async fn r9_whatever_a_router_says_is_kept(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let odd = [
        stray("", 1),
        stray("a\0b", 2),
        stray("\u{1b}[31m", 3),
        stray("’; DROP TABLE stray; --", 4),
        Presence {
            mac: None,
            address: Some("10.5.0.1-10.5.0.9".into()),
            ..stray("x", 5)
        },
        Presence {
            mac: None,
            address: None,
            ..stray("x", 6)
        },
    ];
    assert_eq!(record(&world, router, &[], &odd).await.new_strays.len(), 6);
    let again = record(&world, router, &[], &odd).await;
    assert_eq!(again.new_strays, [], "the same are no news");
    assert_eq!(ok(world.strays(router).await).strays.len(), 6);
}

pub async fn r9_a_router_of_which_nothing_is_known_any_more_has_no_strays(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let moved = crate::RouterChange {
        port: Some(8729),
        ..Default::default()
    };
    for step in 0..3 {
        record(&world, router, &[], &[stray("x", 1)]).await;
        assert!(reconciled_at(&world, router).await);
        match step {
            0 => ok(world.accept_router(router).await),
            1 => drop(ok(world.change_router(router, &moved).await)),
            _ => {
                world.switch(router, false).await;
                assert_eq!(ok(world.strays(router).await).strays.len(), 1);
                world.switch(router, true).await;
            }
        }
        let strays = ok(world.strays(router).await);
        assert_eq!(
            (strays.reconciled_at, strays.strays),
            (None, vec![]),
            "{step}"
        );
        assert!(
            !reconciled_at(&world, router).await,
            "it is to be read at once"
        );
    }
    record(&world, router, &[], &[stray("x", 1)]).await;
    ok(world.remove_router(router, true).await);
}

pub async fn r9_a_router_that_came_back_is_to_be_read_at_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let reached = RouterState::Reached(facts("r", None));
    ok(world.router_state(&fence, &reached).await);
    assert!(!reconciled_at(&world, router).await);
    record(&world, router, &[], &[]).await;
    ok(world.router_state(&fence, &reached).await);
    assert!(reconciled_at(&world, router).await, "it was never away");

    let failed = RouterState::Failed("no answer".into());
    ok(world.router_state(&fence, &failed).await);
    ok(world.router_state(&fence, &reached).await);

    assert!(!reconciled_at(&world, router).await);
    assert!(
        ok(world.strays(router).await).reconciled_at.is_some(),
        "what was read is still what is known"
    );
    record(&world, router, &[], &[]).await;
    assert!(reconciled_at(&world, router).await);
}

pub async fn r9_a_router_that_has_restarted_is_to_be_read_and_its_cuts_looked_at_again(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    let fence = world.fence(router).await;
    record(&world, router, &[], &[]).await;
    assert!(reconciled_at(&world, router).await);
    assert!(ok(world.work(&fence, 9, 9).await).tasks.is_empty());

    let restarted = RouterState::Restarted(facts("r", None));
    ok(world.router_state(&fence, &restarted).await);

    assert!(!reconciled_at(&world, router).await);
    let tasks = ok(world.work(&fence, 9, 9).await).tasks;
    assert_eq!(super::world::names_of(&tasks), ["s"]);
    assert_eq!(tasks[0].progress.state, State::Confirmed);
}

pub async fn r9_a_router_that_started_later_than_it_had_told_has_restarted(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let up = |uptime: &str| {
        let facts = crate::RouterFacts {
            uptime: Some(uptime.into()),
            ..facts("r", None)
        };
        RouterState::Reached(facts)
    };
    ok(world.router_state(&fence, &up("1d02:03:04")).await);
    record(&world, router, &[], &[]).await;
    for uptime in ["1d02:03:04", "1d02:02:30", "2w"] {
        ok(world.router_state(&fence, &up(uptime)).await);
        assert!(reconciled_at(&world, router).await, "{uptime}");
    }
    let unknown = RouterState::Reached(facts("r", None));
    ok(world.router_state(&fence, &unknown).await);
    assert!(reconciled_at(&world, router).await, "it does not say");

    ok(world.router_state(&fence, &up("5s")).await);
    assert!(!reconciled_at(&world, router).await);
    record(&world, router, &[], &[]).await;
    ok(world.router_state(&fence, &up("6s")).await);
    assert!(reconciled_at(&world, router).await, "that is known");
}

pub async fn r9_a_partial_reading_owes_what_it_shows_and_leaves_the_rest_as_it_was(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    record(&world, router, &[], &[stray("x", 1)]).await;
    let before = ok(world.strays(router).await);
    let fence = world.fence(router).await;
    let partial = Reconciliation {
        on: [(by_name("s"), Some(WayIn::Account))].into(),
        strays: vec![],
        pace: HOUR,
        is_partial: true,
    };

    let recorded = ok(world.reconciled(&fence, &partial).await);

    assert_eq!(recorded.found.len(), 1);
    assert_eq!(world.owed().await, (1, 0));
    let after = ok(world.strays(router).await);
    assert_eq!(
        (after.reconciled_at, after.strays),
        (before.reconciled_at, before.strays)
    );
}

pub async fn r4_what_is_in_the_way_of_a_router_is_told_and_is_no_outage(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let reached = RouterState::Reached(facts("r", None));
    ok(world.router_state(&fence, &reached).await);
    record(&world, router, &[], &[]).await;

    let hindered = RouterState::Hindered("no answer for 3 s".into());
    ok(world.router_state(&fence, &hindered).await);

    let status = ok(world.status(1).await);
    let told = &status.routers[0];
    assert_eq!(told.last_error.as_deref(), Some("no answer for 3 s"));
    assert_eq!(told.down_since, None);
    ok(world.router_state(&fence, &reached).await);
    let status = ok(world.status(1).await);
    assert_eq!(status.routers[0].last_error, None);
    assert!(reconciled_at(&world, router).await, "it was never away");
}

pub async fn r8_an_old_epoch_records_no_reading(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    world.cut(router, &[name_undo("s")]).await;
    let old = world.fence(router).await;
    ok(world.own(world.watcher, Duration::ZERO).await);
    ok(world.own(crate::WatcherId::fresh(), HOUR).await);
    let reconciliation = Reconciliation {
        on: [(by_name("s"), Some(WayIn::Account))].into(),
        strays: vec![stray("x", 1)],
        pace: HOUR,
        is_partial: false,
    };

    assert_refused!(
        world.reconciled(&old, &reconciliation).await,
        StoreError::NotOwner(r) if r == router
    );

    assert_eq!(world.owed().await, (0, 0));
    let strays = ok(world.strays(router).await);
    assert_eq!((strays.reconciled_at, strays.strays), (None, vec![]));
}

pub async fn the_next_deadline_of_a_router_is_the_first_that_is_near_in_its_scope(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let other = world.router("other").await;
    let tenant = world.tenant("acme").await;
    let minute = Duration::from_mins(1);
    let next = async |at, within| ok(world.next_deadline(at, within).await);
    assert_eq!(next(router, minute).await, None);
    let now = world.time().await;
    let far = now + TimeDelta::seconds(40);
    world
        .add(&new_subscriber("far", Access::Until(far), &[]))
        .await;
    let near = now + TimeDelta::seconds(30);
    let bound = NewSubscriber {
        router: Some(other),
        ..new_subscriber("near", Access::Until(near), &[])
    };
    world.add(&bound).await;
    let theirs = NewSubscriber {
        tenant: Some(tenant),
        ..new_subscriber("theirs", Access::Until(near), &[])
    };
    world.add(&theirs).await;

    assert_eq!(next(router, minute).await, Some(far));
    assert_eq!(next(other, minute).await, Some(near));
    assert_eq!(next(router, Duration::from_secs(10)).await, None);
    assert_eq!(next(RouterId(4711), minute).await, None);
    world.ended("over", &[]).await;
    assert_eq!(
        next(router, minute).await,
        Some(far),
        "what is planned is no deadline"
    );
}

/// Records a reading, as the owner of the router.
pub(super) async fn record(
    world: &World,
    router: RouterId,
    on: &[(UndoKey, WayIn)],
    strays: &[Presence],
) -> Reconciled {
    let fence = world.fence(router).await;
    let reconciliation = Reconciliation {
        on: on
            .iter()
            .map(|(key, way_in)| (key.clone(), Some(*way_in)))
            .collect(),
        strays: strays.to_vec(),
        pace: HOUR,
        is_partial: false,
    };
    ok(world.reconciled(&fence, &reconciliation).await)
}

/// Tells whether the router has been read since anything asked for it.
async fn reconciled_at(world: &World, router: RouterId) -> bool {
    let fence = world.fence(router).await;
    ok(world.work(&fence, 9, 9).await).reconciled_at.is_some()
}

fn of(live: &BTreeSet<UndoKey>, ended: &BTreeSet<UndoKey>) -> Known {
    Known {
        live: live.clone(),
        ended: ended.clone(),
    }
}

fn keys(names: &[&str], macs: &[u8]) -> BTreeSet<UndoKey> {
    let macs = macs.iter().map(|last| UndoKey::Mac(mac(*last)));
    names.iter().map(|name| by_name(name)).chain(macs).collect()
}

pub(super) fn by_name(name: &str) -> UndoKey {
    UndoKey::Name(username(name))
}

pub(super) fn stray(login: &str, last: u8) -> Presence {
    Presence {
        kind: PresenceKind::Session,
        login: Some(login.into()),
        mac: Some(MacAddr::new([2, 0, 0, 0, 0, last])),
        address: Some(format!("10.5.0.{last}")),
        way_in: WayIn::Account,
        online: true,
        comment: None,
    }
}
