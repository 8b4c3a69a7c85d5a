use std::{io, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take once a stop was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `app` until `stop` is cancelled, then takes no new connections and gives the requests in
/// flight 10 s. Dropping the future closes the listener at once.
///
/// # Errors
/// Those of accepting connections.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) -> io::Result<()> {
    let asked = stop.clone().cancelled_owned();
    let server = axum::serve(listener, app).with_graceful_shutdown(asked);
    let overdue = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        result = server => result,
        () = overdue => {
            tracing::warn!(after_s = GRACE.as_secs(), "connections were cut off by the stop");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expiry_core::MockStatusStore;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::app;

    #[tokio::test]
    async fn it_answers_over_tcp_and_stops_when_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let app = app(Arc::new(MockStatusStore::new()));
        let server = tokio::spawn(serve(listener, app, stop.clone()));

        let mut client = TcpStream::connect(address).await.expect("connected");
        let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

        stop.cancel();
        server.await.expect("no panic").expect("a clean stop");
        TcpStream::connect(address)
            .await
            .expect_err("nobody listens");
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_cannot_hold_up_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let app = app(Arc::new(MockStatusStore::new()));
        let server = tokio::spawn(serve(listener, app, stop.clone()));
        let mut client = TcpStream::connect(address).await.expect("connected");
        let one_and_a_half = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\n";
        client.write_all(one_and_a_half).await.expect("sent");
        client.read_u8().await.expect("the first is answered");

        tokio::time::pause();
        stop.cancel();
        server.await.expect("no panic").expect("a stop in the end");
    }
}
