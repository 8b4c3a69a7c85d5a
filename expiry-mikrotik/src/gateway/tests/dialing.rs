use expiry_core::{BlockOrder, GatewayError, RouterFacts, RouterGateway, UnblockOrder};

use rstest::rstest;

use super::{peer::SERIAL, *};
use crate::{proto::ConnectionConfig, wire::Sentence};

#[tokio::test(start_paused = true)]
async fn a_look_connects_logs_in_checks_the_box_and_reads() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        let login = peer.next().await.expect("a login");
        assert_eq!(login.command(), b"/login");
        assert_eq!(login.get("name"), Some(&b"expiry"[..]));
        assert_eq!(login.get("password"), Some(PASSWORD.as_bytes()));
        peer.done(&login).await;
        peer.introduce(peer::IDENTITY, Some(SERIAL)).await;
        peer.finish(LOOK).await;
        peer
    };
    let (seen, _peer) = tokio::join!(async { gateway.look(&login(), &query()).await }, play);
    assert_eq!(seen, Ok(expiry_core::Sighting::default()));
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r7_the_next_flight_uses_the_warm_connection() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    for _ in 0..3 {
        let query = query();
        let (seen, ()) = tokio::join!(gateway.look(&login, &query), peer.finish(LOOK));
        assert!(seen.is_ok());
    }
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn writes_never_connect() {
    let (gateway, office) = gateway();
    let login = login();
    let users = rows(1);
    let block = BlockOrder {
        users: users.clone(),
        ..BlockOrder::default()
    };
    let unblock = UnblockOrder {
        users,
        ..UnblockOrder::default()
    };
    let answers = [
        gateway
            .block(&login.router, &block, &query())
            .await
            .map(|_| ()),
        gateway
            .drop_rows(&login.router, &drop_actives(1))
            .await
            .map(|_| ()),
        gateway.unblock(&login.router, &unblock).await.map(|_| ()),
    ];
    for answer in answers {
        assert!(
            matches!(answer, Err(GatewayError::Disconnected { .. })),
            "{answer:?}"
        );
    }
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn writes_do_not_go_to_another_connection_than_the_rows_came_from() {
    let (gateway, mut office) = gateway();
    let login = login();
    drop(connected(&gateway, &mut office, &login).await);
    let answer = gateway.drop_rows(&login.router, &drop_actives(1)).await;
    assert!(
        matches!(answer, Err(GatewayError::Disconnected { .. })),
        "{answer:?}"
    );
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r5_a_read_replaces_a_connection_that_ended_at_once() {
    let (gateway, mut office) = gateway();
    let login = login();
    drop(connected(&gateway, &mut office, &login).await);
    let play = async {
        let mut peer = office.accept().await;
        peer.welcome().await;
        peer.finish(LOOK).await;
        peer
    };
    let query = query();
    let ((seen, _peer), took) =
        timed(async { tokio::join!(gateway.look(&login, &query), play) }).await;
    assert!(seen.is_ok());
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn r5_a_read_replaces_a_connection_that_ends_as_it_is_used() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut old = connected(&gateway, &mut office, &login).await;
    let play = async {
        old.take(LOOK).await;
        drop(old);
        let mut peer = office.accept().await;
        peer.welcome().await;
        peer.finish(LOOK).await;
        peer
    };
    let query = query();
    let (seen, _peer) = tokio::join!(gateway.look(&login, &query), play);
    assert!(seen.is_ok());
}

#[tokio::test(start_paused = true)]
async fn r4_a_router_that_answers_again_is_found_beside_a_connection_that_stays_silent() {
    let (gateway, mut office) = gateway();
    let play = async {
        let silent = office.accept().await;
        let listener = office.accept().await;
        let mut peer = office.accept().await;
        peer.welcome().await;
        drop(listener);
        (silent, peer)
    };
    let login = login();
    let ((probed, (mut silent, _peer)), took) =
        timed(async { tokio::join!(gateway.probe(&login), play) }).await;
    assert!(probed.is_ok());
    assert_eq!(took, Duration::from_secs(10), "a first login may be slow");
    silent
        .next()
        .await
        .expect("the login that was not answered");
    assert!(silent.next().await.is_none(), "one connection is kept");
}

#[tokio::test(start_paused = true)]
async fn r4_a_slow_login_is_waited_for_beside_the_second_try() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut slow = office.accept().await;
        let _listener = office.accept().await;
        let silent = office.accept().await;
        slow.welcome().await;
        (slow, silent)
    };
    let login = login();
    let (probed, _peers) = tokio::join!(gateway.probe(&login), play);
    assert!(probed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_new_address_or_password_is_dialled() {
    let (gateway, mut office) = gateway();
    let mut login = login();
    let mut old = connected(&gateway, &mut office, &login).await;
    let changes: [fn(&mut RouterLogin); 4] = [
        |login| login.router.address.host = "192.0.2.2".into(),
        |login| login.router.address.port = 1,
        |login| login.router.address.username = "other".into(),
        |login| login.password = "battery staple".into(),
    ];
    for change in changes {
        change(&mut login);
        let peer = connected(&gateway, &mut office, &login).await;
        assert!(old.next().await.is_none(), "the old connection is closed");
        old = peer;
    }
}

#[tokio::test(start_paused = true)]
async fn r1_another_box_at_the_address_is_not_worked_on() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        peer.welcome_as(peer::IDENTITY, Some("HFA0002")).await;
        peer
    };
    let (seen, mut peer) = tokio::join!(async { gateway.look(&login(), &query()).await }, play);
    let Err(GatewayError::WrongRouter { expected, found }) = seen else {
        panic!("{seen:?}");
    };
    assert!(expected.contains(SERIAL), "{expected}");
    assert!(found.contains("HFA0002"), "{found}");
    assert!(
        peer.next().await.is_none(),
        "nothing was read, and the connection is closed"
    );
}

#[tokio::test(start_paused = true)]
async fn r1_a_box_that_was_accepted_since_is_looked_for_again() {
    let (gateway, mut office) = gateway();
    let mut login = login();
    let mut old = connected(&gateway, &mut office, &login).await;
    if let Some(seen) = &mut login.router.seen {
        seen.serial = Some("HFA0002".into());
    }
    let play = async {
        let mut peer = office.accept().await;
        peer.welcome_as("hill-2", Some("HFA0002")).await;
        peer
    };
    let (probed, _peer) = tokio::join!(gateway.probe(&login), play);
    assert!(probed.is_ok());
    assert!(old.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_router_without_routerboard_menu_has_no_serial_number() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        peer.welcome_as(peer::IDENTITY, None).await;
        peer
    };
    let (probed, _peer) = tokio::join!(async { gateway.probe(&login()).await }, play);
    let facts = RouterFacts {
        hardware: Hardware {
            identity: peer::IDENTITY.into(),
            serial: None,
        },
        version: Some("7.18.2 (stable)".into()),
        board: None,
        uptime: Some("1d02:03:04".into()),
        clock: None,
    };
    assert_eq!(probed, Ok(facts));
}

#[tokio::test(start_paused = true)]
async fn a_probe_proves_the_connection_that_there_is() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let again = peer.introduce(peer::IDENTITY, Some(SERIAL));
    let (probed, ()) = tokio::join!(gateway.probe(&login), again);
    assert!(probed.is_ok());
    assert!(office.is_quiet());
}

#[rstest]
#[case::menus_unknown(Some("no such command prefix"), SERIAL, true)]
#[case::rows_without_fields(None, SERIAL, true)]
#[case::rows_without_fields_on_another_box(None, "OTHER", false)]
#[tokio::test(start_paused = true)]
async fn r1_a_router_that_does_not_say_its_name_is_known_by_its_serial_number(
    #[case] trap: Option<&str>,
    #[case] serial: &str,
    #[case] is_ours: bool,
) {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        peer.login().await;
        for command in peer.take(4).await {
            match (command.command(), trap) {
                (b"/system/routerboard/print", _) => {
                    peer.row(&command, &[("serial-number", serial)]).await;
                    peer.done(&command).await;
                }
                (_, Some(message)) => peer.trap(&command, message).await,
                (_, None) => {
                    peer.row(&command, &[]).await;
                    peer.done(&command).await;
                }
            }
        }
        peer
    };
    let login = login();
    let (probed, _peer) = tokio::join!(gateway.probe(&login), play);
    if !is_ours {
        let Err(GatewayError::WrongRouter { found, .. }) = probed else {
            panic!("{probed:?}");
        };
        assert_eq!(found, "``, serial number OTHER");
        return;
    }
    let facts = probed.expect("the box on record");
    assert_eq!(facts.hardware.identity, "");
    assert_eq!(facts.hardware.serial.as_deref(), Some(SERIAL));
    assert_eq!(
        (facts.version, facts.board, facts.uptime),
        (None, None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_router_that_may_not_be_asked_who_it_is_refuses() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        peer.login().await;
        for command in peer.take(4).await {
            peer.trap(&command, "not enough permissions (9)").await;
        }
        peer
    };
    let login = login();
    let (probed, _peer) = tokio::join!(gateway.probe(&login), play);
    let command = "/system/identity/print".into();
    let message = "not enough permissions (9)".into();
    assert_eq!(probed, Err(GatewayError::Refused { command, message }));
}

#[tokio::test(start_paused = true)]
async fn a_serial_number_that_may_not_be_read_is_no_missing_one() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let play = async {
        let commands = peer.take(4).await;
        peer.row(&commands[0], &[("name", peer::IDENTITY)]).await;
        peer.done(&commands[0]).await;
        peer.trap(&commands[1], "not enough permissions (9)").await;
        peer.done(&commands[2]).await;
        peer.done(&commands[3]).await;
        peer.introduce(peer::IDENTITY, Some(SERIAL)).await;
    };
    let probes = async {
        let refused = gateway.probe(&login).await;
        (refused, gateway.probe(&login).await)
    };
    let ((refused, again), ()) = tokio::join!(probes, play);
    let expected = GatewayError::Refused {
        command: "/system/routerboard/print".into(),
        message: "not enough permissions (9)".into(),
    };
    assert_eq!(refused, Err(expected));
    assert!(again.is_ok());
    assert!(
        office.is_quiet(),
        "an error answer does not cost the connection"
    );
}

#[tokio::test(start_paused = true)]
async fn r1_a_box_that_was_swapped_behind_the_connection_is_noticed() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let other = peer.introduce("hill-2", Some("HFA0002"));
    let (probed, ()) = tokio::join!(gateway.probe(&login), other);
    assert!(
        matches!(probed, Err(GatewayError::WrongRouter { .. })),
        "{probed:?}"
    );
    assert!(peer.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refused_account_is_a_login_error() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        let login = peer.next().await.expect("a login");
        peer.trap(&login, "invalid user name or password (6)").await;
    };
    let (probed, ()) = tokio::join!(async { gateway.probe(&login()).await }, play);
    let message = "invalid user name or password (6)".into();
    assert_eq!(probed, Err(GatewayError::Login { message }));
}

#[tokio::test(start_paused = true)]
async fn a_router_that_wants_the_old_login_is_not_taken_for_logged_in() {
    let (gateway, mut office) = gateway();
    let play = async {
        let mut peer = office.accept().await;
        let login = peer.next().await.expect("a login");
        let challenge = [("ret", "0123456789abcdef0123456789abcdef")];
        peer.reply(&login, "!done", &challenge).await;
    };
    let (probed, ()) = tokio::join!(async { gateway.probe(&login()).await }, play);
    assert_eq!(probed, Err(GatewayError::TooOld));
}

#[tokio::test(start_paused = true)]
async fn r4_a_stall_halves_the_window_and_full_flights_widen_it() {
    let (gateway, mut office) = gateway();
    let login = login();
    let seconds = Duration::from_secs;
    let slow = |after, now| GatewayError::Slow {
        after: seconds(after),
        now: seconds(now),
    };
    // Whoever times out again and again is given longer.
    let flights = [
        (32, timed_out(5), 5),
        (16, slow(5, 10), 5),
        (4, timed_out(10), 10),
        (4, slow(10, 20), 10),
        (4, timed_out(20), 20),
    ];
    for (window, error, after) in flights {
        let mut peer = connected(&gateway, &mut office, &login).await;
        let order = drop_actives(40);
        let (dropped, took) = timed(gateway.drop_rows(&login.router, &order)).await;
        assert_eq!((dropped, took), (Err(error), seconds(after)));
        assert_eq!(commands_until_closed(&mut peer).await.len(), window);
    }
    // Twenty quick answers end that, and full flights widen the window.
    let mut peer = connected(&gateway, &mut office, &login).await;
    for _ in 0..20 {
        let query = query();
        let (seen, ()) = tokio::join!(gateway.look(&login, &query), peer.finish(LOOK));
        assert!(seen.is_ok());
    }
    for window in [4, 5, 6] {
        let order = drop_actives(40);
        let play = async {
            let first = peer.take(window).await;
            for command in &first {
                peer.done(command).await;
            }
            peer.finish(40 - window).await;
        };
        let (dropped, ()) = tokio::join!(gateway.drop_rows(&login.router, &order), play);
        assert_eq!(dropped, Ok(vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn r7_answers_that_slow_down_narrow_the_window_without_a_time_out() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    for window in [32, 16, 8, 4, 4] {
        let order = drop_actives(40);
        let play = async {
            let slow = peer.take(window).await;
            tokio::time::advance(Duration::from_secs(1)).await;
            for command in &slow {
                peer.done(command).await;
            }
            peer.finish(40 - window).await;
        };
        let (dropped, ()) = tokio::join!(gateway.drop_rows(&login.router, &order), play);
        assert_eq!(dropped, Ok(vec![]));
    }
}

async fn commands_until_closed(peer: &mut Peer) -> Vec<Sentence> {
    let mut commands = Vec::new();
    while let Some(command) = peer.next().await {
        commands.push(command);
    }
    commands
}

#[tokio::test(start_paused = true)]
async fn close_closes() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    gateway.close(login.router.id).await;
    assert!(peer.next().await.is_none());
    gateway.close(login.router.id).await;
}

#[test]
fn the_defaults_are_the_promised_ones() {
    let config = GatewayConfig::default();
    assert_eq!(config.connect, Duration::from_secs(3));
    let ConnectionConfig {
        window,
        min_window,
        answer,
        ..
    } = config.connection;
    assert_eq!((window, min_window, answer), (32, 4, 64 * 1024 * 1024));
}
