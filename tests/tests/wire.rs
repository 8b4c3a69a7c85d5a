//! The admin service over connections that are not as they should be.

use expiry_tests::{
    http::{Admin, TOKEN},
    world::World,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sends all of a request before it reads anything, and returns the status of the answer.
async fn status(admin: &Admin, path: &str, token: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(&admin.address)
        .await
        .expect("it listens");
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-admin-token: {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body).await.expect("it is read");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("the answer comes before the end");
    let status = answer.split(' ').nth(1).expect("an answer");
    status.parse().expect("a status")
}

#[tokio::test]
async fn who_sends_too_much_reads_why_it_is_refused() {
    let world = World::new(None).await;
    let admin = Admin::start(&world.expiry, &[]).await;
    let long = vec![b' '; 256 * 1024];
    for path in ["/api/v1/subscribers", "/api/admin/expiry-watcher/"] {
        assert_eq!(status(&admin, path, TOKEN, &long).await, 413, "{path}");
        assert_eq!(status(&admin, path, "", &long).await, 401, "{path}");
    }
    let check = "/api/admin/expiry-watcher/";
    assert_eq!(status(&admin, check, TOKEN, b"{}").await, 200);
    assert_eq!(admin.service.terminate().await, 0);
}

/// The one before may be about to let go of it, so the service manager is to try again.
#[tokio::test]
async fn an_address_that_is_taken_is_no_fault_of_the_configuration() {
    let world = World::new(None).await;
    let other = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let taken = other.local_addr().expect("bound").to_string();
    let busy = world.expiry.clone().with("EXPIRY_HTTP_TOKEN", TOKEN);
    let mut service = busy.with("EXPIRY_LISTEN", &taken).http(&[]);
    assert_eq!(service.wait().await, 1);
    service.line(&taken).await;
}
