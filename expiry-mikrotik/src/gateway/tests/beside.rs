//! A second connection beside one that is silent, and routers that are slow.

use expiry_core::{Phase, RouterGateway};
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers a look, each command after `pause`.
async fn answer(peer: &mut Peer, pause: Duration) {
    for command in peer.take(LOOK).await {
        sleep(pause).await;
        peer.done(&command).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r4_a_question_is_asked_beside_a_connection_that_is_half_open() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut silent = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        silent.take(LOOK).await;
        let mut peer = office.accept().await;
        peer.welcome().await;
        peer.finish(LOOK).await;
        peer
    };
    let look = timed(gateway.look(&login, &query));
    let ((seen, took), mut peer) = tokio::join!(look, play);
    assert!(seen.is_ok());
    assert_eq!(took, GatewayConfig::default().second_try);
    assert!(silent.next().await.is_none(), "one connection is kept");
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), peer.finish(LOOK));
    assert!(seen.is_ok());
    assert!(office.is_quiet());
    assert_eq!(gateway.dialled(login.router.id).await, 2);
}

#[tokio::test(start_paused = true)]
async fn r4_a_connection_that_speaks_once_and_never_again_is_dead_five_seconds_later() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut first = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let commands = first.take(LOOK).await;
        let _second = office.accept().await;
        sleep(SECOND / 2).await;
        first.done(&commands[0]).await;
        std::future::pending::<()>().await;
    };
    let look = timed(gateway.look(&login, &query));
    tokio::select! {
        (seen, took) = look => {
            assert_eq!((seen, took), (Err(timed_out(5)), 8 * SECOND));
        }
        () = play => {}
    }
}

#[tokio::test(start_paused = true)]
async fn r4_a_change_is_never_sent_twice() {
    let (gateway, mut office) = gateway();
    let login = login();
    let _silent = connected(&gateway, &mut office, &login).await;
    let (dropped, took) = timed(gateway.drop_rows(&login.router, &drop_actives(1))).await;
    assert_eq!((dropped, took), (Err(timed_out(5)), 5 * SECOND));
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r4_what_is_answered_late_is_heard_and_more_is_borne_from_then_on() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut slow = connected(&gateway, &mut office, &login).await;
    let query = query();
    let looks = async {
        let (seen, ()) = tokio::join!(gateway.look(&login, &query), answer(&mut slow, 6 * SECOND));
        assert!(seen.is_ok(), "{seen:?}");
    };
    let (_second, ()) = tokio::join!(office.accept(), looks);
    assert!(
        office.is_quiet(),
        "it has spoken: one login beside it is enough"
    );
    for _ in 0..5 {
        let (seen, ()) = tokio::join!(gateway.look(&login, &query), answer(&mut slow, 6 * SECOND));
        assert!(seen.is_ok(), "{seen:?}");
    }
    assert!(
        office.is_quiet(),
        "no second login on a router that is busy"
    );
}

#[tokio::test(start_paused = true)]
async fn r4_a_login_of_eight_seconds_gets_in_and_is_begun_once() {
    let (gateway, mut office) = gateway();
    let login = login();
    for _ in 0..3 {
        let play = async {
            let mut peer = office.accept().await;
            let login = peer.next().await.expect("a login");
            sleep(8 * SECOND).await;
            peer.done(&login).await;
            peer.introduce(peer::IDENTITY, Some(peer::SERIAL)).await;
            peer
        };
        let (probed, _peer) = tokio::join!(gateway.probe(&login), play);
        assert!(probed.is_ok());
        // Who finds out what speaks there when nothing is said for 3 s does not log in.
        drop(office.accept().await);
        assert!(office.is_quiet());
        gateway.close(login.router.id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r4_never_more_than_two_connections_are_open_at_a_time() {
    let (gateway, mut office) = gateway();
    let login = login();
    let looking = async { gateway.look(&login, &query()).await };
    let watch = async {
        let mut open: Vec<Peer> = Vec::new();
        let first = office.accept().await;
        open.push(first);
        drop(office.accept().await);
        loop {
            let mut peer = office.accept().await;
            peer.next().await.expect("a login");
            open.push(peer);
            if open.len() == 3 {
                // The second gave way to the third.
                let mut second = open.remove(1);
                assert!(second.next().await.is_none());
            }
        }
    };
    tokio::select! {
        seen = looking => assert!(seen.is_err()),
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn r9_what_is_waited_for_can_be_asked() {
    let (gateway, mut office) = gateway();
    let login = login();
    assert_eq!(gateway.waiting(login.router.id), None);
    let ask = async {
        let _silent = office.accept().await;
        sleep(4 * SECOND).await;
        gateway.waiting(login.router.id)
    };
    let waiting = tokio::select! {
        probed = gateway.probe(&login) => panic!("{probed:?}"),
        waiting = ask => waiting.expect("a login"),
    };
    assert_eq!(
        (waiting.phase, waiting.silent_for),
        (Phase::Login, 4 * SECOND)
    );
    let text = waiting.to_string();
    assert!(
        text.contains("the login for 4 s") && text.contains("`login`"),
        "{text}"
    );
    assert_eq!(gateway.waiting(login.router.id), None, "it was given up");
}
