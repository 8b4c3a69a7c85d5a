//! How soon a watcher cuts again once its database can be written again.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use expiry_core::{Clock, MacAddr, SystemClock};
use expiry_mikrotik::sim::ClientId;
use expiry_tests::world::World;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::figures::{Times, line, spread, target, title};

const ROUNDS: u8 = 20;
const AGAIN: Duration = Duration::from_secs(2);

/// The disk is full for some seconds, while access ends.
pub(crate) async fn full() -> bool {
    title("the disk of the SQLite file is full for 4 s");
    let Some(disk) = Disk::new() else {
        line("not measured", "it takes root, to mount a small tmpfs");
        return true;
    };
    let file = disk.path().join("expiry.db");
    let url = format!("sqlite://{}", file.display());
    let world = World::new(Some(&url)).await;
    let mut watcher = world.expiry.service(&["run"]);
    watcher.line("router reached").await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let device = due_soon(&world, round).await;
        // The log must grow: what it has room for already is written on any disk.
        let mut conn = SqliteConnection::connect(&url).await.expect("opened");
        sqlx::raw_sql("PRAGMA busy_timeout = 2000; PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut conn)
            .await
            .expect("done");
        disk.fill();
        sleep(Duration::from_secs(4)).await;
        assert!(moves(&world, device), "nothing could be cut");
        disk.empty();
        times.push(until_cut(&world, device).await);
    }
    watcher.terminate().await;
    told(times)
}

/// The file cannot be written when the watcher starts, and later can.
pub(crate) async fn refused() -> bool {
    title("the SQLite file cannot be written for 3 s from the start of the watcher");
    let world = World::new(None).await;
    let file = world.path("expiry.db");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let device = due_soon(&world, round).await;
        forbid(&file, true);
        let mut watcher = world.expiry.service(&["run"]);
        watcher.line("cannot be written").await;
        sleep(Duration::from_secs(3)).await;
        assert!(moves(&world, device), "nothing could be cut");
        forbid(&file, false);
        times.push(until_cut(&world, device).await);
        // What it has open it could go on writing.
        watcher.terminate().await;
    }
    told(times)
}

fn told(times: Vec<Duration>) -> bool {
    let times = Times::new(times);
    let holds = times.at(1.0) <= AGAIN;
    let found = format!("{} of {ROUNDS} rounds: {}", times.len(), spread(&times));
    target(
        "until the device that was due is off",
        &found,
        "max 2 s",
        holds,
    );
    holds
}

/// Somebody is online whose access ends in two seconds.
async fn due_soon(world: &World, round: u8) -> ClientId {
    let name = format!("25570000{round:04}");
    let mac = MacAddr::new([2, 0, 0, 7, 0, round]);
    let device = World::device(&world.router, &name, mac);
    let end: chrono::DateTime<Utc> = SystemClock.wall();
    let end = (end + TimeDelta::seconds(2)).to_rfc3339();
    let mac = mac.to_string();
    world
        .expiry
        .ok(&[
            "subscriber",
            "add",
            &name,
            "--expires-at",
            &end,
            "--device",
            &mac,
        ])
        .await;
    device
}

fn moves(world: &World, device: ClientId) -> bool {
    world.router.with(|sim| sim.client_can_move_bytes(device))
}

async fn until_cut(world: &World, device: ClientId) -> Duration {
    let began = Instant::now();
    let off = async {
        while moves(world, device) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), off)
        .await
        .expect("it is cut");
    began.elapsed()
}

/// Keeps everybody from writing to a file; root by an attribute, since modes do not concern it.
fn forbid(file: &Path, forbid: bool) {
    let (program, change) = match (rustix::process::geteuid().is_root(), forbid) {
        (true, true) => ("chattr", "+i"),
        (true, false) => ("chattr", "-i"),
        (false, true) => ("chmod", "u-w"),
        (false, false) => ("chmod", "u+w"),
    };
    let done = Command::new(program).arg(change).arg(file).status();
    assert!(done.expect("it runs").success(), "{program} {change}");
}

/// A file system of a few megabytes.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let place = TempDir::new().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
        let done = mount.arg(place.path()).output();
        let is_mounted = done.is_ok_and(|done| done.status.success());
        is_mounted.then(|| Self(place))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until nothing more is taken.
    fn fill(&self) {
        let mut filler = File::options();
        let filler = filler.create(true).append(true);
        let mut filler = filler.open(self.path().join("filler")).expect("opened");
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a program may still have the database open.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}
