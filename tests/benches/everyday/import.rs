//! A spreadsheet of 20 000 customers, taken by the real binary: start of the process, reading, and
//! one transaction.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use expiry_tests::{pg, process::Expiry};
use tokio::time::Instant;

use crate::figures::{line, ms, target, title};

const LINES: u32 = 20_000;
const ROUTERS: u32 = 3;
const MOST: Duration = Duration::from_secs(3);

pub(crate) async fn run() {
    title(&format!(
        "Import of {LINES} lines, one device each, {ROUTERS} routers"
    ));
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("sqlite.db");
    let sqlite = format!("sqlite://{}", file.display());
    of_database("SQLite", &sqlite, home.path()).await;
    let postgres = pg::database().await;
    of_database("PostgreSQL, fsync off", &postgres, home.path()).await;
}

async fn of_database(name: &str, url: &str, home: &Path) {
    let expiry = Expiry::new(url, home);
    let password = home.join("password");
    fs::write(&password, "x").expect("written");
    let password = password.display().to_string();
    for router in 0..ROUTERS {
        let (name, host) = (format!("r{router}"), format!("192.0.2.{router}"));
        let add = ["router", "add", &name, "--host", &host, "--username", "u"];
        let add = [&add[..], &["--password-file", &password]].concat();
        expiry.ok(&add).await;
    }
    let steps = [
        ("all made", list("2030-01-01T00:00:00Z", 0)),
        ("none changed", list("2030-01-01T00:00:00Z", 0)),
        ("all extended", list("2031-01-01T00:00:00Z", 0)),
        (
            "all ended: 60 000 cuts owed",
            list("2020-01-01T00:00:00Z", 0),
        ),
        ("all paid: 60 000 cuts void", list("forever", 0)),
        ("all devices moved on by one", list("forever", 1)),
    ];
    for (what, list) in steps {
        let file = home.join("list.csv");
        fs::write(&file, list).expect("written");
        let file = file.display().to_string();
        let began = Instant::now();
        expiry.ok(&["subscriber", "import", &file]).await;
        let took = began.elapsed();
        target(&format!("{name}: {what}"), &ms(took), "3 s", took <= MOST);
    }
    let began = Instant::now();
    expiry.ok(&["subscriber", "export"]).await;
    line(&format!("{name}: export"), &ms(began.elapsed()));
}

fn list(expires_at: &str, shift: u32) -> String {
    let mut list = String::from("username,expires_at,devices\n");
    for number in 0..LINES {
        let [_, high, middle, low] = ((number + shift) % LINES).to_be_bytes();
        let mac = format!("02:00:00:{high:02X}:{middle:02X}:{low:02X}");
        let phone = 255_700_000_000 + u64::from(number);
        writeln!(list, "{phone},{expires_at},{mac}").expect("a string");
    }
    list
}
