use std::{io, sync::Arc};

use async_trait::async_trait;
use expiry_core::{Cause, FailureKind, GatewayError, RouterGateway, Sighting};
use rstest::rstest;
use tokio::net::TcpListener;

use super::*;
use crate::{Dialer, Stream, wire::Sentence};

/// Looks at a router that is played by `play` from the moment the connection is there.
async fn look_at<F: Future<Output = ()>>(
    play: impl FnOnce(Peer) -> F,
) -> (Result<Sighting, GatewayError>, Duration) {
    let (gateway, mut office) = gateway();
    let (login, query) = (login(), query());
    let play = async {
        let peer = office.accept().await;
        play(peer).await;
    };
    let looking = timed(gateway.look(&login, &query));
    let (looked, ()) = tokio::join!(looking, play);
    let shown = format!("{looked:?} {gateway:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    looked
}

async fn hold(mut peer: Peer) {
    while peer.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn r4_a_login_that_is_never_answered_is_given_up_after_thirty_seconds() {
    let (seen, took) = look_at(hold).await;
    let after = Duration::from_secs(30);
    assert_eq!(
        (seen, took),
        (Err(GatewayError::LoginTimedOut { after }), after)
    );
}

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Dialer for Nowhere {
    async fn dial(&self, _: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn r4_connecting_takes_three_seconds_at_most() {
    let gateway = MikrotikGateway::new(GatewayConfig {
        dialer: Arc::new(Nowhere),
        ..GatewayConfig::default()
    });
    let (seen, took) = timed(async { gateway.look(&login(), &query()).await }).await;
    let Err(GatewayError::Connect { address, .. }) = seen else {
        panic!("{seen:?}");
    };
    assert_eq!(address, "192.0.2.1:8728");
    assert_eq!(took, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn r4_silence_in_the_middle_of_a_sentence_ends_with_the_time_for_a_command() {
    let (seen, took) = look_at(async |mut peer| {
        peer.welcome().await;
        peer.take(LOOK).await;
        tokio::time::advance(Duration::from_secs(3)).await;
        peer.send(b"\x03!re\x09=name=al").await;
        hold(peer).await;
    })
    .await;
    assert_eq!((seen, took), (Err(timed_out(30)), Duration::from_secs(30)));
}

#[tokio::test(start_paused = true)]
async fn r4_a_trickle_does_not_keep_a_command_alive_beyond_thirty_seconds() {
    let (seen, took) = look_at(async |mut peer| {
        peer.welcome().await;
        let commands = peer.take(LOOK).await;
        for _ in 0..7 {
            tokio::time::advance(Duration::from_secs(4)).await;
            peer.row(&commands[0], &[(".id", "*1"), ("name", "alice")])
                .await;
        }
        hold(peer).await;
    })
    .await;
    assert_eq!((seen, took), (Err(timed_out(30)), Duration::from_secs(30)));
}

#[tokio::test(start_paused = true)]
async fn r4_a_stall_after_a_burst_is_sat_out() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let order = drop_actives(150);
    let play = async {
        peer.finish(149).await;
        let last = peer.next().await.expect("the last command");
        tokio::time::sleep(Duration::from_secs(29)).await;
        peer.done(&last).await;
    };
    let (dropped, ()) = tokio::join!(gateway.drop_rows(&login.router, &order), play);
    assert_eq!(dropped, Ok(vec![]));
}

#[rstest]
#[case::garbage(b"\xFF\xFE\xFD")]
#[case::four_gigabytes(b"\xF0\xFF\xFF\xFF\xFF")]
#[case::no_reply(b"\x05/quit\x00")]
#[tokio::test(start_paused = true)]
async fn what_is_not_the_api_is_a_protocol_error(#[case] bytes: &'static [u8]) {
    let (seen, took) = look_at(async |mut peer| {
        peer.login().await;
        peer.send(bytes).await;
        hold(peer).await;
    })
    .await;
    assert!(
        matches!(seen, Err(GatewayError::Protocol { .. })),
        "{seen:?}"
    );
    assert_eq!(took, Duration::ZERO);
}

/// A router that is reached over TCP at `port` of this machine.
pub(super) fn on_loopback(port: u16) -> RouterLogin {
    let mut login = login();
    login.router.address.host = "127.0.0.1".into();
    login.router.address.port = port;
    login
}

#[tokio::test]
async fn a_port_that_nobody_serves_is_a_connect_error() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let gateway = MikrotikGateway::new(GatewayConfig::default());
    let probed = gateway.probe(&on_loopback(port)).await;
    let cause = probed.expect_err("nobody is there").cause();
    assert_eq!(cause, Cause::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_close_after_the_login_is_a_lost_connection() {
    let (seen, _) = look_at(async |mut peer| peer.login().await).await;
    let cause = seen.expect_err("closed").cause();
    assert_eq!(cause, Cause::ConnectionLost);
}

#[tokio::test(start_paused = true)]
async fn fatal_ends_the_connection_with_its_reason() {
    let (seen, _) = look_at(async |mut peer| {
        peer.welcome().await;
        peer.take(LOOK).await;
        peer.say(Sentence::new("!fatal").word("going down")).await;
        hold(peer).await;
    })
    .await;
    let reason = "going down".into();
    assert_eq!(seen, Err(GatewayError::Disconnected { reason }));
}

#[tokio::test(start_paused = true)]
async fn a_trap_on_a_read_fails_the_flight_and_keeps_the_connection() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let commands = peer.take(LOOK).await;
        peer.done(&commands[0]).await;
        peer.trap(&commands[1], "no such command prefix").await;
        peer.done(&commands[2]).await;
    };
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), play);
    let refused = GatewayError::Refused {
        command: "/ip/hotspot/cookie/print".into(),
        message: "no such command prefix".into(),
    };
    assert_eq!(refused.kind(), FailureKind::Answered);
    assert_eq!(seen, Err(refused));
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), peer.finish(LOOK));
    assert!(seen.is_ok());
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_cannot_be_taken_for_another() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut old = connected(&gateway, &mut office, &login).await;
    let query = query();
    let commands = tokio::select! {
        biased;
        looked = gateway.look(&login, &query) => panic!("{looked:?}"),
        commands = old.take(LOOK) => commands,
    };
    assert!(
        old.next().await.is_none(),
        "the dropped flight closed its connection"
    );
    let play = async {
        let mut peer = office.accept().await;
        peer.welcome().await;
        for _ in &commands {
            let again = peer.next().await.expect("the same reads");
            peer.row(&again, &[(".id", "*2"), ("name", "bob"), ("user", "bob")])
                .await;
            peer.done(&again).await;
        }
        peer
    };
    let (seen, _peer) = tokio::join!(gateway.look(&login, &query), play);
    let seen = seen.expect("a good answer");
    assert_eq!(seen.users[0].name, "bob");
}

#[tokio::test(start_paused = true)]
async fn r4_a_dead_router_does_not_delay_another() {
    let (gateway, mut office) = gateway();
    let dead = login();
    let _dead_peer = connected(&gateway, &mut office, &dead).await;
    let mut alive = login();
    alive.router.id = RouterId(2);
    let mut peer = connected(&gateway, &mut office, &alive).await;
    let query = query();
    let start = Instant::now();
    let on_alive = async {
        let (seen, ()) = tokio::join!(gateway.look(&alive, &query), peer.finish(LOOK));
        (seen.is_ok(), start.elapsed())
    };
    let (on_dead, on_alive) = tokio::join!(gateway.look(&dead, &query), on_alive);
    assert_eq!(on_dead, Err(timed_out(30)));
    assert_eq!(on_alive, (true, Duration::ZERO));
}
