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
    # A pooler knows only this one.
    kill -TERM "$server"
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

/// A pooler, and gone with the process, too.
pub struct Pooler {
    directory: TempDir,
    keeper: Child,
}

impl Pooler {
    /// Returns the URL of a database through the pooler.
    pub fn url(&self, url: &str) -> String {
        let (database, _) = url.split_once('?').expect("a socket");
        format!("{database}?host={}", self.directory.path().display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("the keeper ends");
    }
}

/// Starts a server, and waits until it says this.
fn started(mut keeper: Command, ready: &str) -> Child {
    let mut keeper = keeper.spawn().expect("the shell runs");
    let log = keeper.stderr.take().expect("piped");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let is_ready = lines.by_ref().any(|line| {
        let is_ready = line.contains(ready);
        said.push(line);
        is_ready
    });
    assert!(is_ready, "it did not start:\n{}", said.join("\n"));
    thread::spawn(move || lines.for_each(drop));
    keeper
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
        let mut cluster = Self::new();
        let initdb = cluster.binaries.join("initdb");
        cluster.run(&initdb, |command| {
            command
                .args(["--username=expiry", "--auth=trust", "--no-sync"])
                .args(["--locale=C", "--encoding=UTF8"])
        });
        cluster.restart();
        cluster
    }

    /// Makes a standby that follows this server, which runs.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::new();
        let basebackup = standby.binaries.join("pg_basebackup");
        standby.run(&basebackup, |command| {
            command
                .args(["--username=expiry", "--no-sync", "--checkpoint=fast"])
                .args(["--write-recovery-conf", "--wal-method=stream", "--host"])
                .arg(self.directory.path())
        });
        standby.restart();
        standby
    }

    /// Makes a standby a server of its own.
    pub async fn promote(&self) {
        let mut conn = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("connected");
        conn.execute("SELECT pg_promote(wait => FALSE)")
            .await
            .expect("promoted");
        conn.close().await.expect("closed");
    }

    fn new() -> Self {
        let cluster = Self {
            directory: TempDir::with_prefix("expiry-pg-").expect("temporary directory"),
            binaries: find_binaries(),
            user: is_root().then(unprivileged),
            keeper: None,
            databases: AtomicU32::new(0),
        };
        if let Some(User { uid, gid }) = cluster.user {
            chown(cluster.directory.path(), Some(uid), Some(gid)).expect("own directory");
        }
        cluster
    }

    /// Runs a program that makes the data of the cluster.
    fn run(&self, program: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let mut command = self.command(program);
        arguments(&mut command).arg("--pgdata").arg(self.data());
        let made = command.output().expect("it runs");
        let complaint = String::from_utf8_lossy(&made.stderr);
        assert!(
            made.status.success(),
            "{} failed: {complaint}",
            program.display()
        );
    }

    /// Starts the server, which must be stopped.
    pub fn restart(&mut self) {
        assert!(self.keeper.is_none(), "the server runs");
        let mut keeper = self.keep(&self.directory);
        keeper
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "log_min_messages=log", "-c", "shared_buffers=32MB"]);
        self.keeper = Some(started(keeper, "ready to accept"));
    }

    /// Starts `PgBouncer` before the server, in transaction mode.
    pub fn pooler(&self) -> Pooler {
        let directory = TempDir::with_prefix("expiry-pooler-").expect("temporary directory");
        let file = directory.path().join("pgbouncer.ini");
        let (server, here) = (self.directory.path().display(), directory.path().display());
        let settings = format!(
            "[databases]\n* = host={server} user=expiry\n[pgbouncer]\nlisten_port = 5432\n\
             unix_socket_dir = {here}\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 4\nmax_client_conn = 400\n"
        );
        fs::write(&file, settings).expect("written");
        if let Some(User { uid, gid }) = self.user {
            for path in [directory.path(), &file] {
                chown(path, Some(uid), Some(gid)).expect("own directory");
            }
        }
        let mut keeper = self.keep(&directory);
        keeper.arg("/usr/sbin/pgbouncer").arg(&file);
        Pooler {
            keeper: started(keeper, "process up"),
            directory,
        }
    }

    /// Returns a command that needs only the name of a program and its arguments.
    fn keep(&self, directory: &TempDir) -> Command {
        let mut keeper = self.command(Path::new("/bin/sh"));
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(directory.path())
            // A signal to the tests as a group must leave somebody to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        keeper
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

    /// Returns a URL that names the servers of several clusters, for a database of one of them.
    pub fn url_of_all(clusters: &[&Self], url: &str) -> String {
        let (database, _) = url.split_once('?').expect("a socket");
        let sockets: Vec<_> = clusters
            .iter()
            .map(|cluster| cluster.directory.path().display().to_string())
            .collect();
        format!("{database}?host={}", sockets.join(","))
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
