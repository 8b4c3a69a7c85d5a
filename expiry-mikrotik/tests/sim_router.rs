//! The simulated router as it runs: streams, sockets, time.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::{
    sim::{ClientConfig, Link, SimConfig, SimRouter},
    wire::{Decoder, Sentence},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    net::TcpStream,
    time::{Instant, timeout},
};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

fn config() -> SimConfig {
    SimConfig::new("api", "secret".into())
}

async fn ask<S>(stream: &mut S, sentence: Sentence) -> std::io::Result<Vec<Sentence>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    sentence.encode(&mut bytes);
    stream.write_all(&bytes).await?;
    let mut decoder = Decoder::default();
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut input = &buffer[..length];
        while let Some(sentence) = decoder.decode(&mut input).expect("well formed") {
            let is_done = sentence.command() == b"!done";
            answer.push(sentence);
            if is_done {
                return Ok(answer);
            }
        }
    }
}

fn login() -> Sentence {
    Sentence::new("/login")
        .attribute("name", "api")
        .attribute("password", "secret")
}

fn ping() -> Sentence {
    Sentence::new("/system/identity/print")
}

#[tokio::test(start_paused = true)]
async fn its_clock_is_that_of_the_test() {
    let router = SimRouter::offline(SimConfig {
        delay: Duration::from_secs(20),
        ..config()
    });
    let (mut stream, end) = duplex(1024);
    router.serve_stream(end).expect("the link is up");
    let before = Instant::now();
    ask(&mut stream, login()).await.expect("the login works");
    ask(&mut stream, ping()).await.expect("an answer");
    assert_eq!(before.elapsed(), Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn traffic_is_told_while_nobody_looks() {
    let router = SimRouter::offline(config());
    router.with(|sim| {
        sim.add_client(ClientConfig {
            persistent: true,
            ..ClientConfig::new("alice", MAC)
        })
    });
    let mut traffic = router.traffic();
    router.with(|sim| sim.kick("alice"));
    let stopped = traffic.recv().await.expect("the router runs");
    let started = traffic.recv().await.expect("the router runs");
    assert!(!stopped.moving && started.moving);
    // Tokio's timer ticks in milliseconds.
    let told_after = Instant::now() - (router.started() + started.at);
    assert!(told_after < Duration::from_millis(2), "{told_after:?}");
}

#[tokio::test]
async fn a_router_that_is_down_refuses_and_comes_back_at_the_same_address() {
    let router = SimRouter::listen("127.0.0.1:0", config())
        .await
        .expect("a free port");
    let mut stream = TcpStream::connect(router.addr()).await.expect("it is up");
    ask(&mut stream, login()).await.expect("the login works");
    router.down().await;
    ask(&mut stream, ping()).await.expect_err("it was reset");
    let refused = TcpStream::connect(router.addr())
        .await
        .expect_err("it is down");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    router.up().await;
    let mut stream = TcpStream::connect(router.addr()).await.expect("it is up");
    ask(&mut stream, login()).await.expect("the login works");
}

#[tokio::test]
async fn a_black_hole_accepts_and_says_nothing() {
    let router = SimRouter::listen("127.0.0.1:0", config())
        .await
        .expect("a free port");
    router.set_link(Link::BlackHole).await;
    let mut stream = TcpStream::connect(router.addr()).await.expect("it accepts");
    let answer = timeout(Duration::from_millis(100), ask(&mut stream, login())).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn nothing_is_left_of_a_router_that_was_dropped() {
    let router = SimRouter::listen("127.0.0.1:0", config())
        .await
        .expect("a free port");
    let addr = router.addr();
    let mut stream = TcpStream::connect(addr).await.expect("it is up");
    ask(&mut stream, login()).await.expect("the login works");
    drop(router);
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    // The port is free once the listening task is gone.
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_takes_what_it_takes_and_no_more() {
    let router = SimRouter::listen("127.0.0.1:0", config())
        .await
        .expect("a free port");
    let mut stream = TcpStream::connect(router.addr()).await.expect("it is up");
    stream.set_nodelay(true).expect("a socket");
    ask(&mut stream, login()).await.expect("the login works");
    router.with(|sim| sim.configure(|config| config.delay = Duration::from_micros(500)));
    let before = Instant::now();
    for _ in 0..100 {
        ask(&mut stream, ping()).await.expect("an answer");
    }
    let each = before.elapsed() / 100;
    println!("{each:?} for a command of 500 µs");
    assert!(each >= Duration::from_micros(500), "{each:?}");
}
