//! Prints that stay silent while all else is answered.

use expiry_core::{BlockOrder, RouterGateway};

use super::*;
use crate::wire::Sentence;

/// Answers all but the last of a look, and returns that and what is asked for in the end.
async fn silent_look(peer: &mut Peer) -> (Sentence, Sentence) {
    let mut commands = peer.take(LOOK).await;
    let last = commands.pop().expect("a print");
    for command in commands {
        peer.done(&command).await;
    }
    let cancel = peer.next().await.expect("an end to it");
    assert_eq!(cancel.command(), b"/cancel");
    assert_eq!(cancel.get("tag"), last.get_tag());
    (last, cancel)
}

#[tokio::test(start_paused = true)]
async fn r4_a_connection_is_used_on_only_if_the_silent_print_was_ended() {
    for is_ended in [true, false] {
        let (gateway, mut office) = gateway();
        let login = login();
        let mut peer = connected(&gateway, &mut office, &login).await;
        let query = query();
        let play = async {
            let (last, cancel) = silent_look(&mut peer).await;
            let _second = office.accept().await;
            if is_ended {
                peer.trap(&last, "interrupted").await;
                peer.done(&cancel).await;
            } else {
                peer.done(&cancel).await;
                office.accept().await.welcome().await;
            }
        };
        let look = timed(gateway.look(&login, &query));
        let ((seen, took), ()) = tokio::join!(look, play);
        let seen = seen.expect("what the others show");
        let gap = seen.gap().expect("a gap");
        assert!(gap.contains("no answer"), "{gap}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(office.is_quiet());
        let is_open = tokio::time::timeout(Duration::from_secs(1), peer.next()).await;
        assert_eq!(is_open.is_err(), is_ended);
    }
}

#[tokio::test(start_paused = true)]
async fn r4_a_router_that_does_not_react_either_is_silent_altogether() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let order = BlockOrder {
        users: rows(1),
        ..BlockOrder::default()
    };
    let play = async {
        let commands = peer.take(2).await;
        peer.done(&commands[0]).await;
        assert_eq!(peer.next().await.expect("an end").command(), b"/cancel");
        assert_eq!(peer.next().await, None);
    };
    let block = timed(gateway.block(&login.router, &order, &query));
    let ((blocked, took), ()) = tokio::join!(block, play);
    assert_eq!(blocked, Err(timed_out(5)));
    assert_eq!(took, Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn r2_a_silent_change_is_never_given_up_for_done() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let order = BlockOrder {
        users: rows(1),
        ..BlockOrder::default()
    };
    let play = async {
        let commands = peer.take(2).await;
        peer.done(&commands[1]).await;
        assert_eq!(peer.next().await, None, "nothing is cancelled");
    };
    let (blocked, ()) = tokio::join!(gateway.block(&login.router, &order, &query), play);
    assert_eq!(blocked, Err(timed_out(5)));
}
