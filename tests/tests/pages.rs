//! What the pages tell to type works on a bare machine, line by line, in the order of the page.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use expiry_tests::process::{binary, service_binary};

/// Lines that are not run here, by how they begin, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("cargo ", "it builds what all tests run"),
    (".ci/test", "it runs this test"),
    ("expiryctl run &", "it goes on for ever; other tests run it"),
    ("expiryctl router test", "it wants the router"),
    ("useradd ", "it makes an account, as root"),
    (
        "systemctl ",
        "it wants systemd; what it starts is looked for",
    ),
    (
        "runuser -u expiry -- expiryctl status --watch",
        "it wants a terminal",
    ),
    ("expiryctl secrets reset", "it asks on the terminal"),
    ("curl ", "it wants the service"),
    ("pg_dump ", "it wants a server"),
];

/// Lines that end with another exit code than 0 on a machine where no watcher runs yet.
const OTHER_CODES: &[(&str, i32, &str)] = &[
    ("runuser -u expiry -- expiryctl doctor", 1, NOBODY),
    ("expiryctl doctor", 1, NOBODY),
    (
        "runuser -u expiry -- expiryctl explain",
        1,
        "nobody is entered there yet",
    ),
];

const NOBODY: &str = "neither the router nor a watcher is there";

/// What asks on the terminal, and what answers instead.
const ASKS: (&str, &str) = (
    "runuser -u expiry -- expiryctl router add",
    " --password-file router.pass",
);

/// Where the commands of root put something.
const ROOTS: &[&str] = &[
    "/etc/",
    "/usr/local/",
    "/usr/share/",
    "/var/lib/",
    "/var/log/",
    "/root/",
];

/// A machine of its own, with the sources as its working directory.
struct Machine {
    root: PathBuf,
    sources: PathBuf,
    has_config: bool,
    left_out: Vec<&'static str>,
}

impl Machine {
    fn new(root: &Path) -> Self {
        let sources = root.join("sources");
        let stubs = root.join("stubs");
        for directory in [
            "sources/target/release",
            "stubs",
            "home",
            "etc/systemd/system",
            "usr/local/bin",
            "usr/share/bash-completion/completions",
        ] {
            fs::create_dir_all(root.join(directory)).expect("made");
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it");
        symlink(repository.join("docs"), sources.join("docs")).expect("linked");
        for (name, program) in [("expiryctl", binary()), ("expiry-http", service_binary())] {
            symlink(program, sources.join("target/release").join(name)).expect("linked");
        }
        // As `cargo install` would.
        symlink(binary(), stubs.join("expiryctl")).expect("linked");
        // There is no account of the service here.
        let runuser = "#!/bin/sh\nshift 3\nexec \"$@\"\n";
        let install = "#!/bin/sh\nfor word; do shift; case $word in -o|-g) skip=1;; *) [ \"$skip\" ] || \
                       set -- \"$@\" \"$word\"; skip=;; esac; done\nexec /usr/bin/install \"$@\"\n";
        for (name, script) in [("runuser", runuser), ("install", install)] {
            let path = stubs.join(name);
            fs::write(&path, script).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
        }
        for (name, text) in [
            ("router.pass", "hush\n"),
            ("mikrotik.pass", "hush\n"),
            ("database-url", "postgres://expiry@db.example/expiry\n"),
            ("billing.csv", "username,expires_at\n255700000001,forever\n"),
            ("list.csv", "username,expires_at\n255700000001,forever\n"),
        ] {
            fs::write(sources.join(name), text).expect("written");
        }
        Self {
            root: root.into(),
            sources,
            has_config: false,
            left_out: Vec::new(),
        }
    }

    /// Runs what stands in the blocks of a page.
    fn follow(&mut self, page: &str) {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it");
        let text = fs::read_to_string(repository.join(page)).expect(page);
        for block in text.split("```").skip(1).step_by(2) {
            let (language, lines) = block.split_once('\n').unwrap_or((block, ""));
            match language {
                "sh" => {
                    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                        self.typed(page, line);
                    }
                }
                "toml" if lines.contains("database =") => self.set(lines),
                _ => {}
            }
        }
    }

    fn typed(&mut self, page: &str, line: &str) {
        let line = line.split("  #").next().unwrap_or(line).trim();
        let mut left_out = LEFT_OUT.iter();
        if let Some((begins, _)) = left_out.find(|(begins, _)| line.starts_with(begins)) {
            self.left_out.push(begins);
            if let Some(unit) = line.strip_prefix("systemctl enable --now ") {
                self.can_start(unit);
            }
            return;
        }
        let answer = if line.starts_with(ASKS.0) { ASKS.1 } else { "" };
        let output = self.run(&format!("{line}{answer}"));
        let code = OTHER_CODES.iter().find(|(of, ..)| line.starts_with(of));
        let code = code.map_or(0, |(_, code, _)| *code);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{page}: {line}: {output:?}"
        );
    }

    fn run(&self, line: &str) -> Output {
        let mut line = line.to_owned();
        for root in ROOTS {
            line = line.replace(root, &format!("{}{root}", self.root.display()));
        }
        let path = ["usr/local/bin", "stubs"].map(|of| self.root.join(of).display().to_string());
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &line])
            .current_dir(&self.sources)
            .env_clear()
            .env("HOME", self.root.join("home"))
            .env("PATH", format!("{}:/usr/bin:/bin", path.join(":")))
            .stdin(Stdio::null());
        let config = self.root.join("etc/expiry/expiry.toml");
        let empty = self.root.join("empty.toml");
        fs::write(&empty, "").expect("written");
        let config = if self.has_config { config } else { empty };
        command.env("EXPIRY_CONFIG", config);
        command.output().expect("it starts")
    }

    /// Sets what the page says at the top of the file that it has installed.
    fn set(&mut self, lines: &str) {
        let path = self.root.join("etc/expiry/expiry.toml");
        let lines = lines.replace("/var/lib/", &format!("{}/var/lib/", self.root.display()));
        let text = fs::read_to_string(&path).expect("it is installed before");
        fs::write(&path, lines + &text).expect("written");
        self.has_config = true;
    }

    /// What a unit starts is there when it is enabled.
    fn can_start(&self, unit: &str) {
        let file = if unit.contains('.') {
            unit.into()
        } else {
            format!("{unit}.service")
        };
        let file = self.root.join("etc/systemd/system").join(file);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{unit}: {error}"));
        let starts = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="));
        for program in starts.filter_map(|start| start.split_whitespace().next()) {
            let there = self.root.join(program.trim_start_matches('/'));
            assert!(
                there.exists(),
                "{unit} starts {program}, which nothing has installed"
            );
        }
    }
}

#[test]
fn every_line_of_the_pages_works_on_a_bare_machine() {
    let root = tempfile::tempdir().expect("a directory");
    let mut machine = Machine::new(root.path());
    machine.follow("README.md");
    machine.follow("docs/OPERATIONS.md");

    for program in ["expiryctl", "expiry-http"] {
        assert!(root.path().join("usr/local/bin").join(program).exists());
    }
    for (begins, why) in LEFT_OUT {
        let is_there = machine.left_out.contains(begins);
        assert!(is_there, "no line begins with `{begins}` any more ({why})");
    }
}
