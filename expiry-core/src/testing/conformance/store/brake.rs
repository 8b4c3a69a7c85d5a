use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::world::{HOUR, World, assert_refused, ok};
use crate::{
    Brake, Clocks, Heartbeat, Machine, MachineState, Store, StoreError, WatcherId,
    brake::ClockBrake,
};

pub async fn r10_what_is_known_of_a_machine_reads_back_as_it_was_recorded(store: Arc<dyn Store>) {
    let world = World::new(store);
    let before = world.time().await;
    let nothing = ok(world.machine("m").await);
    assert_eq!((nothing.version, nothing.state), (0, None));
    assert!(nothing.now >= before && nothing.share.is_none());
    let (m, state) = (machine("m"), braked(before));

    assert!(ok(world.record_machine(&m, 0, &state).await));

    let known = ok(world.machine("m").await);
    assert_eq!(known.state, Some(state));
    assert!(known.version > 0);
    assert_eq!(ok(world.machine("another").await).state, None);
}

pub async fn r10_only_the_first_of_two_judgements_is_recorded(store: Arc<dyn Store>) {
    let world = World::new(store);
    let now = world.time().await;
    let m = machine("m");
    assert!(ok(world.record_machine(&m, 0, &braked(now)).await));

    assert!(!ok(world.record_machine(&m, 0, &free(now)).await));

    let known = ok(world.machine("m").await);
    assert_eq!(known.state, Some(braked(now)));
    assert!(ok(world
        .record_machine(&m, known.version, &free(now))
        .await));
    assert_eq!(ok(world.machine("m").await).state, Some(free(now)));
}

pub async fn r10_a_heartbeat_keeps_what_the_clocks_showed_last(store: Arc<dyn Store>) {
    let world = World::new(store);
    let now = world.time().await;
    let (m, state) = (machine("m"), braked(now));
    ok(world.record_machine(&m, 0, &state).await);
    let known = ok(world.machine("m").await);
    let at = |boot_id: &str, seconds: i64| Clocks {
        boot_id: boot_id.into(),
        boot: state.last.boot + Duration::from_secs(seconds.unsigned_abs()),
        wall: now + TimeDelta::seconds(seconds),
    };

    for (boot_id, seconds) in [("boot", 9), ("boot", 3), ("another boot", 30)] {
        let beat = Heartbeat {
            place: Some((m.clone(), at(boot_id, seconds))),
            ..Heartbeat::new(world.watcher, HOUR)
        };
        ok(world.store().own(&beat).await);
    }

    let after = ok(world.machine("m").await);
    let last = at("boot", 9);
    assert_eq!(after.state, Some(MachineState { last, ..state }));
    assert_eq!(after.version, known.version, "it is no judgement");
}

pub async fn r10_a_brake_is_told_with_its_machine_until_it_ends(store: Arc<dyn Store>) {
    let world = World::new(store);
    let now = world.time().await;
    ok(world.record_machine(&machine("free"), 0, &free(now)).await);
    ok(world
        .record_machine(&machine("late"), 0, &braked(now))
        .await);
    let earlier = now - TimeDelta::seconds(9);
    ok(world
        .record_machine(&machine("early"), 0, &braked(earlier))
        .await);

    let brakes = ok(world.status(0).await).brakes;

    let of = |name: &str, since| Brake::Clock {
        machine: format!("name of {name}"),
        since,
        apart_ms: Some(-7_500),
        jumped_ms: Some(3_600_000),
        agreed_ms: Some(20_000),
    };
    assert_eq!(brakes, [of("early", earlier), of("late", now)]);
    let version = ok(world.machine("early").await).version;
    ok(world
        .record_machine(&machine("early"), version, &free(now))
        .await);
    assert_eq!(ok(world.status(0).await).brakes, [of("late", now)]);
}

pub async fn r10_a_release_ends_all_brakes_and_tells_them(store: Arc<dyn Store>) {
    let world = World::new(store);
    let now = world.time().await;
    let mut differing = braked(now);
    differing.agreed_since = None;
    ok(world
        .record_machine(&machine("agrees"), 0, &braked(now))
        .await);
    ok(world
        .record_machine(&machine("differs"), 0, &differing)
        .await);
    ok(world.record_machine(&machine("free"), 0, &free(now)).await);
    let before = ok(world.status(0).await).brakes;

    let released = ok(world.release_brakes().await);

    assert_eq!((released.len(), released), (2, before));
    assert_eq!(ok(world.status(0).await).brakes, []);
    let state = |record: crate::MachineRecord| record.state.expect("it is known");
    let agrees = state(ok(world.machine("agrees").await));
    assert_eq!((agrees.brake, agrees.tolerated), (None, None));
    let differs = ok(world.machine("differs").await);
    assert!(
        !ok(world
            .record_machine(&machine("differs"), 1, &differing)
            .await),
        "a judgement from before the release does not undo it"
    );
    let differs = state(differs);
    let difference = Some(TimeDelta::milliseconds(-7_500));
    assert_eq!((differs.brake, differs.tolerated), (None, difference));
    assert_eq!(state(ok(world.machine("free").await)), free(now));
    assert_eq!(ok(world.release_brakes().await), []);
}

pub async fn r10_a_watcher_that_stands_by_is_seen_and_owns_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let place = Some((machine("m"), free(world.time().await).last));
    let beat = Heartbeat {
        place,
        ..Heartbeat::new(world.watcher, HOUR)
    };

    ok(world.stand_by(&beat).await);

    let status = ok(world.status(0).await);
    assert_eq!(status.watchers.len(), 1);
    let watcher = &status.watchers[0];
    assert!(watcher.alive && watcher.braked);
    assert_eq!(watcher.machine.as_deref(), Some("name of m"));
    assert_eq!(status.routers[0].owner, None);
    assert_refused!(world.work(&fence, 9, 9).await, StoreError::NotOwner(_));
    let next = ok(world.own(WatcherId::fresh(), HOUR).await);
    assert!(next[0].taken_over, "a write may still be under way");
    ok(world.own(world.watcher, HOUR).await);
    let status = ok(world.status(0).await);
    assert!(status.watchers.iter().all(|watcher| !watcher.braked));
}

pub async fn r5_brakes_that_end_and_routers_that_are_let_go_wake_watchers(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.fence(router).await;
    let now = world.time().await;
    let m = machine("m");
    ok(world.record_machine(&m, 0, &braked(now)).await);
    let mut feed = ok(world.changes().await);

    super::status::quiet(feed.as_mut()).await;
    ok(world.stand_by(&Heartbeat::new(world.watcher, HOUR)).await);
    assert!(
        super::status::woken(feed.as_mut()).await,
        "routers are free"
    );

    super::status::quiet(feed.as_mut()).await;
    let version = ok(world.machine("m").await).version;
    ok(world.record_machine(&m, version, &free(now)).await);
    assert!(super::status::woken(feed.as_mut()).await, "a brake ended");

    ok(world.record_machine(&m, version + 1, &braked(now)).await);
    super::status::quiet(feed.as_mut()).await;
    ok(world.release_brakes().await);
    assert!(
        super::status::woken(feed.as_mut()).await,
        "a brake was released"
    );
}

pub(super) fn machine(id: &str) -> Machine {
    Machine {
        id: id.into(),
        name: format!("name of {id}"),
    }
}

/// A machine whose clock jumped, differed, and has agreed for 20 s.
pub(super) fn braked(since: DateTime<Utc>) -> MachineState {
    MachineState {
        brake: Some(ClockBrake {
            since,
            apart: Some(TimeDelta::milliseconds(-7_500)),
            jumped: Some(TimeDelta::hours(1)),
        }),
        ..free(since)
    }
}

pub(super) fn free(wall: DateTime<Utc>) -> MachineState {
    MachineState {
        last: Clocks {
            boot_id: "boot".into(),
            boot: Duration::from_mins(1),
            wall,
        },
        brake: None,
        agreed_since: Some(Duration::from_secs(40)),
        tolerated: None,
    }
}
