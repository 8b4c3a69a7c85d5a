//! Finding out what it is that takes connections and does not talk to us.

use std::{future::pending, time::Duration};

use expiry_core::{GatewayError, RouterAddress, Speaks};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{GatewayConfig, line::connect};
use crate::{
    dial::Stream,
    proto::stranger::{Opening, recognise},
};

/// How long a peer may take to turn us away, or to greet us, before we say anything.
const GREETING: Duration = Duration::from_millis(700);

/// The second try of a login goes first.
const PAUSE: Duration = Duration::from_millis(500);

/// How long it may take to answer a TLS greeting.
const ANSWER: Duration = Duration::from_secs(1);

/// The beginning of a TLS 1.2 handshake with one cipher suite and no extension. Whatever speaks TLS
/// answers it, if only with an alert.
const CLIENT_HELLO: [u8; 50] = {
    let mut hello = [0; 50];
    let head = [
        0x16, 0x03, 0x01, 0x00, 45, // a handshake record of TLS 1.0
        0x01, 0x00, 0x00, 41, // a client hello
        0x03, 0x03, // of TLS 1.2, with 32 bytes that need not be random
    ];
    let tail = [
        0x00, // no session
        0x00, 0x02, 0xC0, 0x2F, // one cipher suite
        0x01, 0x00, // no compression
    ];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    at = 0;
    while at < tail.len() {
        hello[head.len() + 32 + at] = tail[at];
        at += 1;
    }
    hello
};

/// Returns once a peer that stays silent while it is logged in to has proved that it speaks
/// something else: some servers wait for the rest of what they take for a long message. A router
/// that is only slow proves nothing, and is waited for.
pub(super) async fn not_the_api(config: &GatewayConfig, address: &RouterAddress) -> GatewayError {
    sleep(config.second_try + PAUSE).await;
    match ask(config, address).await {
        Some(error) => error,
        None => pending().await,
    }
}

async fn ask(config: &GatewayConfig, address: &RouterAddress) -> Option<GatewayError> {
    let mut stream = connect(config, address).await.ok()?;
    answer_to_tls(&mut stream).await
}

/// Tells why a peer closed a connection without a word, by a further connection on which it has to
/// act first: a router turns away whom it does not want before anything is said.
pub(super) async fn closed_why(config: &GatewayConfig, address: &RouterAddress) -> GatewayError {
    let turned_away = GatewayError::Closed { spoken: false };
    let Ok(mut stream) = connect(config, address).await else {
        return turned_away;
    };
    match timeout(GREETING, hear(&mut stream)).await {
        Ok(Heard::Nothing) => turned_away,
        Ok(Heard::Stranger(error)) => error,
        Err(_) => match answer_to_tls(&mut stream).await {
            Some(error) => error,
            None => GatewayError::Closed { spoken: true },
        },
    }
}

enum Heard {
    /// The peer hung up.
    Nothing,
    Stranger(GatewayError),
}

async fn hear(stream: &mut Box<dyn Stream>) -> Heard {
    let mut first = Vec::new();
    loop {
        match stream.read_buf(&mut first).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Heard::Nothing,
        }
        match recognise(&first) {
            Opening::Unclear => {}
            Opening::Known(speaks) => return Heard::Stranger(GatewayError::Stranger { speaks }),
            Opening::Other(reason) => return Heard::Stranger(GatewayError::Protocol { reason }),
            // A last word, such as `!fatal`.
            Opening::Api => return Heard::Nothing,
        }
    }
}

async fn answer_to_tls(stream: &mut Box<dyn Stream>) -> Option<GatewayError> {
    let asked = async {
        stream.write_all(&CLIENT_HELLO).await.ok()?;
        match hear(stream).await {
            Heard::Stranger(error) => Some(error),
            Heard::Nothing => None,
        }
    };
    let speaks = Speaks::Tls;
    let answered = timeout(ANSWER, asked).await.ok().flatten()?;
    (answered == GatewayError::Stranger { speaks }).then_some(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_a_well_formed_record() {
        let length =
            |at: usize| usize::from(u16::from_be_bytes([CLIENT_HELLO[at], CLIENT_HELLO[at + 1]]));
        assert_eq!(length(3), CLIENT_HELLO.len() - 5);
        assert_eq!(length(7), CLIENT_HELLO.len() - 9);
    }
}
