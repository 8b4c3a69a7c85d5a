use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::world::{HOUR, World, facts, mac, name_undo, new_subscriber, ok};
use crate::{
    Access, AccessChange, AuditEvent, AuditId, AuditKind, Outcome, Revision, RouterChange,
    RouterState, Store, WatcherId, WayIn,
};

const LOOK_AT_ONCE: Outcome = Outcome::Confirmed {
    next_look: Some(Duration::ZERO),
};
const BACK: Outcome = Outcome::Returned {
    way_in: Some(WayIn::Trial),
    retry_in: Duration::ZERO,
};

pub async fn every_change_of_a_subscriber_is_an_event(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    let before = world.audit().await.len();
    let end = world.time().await + HOUR;
    let mut new = new_subscriber("s", Access::Until(end), &[mac(1)]);
    new.tenant = Some(tenant);
    let made = world.add(&new).await;
    let extended = world.pay(made.id).await;
    ok(world.add_device(made.id, mac(2)).await);
    ok(world.remove_device(made.id, mac(1)).await);
    let forever = world.set(made.id, Access::Forever).await;
    ok(world.remove_subscriber(made.id).await);
    let gone = world.time().await;

    let events = world.audit().await.split_off(before);

    let (before, after) = (made.access, extended.access);
    let told: Vec<_> = events
        .iter()
        .map(|event| event.entry.kind.clone())
        .collect();
    let expected = [
        AuditKind::SubscriberAdded {
            access: before,
            devices: [mac(1)].into(),
            revision: Revision(1),
        },
        AuditKind::AccessChanged {
            from: before,
            to: after,
            revision: Revision(2),
        },
        AuditKind::DeviceAdded {
            revision: Revision(3),
        },
        AuditKind::DeviceRemoved {
            revision: Revision(4),
        },
        AuditKind::AccessChanged {
            from: after,
            to: Access::Forever,
            revision: forever.revision,
        },
        AuditKind::SubscriberRemoved {
            access: Access::Forever,
        },
        AuditKind::AccessEnded,
    ];
    assert_eq!(told, expected);
    for event in &events {
        let entry = &event.entry;
        assert_eq!(entry.tenant, Some(tenant));
        assert_eq!(entry.subscriber, Some(made.id));
        assert_eq!(entry.username.as_ref(), Some(&made.username));
        assert_eq!((entry.router, entry.lag), (None, None));
        assert!(event.at <= gone);
    }
    let devices: Vec<_> = events.iter().map(|event| event.entry.device).collect();
    assert_eq!(devices[2..4], [Some(mac(2)), Some(mac(1))]);
    assert!(events.is_sorted_by_key(|event| event.at));
}

pub async fn r9_access_that_ends_is_one_event_on_however_many_routers(store: Arc<dyn Store>) {
    let world = World::new(store);
    for name in ["a", "b", "c"] {
        world.router(name).await;
    }
    let end = world.time().await + TimeDelta::milliseconds(50);
    let one = world
        .add(&new_subscriber("one", Access::Until(end), &[]))
        .await;
    let two = world
        .add(&new_subscriber("two", Access::Until(end), &[]))
        .await;
    world.pass(end).await;

    world.plan().await;
    world.plan().await;
    ok(world.add_device(one.id, mac(1)).await);

    let events = world.audit().await;
    let ended = events
        .iter()
        .filter(|event| event.entry.kind == AuditKind::AccessEnded);
    let ended: Vec<_> = ended.map(|event| &event.entry).collect();
    let of: Vec<_> = ended.iter().map(|entry| entry.subscriber).collect();
    assert_eq!(of, [Some(one.id), Some(two.id)]);
    for entry in ended {
        assert_eq!((entry.due_at, entry.router), (Some(end), None));
    }
}

pub async fn r9_each_new_end_of_access_is_an_event(store: Arc<dyn Store>) {
    let world = World::new(store);
    let ended = world.ended("s", &[]).await;
    world.pay(ended.id).await;
    let revoked = world.revoke(ended.id).await;

    let events = world.audit().await;

    let ends = events
        .iter()
        .filter(|event| event.entry.kind == AuditKind::AccessEnded);
    let ends: Vec<_> = ends.map(|event| event.entry.due_at).collect();
    assert_eq!(ends, [ended.access.end(), revoked.access.end()]);
}

pub async fn r9_confirmations_and_returns_are_events(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let ended = world.ended("s", &[]).await;
    let cut = world.task(router).await;
    for _ in 0..2 {
        assert!(world.intend_on(router, &cut, &[name_undo("s")]).await);
    }
    let failed = Outcome::Unconfirmed {
        error: "left".into(),
        online: None,
        retry_in: Duration::ZERO,
    };
    for outcome in [failed, LOOK_AT_ONCE, LOOK_AT_ONCE, BACK, LOOK_AT_ONCE] {
        let cut = world.task(router).await;
        world.settle_on(router, &cut, outcome, &[]).await;
    }
    world.pay(ended.id).await;
    let restore = world.task(router).await;
    for outcome in [LOOK_AT_ONCE, LOOK_AT_ONCE, BACK] {
        let task = world.task(router).await;
        world.settle_on(router, &task, outcome, &restore.undo).await;
    }

    let events = world.audit().await;

    let on_router = events
        .iter()
        .filter(|event| event.entry.router == Some(router));
    let told: Vec<_> = on_router
        .filter(|event| event.entry.subscriber.is_some())
        .map(|event| (event.entry.kind.clone(), event.entry.lag.is_some()))
        .collect();
    let way_in = Some(WayIn::Trial);
    let intended = AuditKind::Intended {
        accounts: 1,
        bindings: 0,
    };
    let expected = [
        (intended, false),
        (AuditKind::CutConfirmed, true),
        (AuditKind::CameBack { way_in }, false),
        (AuditKind::CutConfirmed, false),
        (AuditKind::RestoreConfirmed, true),
        (AuditKind::RestoreUndone, false),
    ];
    assert_eq!(told, expected);
    let first = events
        .iter()
        .find(|event| event.entry.kind == AuditKind::CutConfirmed);
    let first = first.expect("told");
    assert_eq!(first.entry.due_at, ended.access.end());
    assert_eq!(first.entry.router_name.as_deref(), Some("r"));
    assert_eq!(first.entry.username, Some(ended.username));
    let lag = first.at - first.entry.due_at.expect("it has one");
    assert_eq!(first.entry.lag, lag.to_std().ok());
}

pub async fn r9_what_cannot_hold_fills_no_audit(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    for _ in 0..5 {
        let cut = world.task(router).await;
        world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
        let look = world.task(router).await;
        world.settle_on(router, &look, BACK, &[]).await;
    }
    let cut = world.task(router).await;
    world.confirm(router, &cut).await;

    let kinds = world.kinds().await;

    let way_in = Some(WayIn::Trial);
    let expected = [
        AuditKind::CutConfirmed,
        AuditKind::CameBack { way_in },
        AuditKind::CutConfirmed,
        AuditKind::CameBack { way_in },
        AuditKind::CutConfirmed,
        AuditKind::CannotHold { way_in },
        AuditKind::HoldsAgain,
    ];
    assert_eq!(kinds[kinds.len() - expected.len()..], expected);
}

pub async fn events_of_a_removed_device_name_its_subscriber(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    ok(world.remove_device(live.id, mac(1)).await);
    world.cut(router, &[]).await;

    let events = world.audit().await;

    let cut = events
        .iter()
        .find(|event| event.entry.kind == AuditKind::CutConfirmed);
    let cut = &cut.expect("told").entry;
    assert_eq!((cut.device, cut.subscriber), (Some(mac(1)), Some(live.id)));
    assert_eq!(cut.username, Some(live.username));
}

pub async fn the_life_of_a_router_is_told(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let fence = world.fence(router).await;
    let failed = RouterState::Failed("no route".into());
    ok(world.router_state(&fence, &failed).await);
    ok(world.router_state(&fence, &failed).await);
    let went = world.time().await;
    world.pass(went + TimeDelta::milliseconds(5)).await;
    let reached = RouterState::Reached(facts("hotspot", None));
    ok(world.router_state(&fence, &reached).await);
    ok(world.router_state(&fence, &reached).await);
    let change = RouterChange {
        port: Some(8729),
        username: Some("api".into()),
        password: Some("another".into()),
        ..RouterChange::default()
    };
    ok(world.change_router(router, &change).await);
    world.switch(router, true).await;
    world.switch(router, false).await;
    world.switch(router, true).await;
    ok(world.accept_router(router).await);
    ok(world.release(world.watcher).await);
    ok(world.remove_router(router, false).await);

    let events = world.audit().await;

    let mut kinds: Vec<_> = events
        .iter()
        .map(|event| event.entry.kind.clone())
        .collect();
    let up = kinds.iter_mut().find_map(|kind| {
        if let AuditKind::RouterUp { down_for } = kind {
            Some(std::mem::take(down_for))
        } else {
            None
        }
    });
    let down_for = up.expect("it came back");
    assert!(
        down_for >= Duration::from_millis(5) && down_for < HOUR,
        "{down_for:?}"
    );
    let watcher = world.watcher;
    let address = |port| format!("r.example:{port}");
    let expected = [
        AuditKind::RouterAdded {
            address: address(8728),
        },
        AuditKind::RouterOwned {
            watcher,
            taken_over_from: None,
        },
        AuditKind::RouterDown {
            error: "no route".into(),
        },
        AuditKind::RouterUp {
            down_for: Duration::ZERO,
        },
        AuditKind::RouterChanged {
            address: Some(address(8729)),
            account: None,
            password: true,
        },
        AuditKind::RouterDisabled,
        AuditKind::RouterEnabled,
        AuditKind::RouterAccepted,
        AuditKind::RouterRemoved { forced: false },
    ];
    assert_eq!(kinds, expected);
    for event in &events {
        assert_eq!(event.entry.router, Some(router));
        assert_eq!(event.entry.router_name.as_deref(), Some("r"));
    }
}

pub async fn r8_who_owns_a_router_is_told_and_from_whom_it_was_taken(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let (silent, other) = (WatcherId::fresh(), WatcherId::fresh());
    ok(world.own(silent, HOUR).await);
    ok(world.own(silent, HOUR).await);
    ok(world.own(silent, Duration::from_millis(1)).await);
    let beat = world.time().await;
    world.pass(beat + TimeDelta::milliseconds(5)).await;
    ok(world.own(other, HOUR).await);
    ok(world.release(silent).await);
    ok(world.release(other).await);

    let events = world.audit().await;

    let owned = |watcher, taken_over_from| AuditKind::RouterOwned {
        watcher,
        taken_over_from,
    };
    let told: Vec<_> = events[1..]
        .iter()
        .map(|event| event.entry.kind.clone())
        .collect();
    let expected = [
        owned(silent, None),
        owned(other, Some(silent)),
        AuditKind::RouterReleased { watcher: other },
    ];
    assert_eq!(told, expected);
    assert!(
        events
            .iter()
            .all(|event| event.entry.router == Some(router))
    );
}

pub async fn r9_work_given_up_with_a_router_is_told(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.ended("s", &[]).await;
    assert!(world.remove_router(router, false).await.is_err());
    ok(world.remove_router(router, true).await);

    let kinds = world.kinds().await;

    let removed = kinds
        .iter()
        .filter(|kind| matches!(kind, AuditKind::RouterRemoved { .. }));
    let removed: Vec<_> = removed.collect();
    assert_eq!(removed, [&AuditKind::RouterRemoved { forced: true }]);
}

pub async fn what_did_not_happen_is_no_event(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let paid = world.ended("s", &[mac(1)]).await;
    let cut = world.task(router).await;
    world.pay(paid.id).await;
    let before = world.audit().await.len();

    let taken = new_subscriber("t", Access::Forever, &[mac(2), mac(1)]);
    assert!(world.add_subscriber(&taken).await.is_err());
    assert!(world.add_device(paid.id, mac(1)).await.is_err());
    assert!(world.remove_device(paid.id, mac(7)).await.is_err());
    let nobody = crate::SubscriberId(4711);
    assert!(
        world
            .change_access(nobody, AccessChange::Revoke)
            .await
            .is_err()
    );
    assert!(world.remove_subscriber(nobody).await.is_err());
    world.settle_on(router, &cut, LOOK_AT_ONCE, &[]).await;
    ok(world.nudge().await);
    world.plan().await;

    let told = world.audit().await;
    assert_eq!(told.len(), before, "{told:#?}");
}

pub async fn events_are_read_on_from_any_place_each_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    for number in 0..7 {
        world.live(&format!("s{number}"), &[]).await;
    }
    let all = world.audit().await;
    assert_eq!(all.len(), 7);

    let mut read: Vec<AuditEvent> = Vec::new();
    let mut after = AuditId::START;
    while read.len() < all.len() {
        let page = ok(world.events(after, 3).await);
        assert!(!page.is_empty() && page.len() <= 3);
        after = page[page.len() - 1].id;
        read.extend(page);
    }

    assert_eq!(read[..all.len()], all);
    let ids: BTreeSet<_> = all.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), all.len());
    assert!(all.is_sorted_by_key(|event| event.id));
    assert_eq!(ok(world.events(AuditId::START, 0).await), []);
}
