use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::client::Peer;

/// How long requests in flight may take once a stop was asked for.
const GRACE: Duration = Duration::from_secs(4);

/// How long the head of a request may take, from the first look for it on.
const HEAD: Duration = Duration::from_secs(30);

/// The longest head of a request, and most of its lines.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// Most connections at once; others wait.
const MOST_CONNECTIONS: usize = 4_096;

/// So many files are left for what else needs some: databases, routers, a watcher inside.
const OTHER_FILES: usize = 256;

/// How long a peer may leave what was sent to it unread.
const UNREAD: Duration = Duration::from_secs(30);

/// The wait after a connection could not be taken, which is mostly for want of file descriptors.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves `app` until `stop` is cancelled, then takes no new connections and gives the requests in
/// flight 4 s. Dropping the future closes everything at once. Raises the number of files that the
/// process may open as far as it needs and is allowed to.
///
/// # Errors
/// None at present: what fails is one connection, and it is logged.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(room()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(AGAIN).await;
                continue;
            }
        };
        let app = app
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                request
            });
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, peer = %peer.address, "a connection broke");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            after_s = GRACE.as_secs(),
            "connections were cut off by the stop"
        );
    }
    Ok(())
}

/// How many connections there are files for.
fn room() -> usize {
    let room = files().saturating_sub(OTHER_FILES);
    room.clamp(OTHER_FILES / 4, MOST_CONNECTIONS)
}

/// How many files may be open, once that is as many as are needed and allowed.
fn files() -> usize {
    let wanted = (MOST_CONNECTIONS + OTHER_FILES) as u64;
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let (current, maximum) = (Some(raised), limit.maximum);
    let may = raised > soft && setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok();
    usize::try_from(if may { raised } else { soft }).unwrap_or(usize::MAX)
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(
    tokio::net::TcpStream,
    Peer,
    tokio::sync::OwnedSemaphorePermit,
)> {
    let permit = Arc::clone(room).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    let here = stream.local_addr()?.ip();
    // Answers are written whole.
    let _ = stream.set_nodelay(true);
    // Whoever does not read, or is gone without a word, would hold its connection for ever.
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD))?;
    Ok((stream, Peer { address, here }, permit))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::Instant,
    };

    use super::*;

    /// Sends a beginning of a request, and returns all that comes until the connection is closed.
    async fn answer_to(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let app = Router::new().route("/", get(|| async { "here" }));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, app, stop.clone()));
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("closed");
        stop.cancel();
        serving.await.expect("no panic").expect("served");
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[rstest]
    #[case::no_head("")]
    #[case::half_a_head("GET / HTTP/1.1\r\nhost: here\r\n")]
    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_is_waited_for_30_s(#[case] sent: &str) {
        let began = Instant::now();
        let answer = answer_to(sent).await;
        assert!(!answer.contains("here"), "{answer}");
        let took = began.elapsed();
        assert!(
            (HEAD..HEAD + Duration::from_secs(1)).contains(&took),
            "{took:?}"
        );
    }

    #[rstest]
    #[case::many(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1)))]
    #[case::long(format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(LONGEST_HEAD)))]
    #[case::long_path(format!("GET /{} HTTP/1.1\r\n\r\n", "b".repeat(LONGEST_HEAD)))]
    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused(#[case] sent: String) {
        let answer = answer_to(&sent).await;
        let status = answer.split(' ').nth(1);
        assert!(matches!(status, Some("431" | "414")), "{answer}");
    }

    #[tokio::test]
    async fn as_many_lines_as_are_allowed_are_read() {
        let lines = "a: b\r\n".repeat(MOST_HEADERS - 1);
        let answer = answer_to(&format!(
            "GET / HTTP/1.1\r\n{lines}connection: close\r\n\r\n"
        ))
        .await;
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_drops_who_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let peer = tokio::net::TcpStream::connect(address);
        let room = Arc::new(Semaphore::new(1));
        let (_peer, accepted) = tokio::join!(peer, accept(&listener, &room));
        let (stream, _, _) = accepted.expect("accepted");
        let timeout = SockRef::from(&stream).tcp_user_timeout().expect("told");
        assert_eq!(timeout, Some(UNREAD));
    }
}
