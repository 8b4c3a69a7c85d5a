//! Sixteen clients extend over HTTP without a pause while access of others ends.

use std::{fmt::Write as _, fs, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{Clock, MacAddr, SystemClock};
use expiry_tests::{
    http::{Admin, TOKEN},
    pg, process,
    world::World,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::figures::{Times, line, spread, target, title};

const CLIENTS: usize = 16;
const ENDS: i64 = 240;
const SECONDS: i64 = 20;

/// From the import to the first end: all must be running by then.
const LEAD: TimeDelta = TimeDelta::seconds(15);

/// What one client saw.
struct Seen {
    answers: Vec<Duration>,
    busy: usize,
}

pub(crate) async fn run() -> bool {
    // Not while the clock runs.
    let _ = (process::binary(), process::service_binary());
    let mut holds = true;
    for watcher_inside in [true, false] {
        let world = World::new(None).await;
        holds &= on("SQLite", &world, watcher_inside).await;
        let database = pg::database().await;
        let world = World::new(Some(&database)).await;
        holds &= on("PostgreSQL", &world, watcher_inside).await;
    }
    holds
}

async fn on(name: &str, world: &World, watcher_inside: bool) -> bool {
    let place = if watcher_inside {
        "inside the service"
    } else {
        "beside the service"
    };
    title(&format!(
        "{CLIENTS} clients extend, {ENDS} ends in {SECONDS} s: {name}, watcher {place}"
    ));
    let began = Instant::now();
    let now: DateTime<Utc> = SystemClock.wall();
    let mut list = String::from("username,expires_at,devices\n");
    for n in 0..ENDS {
        let mac = mac(n);
        let name = format!("2557{n:08}");
        World::device(&world.router, &name, mac);
        let end = now + LEAD + TimeDelta::milliseconds(n * SECONDS * 1_000 / ENDS);
        let _ = writeln!(list, "{name},{},{mac}", end.to_rfc3339());
    }
    for n in 0..CLIENTS {
        let end = now + TimeDelta::days(1);
        let _ = writeln!(list, "payer{n},{},", end.to_rfc3339());
    }
    let file = world.path("list.csv");
    fs::write(&file, list).expect("written");
    let file = file.display().to_string();
    world.expiry.ok(&["subscriber", "import", &file]).await;

    let (expiry, watcher) = if watcher_inside {
        let inside = world.expiry.clone().with("EXPIRY_WATCHER_ENABLED", "true");
        (inside, None)
    } else {
        (world.expiry.clone(), Some(world.expiry.service(&["run"])))
    };
    let admin = Admin::start(&expiry, &[]).await;
    let found = admin
        .call("GET", "/api/v1/subscribers?q=payer&limit=100")
        .await;
    let found = found.json();
    let payers = found["items"].as_array().expect("a list");
    assert_eq!(payers.len(), CLIENTS);
    let first = began + LEAD.to_std().expect("ahead");
    let end = first + Duration::from_secs(SECONDS.unsigned_abs() + 1);
    assert!(Instant::now() < first, "all runs in time");
    sleep_until(first.checked_sub(Duration::from_secs(1)).expect("later")).await;
    let mut clients = Vec::new();
    for payer in payers {
        let id = payer["id"].as_i64().expect("a number");
        let address = admin.address.clone();
        clients.push(tokio::spawn(async move { client(&address, id, end).await }));
    }
    let (mut answers, mut busy) = (Vec::new(), 0);
    for client in clients {
        let seen = client.await.expect("no panic");
        answers.extend(seen.answers);
        busy += seen.busy;
    }
    let (count, answers) = (answers.len(), Times::new(answers));
    let cuts = loop {
        let cuts = world.cuts().await;
        if cuts.len() >= usize::try_from(ENDS).expect("few") || end.elapsed().as_secs() > 60 {
            break cuts;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    admin.service.terminate().await;
    if let Some(watcher) = watcher {
        watcher.terminate().await;
    }
    let wrong = cuts
        .iter()
        .filter(|(name, _)| name.starts_with("payer"))
        .count();
    let lags = Times::new(cuts.into_iter().map(|(_, lag)| lag).collect());
    line(
        "orders taken",
        &format!("{count} ({} a second), refused as busy: {busy}", count / 21),
    );
    line("answers to orders", &spread(&answers));
    line("cuts", &lags.len().to_string());
    target(
        "lag",
        &spread(&lags),
        "p99 100 ms",
        lags.at(0.99) <= Duration::from_millis(100),
    );
    target("false cuts", &wrong.to_string(), "0", wrong == 0);
    lags.at(0.99) <= Duration::from_millis(100) && wrong == 0 && lags.len() == 240
}

fn mac(n: i64) -> MacAddr {
    let [.., high, low] = n.to_be_bytes();
    MacAddr::new([2, 0, 0, 9, high, low])
}

/// Extends on one connection until `end`.
async fn client(address: &str, id: i64, end: Instant) -> Seen {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("set");
    let mut stream = BufReader::new(stream);
    let body = r#"{"seconds":60}"#;
    let request = format!(
        "POST /api/v1/subscribers/{id}/extend HTTP/1.1\r\nhost: {address}\r\nx-admin-token: {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut seen = Seen {
        answers: Vec::new(),
        busy: 0,
    };
    while Instant::now() < end {
        let asked = Instant::now();
        let (status, answer) = ask(&mut stream, &request).await;
        match status {
            200 => seen.answers.push(asked.elapsed()),
            503 if answer["code"] == "database_busy" => seen.busy += 1,
            _ => panic!("{status}: {answer}"),
        }
    }
    seen
}

async fn ask(stream: &mut BufReader<TcpStream>, request: &str) -> (u16, Value) {
    stream
        .get_mut()
        .write_all(request.as_bytes())
        .await
        .expect("sent");
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a line");
        if line.starts_with("HTTP/1.1 ") {
            status = line[9..12].parse().expect("a status");
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}
