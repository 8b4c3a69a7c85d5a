//! The `expiryctl` binary as a user runs it.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// The longest that anything is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(90);

/// The command line against one database, with a home of its own.
#[derive(Clone, Debug)]
pub struct Expiry {
    database: String,
    home: PathBuf,
    variables: Vec<(String, String)>,
}

/// What a command that ended came to.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; −1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

/// A command that runs until it is told to stop.
#[derive(Debug)]
pub struct Service {
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    errors: watch::Receiver<Vec<String>>,
}

impl Expiry {
    /// Uses the database at this URL, and `home` for everything else. This machine's configuration
    /// is not read: an empty file stands for it.
    ///
    /// # Panics
    /// If `home` cannot be written to.
    pub fn new(database: impl Into<String>, home: &Path) -> Self {
        fs::write(home.join("empty.toml"), "").expect("home can be written to");
        Self {
            database: database.into(),
            home: home.into(),
            variables: Vec::new(),
        }
    }

    /// Sets another variable, or one of those that are set anyway.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started or does not end.
    pub async fn ended(&self, arguments: &[&str]) -> Ended {
        let output = timeout(PATIENCE, self.command(arguments).output());
        let output = output
            .await
            .expect("the command ends")
            .expect("the command starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        Ended {
            code: code(output.status),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command whose results and complaints go there, and returns its exit code.
    ///
    /// # Panics
    /// If it cannot be started or does not end.
    pub async fn ended_into(
        &self,
        arguments: &[&str],
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> i32 {
        let mut command = self.command(arguments);
        command.stdout(stdout).stderr(stderr);
        let mut child = command.spawn().expect("the command starts");
        let ended = timeout(PATIENCE, child.wait()).await;
        code(
            ended
                .expect("the command ends")
                .expect("it can be waited for"),
        )
    }

    /// Runs a command that must succeed, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.ended(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command that must succeed and print one JSON value.
    ///
    /// # Panics
    /// If it fails or prints something else.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        let printed = self.ok(&arguments).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Starts a command that runs until it is told to stop.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn service(&self, arguments: &[&str]) -> Service {
        start(self.command(arguments))
    }

    /// Starts the admin service.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn http(&self, arguments: &[&str]) -> Service {
        start(self.program(service_binary(), arguments))
    }

    /// Starts a command that has a terminal for input and output, such as one that draws.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn on_terminal(&self, arguments: &[&str], terminal: &OwnedFd) -> Child {
        let stream = || Stdio::from(terminal.try_clone().expect("one more handle"));
        let mut command = self.command(arguments);
        command.env("TERM", "xterm");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        command.spawn().expect("the command starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.program(binary(), arguments)
    }

    fn program(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("XDG_DATA_HOME", self.home.join("data"))
            .env("EXPIRY_DATABASE", &self.database)
            .env("EXPIRY_KEY_FILE", self.home.join("expiry.key"))
            .env("EXPIRY_CONFIG", self.home.join("empty.toml"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Service {
    /// Waits for a line, on either stream, that contains `text`, and returns it.
    ///
    /// # Panics
    /// If none comes.
    pub async fn line(&mut self, text: &str) -> String {
        let found = |lines: &Vec<String>| lines.iter().any(|line| line.contains(text));
        let ended = timeout(PATIENCE, self.lines.wait_for(found)).await.is_ok();
        let lines = self.lines();
        match lines.iter().find(|line| line.contains(text)) {
            Some(line) => line.clone(),
            None if ended => panic!("it ended without saying {text:?}: {lines:#?}"),
            None => panic!("it never said {text:?}: {lines:#?}"),
        }
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Returns the lines on stderr so far.
    pub fn errors(&self) -> Vec<String> {
        self.errors.borrow().clone()
    }

    /// Returns its process number.
    ///
    /// # Panics
    /// If it is gone.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it was running")
    }

    /// Kills it at once, as a power cut does, and waits until it is gone.
    ///
    /// # Panics
    /// If it is gone already.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// Sends it a signal, by its name.
    ///
    /// # Panics
    /// If it is gone.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .await;
        assert!(sent.expect("kill runs").success());
    }

    /// Asks it to stop, and returns its exit code.
    ///
    /// # Panics
    /// If it does not stop.
    pub async fn terminate(mut self) -> i32 {
        self.signal("TERM").await;
        self.wait().await
    }

    /// Waits for its end, and returns its exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn wait(&mut self) -> i32 {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        code(ended.expect("it ends").expect("it can be waited for"))
    }
}

fn start(mut command: Command) -> Service {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let (sender, lines) = watch::channel(Vec::new());
    let (error_sender, errors) = watch::channel(Vec::new());
    let (sender, error_sender) = (Arc::new(sender), Arc::new(error_sender));
    let stdout = child.stdout.take().expect("piped");
    collect(stdout, vec![Arc::clone(&sender)]);
    let stderr = child.stderr.take().expect("piped");
    collect(stderr, vec![error_sender, sender]);
    Service {
        child,
        lines,
        errors,
    }
}

fn collect(
    stream: impl AsyncRead + Send + Unpin + 'static,
    everywhere: Vec<Arc<watch::Sender<Vec<String>>>>,
) {
    tokio::spawn(async move {
        let mut stream = BufReader::new(stream).lines();
        while let Ok(Some(line)) = stream.next_line().await {
            for lines in &everywhere {
                lines.send_modify(|lines| lines.push(line.clone()));
            }
        }
    });
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Builds the command line once, beside the tests, and returns where it is.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("expiry-cli", "expiryctl"))
}

/// Builds the admin service once, beside the tests, and returns where it is.
///
/// # Panics
/// If it cannot be built.
pub fn service_binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("expiry-http", "expiry-http"))
}

fn build(package: &str, name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let test = env::current_exe().expect("this test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "-p", package, "--bin", name]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.env("CARGO_TARGET_DIR", profile.parent().expect("target"));
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_this_test(name)) {
        build.env_remove(name);
    }
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(
        build.status().expect("cargo runs").success(),
        "{name} cannot be built"
    );
    profile.join(name)
}

/// Cargo tells a test which package it belongs to. Passed on, that would have crates built anew whose
/// build scripts watch it, each time by the other side.
fn is_of_this_test(variable: &OsStr) -> bool {
    let name = variable.as_encoded_bytes();
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix.as_bytes()))
        || ["CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"]
            .iter()
            .any(|own| name == own.as_bytes())
}
