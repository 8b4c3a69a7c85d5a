use std::{io, sync::Arc, time::Duration};

use axum::{
    Router, extract,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    Network,
    client::{First, Peer},
    places::Places,
    problem::Problem,
};

/// How long requests in flight may take once a stop was asked for.
const GRACE: Duration = Duration::from_secs(4);

/// How long the head of a request may take, from the first look for it on.
const HEAD: Duration = Duration::from_secs(30);

/// The longest head of a request, and most of its lines.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// Most connections at once; others wait, but for a few that ask how the service does.
const MOST_CONNECTIONS: usize = 4_096;
const SPARE: usize = 64;

/// One address may have this part of them.
const PART: usize = 4;

/// What is answered however many there are.
const WATCHED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// How long the head of a request may take on a connection that was left for these.
const SPARE_HEAD: Duration = Duration::from_secs(2);

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
/// One address has a quarter of all connections at most, but for trusted `proxies`: all come by those.
///
/// # Errors
/// None at present: what fails is one connection, and it is logged.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    proxies: Vec<Network>,
    stop: CancellationToken,
) -> io::Result<()> {
    let most = room();
    let limits = Limits {
        most,
        of_one: most / PART,
        spare: SPARE,
    };
    serve_within(limits, listener, app, proxies, stop).await
}

/// How many connections there may be.
#[derive(Clone, Copy)]
struct Limits {
    most: usize,
    of_one: usize,
    spare: usize,
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    app: Router,
    proxies: Vec<Network>,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = app.layer(from_fn(only_watched_where_full));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let room = Room::new(limits);
    let of_one = Places::new(usize::MAX, limits.of_one);
    let is_proxy = |address| proxies.iter().any(|network| network.contains(address));
    let crowded = First::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, peer, seat) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(AGAIN).await;
                continue;
            }
        };
        let address = peer.address.ip();
        let place = match of_one.take(address) {
            Ok(place) => Some(place),
            Err(_) if is_proxy(address) => None,
            Err(_) => {
                if crowded.is_first() {
                    tracing::warn!(
                        client = %address, most = limits.of_one,
                        "an address has as many connections as one may have, and gets no more; if \
                         that is your proxy, name it in http.trusted_proxies"
                    );
                }
                continue;
            }
        };
        let is_spare = seat.is_spare;
        let app = app
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                if is_spare {
                    request.extensions_mut().insert(Spare);
                }
                request
            });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(if is_spare { SPARE_HEAD } else { HEAD })
            .keep_alive(!is_spare)
            .max_buf_size(LONGEST_HEAD)
            .max_headers(MOST_HEADERS);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, peer = %peer.address, "a connection broke");
            }
            drop((seat, place));
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

/// Marks requests over a connection that was left for [`WATCHED`].
#[derive(Clone, Copy)]
struct Spare;

async fn only_watched_where_full(request: extract::Request, next: Next) -> Response {
    let is_spare = request.extensions().get::<Spare>().is_some();
    if is_spare && !WATCHED.contains(&request.uri().path()) {
        let detail = "there are as many connections as there may be; try again";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Problem::new(status, "too_many_connections", detail).into_response();
    }
    next.run(request).await
}

/// Where connections have their seats.
struct Room {
    seats: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

struct Seat {
    _permit: OwnedSemaphorePermit,
    is_spare: bool,
}

impl Room {
    fn new(limits: Limits) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(limits.most)),
            spare: Arc::new(Semaphore::new(limits.spare)),
        }
    }

    async fn seat(&self) -> io::Result<Seat> {
        let (seats, spare) = (Arc::clone(&self.seats), Arc::clone(&self.spare));
        let (permit, is_spare) = tokio::select! {
            biased;
            permit = seats.acquire_owned() => (permit, false),
            permit = spare.acquire_owned() => (permit, true),
        };
        Ok(Seat {
            _permit: permit.map_err(io::Error::other)?,
            is_spare,
        })
    }

    /// Takes a better seat if there is one meanwhile.
    fn better(&self, seat: Seat) -> Seat {
        if !seat.is_spare {
            return seat;
        }
        match Arc::clone(&self.seats).try_acquire_owned() {
            Ok(permit) => Seat {
                _permit: permit,
                is_spare: false,
            },
            Err(_) => seat,
        }
    }
}

/// How many connections there are files for.
fn room() -> usize {
    let room = files().saturating_sub(OTHER_FILES + SPARE);
    room.clamp(OTHER_FILES / 4, MOST_CONNECTIONS)
}

/// How many files may be open, once that is as many as are needed and allowed.
fn files() -> usize {
    let wanted = (MOST_CONNECTIONS + SPARE + OTHER_FILES) as u64;
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let (current, maximum) = (Some(raised), limit.maximum);
    let may = raised > soft && setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok();
    usize::try_from(if may { raised } else { soft }).unwrap_or(usize::MAX)
}

async fn accept(listener: &TcpListener, room: &Room) -> io::Result<(TcpStream, Peer, Seat)> {
    let seat = room.seat().await?;
    let (stream, address) = listener.accept().await?;
    let here = stream.local_addr()?.ip();
    // Answers are written whole.
    let _ = stream.set_nodelay(true);
    // Whoever does not read, or is gone without a word, would hold its connection for ever.
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD))?;
    Ok((stream, Peer { address, here }, room.better(seat)))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
        time::Instant,
    };

    use super::*;

    const FEW: Limits = Limits {
        most: 40,
        of_one: 10,
        spare: 4,
    };

    /// A service with few connections, and where it is.
    async fn few(proxies: &[&str]) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let here = || get(|| async { "here" });
        let app = Router::new().route("/", here()).route("/healthz", here());
        let proxies = proxies.iter().map(|one| one.parse().expect("a network"));
        let stop = CancellationToken::new();
        tokio::spawn(serve_within(FEW, listener, app, proxies.collect(), stop));
        address
    }

    /// Connects from an address of this machine, and begins a request.
    async fn connect(from: u8, to: std::net::SocketAddr, sent: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = std::net::SocketAddr::from(([127, 0, 0, from], 0));
        socket.bind(from).expect("bound");
        let mut stream = socket.connect(to).await.expect("connected");
        // It may be closed already.
        let _ = stream.write_all(sent.as_bytes()).await;
        stream
    }

    async fn ask(from: u8, to: std::net::SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let mut stream = connect(from, to, &request).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    const HALF: &str = "GET / HTTP/1.1\r\n";

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn one_address_has_a_part_of_the_connections_and_another_is_answered_at_once() {
        let service = few(&[]).await;
        let mut held = Vec::new();
        for _ in 0..3 * FEW.most {
            held.push(connect(1, service, HALF).await);
        }
        for path in ["/", "/healthz"] {
            let began = Instant::now();
            let answer = ask(2, service, path).await;
            assert!(answer.ends_with("here"), "{answer}");
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        assert_eq!(ask(1, service, "/").await, "", "it has its part");
        drop(held);
        while !ask(1, service, "/").await.ends_with("here") {}
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_trusted_proxy_has_as_many_as_there_are() {
        let service = few(&["127.0.0.1"]).await;
        let mut held = Vec::new();
        for _ in 0..FEW.most - 1 {
            held.push(connect(1, service, HALF).await);
        }
        let answer = ask(1, service, "/").await;
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn where_all_are_taken_the_service_still_says_how_it_does() {
        let service = few(&[]).await;
        let mut held = Vec::new();
        for from in 1..=4 {
            for _ in 0..FEW.of_one {
                held.push(connect(from, service, HALF).await);
            }
        }
        let answer = ask(5, service, "/").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("too_many_connections"), "{answer}");
        assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
        let answer = ask(5, service, "/healthz").await;
        assert!(answer.ends_with("here"), "{answer}");
        drop(held);
        while !ask(5, service, "/").await.ends_with("here") {}
    }

    /// Sends a beginning of a request, and returns all that comes until the connection is closed.
    async fn answer_to(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let app = Router::new().route("/", get(|| async { "here" }));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, app, Vec::new(), stop.clone()));
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
        let peer = TcpStream::connect(address);
        let room = Room::new(FEW);
        let (_peer, accepted) = tokio::join!(peer, accept(&listener, &room));
        let (stream, _, _) = accepted.expect("accepted");
        let timeout = SockRef::from(&stream).tcp_user_timeout().expect("told");
        assert_eq!(timeout, Some(UNREAD));
    }
}
