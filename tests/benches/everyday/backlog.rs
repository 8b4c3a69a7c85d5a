//! 100 000 subscribers are owed and no router answers: what the watcher, the real binary, costs.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{Clock, SystemClock};
use expiry_mikrotik::sim::{Link, SimRouter};
use expiry_tests::{pg, process::Expiry};
use tokio::time::{Instant, sleep};

use crate::{
    figures::{line, target, title},
    world::{PASSWORD, sim_config},
};

const PEOPLE: u32 = 100_000;
const ROUTERS: u32 = 3;

/// So long the work of the watcher is counted once all is owed.
const SPAN: Duration = Duration::from_mins(1);
/// A watcher that works more than this, in percent of a core, is planning still.
const BUSY: f64 = 10.0;
const LONGEST_PLANNING: Duration = Duration::from_mins(3);
const MOST_MEMORY: u64 = 100;
const MOST_WORK: f64 = 2.0;

pub(crate) async fn run() {
    title(&format!(
        "{PEOPLE} subscribers are owed on {ROUTERS} routers: one refuses, two are black holes"
    ));
    let home = tempfile::tempdir().expect("a directory");
    let sqlite = format!("sqlite://{}", home.path().join("sqlite.db").display());
    of_database("SQLite", &sqlite, home.path()).await;
    let postgres = pg::database().await;
    of_database("PostgreSQL, fsync off", &postgres, home.path()).await;
}

async fn of_database(name: &str, url: &str, home: &Path) {
    let expiry = Expiry::new(url, home);
    let password = home.join("password");
    fs::write(&password, PASSWORD).expect("written");
    let password = password.display().to_string();
    let mut sims = Vec::new();
    for number in 0..ROUTERS {
        let name = format!("r{number}");
        let sim = SimRouter::listen("127.0.0.1:0", sim_config(&name))
            .await
            .expect("a port");
        let port = sim.addr().port().to_string();
        if number == 0 {
            sim.down().await;
        } else {
            sim.set_link(Link::BlackHole).await;
        }
        let add = [
            "router",
            "add",
            &name,
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ];
        let add = [
            &add[..],
            &["--username", "expiry", "--password-file", &password],
        ]
        .concat();
        expiry.ok(&add).await;
        sims.push(sim);
    }
    let began = Instant::now();
    let end = SystemClock.wall() + TimeDelta::seconds(40);
    let file = home.join("list.csv");
    fs::write(&file, list(end)).expect("written");
    let import = ["subscriber", "import", &file.display().to_string()];
    expiry.ok(&import).await;
    line(&format!("{name}: import"), &seconds(began.elapsed()));

    let service = expiry.service(&["run"]);
    let pid = service.pid();
    sleep((end - SystemClock.wall()).to_std().unwrap_or_default()).await;
    let ended = Instant::now();
    while share_of_core(pid, Duration::from_secs(3)).await > BUSY
        && ended.elapsed() < LONGEST_PLANNING
    {}
    line(
        &format!("{name}: the watcher had planned all within"),
        &seconds(ended.elapsed()),
    );
    let share = share_of_core(pid, SPAN).await;
    target(
        &format!("{name}: work of the watcher"),
        &format!("{share:.2} % of a core"),
        "2 %",
        share < MOST_WORK,
    );
    let peak = peak_memory(pid);
    target(
        &format!("{name}: most memory of the watcher"),
        &format!("{peak} MB"),
        "100 MB",
        peak < MOST_MEMORY,
    );
    service.terminate().await;
}

async fn share_of_core(pid: u32, span: Duration) -> f64 {
    let (before, since) = (work(pid), Instant::now());
    sleep(span).await;
    100.0 * work(pid).saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64()
}

fn list(end: DateTime<Utc>) -> String {
    let end = end.format("%Y-%m-%dT%H:%M:%SZ");
    let mut list = String::from("username,expires_at,devices\n");
    for number in 0..PEOPLE {
        let [_, high, middle, low] = number.to_be_bytes();
        let mac = format!("02:00:00:{high:02X}:{middle:02X}:{low:02X}");
        let phone = 255_700_000_000 + u64::from(number);
        writeln!(list, "{phone},{end},{mac}").expect("a string");
    }
    list
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Returns how long a process has kept a core busy.
fn work(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
    let mut ticks = after_name.split_whitespace().skip(11).take(2);
    let mut ticks = || ticks.next().and_then(|text| text.parse::<u64>().ok());
    let (user, system) = (ticks().expect("a number"), ticks().expect("a number"));
    // Linux counts in hundredths of a second for every program.
    Duration::from_millis(10 * (user + system))
}

/// Returns the most memory that a process has had resident, in megabytes.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let peak = status.lines().find_map(|line| {
        let value = line.strip_prefix("VmHWM:")?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    });
    peak.expect("Linux tells it") / 1_000
}
