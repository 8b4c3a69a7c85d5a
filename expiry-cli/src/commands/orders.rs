//! Nothing that can fail stands between an order and its answer: a script that is told of a failure
//! orders again, and pays twice. Held here for every command.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use clap::{CommandFactory, Parser};
use expiry_core::{
    Access, Directory, GatewayError, MockRouterGateway, NewRouter, NewSubscriber, NoPasswordCause,
    RetryPolicy, RouterAddress, Service,
    testing::{MemoryStore, TestClock, memory::Fault},
};
use tempfile::TempDir;

use super::{brake, explain, router, secrets, status, subscriber, tenant};
use crate::{
    args::{Cli, Command},
    error::CliError,
    output::Output,
};

/// What a command does to the database that it is given.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// It changes it: in each of these words.
    Order(&'static [&'static str]),
    /// It only reads it: in these words.
    Read(&'static str),
    /// Neither can be shown here, for this reason.
    Other(&'static str),
}

use Does::{Order, Other, Read};

/// Every command. `LIST` and `PASSWORD` stand for files.
const COMMANDS: &[(&str, Does)] = &[
    ("brake", Read("brake")),
    ("brake release", Order(&["brake release"])),
    ("check-config", Other("it opens no database")),
    ("completions", Other("it opens no database")),
    ("demo", Other("its database is its own, and ends with it")),
    (
        "doctor",
        Other("what it writes to try the database is taken back"),
    ),
    ("explain", Read("explain known")),
    ("man", Other("it opens no database")),
    (
        "migrate",
        Other("it opens the database itself: tests/tests/orders.rs"),
    ),
    ("router accept", Order(&["router accept r1"])),
    (
        "router add",
        Order(&["router add r2 --host h --username u --password-file PASSWORD --tenant cafe"]),
    ),
    ("router disable", Order(&["router disable r1"])),
    ("router enable", Order(&["router enable r1"])),
    ("router list", Read("router list")),
    (
        "router remove",
        Order(&["router remove r1", "router remove r1 --force"]),
    ),
    (
        "router set",
        Order(&[
            "router set r1 --port 9",
            "router set r1 --password-file PASSWORD",
        ]),
    ),
    ("router strays", Read("router strays r1")),
    ("router test", Read("router test r1")),
    ("router-sim", Other("it opens no database")),
    (
        "run",
        Other("a watcher; what it leaves is its exit code: `run.rs`"),
    ),
    ("secrets", Read("secrets")),
    ("secrets reset", Order(&["secrets reset --yes"])),
    ("status", Read("status")),
    (
        "subscriber add",
        Order(&["subscriber add new --for 9s --tenant cafe --router hill"]),
    ),
    (
        "subscriber device add",
        Order(&["subscriber device add known AA:BB:CC:DD:EE:02"]),
    ),
    (
        "subscriber device remove",
        Order(&["subscriber device remove known AA:BB:CC:DD:EE:01"]),
    ),
    ("subscriber export", Read("subscriber export")),
    (
        "subscriber extend",
        Order(&[
            "subscriber extend known --for 9s",
            "subscriber extend known --until 2100-01-01T00:00:00Z",
        ]),
    ),
    ("subscriber import", Order(&["subscriber import LIST"])),
    ("subscriber list", Read("subscriber list")),
    (
        "subscriber pay",
        Order(&[
            "subscriber pay known --reference 1 --for 9s",
            "subscriber pay new --reference 1 --until 2100-01-01T00:00:00Z --create",
        ]),
    ),
    ("subscriber remove", Order(&["subscriber remove known"])),
    ("subscriber revoke", Order(&["subscriber revoke known"])),
    ("subscriber show", Read("subscriber show known")),
    ("tenant add", Order(&["tenant add bar"])),
    ("tenant list", Read("tenant list")),
    ("tenant remove", Order(&["tenant remove empty"])),
];

/// Calls that change nothing. Any other is taken for an order that is carried out.
const READING: &[&str] = &[
    "counts",
    "events",
    "explain",
    "find_subscribers",
    "lag",
    "latest_events",
    "latest_lags",
    "now",
    "open_work",
    "outlook",
    "owed",
    "router_login",
    "routers",
    "secrets",
    "status",
    "strays",
    "subscriber",
    "subscriber_by_id",
    "subscribers",
    "tenants",
    "upcoming",
];

#[test]
fn every_command_is_held_to_it() {
    fn below(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
        let is_whole = !command.is_subcommand_required_set();
        if is_whole && !path.is_empty() {
            found.insert(path.into());
        }
        for next in command.get_subcommands() {
            let path = format!("{path} {}", next.get_name());
            below(next, path.trim_start(), found);
        }
    }
    let mut found = BTreeSet::new();
    below(&Cli::command(), "", &mut found);
    for (name, does) in COMMANDS {
        assert!(!matches!(does, Other("")), "say why `{name}` is not tried");
    }
    let table: BTreeSet<_> = COMMANDS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(
        found, table,
        "say in COMMANDS what each command does: an order is tried there"
    );
}

#[tokio::test]
async fn once_an_order_is_carried_out_nothing_fails() {
    for (name, does) in COMMANDS {
        let Order(words) = does else { continue };
        for (words, json) in words
            .iter()
            .flat_map(|words| [(words, false), (words, true)])
        {
            let stage = Stage::new().await;
            let (done, calls) = stage.run(words, json).await;
            assert!(done.is_ok(), "{words}: {done:?}");
            assert!(calls.is_done, "`{name}` changes nothing: {words}");
            assert_eq!(calls.after, [""; 0], "{words}: what hangs is no answer");
        }
    }
}

#[tokio::test]
async fn what_is_no_order_changes_nothing() {
    for (name, does) in COMMANDS {
        let Read(words) = does else { continue };
        let (done, calls) = Stage::new().await.run(words, true).await;
        assert!(!calls.is_done, "`{name}` changes something: {words}");
        // Only its answer is lost.
        let printed = matches!(
            done,
            Ok(()) | Err(CliError::Print(_) | CliError::RouterTest { .. })
        );
        assert!(printed, "{words}: {done:?}");
    }
}

/// Where nothing can be written any more.
struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a store was asked.
#[derive(Debug, Default)]
struct Calls {
    /// Whether something was changed.
    is_done: bool,
    /// What was asked after that.
    after: Vec<&'static str>,
}

/// A store with what the commands name, and the files.
struct Stage {
    store: MemoryStore,
    files: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let store = MemoryStore::new(Arc::new(TestClock::default()));
        let cafe = store.add_tenant("cafe", "Café").await.expect("added").id;
        store.add_tenant("empty", "Empty").await.expect("added");
        for (name, tenant) in [("r1", None), ("hill", Some(cafe)), ("shut", None)] {
            let address = RouterAddress {
                host: name.into(),
                port: 8728,
                username: "u".into(),
            };
            let new = NewRouter {
                name: name.into(),
                tenant,
                address,
                password: "p".into(),
            };
            let added = store.add_router(&new).await.expect("added");
            if name == "shut" {
                store.lose_password(added.id, NoPasswordCause::Damaged);
            }
        }
        let known = NewSubscriber {
            tenant: None,
            username: "known".parse().expect("a name"),
            service: Service::Hotspot,
            access: Access::None,
            router: None,
            devices: ["AA:BB:CC:DD:EE:01".parse().expect("a MAC")].into(),
        };
        store.add_subscriber(&known).await.expect("added");
        let files = tempfile::tempdir().expect("a directory");
        std::fs::write(files.path().join("PASSWORD"), "secret\n").expect("written");
        let list = "username,expires_at\nlisted,forever\nknown,forever\n";
        std::fs::write(files.path().join("LIST"), list).expect("written");
        Self { store, files }
    }

    /// Runs a command whose answer cannot be printed, and whose store fails once it changed
    /// something.
    async fn run(self, words: &str, json: bool) -> (Result<(), CliError>, Calls) {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let of_store = Arc::clone(&calls);
        self.store.fail_when(move |call| {
            let mut calls = of_store.lock().unwrap_or_else(PoisonError::into_inner);
            if calls.is_done {
                calls.after.push(call);
                return Fault::Before;
            }
            calls.is_done = !READING.contains(&call);
            Fault::None
        });
        let (store, full) = (&self.store, &mut Full);
        let out = &mut Output::new(full, json);
        let done = match self.parsed(words) {
            Command::Brake { command } => brake::run(command.as_ref(), store, store, out).await,
            Command::Subscriber(command) => subscriber::run(command, store, store, out).await,
            Command::Router(command) => {
                router::run(command, store, store, &silent_gateway(), out).await
            }
            Command::Tenant(command) => tenant::run(command, store, out).await,
            Command::Secrets { command } => secrets::run(command.as_ref(), store, out).await,
            Command::Status(args) => status::run(&args, Arc::new(store.clone()), out).await,
            Command::Explain(who) => {
                explain::run(&who, &RetryPolicy::default(), store, store, out).await
            }
            Command::Run(_)
            | Command::Migrate
            | Command::Doctor
            | Command::CheckConfig
            | Command::Demo(_)
            | Command::RouterSim(_)
            | Command::Completions { .. }
            | Command::Man { .. } => unreachable!("it is given no store here"),
        };
        self.store.heal();
        let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
        (done, calls)
    }

    fn parsed(&self, words: &str) -> Command {
        let words = words.split(' ').map(|word| match word {
            "LIST" | "PASSWORD" => self.files.path().join(word),
            word => word.into(),
        });
        let words = std::iter::once("expiryctl".into()).chain(words);
        let parsed = Cli::try_parse_from(words.map(PathBuf::into_os_string));
        parsed.expect("a command").command
    }
}

/// To routers that do not let us in.
fn silent_gateway() -> MockRouterGateway {
    let mut gateway = MockRouterGateway::new();
    gateway
        .expect_probe()
        .returning(|_| Err(GatewayError::TooOld));
    gateway.expect_close().returning(|_| ());
    gateway
}
