use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    reconcile::by_name,
    world::{World, facts, name_undo, new_subscriber, ok, recorded},
};
use crate::{Access, CutResult, Histogram, Lags, Outcome, RouterId, RouterState, Store};

const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};

pub async fn r9_each_first_confirmation_is_counted_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (router, other) = (world.router("r").await, world.router("other").await);
    assert_eq!(ok(world.lag().await), crate::LagReport::default());
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    let first = recorded(world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await);
    let back = Outcome::Returned {
        way_in: Some(crate::WayIn::Cookie),
        retry_in: Duration::ZERO,
    };
    for outcome in [LOOK_AT_ONCE, back, LOOK_AT_ONCE] {
        let task = world.task(router).await;
        world.settle_on(router, &task, outcome, &[]).await;
    }
    world.cut(other, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(other).await;
    let restored = world.confirm(other, &restore).await;

    let report = ok(world.lag().await);

    let lag = first.lag().expect("the first");
    let here = of(&report, Some("r"));
    assert_eq!((here.cuts.count(), here.cuts.sum()), (1, lag));
    assert_eq!(here.cuts.max(), Some(lag));
    assert_eq!((here.restores.count(), here.outage_cuts.count()), (0, 0));
    let there = of(&report, Some("other"));
    assert_eq!((there.cuts.count(), there.restores.count()), (1, 1));
    assert_eq!(Some(there.restores.sum()), restored.lag());
    assert_eq!(
        (report.all.cuts.count(), report.all.restores.count()),
        (2, 1)
    );
    let names: Vec<_> = report
        .routers
        .iter()
        .map(|of| of.router.as_deref())
        .collect();
    assert_eq!(names, [Some("other"), Some("r")]);
    let ids: Vec<_> = report.routers.iter().map(|of| of.id).collect();
    assert_eq!(ids, [Some(other), Some(router)]);
}

pub async fn r9_lags_of_outages_are_counted_apart(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    world.ended("waited", &[]).await;
    ok(world
        .router_state(&fence, &RouterState::Failed("refused".into()))
        .await);
    let reached = RouterState::Reached(facts("hotspot", None));
    ok(world.router_state(&fence, &reached).await);
    world.cut(router, &[]).await;
    let back = world.time().await;
    world.pass(back).await;
    let fresh = world.live("fresh", &[]).await;
    world.revoke(fresh.id).await;
    world.cut(router, &[]).await;

    let report = ok(world.lag().await);

    let here = of(&report, Some("r"));
    assert_eq!((here.cuts.count(), here.outage_cuts.count()), (1, 1));
    assert!(here.outage_cuts.max() > Some(Duration::from_secs(1)));
}

pub async fn r9_lags_fall_into_their_buckets(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let now = world.time().await;
    for (name, ago) in [("a", 1), ("b", 2), ("late", 15), ("too late", 4000)] {
        let end = Access::Until(now - TimeDelta::seconds(ago));
        world.add(&new_subscriber(name, end, &[])).await;
    }
    world.plan().await;
    for task in world.tasks(router).await {
        world.confirm(router, &task).await;
    }

    let lags = ok(world.lag().await).all;
    let cuts = lags.cuts;

    let up_to = |seconds| {
        let bound = Some(Duration::from_secs(seconds));
        let found = cuts.cumulative().find(|(upper, _)| *upper == bound);
        found.expect("a bucket").1
    };
    // By a machine that is busy, both may have taken longer.
    assert_eq!((up_to(1), up_to(3600)), (0, 2));
    assert_eq!((cuts.count(), lags.known_late_cuts.count()), (2, 2));
    assert!(cuts.max() >= Some(Duration::from_secs(2)));
}

pub async fn r9_what_a_removed_router_took_stays_counted(store: Arc<dyn Store>) {
    let world = World::new(store);
    for name in ["one", "two", "three"] {
        let router = world.router(name).await;
        let fresh = world.live(name, &[]).await;
        world.revoke(fresh.id).await;
        for task in world.tasks(router).await {
            world.confirm(router, &task).await;
        }
        if name != "three" {
            ok(world.remove_router(router, true).await);
        }
    }
    let before = ok(world.lag().await);
    // A new router of an old name begins anew.
    world.router("one").await;

    let report = ok(world.lag().await);

    assert_eq!(report, before);
    let ids: Vec<_> = report.routers.iter().map(|of| of.id.is_some()).collect();
    assert_eq!(ids, [true, false]);
    let counted = of(&report, Some("three")).cuts.count() + of(&report, None).cuts.count();
    assert_eq!(report.all.cuts.count(), counted);
    assert!(of(&report, None).cuts.count() >= 2);
}

pub async fn r9_attempts_are_counted_by_what_they_came_to(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (router, other) = (world.router("r").await, world.router("other").await);
    let fence = world.fence(router).await;
    world.ended("s", &[]).await;
    let failed = Outcome::Unconfirmed {
        error: "a session is left".into(),
        online: Some(true),
        retry_in: Duration::ZERO,
    };
    let back = Outcome::Returned {
        way_in: None,
        retry_in: Duration::ZERO,
    };
    for outcome in [&failed, &failed, &LOOK_AT_ONCE, &LOOK_AT_ONCE, &back] {
        let task = world.task(router).await;
        world.settle_on(router, &task, outcome.clone(), &[]).await;
    }
    world.cut(router, &[name_undo("s")]).await;
    let reading = crate::Reconciliation {
        on: [(by_name("s"), Some(crate::WayIn::Account))].into(),
        strays: Vec::new(),
        pace: Duration::ZERO,
        is_partial: false,
    };
    ok(world.reconciled(&fence, &reading).await);

    let counts = ok(world.counts().await);

    let names: Vec<_> = counts.iter().map(|of| of.router.as_str()).collect();
    assert_eq!(names, ["other", "r"]);
    assert_eq!((counts[0].id, counts[1].id), (other, router));
    assert!(counts[0].cuts.is_empty());
    let of = |result| counts[1].cuts.get(&result).copied();
    assert_eq!(of(CutResult::Unconfirmed), Some(2));
    assert_eq!(of(CutResult::Confirmed), Some(2));
    assert_eq!(of(CutResult::Returned), Some(2));
}

pub async fn r9_how_long_routers_took_to_answer_adds_up(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let mut counted = Histogram::default();
    for requests in [&[3, 70][..], &[80, 5_000_000], &[]] {
        let mut some = Histogram::default();
        for millis in requests {
            some.record(Duration::from_millis(*millis));
        }
        counted.add(&some);
        let gone = RouterId(router.0 + 1_000);
        let noted = [(router, some.clone()), (gone, some)];
        ok(world.note_requests(&noted.into()).await);
    }

    let counts = ok(world.counts().await);

    assert_eq!(counts.len(), 1);
    assert_eq!((counts[0].id, &counts[0].requests), (router, &counted));
}

pub async fn r8_an_old_epoch_counts_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let task = world.task(router).await;
    let fence = crate::Fence {
        epoch: crate::Epoch(4711),
        ..world.fence(router).await
    };
    let settlement = crate::Settlement {
        task: (&task).into(),
        outcome: LOOK_AT_ONCE,
        undone: Vec::new(),
    };
    assert!(world.settle(&fence, &[settlement]).await.is_err());

    assert_eq!(ok(world.lag().await), crate::LagReport::default());
    let of_subscribers = world.explained("s").await.events;
    assert_eq!(of_subscribers.len(), 2, "made and ended");
}

fn of(report: &crate::LagReport, name: Option<&str>) -> Lags {
    let found = report
        .routers
        .iter()
        .find(|of| of.router.as_deref() == name);
    let found = found.unwrap_or_else(|| panic!("{name:?} is not listed: {report:?}"));
    assert_ne!(found.id, Some(RouterId(0)));
    found.lags.clone()
}
