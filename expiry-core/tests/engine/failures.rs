use std::time::Duration;

use expiry_core::{
    Cause, Directory, Event, NoPasswordCause, RouterChange, StatusStore,
    testing::{
        gateway::{Admission, Fault, Flight},
        memory,
    },
};
use rstest::rstest;
use tokio::time::sleep;

use crate::world::{World, is_cut, is_restored, username};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

#[rstest]
#[case(Fault::Down)]
#[case(Fault::BlackHole)]
#[tokio::test(start_paused = true)]
async fn r2_a_cut_owed_by_a_dead_router_is_made_when_it_answers(#[case] fault: Fault) {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    sleep(4 * SECOND).await;
    world.gateway.set_fault(router.id, fault);
    sleep(60 * SECOND).await;
    assert!(world.can_move(router.id, 1));
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.owed_cuts, 1);
    assert!(status.routers[0].down_since.is_some());

    world.gateway.set_fault(router.id, Fault::None);
    let (lag, outage) = world.cut(8 * SECOND).await;

    assert!(outage && lag > 58 * SECOND);
    assert!(!world.can_move(router.id, 1));
    assert_eq!(
        world
            .events
            .count(|e| matches!(e, Event::RouterLost { .. })),
        1
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_password_that_does_not_open_concerns_its_router_alone() {
    let world = World::new();
    let (shut, open) = (world.router("shut").await, world.router("open").await);
    for (router, number) in [(&shut, 1), (&open, 2)] {
        world
            .subscriber(router, number, 5 * SECOND, Admission::Account)
            .await;
    }
    world.store.lose_password(shut.id, NoPasswordCause::Damaged);
    let running = world.start();

    world.cut(6 * SECOND).await;
    sleep(20 * SECOND).await;

    assert!(world.can_move(shut.id, 1) && !world.can_move(open.id, 2));
    assert_eq!(world.gateway.flights(shut.id), []);
    let status = world.store.status(10).await.expect("status");
    let router = &status.routers[1];
    let error = router.last_error.as_deref().unwrap_or_default();
    assert!(
        router.down_since.is_some() && error.contains("damaged"),
        "{router:?}"
    );
    let trouble = Cause::in_line(error);
    assert_eq!(trouble, Some(Cause::NoPassword), "{error}");
    let before = router.attempted_at;
    sleep(30 * SECOND).await;
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.routers[1].attempted_at, before, "tried slowly");

    let change = RouterChange {
        password: Some("secret".into()),
        ..RouterChange::default()
    };
    world
        .store
        .change_router(shut.id, &change)
        .await
        .expect("set");
    world.events.wait_for(2 * SECOND, 2, is_cut).await;

    assert!(!world.can_move(shut.id, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_writes_whose_answers_are_lost_are_made_sure_of() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let gateway = std::sync::Arc::clone(&world.gateway);
    let running = world.start();
    sleep(4 * SECOND).await;
    world.gateway.set_fault(router.id, Fault::LostAnswers);
    sleep(20 * SECOND).await;
    assert_eq!(world.events.count(is_cut), 0);
    gateway.set_fault(router.id, Fault::None);

    world.cut(10 * SECOND).await;
    world.pay(subscriber.id).await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;

    assert!(!world.is_disabled(router.id, &username(1)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_dead_router_delays_nobody_elses_cut() {
    let world = World::new();
    let dead = world.router("dead").await;
    let healthy = world.router("healthy").await;
    world.gateway.set_fault(dead.id, Fault::BlackHole);
    for number in 1..=20 {
        let ends_in = 5 * SECOND + Duration::from_millis(100) * u32::from(number);
        world
            .subscriber(&dead, number, ends_in, Admission::Account)
            .await;
        world
            .subscriber(&healthy, number + 20, ends_in, Admission::Account)
            .await;
    }
    let running = world.start();

    let cuts = world.events.wait_for(30 * SECOND, 20, is_cut).await;

    for cut in cuts {
        let Event::Cut { router, waited, .. } = cut else {
            unreachable!("matched")
        };
        assert_eq!(router, healthy.id);
        let lag = waited.span;
        assert!(lag < Duration::from_millis(50), "lag {lag:?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_refused_login_is_not_hammered() {
    let world = World::new();
    let router = world.router("r1").await;
    world.gateway.set_fault(router.id, Fault::Login);
    let running = world.start();

    sleep(Duration::from_mins(5)).await;

    let tries = world.gateway.flights(router.id).len();
    assert!((5..=8).contains(&tries), "{tries} tries in five minutes");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_refused_write_is_reported_and_never_taken_for_done() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    world.gateway.set_fault(router.id, Fault::NoPermission);
    let running = world.start();

    let refused = |e: &Event| matches!(e, Event::Unconfirmed { error, .. } if error.contains("not enough permissions"));
    world.events.wait_for(20 * SECOND, 1, refused).await;
    sleep(60 * SECOND).await;
    assert_eq!(
        world.events.count(refused),
        1,
        "what is known is not told again"
    );

    let status = world.store.status(10).await.expect("status");
    assert!(status.owed[0].online);
    assert!(
        status.owed[0]
            .last_error
            .as_deref()
            .is_some_and(|e| e.contains("permissions"))
    );
    assert_eq!(world.events.count(is_cut), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_an_account_that_may_not_write_is_named_until_it_may() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 1..=3 {
        let ends_in = 5 * SECOND * u32::from(number);
        world
            .subscriber(&router, number, ends_in, Admission::Account)
            .await;
    }
    world.gateway.set_fault(router.id, Fault::NoPermission);
    let running = world.start();
    let forbidden = |e: &Event| {
        matches!(
            e,
            Event::Refused {
                cause: Cause::NoWritePolicy,
                ..
            }
        )
    };

    // It is read meanwhile, and looked at.
    for _ in 0..12 {
        sleep(MINUTE).await;
        let status = world.store.status(10).await.expect("status");
        let row = &status.routers[0];
        let line = row.last_error.as_deref().unwrap_or_default();
        assert_eq!(Cause::in_line(line), Some(Cause::NoWritePolicy), "{line}");
        assert!(row.is_hindered() && row.down_since.is_none(), "{row:?}");
    }
    assert_eq!(world.events.count(forbidden), 1, "it is told once");

    world.gateway.set_fault(router.id, Fault::None);
    world.events.wait_for(40 * SECOND, 3, is_cut).await;
    sleep(SECOND).await;
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.routers[0].last_error, None, "a write was taken");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_an_account_that_may_not_write_is_nobodys_trouble_once_nothing_is_owed() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    world.gateway.set_fault(router.id, Fault::NoPermission);
    let running = world.start();
    sleep(MINUTE).await;
    let status = world.store.status(10).await.expect("status");
    assert!(status.routers[0].is_hindered());

    world.pay(subscriber.id).await;
    world.gateway.set_fault(router.id, Fault::None);
    sleep(6 * MINUTE).await;

    let status = world.store.status(10).await.expect("status");
    assert!(!status.routers[0].is_hindered(), "{status:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_router_that_refuses_to_be_read_is_told_once_and_not_for_each_task() {
    let world = World::new();
    let router = world.router("r1").await;
    for number in 1..=3 {
        world
            .subscriber(&router, number, 5 * SECOND, Admission::Account)
            .await;
    }
    let running = world.start();
    sleep(4 * SECOND).await;
    world.gateway.set_fault(router.id, Fault::Unreadable);
    sleep(60 * SECOND).await;

    let refused = |e: &Event| {
        matches!(e, Event::Refused { cause: Cause::NoHotspot, error, .. }
            if error.contains("no such command prefix"))
    };
    assert_eq!(world.events.count(refused), 1);
    let of_tasks = |e: &Event| matches!(e, Event::Unconfirmed { .. });
    assert_eq!(world.events.count(of_tasks), 0);
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.owed_cuts, 3);
    for item in status.owed {
        let error = item.last_error.unwrap_or_default();
        assert!(error.contains("no such command prefix"), "{error}");
    }

    let row = &status.routers[0];
    assert!(row.is_hindered() && row.down_since.is_none(), "{row:?}");

    world.gateway.set_fault(router.id, Fault::None);
    world.events.wait_for(20 * SECOND, 3, is_cut).await;
    sleep(SECOND).await;
    let status = world.store.status(10).await.expect("status");
    assert_eq!(status.routers[0].last_error, None, "a look has succeeded");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_flight_that_never_ends_is_given_up_and_others_do_not_notice() {
    let world = World::new();
    let (hung, healthy) = (world.router("r1").await, world.router("r2").await);
    world
        .subscriber(&hung, 1, 5 * SECOND, Admission::Account)
        .await;
    let minutes = Duration::from_mins(20);
    world
        .subscriber(&healthy, 2, minutes, Admission::Account)
        .await;
    let running = world.start();
    sleep(4 * SECOND).await;
    world.gateway.set_fault(hung.id, Fault::Hang);
    let (lag, _) = world.cut(minutes).await;
    assert!(lag < SECOND, "{lag:?}");
    assert!(world.can_move(hung.id, 1));
    world.gateway.set_fault(hung.id, Fault::None);
    sleep(Duration::from_mins(12)).await;

    assert!(!world.can_move(hung.id, 1));
    let lost = |e: &Event| matches!(e, Event::RouterLost { .. });
    assert_eq!(world.events.count(lost), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_away_and_comes_back_is_survived() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    sleep(4 * SECOND).await;
    world.store.fail_when(|_| memory::Fault::Before);
    sleep(60 * SECOND).await;
    assert!(world.can_move(router.id, 1));

    world.store.heal();
    world.cut(10 * SECOND).await;

    assert!(!world.can_move(router.id, 1));
    running.stop().await;
}

#[rstest]
#[case("plan_due")]
#[case("intend")]
#[case("standing")]
#[case("settle")]
#[case("own")]
#[tokio::test(start_paused = true)]
async fn r2_a_commit_whose_answer_is_lost_loses_nothing(#[case] call: &'static str) {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    sleep(4 * SECOND).await;
    let mut left = 3;
    world.store.fail_when(move |name| {
        if name == call && left > 0 {
            left -= 1;
            memory::Fault::After
        } else {
            memory::Fault::None
        }
    });

    sleep(40 * SECOND).await;
    assert!(!world.can_move(router.id, 1));
    let confirmed = world
        .store
        .audit_events()
        .iter()
        .filter(|e| e.entry.lag.is_some())
        .count();
    assert_eq!(confirmed, 1, "confirmed once");
    world.pay(subscriber.id).await;
    world.events.wait_for(5 * SECOND, 1, is_restored).await;
    assert!(!world.is_disabled(router.id, &username(1)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_watcher_killed_at_any_flight_leaves_the_cut_owed() {
    for killed_at in [Flight::Look, Flight::Block, Flight::Drop] {
        let world = World::new();
        let router = world.router("r1").await;
        let subscriber = world
            .subscriber(&router, 1, 5 * SECOND, Admission::Account)
            .await;
        let first = world.start();
        let (kill, killed) = (first.task.abort_handle(), first.task);
        world.gateway.on_flight(router.id, move |flight, _| {
            if flight == killed_at {
                kill.abort();
            }
        });
        assert!(killed.await.expect_err("it was killed").is_cancelled());
        world.gateway.on_flight(router.id, |_, _| {});
        assert_eq!(world.store.status(10).await.expect("status").owed_cuts, 1);

        let second = world.start();
        world.cut(20 * SECOND).await;
        assert!(!world.can_move(router.id, 1), "killed at {killed_at:?}");
        world.pay(subscriber.id).await;
        world.events.wait_for(5 * SECOND, 1, is_restored).await;
        assert!(
            !world.is_disabled(router.id, &username(1)),
            "killed at {killed_at:?}"
        );
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn r2_a_connection_that_the_router_refuses_to_remove_keeps_its_cut_owed() {
    let world = World::new();
    let router = world.router("r1").await;
    world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    world.gateway.with(router.id, |hotspot| {
        let rows = hotspot.connections.values();
        assert!(rows.clone().all(|row| !row.fasttrack));
        hotspot.stuck = rows.map(|row| row.id.clone()).collect();
        assert!(!hotspot.stuck.is_empty());
    });
    let running = world.start();

    sleep(60 * SECOND).await;

    assert_eq!(world.events.count(is_cut), 0);
    let status = world.store.status(10).await.expect("status");
    let error = status.owed[0].last_error.as_deref().expect("an error");
    assert!(error.contains("1 × connection"), "{error}");
    assert!(error.contains("refused: action failed (6)"), "{error}");
    world
        .gateway
        .with(router.id, |hotspot| hotspot.stuck.clear());
    world.cut(10 * SECOND).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r9_whatever_row_a_router_refuses_to_write_its_words_are_told() {
    for table in ["user", "active", "host", "cookie", "binding"] {
        let world = World::new();
        let router = world.router("r1").await;
        let by = match table {
            "binding" => Admission::Bypass,
            _ => Admission::Account,
        };
        world.subscriber(&router, 1, 5 * SECOND, by).await;
        world.gateway.with(router.id, |hotspot| {
            hotspot.stuck = match table {
                "user" => hotspot.users.keys().cloned().collect(),
                "active" => hotspot.actives.keys().cloned().collect(),
                "host" => hotspot.hosts.keys().cloned().collect(),
                "cookie" => hotspot.cookies.keys().cloned().collect(),
                _ => hotspot.bindings.keys().cloned().collect(),
            };
            if table == "active" {
                // Otherwise its session ends with it.
                hotspot.stuck.extend(hotspot.hosts.keys().cloned());
            }
        });
        let running = world.start();
        sleep(30 * SECOND).await;
        let status = world.store.status(10).await.expect("status");
        let error = status.owed.first().and_then(|row| row.last_error.clone());
        let is_told = error
            .as_deref()
            .is_some_and(|error| error.contains("refused: action failed (6)"));
        // A host without a session passes nothing, whether its row is there or not.
        assert_eq!(is_told, table != "host", "{table}: {error:?}");
        running.stop().await;
    }
}
