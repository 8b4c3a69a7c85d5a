//! A PostgreSQL server for one test process: private, in a temporary directory, reached by a Unix
//! socket alone, and gone with the process however that ends.

#![expect(clippy::missing_panics_doc, reason = "a test without its server fails")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

/// Runs the server, and ends it when told to, or when whoever holds its standard input is gone.
/// In the latter case nobody else is left to remove the files.
const KEEPER: &str = r#"
directory=$1
shift
"$@" </dev/null &
server=$!
if read -r word; then
    kill -INT "$server"
    wait "$server"
else
    kill -QUIT "$server"
    wait "$server"
    rm -rf "$directory"
fi
"#;

/// A server with its files.
pub struct Cluster {
    directory: TempDir,
    binaries: PathBuf,
    user: Option<User>,
    keeper: Option<Child>,
    databases: AtomicU32,
}

/// Whom the server runs as when the tests run as root, which it refuses.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    pub fn start() -> Self {
        let mut cluster = Self {
            directory: TempDir::with_prefix("expiry-pg-").expect("temporary directory"),
            binaries: find_binaries(),
            user: is_root().then(unprivileged),
            keeper: None,
            databases: AtomicU32::new(0),
        };
        if let Some(User { uid, gid }) = cluster.user {
            chown(cluster.directory.path(), Some(uid), Some(gid)).expect("own directory");
        }
        let made = cluster
            .command(&cluster.binaries.join("initdb"))
            .args(["--username=expiry", "--auth=trust", "--no-sync"])
            .args(["--locale=C", "--encoding=UTF8", "--pgdata"])
            .arg(cluster.data())
            .output()
            .expect("initdb runs");
        let complaint = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb failed: {complaint}");
        cluster.restart();
        cluster
    }

    /// Starts the server, which must be stopped.
    pub fn restart(&mut self) {
        assert!(self.keeper.is_none(), "the server runs");
        let mut keeper = self
            .command(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .arg(self.directory.path())
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "log_min_messages=log", "-c", "shared_buffers=32MB"])
            // A signal to the tests as a group must leave somebody to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shell runs");
        let log = keeper.stderr.take().expect("piped");
        self.keeper = Some(keeper);
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let is_ready = lines.by_ref().any(|line| {
            let ready = line.contains("ready to accept connections");
            said.push(line);
            ready
        });
        assert!(is_ready, "postgres did not start:\n{}", said.join("\n"));
        thread::spawn(move || lines.for_each(drop));
    }

    /// Stops the server at once; who is connected is thrown out.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut input = keeper.stdin.take().expect("piped");
            input.write_all(b"stop\n").expect("the keeper listens");
            keeper.wait().expect("the keeper ends");
        }
    }

    /// Makes an empty database and returns its URL.
    pub async fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut conn = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("connected");
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        conn.execute(AssertSqlSafe(statement)).await.expect("made");
        conn.close().await.expect("closed");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        let socket = self.directory.path().display();
        format!("postgres://expiry@localhost/{database}?host={socket}")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.directory.path())
            .env_remove("PGDATA")
            .env_remove("PGPORT");
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes an empty database in the server that all tests of this process share, and returns its
/// URL.
pub async fn database() -> String {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start).database().await
}

/// Looks where distributions put the server programs.
fn find_binaries() -> PathBuf {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).trim().into());
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<_> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    told.into_iter()
        .chain(versions.into_iter().rev())
        .chain(env::split_paths(&path))
        .find(|directory| {
            ["initdb", "postgres"]
                .iter()
                .all(|program| directory.join(program).is_file())
        })
        .expect(
            "these tests start their own PostgreSQL server: install its programs, for example \
             `apt-get install postgresql` or `brew install postgresql`",
        )
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn unprivileged() -> User {
    let users = fs::read_to_string("/etc/passwd").expect("list of users");
    let find = |name: &str| {
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        fields.into_iter().find_map(|fields| match fields[..] {
            [user, _, uid, gid, ..] if user == name => Some(User {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            }),
            _ => None,
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("a user `postgres` or `nobody` to run the server as")
}
