//! For which names the admin service answers, over a real connection.

use expiry_tests::{
    http::{Admin, TOKEN},
    world::World,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends a head as it is, and returns the status and the rest.
async fn sent(admin: &Admin, line: &str, headers: &[&str]) -> (u16, String) {
    let lines = headers.iter().flat_map(|header| [*header, "\r\n"]);
    let head: String = lines.collect();
    let mut stream = TcpStream::connect(&admin.address).await.expect("connected");
    let request = format!("{line}\r\n{head}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.expect("a status"), answer)
}

#[tokio::test]
async fn a_page_of_somebody_else_reads_nothing_by_its_own_name() {
    let world = World::new(None).await;
    let expiry = world
        .expiry
        .clone()
        .with("EXPIRY_HTTP_HOSTS", "expiry.example");
    let mut admin = Admin::start(&expiry, &[]).await;
    let token = format!("x-admin-token: {TOKEN}");
    let (metrics, overview) = ("GET /metrics HTTP/1.1", "GET /api/v1/overview HTTP/1.1");
    let old = "GET /api/admin/expiry-watcher/ HTTP/1.1";

    for line in [
        metrics,
        overview,
        old,
        "GET / HTTP/1.1",
        "GET /healthz HTTP/1.1",
    ] {
        let (status, answer) = sent(&admin, line, &["host: evil.example", &token]).await;
        assert_eq!(status, 421, "{line}: {answer}");
        assert!(answer.contains("http.hosts"), "{line}: {answer}");
        let is_old = line == old;
        assert_eq!(answer.contains("\"success\":false"), is_old, "{answer}");
        assert_eq!(answer.contains("misdirected_request"), !is_old, "{answer}");
    }
    let told = admin.service.line("evil.example").await;
    assert!(told.contains("http.hosts"), "{told}");

    // Of this machine, and by a name of it.
    for host in ["localhost:8080", "127.0.0.1", "[::1]:80"] {
        let host = format!("host: {host}");
        assert_eq!(sent(&admin, metrics, &[&host]).await.0, 200, "{host}");
    }
    let named = "host: expiry.example";
    assert_eq!(sent(&admin, metrics, &[named]).await.0, 401);
    assert_eq!(sent(&admin, metrics, &[named, &token]).await.0, 200);
    assert_eq!(sent(&admin, overview, &[named, &token]).await.0, 200);
    // What a proxy would say is not looked at.
    let claimed = [
        "host: evil.example",
        "x-forwarded-host: expiry.example",
        &token,
    ];
    assert_eq!(sent(&admin, overview, &claimed).await.0, 421);

    assert_eq!(admin.service.terminate().await, 0);
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    let world = World::new(None).await;
    let admin = Admin::start(&world.expiry, &[]).await;
    let token = format!("x-admin-token: {TOKEN}");
    let two = ["host: localhost", "host: localhost", &token];
    for line in [
        "GET /api/v1/overview HTTP/1.1",
        "GET /api/v1/overview HTTP/1.0",
    ] {
        for headers in [&two[2..], &two[..]] {
            let (status, answer) = sent(&admin, line, headers).await;
            assert_eq!(status, 400, "{line}: {answer}");
            assert!(answer.contains("invalid_host"), "{answer}");
        }
        assert_eq!(sent(&admin, line, &two[1..]).await.0, 200, "{line}");
    }

    assert_eq!(admin.service.terminate().await, 0);
}
