use std::{sync::Arc, time::Duration};

use expiry_core::{
    AccessChange, Directory,
    testing::gateway::{Admission, Flight},
};
use rstest::rstest;
use tokio::time::sleep;

use crate::world::{World, is_cut, is_restored, mac, username};

const SECOND: Duration = Duration::from_secs(1);

#[rstest]
#[case(Admission::Account)]
#[case(Admission::Bypass)]
#[tokio::test(start_paused = true)]
async fn r3_who_pays_after_the_cut_is_let_in_again(#[case] by: Admission) {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world.subscriber(&router, 1, 5 * SECOND, by).await;
    let running = world.start();
    world.cut(20 * SECOND).await;

    world.pay(subscriber.id).await;
    world.events.wait_for(SECOND, 1, is_restored).await;

    assert!(world.can_move(router.id, 1));
    assert!(world.store.undo_rows().iter().all(|undo| !undo.open));
    running.stop().await;
}

#[rstest]
#[case(Flight::Look)]
#[case(Flight::Block)]
#[case(Flight::Drop)]
#[tokio::test(start_paused = true)]
async fn r3_a_payment_during_any_flight_wins(#[case] during: Flight) {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let store = Arc::clone(&world.store);
    let mut paid = false;
    world.gateway.on_flight(router.id, move |flight, _| {
        if flight == during && !std::mem::replace(&mut paid, true) {
            let (store, id) = (Arc::clone(&store), subscriber.id);
            tokio::spawn(async move {
                let change = AccessChange::Extend(Duration::from_hours(1));
                store.change_access(id, change).await.expect("a payment");
            });
        }
    });
    let running = world.start();

    sleep(10 * SECOND).await;

    assert_eq!(world.events.count(is_cut), 0, "nothing is recorded as cut");
    assert!(!world.is_disabled(router.id, &username(1)));
    assert!(world.can_move(router.id, 1));
    assert!(world.store.undo_rows().iter().all(|undo| !undo.open));
    if during == Flight::Look {
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
    }
    if during == Flight::Block {
        assert!(!world.gateway.flights(router.id).contains(&Flight::Drop));
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r3_what_the_operator_had_disabled_stays_disabled() {
    let world = World::new();
    let router = world.router("r1").await;
    world.gateway.with(router.id, |hotspot| {
        hotspot.add_user(&format!("+{}", username(1)), true);
        hotspot.add_binding(mac(1), "banned", true);
    });
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;

    world.pay(subscriber.id).await;
    world.events.wait_for(SECOND, 1, is_restored).await;

    assert!(!world.is_disabled(router.id, &username(1)));
    assert!(world.is_disabled(router.id, &format!("+{}", username(1))));
    let bindings_disabled = world
        .gateway
        .with(router.id, |h| h.bindings.values().all(|row| row.disabled));
    assert!(bindings_disabled);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r3_the_undo_survives_a_reboot_that_renumbers_all_rows() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;
    world
        .gateway
        .with(router.id, expiry_core::testing::gateway::Hotspot::renumber);

    world.pay(subscriber.id).await;
    world.events.wait_for(SECOND, 1, is_restored).await;

    assert!(!world.is_disabled(router.id, &username(1)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_subscriber_is_cut_at_once() {
    let world = World::new();
    let router = world.router("r1").await;
    let subscriber = world
        .subscriber(&router, 1, Duration::from_hours(1), Admission::Account)
        .await;
    let running = world.start();
    sleep(3 * SECOND).await;

    world
        .store
        .change_access(subscriber.id, AccessChange::Revoke)
        .await
        .expect("revoked");
    let (lag, _) = world.cut(SECOND).await;

    assert!(lag < SECOND / 5, "lag {lag:?}");
    assert!(!world.can_move(router.id, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_removed_subscriber_and_a_removed_device_are_cut() {
    let world = World::new();
    let router = world.router("r1").await;
    let gone = world
        .subscriber(&router, 1, Duration::from_hours(1), Admission::Account)
        .await;
    let kept = world
        .subscriber(&router, 3, Duration::from_hours(1), Admission::Bypass)
        .await;
    let running = world.start();
    sleep(SECOND).await;

    world
        .store
        .remove_subscriber(gone.id)
        .await
        .expect("removed");
    world
        .store
        .remove_device(kept.id, mac(3))
        .await
        .expect("removed");
    world.events.wait_for(SECOND, 2, is_cut).await;

    assert!(!world.can_move(router.id, 1) && !world.can_move(router.id, 3));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r3_whoever_gets_the_device_owes_the_restore_of_its_binding() {
    let world = World::new();
    let router = world.router("r1").await;
    let first = world
        .subscriber(&router, 1, 5 * SECOND, Admission::Bypass)
        .await;
    let second = world
        .subscriber(&router, 3, Duration::from_hours(1), Admission::Account)
        .await;
    let running = world.start();
    world.cut(20 * SECOND).await;
    assert!(!world.can_move(router.id, 1));

    world
        .store
        .remove_device(first.id, mac(1))
        .await
        .expect("removed");
    world
        .store
        .add_device(second.id, mac(1))
        .await
        .expect("added");
    world.events.wait_for(SECOND, 1, is_restored).await;
    sleep(20 * SECOND).await;

    world.gateway.with(router.id, |hotspot| {
        hotspot.set_present(mac(1), false);
        hotspot.set_present(mac(1), true);
    });
    assert!(world.can_move(router.id, 1));
    running.stop().await;
}
