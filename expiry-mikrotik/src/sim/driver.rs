use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use expiry_core::RouterAddress;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{ConnId, Link, SimConfig, Simulator, TrafficEvent};
use crate::{Dialer, Stream};

/// Tokio's timer ticks in milliseconds and rounds up, which is coarse beside what a command takes.
const TICKS: Duration = Duration::from_millis(2);

/// A simulated router that runs: a [`Simulator`] on Tokio's clock, reached over TCP or any stream.
///
/// Time on the simulation's clock is the time since the router was started, so a test may pause
/// it. All tasks end when the router is dropped.
///
/// ```
/// # use expiry_mikrotik::sim::{ClientConfig, SimConfig, SimRouter};
/// # use expiry_core::MacAddr;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let config = SimConfig::new("api", "secret".into());
/// let router = SimRouter::listen("127.0.0.1:0", config).await?;
/// let phone = MacAddr::new([2, 0, 0, 0, 0, 1]);
/// let client = router.with(|sim| sim.add_client(ClientConfig::new("alice", phone)));
/// assert!(router.with(|sim| sim.client_can_move_bytes(client)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SimRouter {
    shared: Arc<Shared>,
    addr: Option<SocketAddr>,
    streams: Mutex<JoinSet<()>>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    started: Instant,
    /// The next event may have become earlier.
    rearm: Notify,
    link: watch::Sender<Link>,
    listening: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    sim: Simulator,
    /// Wakes the task of a connection.
    wakers: BTreeMap<ConnId, Arc<Notify>>,
    listeners: Vec<mpsc::UnboundedSender<TrafficEvent>>,
    armed: Option<Duration>,
}

impl SimRouter {
    /// Starts a router that listens for API clients. Port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn listen(
        addr: impl tokio::net::ToSocketAddrs,
        config: SimConfig,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let mut router = Self::offline(config);
        router.addr = Some(addr);
        router.shared.listening.send_replace(true);
        let shared = Arc::clone(&router.shared);
        router.tasks.spawn(accept(shared, addr, listener));
        Ok(router)
    }

    /// Starts a router that is reached only as a [`Dialer`] and by
    /// [`serve_stream`](Self::serve_stream).
    pub fn offline(config: SimConfig) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                sim: Simulator::new(config),
                wakers: BTreeMap::new(),
                listeners: Vec::new(),
                armed: None,
            }),
            started: Instant::now(),
            rearm: Notify::new(),
            link: watch::Sender::new(Link::Up),
            listening: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(Arc::clone(&shared)));
        Self {
            shared,
            addr: None,
            streams: Mutex::default(),
            tasks,
        }
    }

    /// Returns where it listens.
    ///
    /// # Panics
    /// If it was started without a listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("a router made by `listen` has an address")
    }

    /// Returns when its clock began. A [`TrafficEvent`] happened at this plus its `at`.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// Looks at the router or changes it, at the present of its clock. Everything stands still
    /// meanwhile, so keep it short.
    pub fn with<R>(&self, act: impl FnOnce(&mut Simulator) -> R) -> R {
        self.shared.with(act)
    }

    /// Returns what begins and stops to pass from now on.
    pub fn traffic(&self) -> mpsc::UnboundedReceiver<TrafficEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // What happened before is delivered to those who listened before.
        self.shared.with(|_| ());
        self.shared.lock().listeners.push(sender);
        receiver
    }

    /// Serves an API client over a stream of any kind.
    ///
    /// # Errors
    /// The router refuses connections; the stream is dropped.
    pub fn serve_stream<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let conn = self.shared.with(Simulator::connect);
        let conn = conn.ok_or(io::ErrorKind::ConnectionRefused)?;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        while streams.try_join_next().is_some() {}
        streams.spawn(serve(Arc::clone(&self.shared), conn, stream));
        Ok(())
    }

    /// Makes the router unreachable: existing connections are reset and new ones refused. Returns
    /// when that is so. Hotspot and devices go on.
    pub async fn down(&self) {
        self.set_link(Link::Refused).await;
    }

    /// Makes the router reachable again. Returns when it is.
    pub async fn up(&self) {
        self.set_link(Link::Up).await;
    }

    /// Changes what the network does. Returns when it does so.
    pub async fn set_link(&self, link: Link) {
        self.with(|sim| sim.set_link(link));
        if self.addr.is_some() {
            let mut listening = self.shared.listening.subscribe();
            // The listening task ends only with the router.
            let _ = listening
                .wait_for(|on| *on == (link != Link::Refused))
                .await;
        }
    }
}

/// Every address leads to this router, without a socket.
#[async_trait]
impl Dialer for SimRouter {
    async fn dial(&self, _: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = duplex(64 << 10);
        self.serve_stream(theirs)?;
        Ok(Box::new(ours))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts at the present, then tells everybody whom the change concerns.
    fn with<R>(&self, act: impl FnOnce(&mut Simulator) -> R) -> R {
        let mut state = self.lock();
        let State {
            sim,
            wakers,
            listeners,
            armed,
        } = &mut *state;
        sim.advance(self.started.elapsed());
        let result = act(sim);
        while let Some(conn) = sim.poll_ready() {
            if let Some(waker) = wakers.get(&conn) {
                waker.notify_one();
            }
        }
        while let Some(event) = sim.poll_traffic() {
            listeners.retain(|listener| listener.send(event.clone()).is_ok());
        }
        let next = sim.next_event();
        if next != *armed {
            *armed = next;
            self.rearm.notify_one();
        }
        let link = sim.link();
        self.link
            .send_if_modified(|known| std::mem::replace(known, link) != link);
        result
    }

    fn waker(&self, conn: ConnId) -> Arc<Notify> {
        let mut state = self.lock();
        let waker = Arc::clone(state.wakers.entry(conn).or_default());
        // Something may have become ready before there was anybody to wake.
        waker.notify_one();
        waker
    }
}

async fn keep_time(shared: Arc<Shared>) {
    loop {
        let (next, exactly) = {
            let state = shared.lock();
            (state.armed, state.sim.is_through_within(TICKS))
        };
        let rearmed = shared.rearm.notified();
        match next {
            None => rearmed.await,
            Some(at) => {
                tokio::select! {
                    () = rearmed => {}
                    () = sleep_to(shared.started + at, exactly) => shared.with(|_| ()),
                }
            }
        }
    }
}

/// Sleeps until `deadline`; the last ticks, if wanted, more exactly than Tokio's timer can, at the
/// price of some work.
async fn sleep_to(deadline: Instant, exactly: bool) {
    let mut now = Instant::now();
    while exactly && deadline.saturating_duration_since(now) < TICKS {
        if now >= deadline {
            return;
        }
        tokio::task::yield_now().await;
        let before = std::mem::replace(&mut now, Instant::now());
        if now == before {
            // The clock is paused.
            break;
        }
    }
    sleep_until(deadline).await;
}

async fn accept(shared: Arc<Shared>, addr: SocketAddr, listener: TcpListener) {
    let mut link = shared.link.subscribe();
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let wanted = *link.borrow_and_update() != Link::Refused;
        if !wanted {
            listener = None;
        } else if listener.is_none() {
            // The port was ours and is free again; if somebody took it, the next change retries.
            listener = TcpListener::bind(addr).await.ok();
        }
        shared.listening.send_replace(listener.is_some());
        tokio::select! {
            changed = link.changed() => if changed.is_err() {
                return;
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Some(stream) = next_stream(listener.as_ref()) => {
                if let Some(conn) = shared.with(Simulator::connect) {
                    connections.spawn(serve_tcp(Arc::clone(&shared), conn, stream));
                }
            }
        }
    }
}

async fn next_stream(listener: Option<&TcpListener>) -> Option<TcpStream> {
    let (stream, _) = listener?.accept().await.ok()?;
    Some(stream)
}

async fn serve_tcp(shared: Arc<Shared>, conn: ConnId, mut stream: TcpStream) {
    // A socket that refuses these is about to fail anyway.
    let _ = stream.set_nodelay(true);
    serve(Arc::clone(&shared), conn, &mut stream).await;
    if *shared.link.borrow() == Link::Refused {
        let _ = stream.set_zero_linger();
    }
}

/// Passes bytes between a client and the router until one of them is through.
async fn serve<S>(shared: Arc<Shared>, conn: ConnId, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let waker = shared.waker(conn);
    let _forget = Forget {
        shared: &shared,
        conn,
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        tokio::select! {
            () = waker.notified() => {
                let (bytes, closing) =
                    shared.with(|sim| (sim.transmit(conn), sim.is_closing(conn)));
                if stream.write_all(&bytes).await.is_err() || closing {
                    return;
                }
            }
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => shared.with(|sim| sim.receive(conn, &buffer[..length])),
            }
        }
    }
}

/// Takes a connection from the router when its task ends, however it ends.
struct Forget<'a> {
    shared: &'a Shared,
    conn: ConnId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.with(|sim| sim.close(self.conn));
        self.shared.lock().wakers.remove(&self.conn);
    }
}
