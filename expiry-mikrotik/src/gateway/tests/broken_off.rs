//! Prints that end in an error after some of their rows.

use expiry_core::{BlockOrder, BrokenOff, RouterGateway, RowKind};
use rstest::rstest;

use super::*;
use crate::wire::Sentence;

const GONE: &str = "no such item (4)";

async fn user(peer: &mut Peer, to: &Sentence, id: &str, name: &str) {
    peer.row(to, &[(".id", id), ("name", name)]).await;
}

fn names(seen: &expiry_core::Sighting) -> Vec<&str> {
    seen.users.iter().map(|row| row.name.as_str()).collect()
}

#[rstest]
#[case::one_trap(1)]
#[case::two_traps(2)]
#[tokio::test(start_paused = true)]
async fn r2_what_broke_off_is_asked_again_at_once_and_the_whole_answer_stands(
    #[case] traps: usize,
    #[values(GONE, "interrupted", "internal error, contact MikroTik support")] message: &str,
) {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let commands = peer.take(LOOK).await;
        user(&mut peer, &commands[0], "*1", "gone meanwhile").await;
        user(&mut peer, &commands[0], "*2", "alice").await;
        for _ in 0..traps {
            peer.reply(&commands[0], "!trap", &[("message", message)])
                .await;
        }
        peer.done(&commands[0]).await;
        peer.done(&commands[1]).await;
        peer.done(&commands[2]).await;
        let again = peer.next().await.expect("the same once more");
        assert_eq!(again.command(), commands[0].command());
        assert!(again.queries().eq(commands[0].queries()));
        user(&mut peer, &again, "*2", "alice").await;
        peer.done(&again).await;
    };
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), play);
    let seen = seen.expect("a good answer");
    assert_eq!((names(&seen), seen.gap()), (vec!["alice"], None));
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r2_what_breaks_off_every_time_is_told_with_all_rows_that_came() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let mut open = peer.take(LOOK).await;
        for answered in open.drain(1..) {
            peer.done(&answered).await;
        }
        let mut open = open.remove(0);
        for id in ["*1", "*2", "*1", "*3"] {
            user(&mut peer, &open, id, &format!("alice {id}")).await;
            peer.trap(&open, GONE).await;
            if id != "*3" {
                open = peer.next().await.expect("the same once more");
            }
        }
        peer
    };
    let (seen, mut peer) = tokio::join!(gateway.look(&login, &query), play);
    let seen = seen.expect("an answer");
    assert_eq!(names(&seen), ["alice *1", "alice *2", "alice *3"]);
    let command = "/ip/hotspot/user/print".to_owned();
    let broken_off = BrokenOff {
        kind: RowKind::Account,
        command: command.clone(),
        message: GONE.into(),
    };
    assert_eq!(seen.broken_off, [broken_off]);
    let gap = seen.gap().expect("a gap");
    assert!(gap.contains(&command) && gap.contains(GONE), "{gap}");
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), peer.finish(LOOK));
    assert_eq!(seen.map(|seen| seen.gap()), Ok(None));
    assert!(
        office.is_quiet(),
        "the router answered: no connection is lost"
    );
}

#[tokio::test(start_paused = true)]
async fn r8_writes_are_not_sent_again_with_a_print_that_broke_off() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let order = BlockOrder {
        users: rows(2),
        ..BlockOrder::default()
    };
    let play = async {
        peer.finish(2).await;
        let print = peer.next().await.expect("the print");
        peer.trap(&print, GONE).await;
        let again = peer.next().await.expect("the same once more");
        assert_eq!(again.command(), print.command());
        peer.done(&again).await;
    };
    let (flown, ()) = tokio::join!(gateway.block(&login.router, &order, &query), play);
    let (seen, refusals) = flown.expect("a good answer");
    assert_eq!((seen.gap(), refusals), (None, vec![]));
}

#[rstest]
#[case("no such command prefix")]
#[case("not enough permissions (9)")]
#[tokio::test(start_paused = true)]
async fn what_cannot_pass_is_not_asked_again(#[case] message: &str) {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let commands = peer.take(LOOK).await;
        peer.trap(&commands[0], message).await;
        peer.done(&commands[1]).await;
        peer.done(&commands[2]).await;
    };
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), play);
    assert!(
        matches!(seen, Err(GatewayError::Refused { .. })),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_router_that_breaks_off_what_it_says_of_itself_is_asked_again() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let play = async {
        for command in peer.take(4).await {
            peer.trap(&command, GONE).await;
        }
        peer.introduce(peer::IDENTITY, Some(peer::SERIAL)).await;
    };
    let (probed, ()) = tokio::join!(gateway.probe(&login), play);
    let facts = probed.expect("it said it in the end");
    assert_eq!(facts.hardware.serial.as_deref(), Some(peer::SERIAL));
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r9_the_end_of_an_idle_connection_is_noticed() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    assert_eq!(gateway.dialled(login.router.id).await, 1);
    let nap = Duration::from_mins(1);
    let waited = tokio::time::timeout(nap, gateway.hung_up(login.router.id)).await;
    assert!(waited.is_err(), "it is there");
    let late = Sentence::new("!done").tag("77");
    peer.say(late).await;
    let waited = tokio::time::timeout(nap, gateway.hung_up(login.router.id)).await;
    assert!(waited.is_err(), "an answer to nobody is no end");
    drop(peer);
    gateway.hung_up(login.router.id).await;
    let waited = tokio::time::timeout(nap, gateway.hung_up(login.router.id)).await;
    assert!(waited.is_err(), "there is none to end");
    let _peer = connected(&gateway, &mut office, &login).await;
    assert_eq!(gateway.dialled(login.router.id).await, 2);
}
