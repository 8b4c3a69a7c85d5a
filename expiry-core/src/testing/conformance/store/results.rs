use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::world::{
    HOUR, World, mac, macs, name_undo, names_of, new_subscriber, ok, recorded, username,
};
use crate::{
    Access, Intent, Live, Outcome, Revision, RouterId, Settled, Settlement, State, Store, TaskId,
    TaskRef, Want,
};

const DONE: Outcome = Outcome::Confirmed { next_look: None };
const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};
pub async fn r2_a_confirmed_cut_is_owed_no_more_and_has_a_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let seen = (task.progress.next_attempt_at.expect("owed") - task.due_at).to_std();

    let done = world.confirm(router, &task).await;

    let at_most = (world.time().await - task.due_at).to_std().expect("past");
    let lag = done.lag().expect("the first confirmation");
    assert!(lag >= seen.expect("past") && lag <= at_most);
    assert!(!done.is_outage());
    assert_eq!(done.progress.state, State::Confirmed);
    assert_eq!((done.progress.attempts, done.progress.verify_at), (1, None));
    assert_eq!(world.tasks(router).await, []);
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn r2_what_is_not_confirmed_stays_owed_and_is_tried_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let failed = |retry_in| Outcome::Unconfirmed {
        error: "still there".into(),
        online: Some(true),
        retry_in,
    };

    let first = world
        .settle_on(router, &task, failed(Duration::ZERO), &[])
        .await;
    let again = world.task(router).await;
    assert_eq!(again.progress, recorded(first).progress);
    assert_eq!(
        (again.id, again.revision, again.due_at),
        (task.id, task.revision, task.due_at)
    );
    let second = world.settle_on(router, &again, failed(HOUR), &[]).await;

    let second = recorded(second);
    assert_eq!((second.lag(), second.progress.attempts), (None, 2));
    let fence = world.fence(router).await;
    let work = ok(world.work(&fence, 9, 9).await);
    assert_eq!(work.tasks, []);
    assert_eq!(work.next_at, second.progress.next_attempt_at);
    assert!(work.next_at > Some(work.now));
    let item = &ok(world.status(9).await).owed[0];
    assert_eq!((item.online, item.attempts), (true, 2));
    assert_eq!(item.last_error.as_deref(), Some("still there"));
}

pub async fn settling_twice_records_no_second_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;

    let first = recorded(world.settle_on(router, &task, LOOK_AT_ONCE, &[]).await);
    let second = recorded(world.settle_on(router, &task, LOOK_AT_ONCE, &[]).await);

    assert!(first.lag().is_some());
    assert_eq!((second.lag(), second.is_outage()), (None, false));
    assert_eq!(world.owed().await, (0, 0));
}

pub async fn settling_at_once_records_one_lag(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;

    let (one, two) = tokio::join!(
        world.settle_on(router, &task, DONE, &[]),
        world.settle_on(router, &task, DONE, &[])
    );

    let lags = [one, two].map(|settled| recorded(settled).lag().is_some());
    assert_eq!(lags.iter().filter(|lag| **lag).count(), 1);
}

pub async fn many_tasks_are_planned_and_recorded_together(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    for number in 0..150 {
        let over = world.time().await - TimeDelta::seconds(1);
        let name = format!("s{number}");
        world
            .add(&new_subscriber(&name, Access::Until(over), &[]))
            .await;
    }
    world.plan().await;
    let fence = world.fence(router).await;
    let tasks = ok(world.work(&fence, u32::MAX, u32::MAX).await).tasks;
    assert_eq!(tasks.len(), 150);
    let intents = tasks.iter().map(|task| Intent {
        task: task.into(),
        undo: task
            .username
            .iter()
            .map(|name| name_undo(name.as_str()))
            .collect(),
        trace: crate::Trace::default(),
    });
    let settlements = tasks.iter().map(|task| Settlement {
        task: task.into(),
        outcome: DONE,
        undone: Vec::new(),
    });
    let (intents, settlements): (Vec<_>, Vec<_>) = (intents.collect(), settlements.collect());

    assert_eq!(ok(world.intend(&fence, &intents).await).len(), 150);
    let settled = ok(world.settle(&fence, &settlements).await);

    assert!(
        settled
            .iter()
            .all(|settled| matches!(settled, Settled::Recorded(_)))
    );
    assert_eq!(world.owed().await, (0, 0));
    assert_eq!(ok(world.open_work(router).await).undo.len(), 150);
}

pub async fn intending_twice_commits_the_same(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let task = world.task(router).await;

    assert!(world.intend_on(router, &task, &[name_undo("s")]).await);
    assert!(world.intend_on(router, &task, &[name_undo("s")]).await);

    let after = world.task(router).await;
    assert_eq!(after, task, "an intent is no attempt that failed");
    world.pay(ended.id).await;
    assert_eq!(world.task(router).await.undo, [name_undo("s")]);
}

pub async fn answers_come_in_the_order_of_the_settlements(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("a", &[]).await;
    let paid = world.ended("b", &[]).await;
    world.ended("c", &[]).await;
    let tasks = world.tasks(router).await;
    world.pay(paid.id).await;
    let settlements: Vec<_> = tasks
        .iter()
        .rev()
        .map(|task| Settlement {
            task: task.into(),
            outcome: match task.username.as_ref().map(ToString::to_string).as_deref() {
                Some("c") => LOOK_AT_ONCE,
                _ => DONE,
            },
            undone: Vec::new(),
        })
        .collect();

    let fence = world.fence(router).await;
    let settled = ok(world.settle(&fence, &settlements).await);

    let verify: Vec<_> = settled
        .iter()
        .map(|settled| match settled {
            Settled::Recorded(recorded) => Some(recorded.progress.verify_at.is_some()),
            Settled::Superseded => None,
        })
        .collect();
    assert_eq!(verify, [Some(true), None, Some(false)]);
    assert_eq!(ok(world.settle(&fence, &[]).await), []);
}

pub async fn r3_only_tasks_as_they_were_handed_out_stand(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let elsewhere = world.router("elsewhere").await;
    world.ended("s", &[]).await;
    let good = TaskRef::from(&world.task(router).await);
    let foreign = TaskRef::from(&world.task(elsewhere).await);
    let strangers = [
        foreign,
        TaskRef {
            id: TaskId(4711),
            ..good
        },
        TaskRef {
            revision: Revision(good.revision.0 + 1),
            ..good
        },
        TaskRef {
            want: Want::Restore,
            ..good
        },
    ];
    let mut all = strangers.to_vec();
    all.push(good);
    let only = BTreeSet::from([good]);
    let fence = world.fence(router).await;

    assert_eq!(ok(world.standing(&fence, &all).await), only);
    let intents: Vec<_> = strangers
        .iter()
        .map(|task| Intent {
            task: *task,
            undo: vec![name_undo("s")],
            trace: crate::Trace::default(),
        })
        .collect();
    assert_eq!(ok(world.intend(&fence, &intents).await), BTreeSet::new());
    let settlements: Vec<_> = strangers
        .iter()
        .map(|task| Settlement {
            task: *task,
            outcome: DONE,
            undone: vec![name_undo("s")],
        })
        .collect();
    let settled = ok(world.settle(&fence, &settlements).await);

    assert!(
        settled
            .iter()
            .all(|settled| *settled == Settled::Superseded)
    );
    assert!(ok(world.open_work(router).await).undo.is_empty());
    assert_eq!(world.owed().await, (2, 0));
}

pub async fn restores_come_first_then_fresh_cuts_then_backlog(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let mut payers = Vec::new();
    for name in ["restore1", "restore2"] {
        payers.push(world.ended(name, &[]).await.id);
        world.cut(router, &[name_undo(name)]).await;
    }
    let now = world.time().await;
    for (name, ago) in [("old2", 3000), ("fresh2", 2), ("old1", 4000), ("fresh1", 3)] {
        let end = Access::Until(now - TimeDelta::seconds(ago));
        world.add(&new_subscriber(name, end, &[])).await;
    }
    world.plan().await;
    for payer in payers {
        world.pay(payer).await;
    }
    let fence = world.fence(router).await;
    let work = |limit, backlog| {
        let work = world.work(&fence, limit, backlog);
        async move { ok(work.await).tasks }
    };

    let all = ["restore1", "restore2", "fresh1", "fresh2", "old1", "old2"];
    assert_eq!(names_of(&work(100, 100).await), all);
    assert_eq!(names_of(&work(100, 1).await), all[..5]);
    assert_eq!(names_of(&work(100, 0).await), all[..4]);
    assert_eq!(names_of(&work(3, 100).await), all[..3]);
    assert_eq!(names_of(&work(0, 100).await), [""; 0]);
}

pub async fn a_router_is_given_its_own_work_alone(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    world.ended("s", &[]).await;
    world.cut(one, &[]).await;

    assert_eq!(world.tasks(one).await, []);
    assert_eq!(names_of(&world.tasks(two).await), ["s"]);
}

pub async fn r1_what_is_live_is_asked_by_the_scope_of_the_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router("r").await;
    let theirs = world.router_of(Some(tenant), "theirs").await;
    world.live("live", &[mac(1)]).await;
    world
        .add(&new_subscriber("forever", Access::Forever, &[mac(2)]))
        .await;
    world.ended("ended", &[mac(3)]).await;
    world
        .add(&new_subscriber("none", Access::None, &[mac(4)]))
        .await;
    let gone = world.live("gone", &[mac(5)]).await;
    ok(world.remove_subscriber(gone.id).await);
    let mut bound = new_subscriber("bound", Access::Forever, &[mac(6)]);
    bound.router = Some(world.router("other").await);
    world.add(&bound).await;
    let names = [
        "live", "forever", "ended", "none", "gone", "bound", "stranger",
    ];
    let names = names.map(username).into();
    let devices = macs(&[1, 2, 3, 4, 5, 6, 7].map(mac));

    let here = ok(world.live_at(router, &names, &devices).await);
    let there = ok(world.live_at(theirs, &names, &devices).await);
    let nowhere = ok(world.live_at(RouterId(4711), &names, &devices).await);
    let some = ok(world
        .live_at(router, &BTreeSet::new(), &macs(&[mac(2)]))
        .await);

    assert_eq!(here.names, ["live", "forever"].map(username).into());
    assert_eq!(here.macs, macs(&[mac(1), mac(2)]));
    assert_eq!((there, nowhere), (Live::default(), Live::default()));
    assert_eq!((some.names.len(), some.macs), (0, macs(&[mac(2)])));
}

pub async fn r2_where_a_cut_saw_its_target_is_kept_until_it_is_confirmed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let subscriber = world.ended("s", &[]).await;
    let task = world.task(router).await;
    assert!(task.trace.is_empty());
    let fence = world.fence(router).await;
    let seen = |address: &str| crate::Trace {
        addresses: [address.parse().expect("an address")].into(),
        stations: [mac(9)].into(),
    };
    let intent = |trace| Intent {
        task: (&task).into(),
        undo: Vec::new(),
        trace,
    };
    ok(world.intend(&fence, &[intent(seen("10.5.0.1"))]).await);
    ok(world.intend(&fence, &[intent(seen("10.5.0.2"))]).await);
    ok(world.add_device(subscriber.id, mac(1)).await);

    let task = world.task(router).await;
    let mut both = seen("10.5.0.1");
    both.add(&seen("10.5.0.2"));
    assert_eq!(task.trace, both, "kept over attempts and plannings");

    let done = Outcome::Confirmed {
        next_look: Some(Duration::ZERO),
    };
    world.settle_on(router, &task, done, &[]).await;
    assert!(world.task(router).await.trace.is_empty());
}
