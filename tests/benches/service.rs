//! The admin service under load: `cargo bench -p expiry-tests --bench service`. Prints what was
//! reached, and fails if it is less than promised.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{fmt::Write as _, fs, path::Path, process::ExitCode, time::Duration};

use chrono::{TimeDelta, Utc};
use expiry_core::{Clock, SystemClock};
use expiry_tests::{
    http::{Admin, TOKEN},
    pg,
    process::Expiry,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval},
};

const SUBSCRIBERS: usize = 100_000;
const SOON: usize = 1_000;
const CONNECTIONS: usize = 20;
const PER_SECOND: u32 = 200;
const SECONDS: u32 = 20;
const READERS: usize = 1_000;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if runtime.block_on(measured()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn measured() -> bool {
    let home = tempfile::tempdir().expect("a temporary directory");
    let sqlite = format!("sqlite://{}", home.path().join("expiry.db").display());
    let postgres = pg::database().await;
    let mut holds = true;
    for (name, database) in [("SQLite", sqlite), ("PostgreSQL", postgres)] {
        holds &= on(name, &Expiry::new(database, home.path()), home.path()).await;
    }
    holds
}

async fn on(name: &str, expiry: &Expiry, home: &Path) -> bool {
    fill(expiry, home).await;
    let admin = Admin::start(expiry, &[]).await;
    let mut lags = load(&admin.address).await;
    lags.sort();
    let at = |percent: usize| lags[(lags.len() * percent).div_ceil(100) - 1];
    let (half, most) = (at(50), at(99));
    println!(
        "{name}: {} answers at {PER_SECOND}/s: p50 {half:?}, p99 {most:?}, max {:?}",
        lags.len(),
        at(100)
    );

    let pid = admin.service.pid();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(reader(&admin.address).await);
    }
    let tenant = format!("while-{}", name.to_lowercase());
    expiry.ok(&["tenant", "add", &tenant]).await;
    for reader in &mut readers {
        let mut line = String::new();
        while !line.contains("tenant_added") {
            line.clear();
            assert!(
                reader.read_line(&mut line).await.expect("a line") > 0,
                "it ended"
            );
        }
    }
    let held = resident_kib(pid);
    println!(
        "{name}: the service with {READERS} readers of events holds {} MiB",
        held / 1024
    );

    let began = Instant::now();
    assert_eq!(admin.service.terminate().await, 0);
    let stopped = began.elapsed();
    println!("{name}: stopped with {READERS} streams open after {stopped:?}");
    most <= Duration::from_millis(20) && held < 100 * 1024 && stopped < Duration::from_secs(5)
}

async fn fill(expiry: &Expiry, home: &Path) {
    let now: chrono::DateTime<Utc> = SystemClock.wall();
    let mut list = String::from("username,expires_at\n");
    for n in 0..SUBSCRIBERS {
        let end = if n < SOON {
            now + TimeDelta::minutes(20) + TimeDelta::milliseconds(i64::try_from(n).expect("small"))
        } else {
            now + TimeDelta::days(1) + TimeDelta::seconds(i64::try_from(n).expect("small"))
        };
        let _ = writeln!(list, "2557{n:08},{}", end.to_rfc3339());
    }
    let file = home.join("list.csv");
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    expiry.ok(&["subscriber", "import", &file]).await;
}

/// Asks at a steady pace, and returns how long each answer took from when it was due.
async fn load(address: &str) -> Vec<Duration> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let address = address.to_owned();
        clients.push(tokio::spawn(async move { client(&address).await }));
    }
    let mut lags = Vec::new();
    for client in clients {
        lags.extend(client.await.expect("no panic"));
    }
    lags
}

async fn client(address: &str) -> Vec<Duration> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("set");
    let mut stream = BufReader::new(stream);
    let request = format!(
        "GET /api/admin/expiry-watcher/ HTTP/1.1\r\nhost: a\r\nx-admin-token: {TOKEN}\r\n\r\n"
    );
    let share = u32::try_from(CONNECTIONS).expect("small");
    let mut ticks = interval(Duration::from_secs(1) * share / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut lags = Vec::new();
    for _ in 0..PER_SECOND * SECONDS / share {
        let due = ticks.tick().await;
        stream
            .get_mut()
            .write_all(request.as_bytes())
            .await
            .expect("sent");
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("a line");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        assert!(body.starts_with(b"{\"success\":true"));
        lags.push(due.elapsed());
    }
    lags
}

async fn reader(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let mut stream = BufReader::with_capacity(512, stream);
    let request =
        format!("GET /api/v1/events/stream HTTP/1.1\r\nhost: a\r\nx-admin-token: {TOKEN}\r\n\r\n");
    stream
        .get_mut()
        .write_all(request.as_bytes())
        .await
        .expect("sent");
    let mut line = String::new();
    while !line.contains("event: ready") {
        line.clear();
        assert!(
            stream.read_line(&mut line).await.expect("a line") > 0,
            "it ended"
        );
    }
    stream
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
