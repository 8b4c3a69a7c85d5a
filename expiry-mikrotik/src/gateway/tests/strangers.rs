//! Ports that are not the service `api`, over TCP as they are.

use std::{io, time::Duration};

use expiry_core::{Cause, RouterGateway};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{GatewayConfig, MikrotikGateway, failures::on_loopback};

/// What a server does with each connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Closes at once, as for whom the address list leaves out, or above `max-sessions`.
    Close,
    /// The same with a reset.
    Reset,
    /// Greets at once, then is silent.
    Greet(&'static [u8]),
    /// Answers anything that is not TLS with this and closes.
    AnswerAndClose(&'static [u8]),
    /// Answers TLS with an alert, and closes at once on anything else.
    TlsThatHangsUp,
    /// Answers TLS with an alert, and waits for the rest of anything else.
    TlsThatWaits,
    /// Closes on the first bytes.
    HangUp,
}

async fn serve(mut stream: TcpStream, does: Does) -> io::Result<()> {
    let mut heard = [0; 1024];
    match does {
        Does::Close => {}
        Does::Reset => stream.set_zero_linger()?,
        Does::Greet(greeting) => {
            stream.write_all(greeting).await?;
            while stream.read(&mut heard).await? > 0 {}
        }
        Does::AnswerAndClose(answer) => {
            if stream.read(&mut heard).await? > 0 {
                stream.write_all(answer).await?;
            }
        }
        Does::TlsThatHangsUp => {
            let count = stream.read(&mut heard).await?;
            if heard[..count].starts_with(b"\x16\x03") {
                stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28").await?;
            }
        }
        Does::TlsThatWaits => loop {
            let count = stream.read(&mut heard).await?;
            if count == 0 {
                break;
            }
            if heard[..count].starts_with(b"\x16\x03") {
                stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28").await?;
            }
        },
        Does::HangUp => {
            stream.peek(&mut heard).await?;
        }
    }
    Ok(())
}

#[rstest]
#[case::address_list_or_max_sessions(Does::Close, Cause::ClosedAtOnce)]
#[case::address_list_with_a_reset(Does::Reset, Cause::ClosedAtOnce)]
#[case::ssh(Does::Greet(b"SSH-2.0-ROSSSH\r\n"), Cause::SshPort)]
#[case::ftp(
    Does::Greet(b"220 hill FTP server (MikroTik 7.18.2) ready\r\n"),
    Cause::GreetingPort
)]
#[case::mysql(Does::Greet(b"\x4a\x00\x00\x00\x0a8.0.36\x00"), Cause::OtherProtocol)]
#[case::web(
    Does::AnswerAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    Cause::HttpPort
)]
#[case::tls(Does::AnswerAndClose(b"\x15\x03\x01\x00\x02\x02\x46"), Cause::TlsPort)]
#[case::tls_without_an_alert(Does::TlsThatHangsUp, Cause::TlsPort)]
#[case::tls_that_waits_for_more(Does::TlsThatWaits, Cause::TlsPort)]
#[case::what_hangs_up_on_the_login(Does::HangUp, Cause::ClosedAtLogin)]
#[tokio::test]
async fn a_port_that_is_not_the_api_is_told_by_what_it_does(
    #[case] does: Does,
    #[case] cause: Cause,
) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a call");
            tokio::spawn(serve(stream, does));
        }
    });
    let gateway = MikrotikGateway::new(GatewayConfig::default());
    let login = on_loopback(port);
    // What a failure means must not be found out by waiting until all patience is at its end.
    let probed = tokio::time::timeout(Duration::from_secs(8), gateway.probe(&login)).await;
    let error = probed.expect("told in time").expect_err("no router");
    assert_eq!(error.cause(), cause, "{error}");
    server.abort();
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_apart_from_a_host_that_is_silent() {
    let gateway = MikrotikGateway::new(GatewayConfig::default());
    let mut login = on_loopback(8728);
    login.router.address.host = "no-such-host.invalid".into();
    let error = gateway.probe(&login).await.expect_err("no such host");
    assert_eq!(error.cause(), Cause::HostNotFound, "{error}");
}
