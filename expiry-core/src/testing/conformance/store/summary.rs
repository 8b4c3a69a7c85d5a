use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::task::yield_now;

use super::world::{World, facts, mac, name_undo, new_subscriber, ok};
use crate::{
    Access, AuditId, NewSubscriber, OwedFilter, OwedItem, RouterFacts, RouterState, Standing,
    Store, Subscriber, SubscriberFilter, SubscriberId, Summary, Want,
};

const SOON: Duration = Duration::from_mins(30);

fn tenant_counts(summary: &Summary) -> Vec<(Option<&str>, u64, u64, u64)> {
    let tenants = summary.tenants.iter();
    tenants
        .map(|of| (of.slug.as_deref(), of.live, of.expiring, of.owed))
        .collect()
}

pub async fn r9_the_overdue_are_those_who_ended_and_are_owed_a_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (router, other) = (world.router("r").await, world.router("other").await);
    let planned = world.ended("planned", &[mac(1), mac(2)]).await;
    let half = world.ended("half", &[]).await;
    let off = world.ended("off", &[]).await;
    for (on, confirmed) in [(router, &[&half, &off][..]), (other, &[&off])] {
        for task in world.tasks(on).await {
            let is_its = |of: &&Subscriber| task.username.as_ref() == Some(&of.username);
            if confirmed.iter().any(is_its) {
                world.confirm(on, &task).await;
            }
        }
    }
    let now = world.time().await;
    let end = Access::Until(now - TimeDelta::minutes(4));
    let unplanned = world.add(&new_subscriber("unplanned", end, &[])).await;
    let live = world.live("live", &[mac(3)]).await;
    ok(world.remove_device(live.id, mac(3)).await);
    let forever = new_subscriber("forever", Access::Forever, &[]);
    let forever = world.add(&forever).await;

    let overdue = ok(world.overdue().await);

    let expected = [(planned.id, 2), (half.id, 0), (unplanned.id, 0)];
    assert_eq!(overdue.subscribers, expected.into());
    assert!(overdue.now >= now);
    let nobody = SubscriberId(i64::MAX);
    let asked = [planned.id, unplanned.id, live.id, forever.id, nobody];
    let found = ok(world.live_among(&asked.into()).await);
    assert_eq!(found, [live.id, forever.id].into());
    assert!(ok(world.live_among(&[].into()).await).is_empty());
}

pub async fn r9_a_summary_counts_all_and_each_tenant(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    world.tenant("zoo").await;
    world.router_of(Some(tenant), "a").await;
    world.router("b").await;
    let now = world.time().await;
    let ends = |name: &str, minutes| {
        let end = Access::Until(now + TimeDelta::minutes(minutes));
        new_subscriber(name, end, &[])
    };
    let of_tenant = |new: NewSubscriber| NewSubscriber {
        tenant: Some(tenant),
        ..new
    };
    let next = world.add(&of_tenant(ends("next", 5))).await;
    world.add(&of_tenant(ends("later", 60))).await;
    let forever = new_subscriber("forever", Access::Forever, &[]);
    world.add(&of_tenant(forever)).await;
    let over = world.add(&of_tenant(ends("over", -9))).await;
    let second = world.add(&ends("second", 10)).await;
    let unplanned = world.add(&ends("unplanned", -4)).await;

    let summary = ok(world.summary(SOON, 9).await);

    let expected = [
        (None, 1, 1, 1),
        (Some("acme"), 3, 1, 1),
        (Some("zoo"), 0, 0, 0),
    ];
    assert_eq!(tenant_counts(&summary), expected);
    assert_eq!(summary.tenants[1].name, "acme");
    assert_eq!(summary.expiring, 2);
    let status = &summary.status;
    assert_eq!((status.live_subscribers, status.owed_subscribers), (4, 2));
    assert_eq!((status.owed_cuts, status.owed.len()), (2, 0));
    let soon: Vec<_> = summary.soon.iter().map(|one| one.subscriber).collect();
    assert_eq!(soon, [next.id, second.id]);
    let owed: Vec<_> = summary
        .unconfirmed
        .iter()
        .map(|one| one.subscriber)
        .collect();
    assert_eq!(owed, [over.id, unplanned.id]);
    let first = &summary.unconfirmed[0];
    assert_eq!(first.ended_at, now - TimeDelta::minutes(9));
    assert_eq!(
        (first.tenant.as_deref(), first.routers.len()),
        (Some("acme"), 1)
    );
    assert_eq!(
        (first.routers[0].router.as_str(), first.routers[0].online),
        ("a", false)
    );
    assert_eq!(
        status.routers[0].oldest_cut, None,
        "it ended before it was known"
    );
    assert_eq!(first.routers[0].since, first.ended_at);

    let short = ok(world.summary(SOON, 1).await);
    assert_eq!((short.soon.len(), short.unconfirmed.len()), (1, 1));
    assert_eq!((short.expiring, short.status.owed_subscribers), (2, 2));
}

pub async fn r9_who_is_owed_on_two_routers_is_one_with_both(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("b").await;
    world.router("a").await;
    let ended = world.ended("s", &[mac(1)]).await;
    world.plan().await;
    ok(world.remove_device(ended.id, mac(1)).await);
    let live = world.live("live", &[mac(2)]).await;
    ok(world.remove_device(live.id, mac(2)).await);

    let summary = ok(world.summary(SOON, 9).await);
    assert_eq!(summary.unconfirmed.len(), 1, "who is live has not ended");
    assert_eq!(Some(summary.unconfirmed[0].ended_at), ended.access.end());
    assert_eq!(
        (summary.tenants[0].owed, summary.status.owed_subscribers),
        (1, 2)
    );
    let on = summary.unconfirmed[0].routers.iter();
    let names: Vec<_> = on.map(|on| on.router.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    world.switch(router, false).await;
    let summary = ok(world.summary(SOON, 9).await);
    assert_eq!(summary.unconfirmed[0].routers.len(), 1);
}

pub async fn r9_what_is_owed_is_read_in_pages_by_router_and_direction(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (a, b) = (world.router("a").await, world.router("b").await);
    let back = world.ended("back", &[]).await;
    world.plan().await;
    world.cut(a, &[name_undo("back")]).await;
    world.pay(back.id).await;
    let now = world.time().await;
    for (name, seconds) in [("one", 50), ("two", 40)] {
        let end = Access::Until(now - TimeDelta::seconds(seconds));
        world.add(&new_subscriber(name, end, &[])).await;
    }
    let page = async |filter: OwedFilter, after, limit| {
        let (total, items) = ok(world.store().owed(filter, after, limit).await);
        let place = items.last().map(OwedItem::place);
        let items = items.iter();
        let items: Vec<_> = items
            .map(|item| format!("{} {} {}", item.username, item.want, item.router))
            .collect();
        (total, items, place)
    };
    let names = async |filter: OwedFilter| {
        let (total, items, _) = page(filter, None, 9).await;
        (total, items)
    };
    let one_by_one = async |filter: OwedFilter| {
        let (mut items, mut after) = (Vec::new(), None);
        while let (_, item, Some(place)) = page(filter, after, 1).await {
            items.extend(item);
            after = Some(place);
        }
        items
    };
    let filter = OwedFilter::default();

    let (total, all) = names(filter).await;
    assert_eq!((total, all.len()), (5, 5), "{all:?}");
    assert_eq!(one_by_one(filter).await, all);
    let (total, first, place) = page(filter, None, 2).await;
    assert_eq!((total, first), (5, all[..2].to_vec()));
    world.plan().await;
    let (_, rest, _) = page(filter, place, 9).await;
    let missed = all[2..].iter().filter(|item| !rest.contains(item));
    assert_eq!(missed.count(), 0, "planned meanwhile: {rest:?}");
    let (_, all) = names(filter).await;
    assert_eq!(one_by_one(filter).await, all);
    let on_b = OwedFilter {
        router: Some(b),
        ..filter
    };
    let expected = (2, vec!["one cut b".to_owned(), "two cut b".to_owned()]);
    assert_eq!(names(on_b).await, expected);
    let restores = OwedFilter {
        want: Some(Want::Restore),
        ..filter
    };
    assert_eq!(
        names(restores).await,
        (1, vec!["back restore a".to_owned()])
    );
}

pub async fn subscribers_are_found_by_parts_of_names_devices_and_how_they_stand(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let tenant = world.tenant("acme").await;
    let router = world.router("r").await;
    let live = world.live("Ann_1", &[mac(1)]).await;
    let ended = world.ended("ann%2", &[]).await;
    let of_tenant = NewSubscriber {
        tenant: Some(tenant),
        ..new_subscriber("hannah", Access::Forever, &[])
    };
    let of_tenant = world.add(&of_tenant).await;
    let bound = NewSubscriber {
        router: Some(router),
        ..new_subscriber("bob", Access::None, &[])
    };
    let bound = world.add(&bound).await;
    let gone = world.live("anna gone", &[]).await;
    ok(world.remove_subscriber(gone.id).await);
    let find = async |filter: SubscriberFilter| {
        let found = ok(world.find_subscribers(&filter, SubscriberId(0), 9).await);
        found.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let name = |part: &str| SubscriberFilter {
        name: Some(part.into()),
        ..SubscriberFilter::default()
    };
    let standing = |standing| SubscriberFilter {
        standing: Some(standing),
        ..SubscriberFilter::default()
    };
    let everybody = [live.id, ended.id, of_tenant.id, bound.id];

    assert_eq!(find(SubscriberFilter::default()).await, everybody);
    assert_eq!(find(name("aNn")).await, everybody[..3]);
    // What means something in a pattern is a letter like any other.
    assert_eq!(find(name("n_")).await, [live.id]);
    assert_eq!(find(name("%")).await, [ended.id]);
    assert_eq!(find(name("\\")).await, [SubscriberId(0); 0]);
    let by_device = SubscriberFilter {
        device: Some(mac(1)),
        ..SubscriberFilter::default()
    };
    assert_eq!(find(by_device).await, [live.id]);
    // Twelve digits may be both, and then one of both is enough.
    let either = |part| SubscriberFilter {
        device: Some(mac(1)),
        ..name(part)
    };
    assert_eq!(find(either("bob")).await, [live.id, bound.id]);
    assert_eq!(find(either("nobody")).await, [live.id]);
    let either_bound = SubscriberFilter {
        router: Some(router),
        ..either("ann")
    };
    assert_eq!(find(either_bound).await, [SubscriberId(0); 0]);
    let by_tenant = |tenant| SubscriberFilter {
        tenant: Some(tenant),
        ..SubscriberFilter::default()
    };
    assert_eq!(find(by_tenant(Some(tenant))).await, [of_tenant.id]);
    assert_eq!(find(by_tenant(None)).await, [live.id, ended.id, bound.id]);
    let by_router = SubscriberFilter {
        router: Some(router),
        ..SubscriberFilter::default()
    };
    assert_eq!(find(by_router).await, [bound.id]);
    assert_eq!(
        find(standing(Standing::Live)).await,
        [live.id, of_tenant.id]
    );
    assert_eq!(find(standing(Standing::Ended)).await, [ended.id]);
    assert_eq!(find(standing(Standing::Never)).await, [bound.id]);
    assert_eq!(find(standing(Standing::Owed)).await, [ended.id]);
    world.plan().await;
    assert_eq!(find(standing(Standing::Owed)).await, [ended.id]);
    for task in world.tasks(router).await {
        assert!(world.intend_on(router, &task, &[]).await);
        world.confirm(router, &task).await;
    }
    assert_eq!(find(standing(Standing::Owed)).await, [SubscriberId(0); 0]);

    let all = SubscriberFilter::default();
    let page = ok(world.find_subscribers(&all, live.id, 2).await);
    assert_eq!(
        page.iter().map(|one| one.id).collect::<Vec<_>>(),
        everybody[1..3]
    );
    assert_eq!(ok(world.subscriber_by_id(live.id).await), Some(live));
    assert_eq!(ok(world.subscriber_by_id(gone.id).await), None);
}

pub async fn the_latest_events_end_where_readers_go_on(store: Arc<dyn Store>) {
    let world = World::new(store);
    assert_eq!(ok(world.latest_events(9).await).len(), 0);
    for name in ["a", "b", "c"] {
        world.tenant(name).await;
    }
    // Other transactions of the same server may hold the last ones back for a moment.
    let mut latest = Vec::new();
    for _ in 0..10_000 {
        let all = ok(world.events(AuditId::START, 9).await);
        latest = ok(world.latest_events(2).await);
        if all.len() == 3 && latest == all[1..] {
            break;
        }
        latest.clear();
        yield_now().await;
    }
    assert_eq!(latest.len(), 2, "the latest are not where reading on ends");
    assert_eq!(ok(world.events(latest[1].id, 9).await).len(), 0);
    let known = ok(world.event_at(latest[0].id).await);
    assert_eq!(known, Some(latest[0].at));
    let unknown = AuditId {
        number: latest[1].id.number + 1_000,
        ..latest[1].id
    };
    assert_eq!(ok(world.event_at(unknown).await), None);
    assert_eq!(ok(world.event_at(AuditId::START).await), None);
}

pub async fn r9_the_latest_lags_are_told_one_by_one(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let back = world.ended("back", &[]).await;
    world.plan().await;
    world.cut(router, &[name_undo("back")]).await;
    world.pay(back.id).await;
    let task = world.task(router).await;
    world.confirm(router, &task).await;

    let points = ok(world.latest_lags(9).await);
    let wants: Vec<_> = points.iter().map(|point| point.want).collect();
    assert_eq!(wants, [Want::Cut, Want::Restore]);
    let report = ok(world.lag().await);
    assert_eq!(Some(points[0].lag), report.all.cuts.max());
    assert_eq!(
        (points[0].router.as_deref(), points[0].outage),
        (Some("r"), false)
    );
    assert!(points.is_sorted_by_key(|point| point.at));
    assert_eq!(ok(world.latest_lags(1).await), points[1..]);
}

pub async fn r9_what_a_router_says_of_itself_is_told_until_it_may_be_another(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    let said = async || ok(world.status(0).await).routers[0].said.clone();
    assert_eq!(said().await, None);
    let fence = world.fence(router).await;
    let before = world.time().await;
    let reached = RouterState::Reached(RouterFacts {
        board: Some("hAP".into()),
        clock: Some(before + TimeDelta::seconds(90)),
        ..facts("r", None)
    });
    ok(world.router_state(&fence, &reached).await);
    let told = said().await.expect("it was reached");
    assert_eq!(told.version.as_deref(), Some("7.18.2 (stable)"));
    assert_eq!(told.board.as_deref(), Some("hAP"));
    assert!(told.at >= before);
    let skew = told.clock_skew_ms.expect("it said so");
    assert!((60_000..=90_000).contains(&skew), "{skew}");
    ok(world.accept_router(router).await);
    assert_eq!(said().await, None);
}
