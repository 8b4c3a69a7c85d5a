use std::{collections::BTreeSet, sync::Arc};

use chrono::TimeDelta;

use super::{
    status::{quiet, silent, woken},
    world::{HOUR, World, mac, mac_undo, macs, name_undo, names_of, new_subscriber, ok, username},
};
use crate::{
    Access, AuditKind, Conflict, Field, Loss, MacAddr, Missing, PutOptions, PutReport,
    PutSubscriber, Revision, RouterId, RowError, Service, Store, StoreError, Subscriber,
    SubscriberId, Want,
};

pub async fn a_list_makes_changes_and_leaves_alone(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let router = world.router_of(Some(tenant), "r").await;
    let same = world.live("same", &[mac(1)]).await;
    let changed = world.live("changed", &[mac(2)]).await;
    let end = world.time().await + HOUR * 2;
    let mut made = row("made", Access::Until(end));
    made.tenant = Some(tenant);
    made.router = Field::Set(Some(router));
    made.devices = Field::Set(macs(&[mac(1)]));
    let mut update = row("changed", Access::Forever);
    update.devices = Field::Set(macs(&[mac(3)]));

    let report = world
        .put(&[
            made.clone(),
            row("same", same.access),
            update,
            row("none", Access::None),
        ])
        .await;

    let expected = PutReport {
        made: 2,
        without_access: 1,
        updated: 1,
        unchanged: 1,
        ..PutReport::default()
    };
    assert_eq!(report, expected);
    let found = world.found("changed").await;
    assert_eq!((found.id, found.access), (changed.id, Access::Forever));
    assert_eq!(found.devices, macs(&[mac(3)]));
    assert_eq!(found.revision.0, changed.revision.0 + 1);
    assert_eq!(world.found("same").await, same);
    let found = ok(world.subscriber(Some(tenant), &username("made")).await).expect("made");
    assert_eq!(
        (found.access, found.router),
        (Access::Until(end), Some(router))
    );
    assert_eq!(found.devices, macs(&[mac(1)]));
    made.access = Access::Until(end - TimeDelta::nanoseconds(1));
    assert_eq!(world.put(&[made]).await.unchanged, 1, "it is the same end");
}

pub async fn what_a_list_does_not_give_stays(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let mut bound = new_subscriber("s", Access::None, &[mac(1)]);
    bound.router = Some(router);
    world.add(&bound).await;

    let lines = [row("s", Access::Forever), row("new", Access::Forever)];
    world.put(&lines).await;

    let found = world.found("s").await;
    assert_eq!(
        (found.router, found.devices),
        (Some(router), macs(&[mac(1)]))
    );
    let made = world.found("new").await;
    assert_eq!((made.router, made.devices), (None, macs(&[])));
}

pub async fn every_row_that_cannot_be_taken_is_named_and_none_is(store: Arc<dyn Store>) {
    let world = World::new(store);
    let tenant = world.tenant("a").await;
    let theirs = world.router_of(Some(tenant), "theirs").await;
    let owner = world.live("owner", &[mac(1)]).await;
    let live = world.live("live", &[]).await;
    let mut nobodys = row("x", Access::Forever);
    nobodys.tenant = Some(crate::TenantId(4711));
    let lines = [
        row("good", Access::Forever),
        nobodys,
        bound("y", Some(RouterId(4711))),
        bound("z", Some(theirs)),
        with("thief", &[mac(2), mac(1)]),
        with("second", &[mac(2)]),
        row("good", Access::None),
        row("live", Access::None),
    ];
    let mut feed = ok(world.changes().await);
    quiet(feed.as_mut()).await;

    for dry_run in [true, false] {
        let options = PutOptions {
            dry_run,
            ..PutOptions::default()
        };
        let refused = match world.put_subscribers(&lines, options).await {
            Err(StoreError::Rows(refused)) => refused,
            other => panic!("it was not refused: {other:?}"),
        };

        let found: Vec<_> = refused.into_iter().map(|row| (row.row, row.why)).collect();
        let device = |device, owner| RowError::Conflict(Conflict::Device { mac: device, owner });
        let expected = [
            (1, RowError::Missing(Missing::Tenant)),
            (2, RowError::Missing(Missing::Router)),
            (3, Conflict::RouterTenant("theirs".into()).into()),
            (4, device(mac(1), username("owner"))),
            (5, device(mac(2), username("thief"))),
            (6, Conflict::Username(username("good")).into()),
            (7, Conflict::HasAccess(username("live")).into()),
        ];
        assert_eq!(found, expected);
        assert!(silent(feed.as_mut()).await, "nothing happened");
        assert_eq!(world.all().await, [owner.clone(), live.clone()]);
    }
}

pub async fn a_dry_run_changes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let live = world.live("s", &[mac(1)]).await;
    let mut feed = ok(world.changes().await);
    quiet(feed.as_mut()).await;

    let lines = [
        row("s", world.past().await),
        with("made", &[mac(2)]),
        with("other", &[]),
    ];
    let options = PutOptions {
        dry_run: true,
        shorten: true,
    };
    let report = ok(world.put_subscribers(&lines, options).await);

    assert_eq!((report.made, report.updated, report.ended), (2, 1, 1));
    assert!(silent(feed.as_mut()).await, "nobody is woken");
    assert_eq!(world.all().await, [live]);
    assert_eq!(world.tasks(router).await, []);
}

pub async fn r3_no_list_takes_time_away_unless_it_is_told_to(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let end = world.time().await + HOUR * 2;
    let paid = world
        .add(&new_subscriber("paid", Access::Until(end), &[]))
        .await;
    let always = world
        .add(&new_subscriber("always", Access::Forever, &[]))
        .await;
    let earlier = end - TimeDelta::microseconds(1);
    let past = world.time().await - HOUR;
    let last_week = [
        row("new", Access::Forever),
        row("paid", Access::Until(past)),
        row("always", Access::Until(earlier)),
    ];
    let options = PutOptions::default();
    let dry_run = true;
    for options in [options, PutOptions { dry_run, ..options }] {
        let refused = match world.put_subscribers(&last_week, options).await {
            Err(StoreError::Rows(refused)) => refused,
            other => panic!("it was not refused: {other:?}"),
        };

        let loss = |name, from, to| Loss {
            username: username(name),
            tenant: None,
            from,
            to,
        };
        let found: Vec<_> = refused.into_iter().map(|row| (row.row, row.why)).collect();
        let expected = [loss("paid", Some(end), past), loss("always", None, earlier)];
        let expected = (1..).zip(expected.map(RowError::Shortens));
        assert_eq!(found, expected.collect::<Vec<_>>());
        assert_eq!(world.all().await, [paid.clone(), always.clone()]);
        assert_eq!(world.tasks(router).await, []);
    }

    let report = world.put(&last_week).await;

    assert_eq!((report.ended, report.shortened), (1, 1));
    let names: Vec<_> = report.losses.iter().map(|l| l.username.as_str()).collect();
    assert_eq!(names, ["always", "paid"]);
    assert_eq!(names_of(&world.tasks(router).await), ["paid"]);
    let again = ok(world.put_subscribers(&last_week, options).await);
    assert_eq!(
        (again.unchanged, again.ended),
        (3, 0),
        "nobody has less now"
    );
}

pub async fn r5_a_list_wakes_every_feed_if_it_changes_anything(store: Arc<dyn Store>) {
    let world = World::new(store);
    let mut feed = ok(world.changes().await);
    let lines = [with("a", &[mac(1)]), with("b", &[])];

    quiet(feed.as_mut()).await;
    world.put(&lines).await;
    assert!(woken(feed.as_mut()).await);
    quiet(feed.as_mut()).await;
    world.put(&lines).await;
    assert!(silent(feed.as_mut()).await, "nothing has changed");
}

pub async fn r1_two_rows_of_a_list_may_swap_a_device(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.live("a", &[mac(1)]).await;
    world.live("b", &[mac(2), mac(3)]).await;

    world
        .put(&[with("a", &[mac(2)]), with("b", &[mac(1)])])
        .await;

    assert_eq!(world.found("a").await.devices, macs(&[mac(2)]));
    assert_eq!(world.found("b").await.devices, macs(&[mac(1)]));
    let cut = world.task(router).await;
    assert_eq!((cut.username, cut.macs), (None, macs(&[mac(3)])));
    let (none, all) = (BTreeSet::new(), macs(&[mac(1), mac(2), mac(3)]));
    let live = ok(world.live_at(router, &none, &all).await);
    assert_eq!(live.macs, macs(&[mac(1), mac(2)]));
}

pub async fn r2_a_device_that_moves_to_who_has_ended_is_cut_with_its_new_owner(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let router = world.router("r").await;
    world.live("live", &[mac(1)]).await;
    let ended = world.ended("ended", &[mac(2)]).await;
    world
        .cut(router, &[name_undo("ended"), mac_undo(mac(2))])
        .await;
    let mut over = with("ended", &[mac(1)]);
    over.access = ended.access;

    world.put(&[with("live", &[mac(2)]), over]).await;

    let tasks = world.tasks(router).await;
    let [restore, cut] = &tasks[..] else {
        panic!("one restore and one cut: {tasks:?}");
    };
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.username, Some(username("live")));
    assert_eq!(restore.undo, [mac_undo(mac(2))]);
    assert_eq!(cut.username, Some(username("ended")));
    assert_eq!(cut.macs, macs(&[mac(1)]));
    assert!(Some(cut.due_at) > ended.access.end() && !cut.backlog);
}

pub async fn r9_every_change_by_a_list_is_in_the_audit(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let joe = world.live("joe", &[mac(1)]).await;
    let before = world.audit().await.len();
    let over = Access::Until(world.time().await - HOUR);
    let changed = PutSubscriber {
        access: over,
        devices: Field::Set(macs(&[mac(2)])),
        ..bound("joe", Some(router))
    };

    world.put(&[changed, row("eve", over)]).await;

    let events = world.audit().await.split_off(before);
    let told = events.into_iter().map(|event| {
        let entry = event.entry;
        (entry.username, entry.device, entry.kind)
    });
    let told: Vec<_> = told.collect();
    let of = |name, device, kind| (Some(username(name)), device, kind);
    let (from, to, revision) = (joe.access, over, Revision(joe.revision.0 + 1));
    let moved = AuditKind::Bound {
        from: None,
        to: Some(router),
        revision,
    };
    let made = AuditKind::SubscriberAdded {
        access: over,
        devices: macs(&[]),
        revision: Revision(1),
    };
    let expected = [
        of("joe", None, AuditKind::AccessChanged { from, to, revision }),
        of("joe", None, moved),
        of("joe", Some(mac(1)), AuditKind::DeviceRemoved { revision }),
        of("joe", Some(mac(2)), AuditKind::DeviceAdded { revision }),
        of("eve", None, made),
        of("joe", None, AuditKind::AccessEnded),
        of("eve", None, AuditKind::AccessEnded),
    ];
    assert_eq!(told, expected);
}

pub async fn r2_a_row_whose_end_is_past_is_owed_at_once(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    world.live("s", &[mac(1)]).await;
    let over = world.past().await;
    let long_over = Access::Until(world.time().await - HOUR);

    world.put(&[row("s", over), row("new", long_over)]).await;

    assert_eq!(world.owed().await, (4, 0));
    for router in [one, two] {
        let tasks = world.tasks(router).await;
        assert_eq!(names_of(&tasks), ["s", "new"]);
        assert_eq!((tasks[0].backlog, tasks[1].backlog), (false, true));
        assert_eq!(Some(tasks[0].due_at), over.end());
        assert_eq!(tasks[0].macs, macs(&[mac(1)]));
        assert_eq!(tasks[0].revision, world.found("s").await.revision);
    }
    world.put(&[row("s", over), row("new", long_over)]).await;
    assert_eq!(world.plan().await.subscribers, 0, "all was planned");
}

pub async fn r3_a_row_that_pays_voids_the_cut_or_owes_the_restore(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    for name in ["clean", "touched"] {
        world.ended(name, &[]).await;
        let undo = match name {
            "touched" => vec![name_undo(name)],
            _ => Vec::new(),
        };
        world.cut(router, &undo).await;
    }
    world.ended("untouched", &[mac(1)]).await;
    let late = world.task(router).await;

    let paid = ["clean", "touched", "untouched"].map(|name| row(name, Access::Forever));
    world.put(&paid).await;

    let restore = world.task(router).await;
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.username, Some(username("touched")));
    assert_eq!(restore.undo, [name_undo("touched")]);
    assert!(
        !world.intend_on(router, &late, &[]).await,
        "the cut is void"
    );
    world.confirm(router, &restore).await;
    assert!(ok(world.open_work(router).await).is_empty());
}

pub async fn r3_live_rows_take_their_names_and_devices_out_of_other_cuts(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    for (name, device) in [("a", 1), ("b", 2), ("c", 3)] {
        let gone = world.live(name, &[mac(device)]).await;
        ok(world.remove_subscriber(gone.id).await);
    }
    let mut bound = with("b", &[mac(2)]);
    bound.router = Field::Set(Some(one));

    world
        .put(&[with("a", &[]), bound, with("other", &[mac(1)])])
        .await;

    assert_eq!(names_of(&world.tasks(one).await), ["c"]);
    assert_eq!(names_of(&world.tasks(two).await), ["b", "c"]);
    let two = world.tasks(two).await;
    assert_eq!(two[0].macs, macs(&[mac(2)]), "it may not be online there");
}

pub async fn r2_who_is_bound_elsewhere_is_cut_where_it_was(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (old, new) = (world.router("old").await, world.router("new").await);
    let live = world.live("s", &[mac(1)]).await;
    let mut moved = bound("s", Some(new));
    moved.access = live.access;
    moved.devices = Field::Set(macs(&[mac(2)]));

    world.put(&[moved]).await;

    let cut = world.task(old).await;
    assert_eq!((cut.want, cut.backlog), (Want::Cut, true));
    assert_eq!(cut.username, Some(username("s")));
    assert_eq!(cut.macs, macs(&[mac(1)]), "what may be online there");
    let (names, none) = (BTreeSet::from([username("s")]), BTreeSet::new());
    assert!(ok(world.live_at(old, &names, &none).await).names.is_empty());
    world.pay(live.id).await;
    assert_eq!(world.task(old).await, cut, "nothing explains it there");
    world.cut(old, &[name_undo("s")]).await;
    world.plan().await;
    world.switch(old, false).await;
    world.switch(old, true).await;
    assert_eq!(world.tasks(old).await, [], "it is done and forgotten");
    assert_eq!(ok(world.open_work(old).await).undo, ["s"]);
}

pub async fn r2_who_is_bound_elsewhere_is_owed_on_a_router_that_is_disabled_for_now(
    store: Arc<dyn Store>,
) {
    let world = World::new(store);
    let (old, new) = (world.router("old").await, world.router("new").await);
    world.live("s", &[]).await;
    world.switch(old, false).await;

    world.put(&[bound("s", Some(new))]).await;

    assert_eq!(world.owed().await, (0, 0));
    world.switch(old, true).await;
    assert_eq!(names_of(&world.tasks(old).await), ["s"]);
}

pub async fn r3_who_is_bound_back_is_let_in_again(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    world.live("s", &[]).await;
    world.live("t", &[]).await;
    world
        .put(&[bound("s", Some(two)), bound("t", Some(two))])
        .await;
    let tasks = world.tasks(one).await;
    assert_eq!(names_of(&tasks), ["s", "t"]);
    assert!(world.intend_on(one, &tasks[1], &[name_undo("t")]).await);

    world.put(&[bound("s", None), bound("t", None)]).await;

    assert!(
        !world.intend_on(one, &tasks[0], &[]).await,
        "the cut is void"
    );
    let restore = world.task(one).await;
    assert_eq!(restore.want, Want::Restore);
    assert_eq!(restore.undo, [name_undo("t")]);
    assert_eq!(world.tasks(two).await, []);
}

pub async fn r2_a_device_lost_while_bound_elsewhere_stays_owed_there(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (one, two) = (world.router("one").await, world.router("two").await);
    world.live("s", &[mac(1), mac(2)]).await;
    world.put(&[bound("s", Some(two))]).await;
    let mut without = bound("s", Some(two));
    without.devices = Field::Set(macs(&[mac(2)]));
    world.put(&[without]).await;

    world.put(&[bound("s", None)]).await;

    let cut = world.task(one).await;
    assert_eq!((cut.username, cut.macs), (None, macs(&[mac(1)])));
}

pub async fn r2_a_restore_where_nobody_may_be_let_in_becomes_a_cut(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (old, new) = (world.router("old").await, world.router("new").await);
    let ended = world.ended("s", &[]).await;
    world.cut(old, &[name_undo("s")]).await;
    world.pay(ended.id).await;
    let restore = world.task(old).await;

    world.put(&[bound("s", Some(new))]).await;

    assert!(!world.intend_on(old, &restore, &[]).await);
    assert_eq!(world.task(old).await.want, Want::Cut);
    world.cut(old, &[]).await;
    world.put(&[bound("s", Some(old))]).await;
    let restore = world.task(old).await;
    assert_eq!(restore.undo, [name_undo("s")], "nothing is forgotten");
}

pub async fn r2_an_end_that_nobody_planned_is_owed_where_its_subscriber_was(store: Arc<dyn Store>) {
    let world = World::new(store);
    let (old, new) = (world.router("old").await, world.router("new").await);
    let end = world.time().await + TimeDelta::milliseconds(50);
    let mut first = new_subscriber("s", Access::Until(end), &[]);
    first.router = Some(old);
    world.add(&first).await;
    world.pass(end).await;
    let mut moved = bound("s", Some(new));
    moved.access = Access::Until(end);

    world.put(&[moved]).await;

    assert_eq!(names_of(&world.tasks(old).await), ["s"]);
    assert_eq!(names_of(&world.tasks(new).await), ["s"]);
}

pub async fn a_binding_to_a_removed_router_may_stand(store: Arc<dyn Store>) {
    let world = World::new(store);
    let router = world.router("r").await;
    let mut first = new_subscriber("s", Access::Forever, &[]);
    first.router = Some(router);
    let made = world.add(&first).await;
    ok(world.remove_router(router, true).await);

    assert_eq!(world.put(&[bound("s", Some(router))]).await.unchanged, 1);

    assert_eq!(world.found("s").await, made);
}

pub async fn names_that_differ_by_case_are_two(store: Arc<dyn Store>) {
    let world = World::new(store);
    let lower = world.live("joe", &[mac(1)]).await;

    let report = world.put(&[row("Joe", Access::Forever)]).await;

    assert_eq!(report.made, 1);
    assert_eq!(world.found("joe").await, lower);
    let renamed = world
        .put_subscribers(&[with("JOE", &[mac(1)])], PutOptions::default())
        .await;
    match renamed {
        Err(StoreError::Rows(refused)) => {
            let (mac, owner) = (mac(1), username("joe"));
            assert_eq!(refused[0].why, Conflict::Device { mac, owner }.into());
        }
        other => panic!("it was not refused: {other:?}"),
    }
}

pub async fn r2_long_lists_are_taken_whole(store: Arc<dyn Store>) {
    const MANY: u16 = 700;
    let world = World::new(store);
    let router = world.router("r").await;
    let over = world.past().await;
    let device = |number: u16| {
        let [high, low] = number.to_be_bytes();
        MacAddr::new([2, 0, 0, 1, high, low])
    };
    let list = |access: Access, shift: u16| -> Vec<_> {
        let line = |number| PutSubscriber {
            access,
            ..with(&format!("s{number}"), &[device((number + shift) % MANY)])
        };
        (0..MANY).map(line).collect()
    };

    let made = world.put(&list(Access::Forever, 0)).await;
    assert_eq!(made.made, u64::from(MANY));
    let names: Vec<_> = world.all().await.into_iter().map(|s| s.username).collect();
    let expected: Vec<_> = (0..MANY).map(|n| username(&format!("s{n}"))).collect();
    assert_eq!(names, expected, "in the order of the list");
    let updated = world.put(&list(over, 1)).await;
    assert_eq!(updated.updated, u64::from(MANY));
    assert_eq!(world.owed().await, (u64::from(MANY), 0));
    let fence = world.fence(router).await;
    let tasks = ok(world.work(&fence, u32::MAX, u32::MAX).await).tasks;
    let cut: BTreeSet<_> = tasks.iter().flat_map(|task| &task.macs).collect();
    assert_eq!(cut.len(), usize::from(MANY));

    let paid = world.put(&list(Access::Forever, 1)).await;
    assert_eq!(paid.updated, u64::from(MANY));
    assert_eq!(world.owed().await, (0, 0));
    assert_eq!(
        world.put(&list(Access::Forever, 1)).await.unchanged,
        u64::from(MANY)
    );
}

impl World {
    async fn put(&self, rows: &[PutSubscriber]) -> PutReport {
        let options = PutOptions {
            shorten: true,
            ..PutOptions::default()
        };
        ok(self.put_subscribers(rows, options).await)
    }

    async fn past(&self) -> Access {
        Access::Until(self.time().await - TimeDelta::seconds(1))
    }

    async fn found(&self, name: &str) -> Subscriber {
        ok(self.subscriber(None, &username(name)).await).expect("it exists")
    }

    async fn all(&self) -> Vec<Subscriber> {
        ok(self.subscribers(None, SubscriberId(0), u32::MAX).await)
    }
}

/// A row that keeps router and devices.
fn row(name: &str, access: Access) -> PutSubscriber {
    PutSubscriber {
        tenant: None,
        username: username(name),
        service: Service::Hotspot,
        access,
        router: Field::Keep,
        devices: Field::Keep,
    }
}

fn with(name: &str, devices: &[MacAddr]) -> PutSubscriber {
    PutSubscriber {
        devices: Field::Set(macs(devices)),
        ..row(name, Access::Forever)
    }
}

fn bound(name: &str, router: Option<RouterId>) -> PutSubscriber {
    PutSubscriber {
        router: Field::Set(router),
        ..row(name, Access::Forever)
    }
}
