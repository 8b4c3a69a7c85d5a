//! Surveys whose answers end in an error.

use expiry_core::{GatewayError, RouterGateway};
use rstest::rstest;

use super::*;

/// A survey asks for servers, the device-mode and the licence.
const SURVEY: usize = 3;

#[rstest]
#[case::passes(1)]
#[case::passes_late(3)]
#[tokio::test(start_paused = true)]
async fn what_broke_off_in_a_survey_is_asked_again_at_once(#[case] traps: usize) {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let play = async {
        let mut open = peer.take(SURVEY).await;
        for answered in open.drain(1..) {
            peer.trap(&answered, "no such command prefix").await;
        }
        let mut open = open.remove(0);
        for _ in 0..traps {
            peer.row(&open, &[("name", "hs1"), ("disabled", "true")])
                .await;
            peer.trap(&open, "interrupted").await;
            open = peer.next().await.expect("the same once more");
            assert_eq!(open.command(), b"/ip/hotspot/print");
        }
        peer.row(&open, &[("name", "hs1"), ("disabled", "false")])
            .await;
        peer.done(&open).await;
    };
    let (survey, ()) = tokio::join!(gateway.survey(&login), play);
    let servers = survey.expect("a good answer").servers.expect("servers");
    let servers: Vec<_> = servers.iter().map(|s| (s.name.as_str(), s.is_on)).collect();
    assert_eq!(servers, [("hs1", true)]);
}

#[rstest]
#[case::each_time("interrupted", 4)]
#[case::no_such_menu("no such command prefix", 1)]
#[case::forbidden("not enough permissions (9)", 1)]
#[tokio::test(start_paused = true)]
async fn a_survey_is_refused_with_the_words_of_the_router(
    #[case] message: &str,
    #[case] answers: usize,
) {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let play = async {
        let mut open = peer.take(SURVEY).await;
        for answered in open.drain(1..) {
            peer.done(&answered).await;
        }
        peer.trap(&open[0], message).await;
        for _ in 1..answers {
            let again = peer.next().await.expect("the same once more");
            peer.trap(&again, message).await;
        }
        peer
    };
    let (survey, _peer) = tokio::join!(gateway.survey(&login), play);
    let refused = GatewayError::Refused {
        command: "/ip/hotspot/print".into(),
        message: message.into(),
    };
    assert_eq!(survey, Err(refused));
}
