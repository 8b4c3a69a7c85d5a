use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use secrecy::ExposeSecret;

use super::world::{
    HOUR, World, assert_refused, mac, macs, new_router, new_subscriber, ok, username,
};
use crate::{
    Access, AccessChange, Conflict, Missing, NewSubscriber, RouterChange, RouterId, Store,
    StoreError, SubscriberFilter, SubscriberId, TenantId,
};

pub async fn tenants_are_listed_by_slug_and_a_slug_is_taken_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let beta = ok(world.add_tenant("beta", "Beta Ltd").await);
    let alpha = ok(world.add_tenant("alpha", "Alpha Ltd").await);

    let again = world.add_tenant("beta", "Another").await;

    assert_refused!(again, StoreError::Conflict(Conflict::Tenant(slug)) if slug == "beta");
    assert_eq!(ok(world.tenants().await), [alpha, beta]);
}

pub async fn a_tenant_in_use_is_not_removed(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router_of(Some(tenant), "r").await;

    assert_refused!(
        world.remove_tenant(tenant).await,
        StoreError::Conflict(Conflict::TenantInUse)
    );
    ok(world.remove_router(router, false).await);
    let subscriber = world.add(&of_tenant(tenant, "s", Access::Forever)).await;
    assert_refused!(
        world.remove_tenant(tenant).await,
        StoreError::Conflict(Conflict::TenantInUse)
    );

    ok(world.remove_subscriber(subscriber.id).await);
    ok(world.remove_tenant(tenant).await);
    assert_eq!(ok(world.tenants().await), []);
}

pub async fn a_removed_subscriber_who_is_owed_keeps_the_tenant_until_its_routers_go(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router_of(Some(tenant), "r").await;
    let subscriber = world.add(&of_tenant(tenant, "s", Access::Forever)).await;
    ok(world.remove_subscriber(subscriber.id).await);

    assert_refused!(
        world.remove_tenant(tenant).await,
        StoreError::Conflict(Conflict::TenantInUse)
    );
    ok(world.remove_router(router, true).await);
    ok(world.remove_tenant(tenant).await);
}

pub async fn routers_are_listed_by_name_as_they_were_made(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    world.router("z").await;
    let made = world.router_of(Some(tenant), "b").await;

    let routers = ok(world.routers().await);

    let names: Vec<_> = routers.iter().map(|router| router.name.as_str()).collect();
    assert_eq!(names, ["b", "z"]);
    let router = &routers[0];
    assert_eq!((router.id, router.tenant), (made, Some(tenant)));
    assert!(router.enabled && router.seen.is_none());
    let address = &router.address;
    assert_eq!((address.host.as_str(), address.port), ("b.example", 8728));
    assert_eq!(address.username, "api");
    let login = ok(world.router_login(made).await);
    assert_eq!(login.router, *router);
    assert_eq!(login.password.expose_secret(), "not a secret");
}

pub async fn r1_the_same_router_is_not_made_twice(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let mut same_name = new_router("r");
    same_name.address.host = "elsewhere.example".into();
    let mut same_address = new_router("q");
    same_address.address.host = "r.example".into();

    assert_refused!(
        world.add_router(&same_name).await,
        StoreError::Conflict(Conflict::RouterName(name)) if name == "r"
    );
    assert_refused!(
        world.add_router(&same_address).await,
        StoreError::Conflict(Conflict::RouterAddress { router, .. }) if router == "r"
    );
    same_address.address.port = 8729;
    ok(world.add_router(&same_address).await);
}

pub async fn r1_a_router_is_not_moved_to_where_another_is_reached(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let moved = world.router("q").await;
    let to = |host: &str| RouterChange {
        host: Some(host.into()),
        ..Default::default()
    };

    assert_refused!(
        world.change_router(moved, &to("r.example")).await,
        StoreError::Conflict(Conflict::RouterAddress { router, .. }) if router == "r"
    );
    assert_eq!(world.router_row(moved).await.address.host, "q.example");
    ok(world.change_router(moved, &to("q.example")).await);
}

pub async fn a_change_of_a_router_leaves_the_rest(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let change = RouterChange {
        password: Some("another".to_owned().into()),
        ..Default::default()
    };

    let changed = ok(world.change_router(router, &change).await);

    let login = ok(world.router_login(router).await);
    assert_eq!(login.password.expose_secret(), "another");
    for router in [changed, login.router] {
        let address = &router.address;
        assert_eq!((address.host.as_str(), address.port), ("r.example", 8728));
        assert_eq!(address.username, "api");
        assert!(router.enabled);
    }
}

pub async fn a_subscriber_reads_back_as_it_was_made(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router_of(Some(tenant), "r").await;
    let end = world.time().await + HOUR;
    let mut new = of_tenant(tenant, "+255700000001", Access::Until(end));
    new.router = Some(router);
    new.devices = macs(&[mac(2), mac(1)]);

    let made = world.add(&new).await;

    let name = username("255700000001");
    let found = ok(world.subscriber(Some(tenant), &name).await);
    assert_eq!(found.as_ref(), Some(&made));
    assert_eq!(made.username, name);
    assert_eq!((made.tenant, made.router), (Some(tenant), Some(router)));
    assert_eq!(made.access, Access::Until(end));
    assert_eq!(made.devices, macs(&[mac(1), mac(2)]));
    assert_eq!(ok(world.subscriber(None, &name).await), None);
}

pub async fn r1_names_are_unique_within_a_tenant(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let without = new_subscriber("s", Access::None, &[]);
    for new in [
        without,
        of_tenant(a, "s", Access::None),
        of_tenant(b, "s", Access::None),
    ] {
        world.add(&new).await;
        assert_refused!(
            world.add_subscriber(&new).await,
            StoreError::Conflict(Conflict::Username(name)) if name == username("s")
        );
    }
    world.add(&of_tenant(a, "S", Access::None)).await;
}

pub async fn r1_names_of_any_bytes_are_kept_apart_and_found_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let longest = [r"\xff".repeat(500), "n".repeat(40)].concat();
    let names = [
        r"caf\xe9",
        r"caf\xe8",
        "café",
        r"a\x1b[2J",
        r"a\x00b",
        r"a\x20",
        r"corp\joe",
        r"corp\x5cxbeth",
        r"corp\xbeth",
        &longest,
        &"n".repeat(1024),
    ];
    let mut made = Vec::new();
    for name in names {
        made.push(world.add(&new_subscriber(name, Access::None, &[])).await);
    }
    for (name, made) in names.into_iter().zip(&made) {
        assert_eq!(made.username.as_str(), name);
        let found = ok(world.subscriber(None, &username(name)).await);
        assert_eq!(found.as_ref(), Some(made));
    }
    let listed = ok(world.subscribers(None, SubscriberId(0), 100).await);
    assert_eq!(listed, made);
    let part = SubscriberFilter {
        name: Some(r"caf\xe".into()),
        ..SubscriberFilter::default()
    };
    let found = ok(world.find_subscribers(&part, SubscriberId(0), 100).await);
    assert_eq!(found, made[..2]);
}

pub async fn r1_devices_are_unique_within_a_tenant_and_a_conflict_names_the_owner(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let owner = world.live("owner", &[mac(1)]).await;
    let other = world.live("other", &[]).await;
    let mut elsewhere = of_tenant(tenant, "other", Access::None);
    elsewhere.devices = macs(&[mac(1)]);
    world.add(&elsewhere).await;

    let attempts = [
        world
            .add_subscriber(&new_subscriber("third", Access::None, &[mac(2), mac(1)]))
            .await,
        world.add_device(other.id, mac(1)).await,
        world.add_device(owner.id, mac(1)).await,
    ];

    for attempt in attempts {
        assert_refused!(
            attempt,
            StoreError::Conflict(Conflict::Device { mac: taken, owner })
                if taken == mac(1) && owner == username("owner")
        );
    }
    assert_eq!(ok(world.subscriber(None, &username("third")).await), None);
    world.live("free", &[mac(2)]).await;
}

pub async fn r1_names_and_devices_that_are_taken_at_once_are_taken_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let one = world.live("one", &[]).await.id;
    let two = world.live("two", &[]).await.id;
    let new = new_subscriber("three", Access::Forever, &[]);
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let (store, new) = (world.store(), new.clone());
            tokio::spawn(async move { store.add_subscriber(&new).await })
        })
        .collect();
    let takers: Vec<_> = [one, two]
        .map(|id| {
            let store = world.store();
            tokio::spawn(async move { store.add_device(id, mac(1)).await })
        })
        .into();

    let mut made = 0;
    for maker in makers {
        match maker.await.expect("no call panics") {
            Ok(_) => made += 1,
            refused => assert_refused!(refused, StoreError::Conflict(Conflict::Username(_))),
        }
    }
    let mut taken = 0;
    for taker in takers {
        match taker.await.expect("no call panics") {
            Ok(_) => taken += 1,
            refused => assert_refused!(refused, StoreError::Conflict(Conflict::Device { .. })),
        }
    }
    assert_eq!((made, taken), (1, 1));
}

pub async fn r1_a_subscriber_is_not_bound_to_another_tenants_router(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router("r").await;
    let mut new = of_tenant(tenant, "s", Access::None);
    new.router = Some(router);

    assert_refused!(
        world.add_subscriber(&new).await,
        StoreError::Conflict(Conflict::RouterTenant(name)) if name == "r"
    );
}

pub async fn subscribers_are_listed_in_pages_of_one_tenant(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let first = world.live("c", &[mac(1)]).await;
    world.add(&of_tenant(tenant, "x", Access::None)).await;
    let second = world.ended("b", &[]).await;
    let third = world.live("a", &[mac(3), mac(2)]).await;

    let page = ok(world.subscribers(None, SubscriberId(0), 2).await);
    assert_eq!(page, [first, second.clone()]);
    let page = ok(world.subscribers(None, second.id, 2).await);
    assert_eq!(page, std::slice::from_ref(&third));

    ok(world.remove_subscriber(third.id).await);
    assert_eq!(ok(world.subscribers(None, second.id, 2).await), []);
}

pub async fn what_does_not_exist_is_missing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let nobody = SubscriberId(4711);
    let nowhere = RouterId(4711);
    let nothing = TenantId(4711);
    let revoke = AccessChange::Revoke;

    assert_missing(
        world.change_access(nobody, revoke).await,
        &Missing::Subscriber,
    );
    assert_missing(world.add_device(nobody, mac(1)).await, &Missing::Subscriber);
    assert_missing(
        world.remove_device(nobody, mac(1)).await,
        &Missing::Subscriber,
    );
    assert_missing(world.remove_subscriber(nobody).await, &Missing::Subscriber);
    assert_missing(world.remove_tenant(nothing).await, &Missing::Tenant);
    assert_missing(world.accept_router(nowhere).await, &Missing::Router);
    assert_missing(world.open_work(nowhere).await, &Missing::Router);
    assert_missing(world.remove_router(nowhere, true).await, &Missing::Router);
    let change = RouterChange::default();
    assert_missing(
        world.change_router(nowhere, &change).await,
        &Missing::Router,
    );

    let mut router = new_router("r");
    router.tenant = Some(nothing);
    assert_missing(world.add_router(&router).await, &Missing::Tenant);
    let mut bound = new_subscriber("s", Access::None, &[]);
    bound.router = Some(nowhere);
    assert_missing(world.add_subscriber(&bound).await, &Missing::Router);
    let stranger = of_tenant(nothing, "s", Access::None);
    assert_missing(world.add_subscriber(&stranger).await, &Missing::Tenant);

    let known = world.live("s", &[mac(1)]).await;
    let device = Missing::Device(mac(2));
    assert_missing(world.remove_device(known.id, mac(2)).await, &device);
    ok(world.remove_subscriber(known.id).await);
    assert_missing(
        world.change_access(known.id, revoke).await,
        &Missing::Subscriber,
    );
    assert_missing(
        world.remove_subscriber(known.id).await,
        &Missing::Subscriber,
    );
}

pub async fn every_change_of_a_subscriber_counts_its_revision_up(store: Arc<dyn Store>) {
    let world = World::new(store);
    let made = world.live("s", &[]).await;

    let paid = world.pay(made.id).await;
    let with = ok(world.add_device(made.id, mac(1)).await);
    let without = ok(world.remove_device(made.id, mac(1)).await);
    let revoked = world.revoke(made.id).await;

    let revisions = [&made, &paid, &with, &without, &revoked].map(|s| s.revision);
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(with.devices, macs(&[mac(1)]));
    assert_eq!(without.devices, macs(&[]));
    let found = ok(world.subscriber(None, &made.username).await);
    assert_eq!(found, Some(revoked));
}

pub async fn access_is_changed_at_the_clock_of_the_database(store: Arc<dyn Store>) {
    let world = World::new(store);
    let end = world.time().await + HOUR;
    let live = world
        .add(&new_subscriber("live", Access::Until(end), &[]))
        .await;
    let over = end - TimeDelta::hours(2);
    let ended = world
        .add(&new_subscriber("ended", Access::Until(over), &[]))
        .await;
    let minute = AccessChange::Extend(Duration::from_mins(1));

    let before = world.time().await;
    let longer = ok(world.change_access(live.id, minute).await);
    let again = ok(world.change_access(ended.id, minute).await);
    let shorter = AccessChange::ExtendTo(end);
    let same = ok(world.change_access(live.id, shorter).await);
    assert_eq!(same.access, longer.access);
    let revoked = world.revoke(live.id).await;
    let after = world.time().await;

    assert_eq!(longer.access, Access::Until(end + TimeDelta::minutes(1)));
    let from_now = before + TimeDelta::minutes(1)..=after + TimeDelta::minutes(1);
    assert!(
        again
            .access
            .end()
            .is_some_and(|end| from_now.contains(&end))
    );
    assert!(
        revoked
            .access
            .end()
            .is_some_and(|end| (before..=after).contains(&end))
    );
}

pub async fn a_removed_subscriber_leaves_its_name_and_devices_free_at_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    world.router("r").await;
    let gone = world.live("s", &[mac(1)]).await;

    ok(world.remove_subscriber(gone.id).await);

    assert_eq!(ok(world.subscriber(None, &gone.username).await), None);
    assert_eq!(ok(world.subscribers(None, SubscriberId(0), 9).await), []);
    let next = world.live("s", &[mac(1)]).await;
    assert_ne!(next.id, gone.id);
    let found = ok(world.subscriber(None, &gone.username).await);
    assert_eq!(found, Some(next));
}

fn of_tenant(tenant: TenantId, name: &str, access: Access) -> NewSubscriber {
    NewSubscriber {
        tenant: Some(tenant),
        ..new_subscriber(name, access, &[])
    }
}

#[track_caller]
fn assert_missing<T>(result: Result<T, StoreError>, what: &Missing) {
    assert_refused!(result, StoreError::Missing(missing) if missing == *what);
}
