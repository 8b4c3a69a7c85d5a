use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::task::JoinSet;

use super::world::{HOUR, World, mac, mac_undo, macs, name_undo, ok, username};
use crate::{
    Access, AuditKind, Buys, Conflict, Missing, NewSubscriber, Paid, Payment, Pending, RouterState,
    Service, Store, StoreError, Want,
};

fn payment(reference: &str, name: &str) -> Payment {
    Payment {
        tenant: None,
        reference: reference.parse().expect("a reference"),
        username: username(name),
        buys: Buys::Time(HOUR),
        create: false,
        devices: BTreeSet::new(),
        note: None,
    }
}

async fn take(world: &World, payment: &Payment) -> Result<Paid, StoreError> {
    world.store().pay(payment).await
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    match result {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

async fn access(world: &World, name: &str) -> Access {
    let found = ok(world.subscriber(None, &username(name)).await);
    found.expect("it is known").access
}

pub async fn r3_a_payment_adds_its_time_once_however_often_it_comes(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    let payment = payment("QK7", "s");

    let first = ok(take(&world, &payment).await);
    let again = ok(take(&world, &payment).await);

    assert!(!first.repeated && again.repeated);
    assert_eq!(first.receipt, again.receipt);
    assert_eq!(first.receipt.subscriber, known.id);
    assert_eq!(first.receipt.from, known.access);
    let end = known.access.end().expect("an end") + HOUR;
    assert_eq!(first.receipt.to, Access::Until(end));
    assert_eq!(access(&world, "s").await, Access::Until(end));
    assert!(!first.receipt.made);
}

pub async fn r3_payments_that_come_at_once_add_their_time_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    let references: Vec<_> = (0..4).map(|n| payment(&format!("R{n}"), "s")).collect();

    let mut sent = JoinSet::new();
    for payment in references.into_iter().cycle().take(20) {
        let store = world.store();
        sent.spawn(async move { ok(store.pay(&payment).await) });
    }
    let paid = sent.join_all().await;

    let first = paid.iter().filter(|paid| !paid.repeated);
    assert_eq!(first.count(), 4);
    let end = known.access.end().expect("an end") + 4 * HOUR;
    assert_eq!(access(&world, "s").await, Access::Until(end));
}

pub async fn r3_a_receipt_stays_whatever_becomes_of_the_subscriber(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    let payment = payment("QK7", "s");
    let first = ok(take(&world, &payment).await);

    world.revoke(known.id).await;
    assert_eq!(ok(take(&world, &payment).await).receipt, first.receipt);
    assert!(!access(&world, "s").await.is_live(world.time().await));
    ok(world.remove_subscriber(known.id).await);
    let last = ok(take(&world, &payment).await);
    assert_eq!((last.receipt, last.pending), (first.receipt, vec![]));
    assert_eq!(ok(world.subscriber(None, &username("s")).await), None);
}

pub async fn r3_another_payment_under_a_reference_is_refused(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    world.live("t", &[]).await;
    let tenant = world.tenant("acme").await;
    let taken = payment("QK7", "s");
    let first = ok(take(&world, &taken).await);

    let reference = taken.reference.clone();
    for other in [
        payment("QK7", "t"),
        Payment {
            buys: Buys::Time(2 * HOUR),
            ..taken.clone()
        },
        Payment {
            devices: macs(&[mac(1)]),
            ..taken.clone()
        },
        Payment {
            note: Some("again".parse().expect("a note")),
            ..taken.clone()
        },
    ] {
        assert_eq!(
            conflict(take(&world, &other).await),
            Conflict::Reference(reference.clone())
        );
    }
    assert_eq!(access(&world, "s").await, first.receipt.to);
    assert_eq!(
        ok(world.subscriber_by_id(known.id).await).map(|s| s.devices),
        Some(macs(&[]))
    );
    // Another business has receipts of its own.
    let other = Payment {
        tenant: Some(tenant),
        create: true,
        ..taken
    };
    assert!(ok(take(&world, &other).await).receipt.made);
}

pub async fn r1_who_is_unknown_is_made_only_when_told_to(store: Arc<dyn Store>) {
    let world = World::new(store);
    let payment = Payment {
        devices: macs(&[mac(1), mac(2)]),
        ..payment("QK7", "new")
    };

    let refused = take(&world, &payment).await;
    assert!(
        matches!(refused, Err(StoreError::Missing(Missing::Subscriber))),
        "{refused:?}"
    );
    assert_eq!(ok(world.subscriber(None, &username("new")).await), None);

    let create = Payment {
        create: true,
        ..payment
    };
    let paid = ok(take(&world, &create).await);
    let made = ok(world.subscriber(None, &username("new")).await).expect("it was made");
    assert!(paid.receipt.made);
    assert_eq!(
        (paid.receipt.from, paid.receipt.to),
        (Access::None, made.access)
    );
    assert_eq!(made.access, Access::Until(paid.receipt.at + HOUR));
    assert_eq!(made.devices, macs(&[mac(1), mac(2)]));
    assert_eq!(ok(take(&world, &create).await).receipt, paid.receipt);
}

pub async fn r1_nobody_is_made_without_a_tenant_who_is_known_in_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    let acme = world.tenant("acme").await;
    world.tenant("zoo").await;
    let known = Payment {
        tenant: Some(acme),
        create: true,
        ..payment("QK7", "s")
    };
    ok(take(&world, &known).await);

    let nowhere = Payment {
        create: true,
        ..payment("QK8", "s")
    };
    let (username, tenants) = (username("s"), vec!["acme".to_owned()]);
    assert_eq!(
        conflict(take(&world, &nowhere).await),
        Conflict::Elsewhere { username, tenants }
    );
    // The other tenant has said which.
    let zoo = ok(world.tenants().await).pop().map(|tenant| tenant.id);
    assert!(
        ok(take(
            &world,
            &Payment {
                tenant: zoo,
                ..nowhere
            }
        )
        .await)
        .receipt
        .made
    );
}

pub async fn r1_nobody_is_added_without_a_tenant_who_is_known_in_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    let acme = world.tenant("acme").await;
    let new = |tenant| NewSubscriber {
        tenant,
        username: username("s"),
        service: Service::Hotspot,
        access: Access::None,
        router: None,
        devices: BTreeSet::new(),
    };
    ok(world
        .store()
        .add_unplaced_subscriber(&new(Some(acme)))
        .await);

    let refused = world.store().add_unplaced_subscriber(&new(None)).await;
    let (name, tenants) = (username("s"), vec!["acme".to_owned()]);
    let elsewhere = Conflict::Elsewhere {
        username: name,
        tenants,
    };
    assert_eq!(conflict(refused), elsewhere);
    assert_eq!(ok(world.subscriber(None, &username("s")).await), None);

    // It was said that this one has none.
    ok(world.store().add_subscriber(&new(None)).await);
    let taken = world.store().add_unplaced_subscriber(&new(None)).await;
    assert_eq!(conflict(taken), Conflict::Username(username("s")));
}

pub async fn r1_a_payment_that_is_refused_leaves_nothing_behind(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    world.live("t", &[mac(1)]).await;
    let end = known.access.end().expect("an end");
    let bought = payment("QK7", "s");
    let (before, last) = (world.audit().await, end - TimeDelta::seconds(1));

    let passed = world.time().await;
    let over = Payment {
        buys: Buys::Until(passed),
        ..bought.clone()
    };
    assert_eq!(
        conflict(take(&world, &over).await),
        Conflict::EndPassed { end: passed }
    );
    let less = Payment {
        buys: Buys::Until(last),
        ..bought.clone()
    };
    let until = Some(end);
    assert_eq!(
        conflict(take(&world, &less).await),
        Conflict::GoesBeyond { end: last, until }
    );
    let of_another = Payment {
        devices: macs(&[mac(2), mac(1)]),
        ..bought.clone()
    };
    let owner = username("t");
    assert_eq!(
        conflict(take(&world, &of_another).await),
        Conflict::Device { mac: mac(1), owner }
    );

    assert_eq!(ok(world.subscriber_by_id(known.id).await), Some(known));
    assert_eq!(world.audit().await, before);
    // The reference is still free.
    let paid = ok(take(
        &world,
        &Payment {
            buys: Buys::Until(end + HOUR),
            ..bought
        },
    )
    .await);
    assert_eq!(paid.receipt.to, Access::Until(end + HOUR));
}

pub async fn r3_a_payment_says_where_it_has_not_arrived(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (cut, down) = (world.router("cut").await, world.router("down").await);
    world.router("fine").await;
    world.ended("s", &[mac(1)]).await;
    let task = world.task(cut).await;
    assert!(
        world
            .intend_on(cut, &task, &[name_undo("s"), mac_undo(mac(1))])
            .await
    );
    let fence = world.fence(down).await;
    let state = RouterState::Failed("no answer".into());
    ok(world.router_state(&fence, &state).await);

    let paid = ok(take(&world, &payment("QK7", "s")).await);

    let [first, second] = &paid.pending[..] else {
        panic!("{:?}", paid.pending);
    };
    let restore_owed = true;
    let router = "cut".to_owned();
    assert_eq!(
        first,
        &Pending {
            router,
            restore_owed,
            down_since: None
        }
    );
    assert!(second.router == "down" && second.down_since.is_some() && !second.restore_owed);

    let restore = world.task(cut).await;
    assert_eq!(restore.want, Want::Restore);
    world.confirm(cut, &restore).await;
    let again = ok(take(&world, &payment("QK7", "s")).await);
    assert_eq!(again.pending, paid.pending[1..]);
}

pub async fn r9_a_payment_is_told_with_its_reference_and_note(store: Arc<dyn Store>) {
    let world = World::new(store);
    let known = world.live("s", &[]).await;
    let note = Some("paid in cash".parse().expect("a note"));
    let payment = Payment {
        note: note.clone(),
        ..payment("QK7", "s")
    };

    let paid = ok(take(&world, &payment).await).receipt;
    ok(take(&world, &payment).await);

    let events = world.audit().await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| matches!(event.entry.kind, AuditKind::PaymentTaken { .. }))
        .collect();
    assert_eq!(told.len(), 1);
    let reference = payment.reference;
    let revision = paid.revision;
    assert_eq!(
        told[0].entry.kind,
        AuditKind::PaymentTaken {
            reference,
            note,
            revision
        }
    );
    assert_eq!(
        (told[0].at, told[0].entry.subscriber),
        (paid.at, Some(known.id))
    );
}

pub async fn r3_a_reference_is_kept_for_as_long_as_events_are(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.live("s", &[]).await;
    let payment = payment("QK7", "s");
    let first = ok(take(&world, &payment).await).receipt;
    world.pass(first.at).await;

    assert_eq!(ok(world.prune(HOUR, 1000).await).payments, 0);
    assert_eq!(ok(take(&world, &payment).await).receipt, first);
    assert_eq!(ok(world.prune(Duration::ZERO, 1000).await).payments, 1);
    assert!(
        !ok(take(&world, &payment).await).repeated,
        "it is forgotten"
    );
}
