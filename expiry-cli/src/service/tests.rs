use std::{os::unix::net::UnixDatagram as Socket, sync::Arc};

use expiry_core::{
    NoEvents,
    testing::{MemoryStore, SimGateway, TestClock, memory::Fault},
    watcher::{Watcher, WatcherConfig},
};
use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::*;

struct Listener {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Listener {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("bound");
        Self { socket, directory }
    }

    fn manager(&self, watchdog: &str) -> Manager {
        let address = self.directory.path().join("notify");
        Manager::from_environment(|name| match name {
            "NOTIFY_SOCKET" => Some(address.clone().into()),
            "WATCHDOG_USEC" => Some(watchdog.into()),
            _ => None,
        })
    }

    async fn until(&self, expected: &str) {
        let mut buffer = [0; 1024];
        loop {
            let length = self.socket.recv(&mut buffer).await.expect("a message");
            let message = String::from_utf8_lossy(&buffer[..length]);
            if message.starts_with(expected) {
                return;
            }
        }
    }

    fn drain(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = self.socket.try_recv(&mut buffer) {
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        messages
    }
}

fn watcher() -> Watcher {
    let clock = Arc::new(TestClock::default());
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    let gateway = SimGateway::new(Duration::ZERO);
    let config = WatcherConfig::default();
    Watcher::new(
        Arc::new(store),
        Arc::new(gateway),
        clock,
        Arc::new(NoEvents),
        config,
    )
}

#[tokio::test]
async fn it_is_ready_with_the_first_heartbeat_and_says_when_it_stops() {
    let listener = Listener::new();
    let manager = listener.manager("30000");
    let (watcher, serving) = (watcher(), Serving::default());
    let progress = watcher.progress();
    let stop = CancellationToken::new();
    let patience = Duration::from_secs(20);
    let watching = async {
        listener.until("STATUS=waiting").await;
        assert_eq!(listener.drain(), [""; 0], "not ready before it runs");
        let script = async {
            listener.until("READY=1").await;
            listener.until("STATUS=serving no router").await;
            listener.until("WATCHDOG=1").await;
            stop.cancel();
            listener
                .until("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000")
                .await;
            listener.until("STATUS=stopping").await;
        };
        let (ended, ()) = tokio::join!(watcher.run(stop.clone()), script);
        ended.expect("a clean stop");
    };
    tokio::select! {
        never = tell(&manager, &progress, &serving, &stop, patience) => match never {},
        () = watching => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_hangs_is_not_called_alive() {
    let listener = Listener::new();
    let manager = listener.manager("30000000");
    let (watcher, serving) = (watcher(), Serving::default());
    let progress = watcher.progress();
    let stop = CancellationToken::new();
    let mut run = Box::pin(watcher.run(stop.clone()));
    let second = Duration::from_secs(1);
    let mut told = Box::pin(tell(&manager, &progress, &serving, &stop, second));
    let mut pass = async |run: Option<&mut _>, time| {
        let both = async {
            match run {
                Some(run) => tokio::select! { _ = run => {}, _ = &mut told => {} },
                None => drop((&mut told).await),
            }
        };
        let _ = tokio::time::timeout(time, both).await;
        let messages = listener.drain();
        let alive = messages.iter().filter(|message| *message == "WATCHDOG=1");
        alive.count()
    };

    assert!(
        pass(Some(&mut run), 61 * second).await >= 5,
        "the loops turn"
    );
    // A call of the store that was under way may take its time.
    pass(None, 120 * second).await;
    assert_eq!(pass(None, 300 * second).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_only_fails_is_alive_for_a_minute_and_again_once_it_works() {
    let listener = Listener::new();
    let manager = listener.manager("30000000");
    let clock = Arc::new(TestClock::default());
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    let gateway = SimGateway::new(Duration::ZERO);
    let watcher = Watcher::new(
        Arc::new(store.clone()),
        Arc::new(gateway),
        clock,
        Arc::new(NoEvents),
        WatcherConfig::default(),
    );
    let serving = Serving::default();
    let progress = watcher.progress();
    let stop = CancellationToken::new();
    let second = Duration::from_secs(1);
    let mut run = Box::pin(watcher.run(stop.clone()));
    let mut told = Box::pin(tell(&manager, &progress, &serving, &stop, second));
    let mut alive_in = async |time| {
        let both = async {
            tokio::select! { _ = &mut run => {}, _ = &mut told => {} }
        };
        let _ = tokio::time::timeout(time, both).await;
        let messages = listener.drain();
        let alive = messages.iter().filter(|message| *message == "WATCHDOG=1");
        alive.count()
    };

    assert!(alive_in(60 * second).await >= 5);
    store.fail_when(|_| Fault::Before);
    assert!(alive_in(55 * second).await >= 4, "it may be over soon");
    alive_in(15 * second).await;
    assert_eq!(alive_in(600 * second).await, 0);
    store.heal();
    alive_in(10 * second).await;
    assert!(alive_in(60 * second).await >= 5);
}

#[tokio::test]
async fn without_a_manager_nothing_is_told() {
    let nobody = Manager::from_environment(|_| None);
    assert_eq!(nobody.watchdog(), None);
    nobody.ready();
}

#[test]
fn a_watchdog_of_another_process_is_not_ours() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = directory.path().join("notify");
    let _socket = Socket::bind(&address).expect("bound");
    let watchdog = |pid: u32| {
        let manager = Manager::from_environment(|name| match name {
            "NOTIFY_SOCKET" => Some(address.clone().into()),
            "WATCHDOG_USEC" => Some("1000000".into()),
            "WATCHDOG_PID" => Some(pid.to_string().into()),
            _ => None,
        });
        manager.watchdog()
    };
    assert_eq!(watchdog(std::process::id()), Some(Duration::from_secs(1)));
    assert_eq!(watchdog(1), None);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manager_may_listen_in_the_abstract_namespace() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    let name = format!("expiry-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let socket = Socket::bind_addr(&address).expect("bound");
    let given = format!("@{name}");
    let manager = Manager::from_environment(|variable| {
        (variable == "NOTIFY_SOCKET").then(|| given.clone().into())
    });
    manager.ready();
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer).expect("a message");
    assert_eq!(&buffer[..length], b"READY=1");
}
