use std::sync::Arc;

use chrono::TimeDelta;

use super::{
    brake::{braked, free, machine},
    reconcile::{by_name, record, stray},
    share::subscribers,
    world::{HOUR, World, ok},
};
use crate::{AuditEntry, AuditKind, Brake, Heartbeat, Outcome, Store, WayIn};

const LOOK_LATER: Outcome = Outcome::Confirmed {
    next_look: Some(HOUR),
};

pub async fn tenants_are_told(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    assert!(world.add_tenant("acme", "Another").await.is_err());
    ok(world.remove_tenant(tenant).await);
    assert!(world.remove_tenant(tenant).await.is_err());

    let slug = || "acme".to_owned();
    let told = [
        AuditKind::TenantAdded { slug: slug() },
        AuditKind::TenantRemoved { slug: slug() },
    ];
    let entries = told.map(|kind| AuditEntry::in_tenant(Some(tenant), kind));
    assert_eq!(entries_of(&world).await, entries);
}

pub async fn r9_what_a_reading_of_a_router_finds_is_told(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let cut = world.task(router).await;
    world.settle_on(router, &cut, LOOK_LATER, &[]).await;
    let before = world.audit().await.len();

    let on = [(by_name("s"), WayIn::Cookie)];
    record(&world, router, &on, &[stray("staff", 1), stray("guest", 2)]).await;
    record(&world, router, &on, &[stray("staff", 1)]).await;
    record(&world, router, &[], &[stray("staff", 1), stray("guest", 2)]).await;

    let events = world.audit().await.split_off(before);
    let told: Vec<_> = events
        .iter()
        .map(|event| event.entry.kind.clone())
        .collect();
    let way_in = Some(WayIn::Cookie);
    let expected = [
        AuditKind::CameBack { way_in },
        AuditKind::StraysFound { strays: 2 },
        AuditKind::StraysFound { strays: 1 },
    ];
    assert_eq!(told, expected, "what is known already is no news");
    for event in &events {
        assert_eq!(event.entry.router, Some(router));
        assert_eq!(event.entry.router_name.as_deref(), Some("r"));
    }
    let back = &events[0].entry;
    assert_eq!(back.due_at, Some(cut.due_at));
    assert_eq!(back.username, cut.username);
    assert!(back.subscriber.is_some() && back.lag.is_none());
}

pub async fn r9_who_is_found_on_without_a_row_is_told_too(store: Arc<dyn Store>) {
    let world = World::new(store);
    let ended = world.ended("s", &[]).await;
    let router = world.router("added later").await;

    record(&world, router, &[(by_name("s"), WayIn::Trial)], &[]).await;

    let way_in = Some(WayIn::Trial);
    let events = world.audit().await;
    let back = events
        .iter()
        .find(|event| event.entry.kind == AuditKind::CameBack { way_in });
    let back = &back.expect("told").entry;
    assert_eq!(
        (back.subscriber, back.router),
        (Some(ended.id), Some(router))
    );
}

pub async fn r9_readings_find_what_cannot_hold_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    let on = [(by_name("s"), WayIn::Trial)];
    for _ in 0..3 {
        let cut = world.task(router).await;
        world.settle_on(router, &cut, LOOK_LATER, &[]).await;
        record(&world, router, &on, &[]).await;
    }
    record(&world, router, &on, &[]).await;

    let way_in = Some(WayIn::Trial);
    let expected = [
        AuditKind::CutConfirmed,
        AuditKind::CameBack { way_in },
        AuditKind::CutConfirmed,
        AuditKind::CannotHold { way_in },
    ];
    assert!(world.kinds().await.ends_with(&expected));
}

pub async fn r10_brakes_are_told_when_they_are_set_and_how_they_end(store: Arc<dyn Store>) {
    let world = World::new(store);
    let now = world.time().await;
    let m = machine("m");
    let of = |since| {
        let brake = Brake::of_machine("name of m", &braked(since));
        brake.expect("it is braked")
    };
    let later = now + TimeDelta::seconds(1);
    let states = [
        free(now),
        braked(now),
        braked(now),
        free(now),
        braked(later),
    ];
    for (version, state) in (0..).zip(&states) {
        assert!(ok(world.record_machine(&m, version, state).await));
    }
    assert!(!ok(world.record_machine(&m, 0, &free(now)).await));
    ok(world.release_brakes().await);
    ok(world.release_brakes().await);

    let told = [
        AuditKind::BrakeSet { brake: of(now) },
        AuditKind::BrakeEnded { brake: of(now) },
        AuditKind::BrakeSet { brake: of(later) },
        AuditKind::BrakeReleased { brake: of(later) },
    ];
    assert_eq!(entries_of(&world).await, told.map(AuditEntry::general));
}

pub async fn r10_a_limit_that_is_exceeded_is_told_once(store: Arc<dyn Store>) {
    let mut world = World::new(store);
    world.share_limit = Some(20);
    let router = world.router("r").await;
    ok(world.own(world.watcher, HOUR).await);
    for id in subscribers(&world, 4).await {
        world.revoke(id).await;
    }
    assert_eq!(world.tasks(router).await, []);
    ok(world.own(world.watcher, HOUR).await);
    let brake = ok(world.status(0).await).brakes.remove(0);
    ok(world.release_brakes().await);

    let mut told = world.kinds().await;
    told.retain(|kind| {
        matches!(
            kind,
            AuditKind::BrakeSet { .. } | AuditKind::BrakeReleased { .. }
        )
    });
    let set = AuditKind::BrakeSet {
        brake: brake.clone(),
    };
    assert_eq!(told, [set, AuditKind::BrakeReleased { brake }]);
}

pub async fn r8_a_watcher_that_stands_by_tells_what_it_let_go(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.fence(router).await;
    let beat = Heartbeat::new(world.watcher, HOUR);
    ok(world.stand_by(&beat).await);
    ok(world.stand_by(&beat).await);
    world.fence(router).await;

    let watcher = world.watcher;
    let owned = AuditKind::RouterOwned {
        watcher,
        taken_over_from: None,
    };
    let told = [owned.clone(), AuditKind::RouterReleased { watcher }, owned];
    assert_eq!(world.kinds().await[1..], told);
}

async fn entries_of(world: &World) -> Vec<AuditEntry> {
    let events = world.audit().await.into_iter();
    events.map(|event| event.entry).collect()
}
