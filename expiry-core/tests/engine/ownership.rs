use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use expiry_core::{
    BlockOrder, DropOrder, EnforcementStore, Event, GatewayError, Heartbeat, Query, Refusal,
    Router, RouterFacts, RouterGateway, RouterId, RouterLogin, Sighting, StatusStore, UnblockOrder,
    WatcherId,
    testing::{
        SimGateway,
        gateway::{Admission, Fault, Flight},
        memory,
    },
    watcher::{WatchError, WatcherConfig},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::world::{FLIGHT, World, is_cut, is_restored, username};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn r8_each_router_has_exactly_one_owner_and_a_death_costs_at_most_20_s() {
    let world = World::new();
    let mut routers = Vec::new();
    for n in 1..=4 {
        routers.push(world.router(&format!("r{n}")).await);
    }
    let first = world.start();
    sleep(SECOND).await;
    let second = world.start();
    for (number, router) in (1..).zip(&routers) {
        world
            .subscriber(router, number, 20 * SECOND, Admission::Account)
            .await;
    }
    sleep(9 * SECOND).await;
    assert_eq!(world.events.count(|e| matches!(e, Event::Owned { .. })), 4);

    sleep(5 * SECOND).await;
    first.task.abort();
    let cuts = world.events.wait_for(60 * SECOND, 4, is_cut).await;

    for cut in cuts {
        let Event::Cut { waited, .. } = cut else {
            unreachable!("matched")
        };
        let lag = waited.span;
        assert!(lag < 20 * SECOND, "lag {lag:?}");
    }
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_what_a_thawed_watcher_wrote_too_late_is_undone() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let frozen = Arc::new(Frozen {
        inner: Arc::clone(&world.gateway),
        thaw: Notify::new(),
    });
    let heartless = WatcherConfig {
        heartbeat: Duration::from_hours(1),
        ..WatcherConfig::default()
    };
    let first = World::start_watcher(world.watcher_with(Arc::clone(&frozen) as _, heartless));
    sleep(6 * SECOND).await;
    let second = world.start();

    world.cut(30 * SECOND).await;
    world.pay(subscriber.id).await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;
    sleep(60 * SECOND).await;
    frozen.thaw.notify_one();
    sleep(5 * SECOND).await;

    assert!(!world.is_disabled(router.id, &username(1)));
    assert!(world.can_move(router.id, 1), "and is able to be online");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_stop_lets_each_router_go_when_its_own_lane_has_ended() {
    let world = World::new();
    let (hanging, healthy) = (world.router("r1").await, world.router("r2").await);
    let first = world.start();
    sleep(SECOND).await;
    let second = world.start();
    sleep(8 * SECOND).await;
    world.gateway.set_fault(hanging.id, Fault::Hang);
    world
        .subscriber(&hanging, 1, SECOND, Admission::Account)
        .await;
    world
        .subscriber(&healthy, 2, 5 * SECOND, Admission::Account)
        .await;
    sleep(4 * SECOND).await;
    assert!(world.can_move(hanging.id, 1), "a look at it hangs");

    let asked = Instant::now();
    first.stop().await;
    assert!(
        asked.elapsed() < SECOND,
        "nothing was written to the one that hangs"
    );

    let (lag, _) = world.cut(2 * SECOND).await;
    assert!(lag < SECOND, "lag {lag:?}");
    world.gateway.set_fault(hanging.id, Fault::None);
    second.stop.cancel();
    let third = world.start();
    let cuts = world.events.wait_for(5 * SECOND, 2, is_cut).await;
    assert_eq!(cuts.len(), 2, "what hung is owed still, and made");
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_stop_waits_for_writes_on_the_wire_and_lets_the_others_go() {
    let world = World::new();
    let (slow, healthy) = (world.router("r1").await, world.router("r2").await);
    let first = world.start();
    sleep(SECOND).await;
    let second = world.start();
    sleep(2 * SECOND).await;
    world
        .subscriber(&slow, 1, 2 * SECOND, Admission::Account)
        .await;
    world
        .subscriber(&healthy, 2, 3 * SECOND, Admission::Account)
        .await;
    let gateway = Arc::downgrade(&world.gateway);
    let id = slow.id;
    world.gateway.on_flight(id, move |flight, _| {
        if let (Flight::Block, Some(gateway)) = (flight, gateway.upgrade()) {
            tokio::spawn(async move { gateway.set_delay(id, 4 * SECOND) });
        }
    });
    sleep(2 * SECOND + FLIGHT * 4).await;

    let asked = Instant::now();
    first.stop.cancel();
    let (lag, _) = world.cut(2 * SECOND).await;
    assert!(lag < SECOND, "lag {lag:?}");
    let ended = first.task.await.expect("no panic");
    ended.expect("an orderly end");
    assert!(asked.elapsed() > 3 * SECOND, "it has waited for its writes");
    world.events.wait_for(10 * SECOND, 2, is_cut).await;
    assert!(!world.can_move(slow.id, 1));
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_stop_that_breaks_off_a_write_leaves_the_router_to_be_read_whole() {
    let world = World::new();
    let slow = world.router("r1").await;
    let running = world.start();
    sleep(SECOND).await;
    world
        .subscriber(&slow, 1, 2 * SECOND, Admission::Account)
        .await;
    let gateway = Arc::downgrade(&world.gateway);
    let id = slow.id;
    world.gateway.on_flight(id, move |flight, _| {
        if let (Flight::Block, Some(gateway)) = (flight, gateway.upgrade()) {
            tokio::spawn(async move { gateway.set_delay(id, 60 * SECOND) });
        }
    });
    sleep(2 * SECOND + FLIGHT * 4).await;
    running.stop().await;

    let next = Heartbeat::new(WatcherId::fresh(), 15 * SECOND);
    let owned = world.store.own(&next).await.expect("owned");
    assert!(owned[0].taken_over, "a write may still be under way");
}

#[tokio::test(start_paused = true)]
async fn r8_a_watcher_whose_heart_fails_writes_nothing() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 20 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    sleep(SECOND).await;
    world.store.fail_when(|call| match call {
        "own" => memory::Fault::Before,
        _ => memory::Fault::None,
    });
    sleep(25 * SECOND).await;
    assert!(world.can_move(router.id, 1));
    let wrote = |f: &&Flight| matches!(f, Flight::Block | Flight::Drop | Flight::Unblock);
    assert_eq!(
        world
            .gateway
            .flights(router.id)
            .iter()
            .filter(wrote)
            .count(),
        0
    );

    world.store.heal();
    world.cut(5 * SECOND).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_restores_on_a_router_taken_over_are_looked_at_again() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let first = world.start();
    world.cut(20 * SECOND).await;
    first.task.abort();
    let second = world.start();
    sleep(20 * SECOND).await;
    world.pay(subscriber.id).await;
    world.events.wait_for(SECOND, 1, is_restored).await;

    // The dead one's last write arrives.
    world.gateway.with(router.id, |hotspot| {
        hotspot
            .users
            .values_mut()
            .for_each(|row| row.disabled = true);
    });
    sleep(3 * SECOND).await;

    assert!(!world.is_disabled(router.id, &username(1)));
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_single_check_has_the_owner_try_and_waits_for_it() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    sleep(4 * SECOND).await;
    world.gateway.set_fault(router.id, Fault::Down);
    sleep(Duration::from_mins(10)).await;
    world.gateway.set_fault(router.id, Fault::None);

    let stop = tokio_util::sync::CancellationToken::new();
    let report = world.watcher().run_once(stop).await.expect("a check");

    assert_eq!(
        (report.owed, report.confirmed, report.still_owed),
        (1, 1, 0)
    );
    assert!(!world.can_move(router.id, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_single_check_says_what_is_still_owed() {
    let world = World::new();
    let up = world.router("up").await;
    let down = world.router("down").await;
    world.subscriber(&up, 1, SECOND, Admission::Account).await;
    world.subscriber(&down, 3, SECOND, Admission::Account).await;
    world.gateway.set_fault(down.id, Fault::Down);
    sleep(2 * SECOND).await;

    let stop = tokio_util::sync::CancellationToken::new();
    let report = world.watcher().run_once(stop).await.expect("a check");

    assert_eq!(
        (report.owed, report.confirmed, report.still_owed),
        (2, 1, 1)
    );
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.owed[0].router, "down");
    assert!(status.watchers.is_empty(), "it let go");
}

#[tokio::test(start_paused = true)]
async fn r9_a_single_check_that_was_begun_is_not_said_to_have_done_nothing() {
    for last in ["brakes", "plan_due", "nudge", "release"] {
        let world = World::new();
        let router = world.router("r1").await;
        world
            .subscriber(&router, 1, SECOND, Admission::Account)
            .await;
        sleep(2 * SECOND).await;
        let mut is_over = last == "brakes";
        world.store.fail_when(move |call| {
            let fails = is_over;
            is_over |= call == last;
            if fails {
                memory::Fault::Before
            } else {
                memory::Fault::None
            }
        });

        let stop = tokio_util::sync::CancellationToken::new();
        let ended = world.watcher().run_once(stop).await;

        let is_told = match last {
            "brakes" => matches!(ended, Err(WatchError::Store(_))),
            _ => matches!(ended, Err(WatchError::Unread(_))),
        };
        assert!(is_told, "{last}: {ended:?}");
        let is_off = !world.can_move(router.id, 1);
        assert_eq!(is_off, last == "release", "{last}");
    }
}

/// A gateway whose first `block` is frozen until it is thawed, and then writes.
struct Frozen {
    inner: Arc<SimGateway>,
    thaw: Notify,
}

#[async_trait]
impl RouterGateway for Frozen {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        self.inner.look(login, query).await
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        self.thaw.notified().await;
        self.inner.block(router, order, query).await
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.inner.drop_rows(router, order).await
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        self.inner.unblock(router, order).await
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        self.inner.sessions(login).await
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        self.inner.probe(login).await
    }

    async fn close(&self, _router: RouterId) {}
}
