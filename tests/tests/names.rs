//! The names of what is installed, and of the program in all that users read: the program is
//! `expiryctl`, since `expiry` is a command of Debian's package `passwd`.
//!
//! What is installed is taken from the commands of the pages that say how, so that a line which is
//! added there is looked at, too.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use expiry_tests::process::binary;

/// Files of packages that each Debian system has, with a name that this project might want.
const OF_OTHERS: [(&str, &str); 4] = [
    ("/usr/bin/expiry", "passwd"),
    ("/usr/bin/chage", "passwd"),
    ("/usr/share/man/man1/expiry.1.gz", "passwd"),
    ("/usr/share/man/man1/chage.1.gz", "passwd"),
];

/// The pages that say what to install.
const PAGES: [&str; 2] = ["README.md", "docs/OPERATIONS.md"];

#[test]
fn no_file_that_is_installed_is_one_of_another_package() {
    let installed = installed();
    for expected in [
        "bin/expiryctl",
        "bin/expiry-http",
        "man1/expiryctl.1",
        "man1/expiryctl-run.1",
        "completions/expiryctl",
        "system/expiry.service",
        "system/expiry-http.service",
        "system/expiry-once.timer",
    ] {
        let found = installed.iter().any(|path| path.ends_with(expected));
        assert!(found, "{expected} is not among {installed:#?}");
    }
    for path in &installed {
        assert_eq!(owner(path), None, "{path} belongs to another package");
    }
}

#[test]
fn a_file_of_another_package_is_noticed() {
    for path in [
        "/usr/local/bin/expiry",
        "/root/.cargo/bin/expiry",
        "/usr/local/share/man/man1/expiry.1",
        "/usr/local/sbin/chage",
    ] {
        assert_eq!(owner(path).as_deref(), Some("passwd"), "{path}");
    }
    if has_dpkg() {
        let named_by_dpkg = owner("/usr/local/bin/dpkg-query");
        assert_eq!(named_by_dpkg.as_deref(), Some("dpkg"));
    }
}

#[test]
fn units_and_cron_lines_start_what_is_installed() {
    let installed = installed();
    let units = fs::read_dir(root().join("docs/systemd")).expect("the units");
    let units: Vec<_> = units
        .map(|unit| read(&unit.expect("a unit").path()))
        .collect();
    let pages = PAGES.map(|page| read(&root().join(page)));
    let started = units
        .iter()
        .chain(&pages)
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            line.strip_prefix("ExecStart=")
                .or_else(|| line.strip_prefix("* * * * * "))
        });
    let started: Vec<_> = started
        .map(|command| command.split(' ').next().expect("a program"))
        .collect();
    assert_eq!(started.len(), 4, "{started:?}");
    for program in started {
        assert!(
            installed.contains(program),
            "{program} is not installed by {PAGES:?}"
        );
    }
}

#[test]
fn no_text_tells_to_type_the_name_that_belongs_to_another_program() {
    let subcommands = subcommands();
    let mut read_files = 0;
    for file in texts() {
        let told = old_name(&read(&file), &subcommands);
        assert_eq!(told, None, "{}", file.display());
        read_files += 1;
    }
    assert!(read_files > 300, "only {read_files} texts were read");
}

#[test]
fn the_program_calls_itself_by_its_name() {
    let subcommands = subcommands();
    assert!(output(&["--version"]).starts_with("expiryctl "));
    for words in [&[][..], &["run"], &["secrets"], &["subscriber", "device"]] {
        let help = output(&[words, &["--help"]].concat());
        let path = [&["expiryctl"], words].concat().join(" ");
        assert!(help.contains(&format!("Usage: {path}")), "{help}");
        assert_eq!(old_name(&help, &subcommands), None);
    }
    for (name, page) in manual() {
        assert!(name.starts_with("expiryctl"), "{name}");
        assert_eq!(old_name(&page, &subcommands), None, "{name}");
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output(&["completions", shell]);
        assert!(script.contains("expiryctl"), "{shell}");
        assert_eq!(old_name(&script, &subcommands), None, "{shell}");
    }
    let wrong = Command::new(binary())
        .args(["router", "lst"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("try `expiryctl router --help`"), "{said}");
}

#[test]
fn the_old_name_is_found_where_somebody_would_type_it() {
    let subcommands = BTreeSet::from(["run".to_owned(), "secrets".to_owned()]);
    let name = "expiry";
    for text in [
        format!("{name} run &"),
        format!("say `{name} secrets reset`"),
        format!("if it is lost, `{name} \\\n                 secrets reset`"),
        format!("    /// until `{name}\n    /// run` is said"),
        format!("`{name} --version`"),
        format!("runuser -u {name} -- {name} run"),
        format!("ExecStart=/usr/local/bin/{name} run"),
        format!("<code>{name} run</code>"),
    ] {
        assert!(old_name(&text, &subcommands).is_some(), "{text}");
    }
    for text in [
        format!("{name}ctl run, {name}-http run"),
        format!("runuser -u {name} -- ls; systemctl enable --now {name}\nrunuser"),
        format!("install -d -o {name} -g {name} /var/lib/{name}\nrun it"),
        format!("/var/lib/{name} running, {name}.service"),
    ] {
        assert_eq!(old_name(&text, &subcommands), None, "{text}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn output(arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Returns the manual pages, by the names of their files.
fn manual() -> Vec<(String, String)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("UTF-8");
    output(&["man", "--dir", path]);
    let pages = fs::read_dir(path).expect("the pages");
    pages
        .map(|page| {
            let page = page.expect("a page");
            let name = page.file_name().into_string().expect("UTF-8");
            (name, read(&page.path()))
        })
        .collect()
}

/// Returns the commands of the program, as its help lists them.
fn subcommands() -> BTreeSet<String> {
    let help = output(&["--help"]);
    let list = help.split("\nCommands:\n").nth(1).expect("a list");
    let commands: BTreeSet<_> = list
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    assert!(commands.contains("subscriber") && commands.contains("run"));
    commands
}

/// Returns every text of the repository that users read, or that holds what they read.
fn texts() -> Vec<PathBuf> {
    const KINDS: [&str; 14] = [
        "conf", "css", "html", "js", "json", "md", "php", "py", "rs", "service", "sh", "toml",
        "ts", "yml",
    ];
    let mut texts = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = entry.path();
            let name = entry.file_name();
            let is_folder = entry.file_type().expect("a type").is_dir();
            let of_ci = path.parent().and_then(Path::file_name) == Some(OsStr::new(".ci"));
            let kind = path.extension().and_then(OsStr::to_str);
            if is_folder && (name == ".ci" || !is_skipped(&name.to_string_lossy())) {
                folders.push(path);
            } else if !is_folder && (of_ci || kind.is_some_and(|kind| KINDS.contains(&kind))) {
                texts.push(path);
            }
        }
    }
    texts
}

/// Tells folders that hold nothing of the repository.
fn is_skipped(folder: &str) -> bool {
    folder.starts_with('.') || folder == "target" || folder == "node_modules"
}

/// Returns the first place that tells to type `expiry` and a command or an option. In backticks it
/// may be at the end of a line.
fn old_name(text: &str, subcommands: &BTreeSet<String>) -> Option<String> {
    text.match_indices("expiry").find_map(|(at, name)| {
        let before = &text[..at];
        let rest = &text[at + name.len()..];
        let is_path = ["/bin/", "/debug/", "/release/"]
            .iter()
            .any(|folder| before.ends_with(folder));
        let in_a_word = before
            .chars()
            .next_back()
            .is_some_and(|last| last.is_alphanumeric() || "_/.@=-".contains(last));
        if in_a_word && !is_path {
            return None;
        }
        let quoted = before.ends_with('`');
        let after = if quoted {
            rest.trim_start_matches(|c: char| c.is_whitespace() || "\\/!#*".contains(c))
        } else {
            rest.trim_start_matches(' ')
        };
        if after.len() == rest.len() {
            return None;
        }
        let word = after
            .split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
            .next()?;
        let is_option = quoted && word.starts_with("--");
        (is_option || subcommands.contains(word)).then(|| format!("expiry {word}"))
    })
}

/// Returns all files that the commands of the pages put somewhere.
fn installed() -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for page in PAGES {
        for command in commands_of(&read(&root().join(page))) {
            let made = made_by(&command).into_iter();
            files.extend(made.filter(|file| file.starts_with('/')));
        }
    }
    files
}

/// Returns the lines of the blocks of code, and what stands in backticks, without comments.
fn commands_of(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            commands.extend(part.lines().skip(1).map(str::to_owned));
        } else {
            let spans = part.split('`').skip(1).step_by(2);
            commands.extend(spans.map(|span| span.replace('\n', " ")));
        }
    }
    let uncommented = |command: String| match command.split_once(" #") {
        Some((command, _)) => command.trim().to_owned(),
        None => command.trim().to_owned(),
    };
    commands.into_iter().map(uncommented).collect()
}

/// Returns the files that this command makes, if it is one of those that install something.
fn made_by(command: &str) -> Vec<String> {
    let (command, redirected) = match command.split_once(" > ") {
        Some((command, file)) => (command, vec![file.trim().to_owned()]),
        None => (command, Vec::new()),
    };
    let last = command.rsplit(" | ").next().unwrap_or(command);
    let words: Vec<_> = last.split_whitespace().collect();
    let value = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    match words[..] {
        ["cargo", "install", ..] => value("--path").map_or_else(Vec::new, cargo_installs),
        ["install", ..] if words.contains(&"-d") => Vec::new(),
        ["install" | "cp", ..] => copied(&words[1..]),
        [.., "expiryctl", "man", "--dir", directory] => manual()
            .into_iter()
            .map(|(name, _)| format!("{directory}/{name}"))
            .collect(),
        _ => redirected,
    }
}

/// Returns where `install` or `cp` with these arguments puts its files.
fn copied(arguments: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if ["-m", "-o", "-g"].contains(argument) {
            arguments.next();
        } else if !argument.starts_with('-') {
            files.push(*argument);
        }
    }
    let Some((to, from)) = files.split_last() else {
        return Vec::new();
    };
    let Some(directory) = to.strip_suffix('/') else {
        return vec![(*to).to_owned()];
    };
    let names = from
        .iter()
        .filter_map(|file| Path::new(file).file_name()?.to_str());
    names.map(|name| format!("{directory}/{name}")).collect()
}

/// Returns the programs of this crate, where `cargo install` puts them.
fn cargo_installs(package: &str) -> Vec<String> {
    let manifest = read(&root().join(package).join("Cargo.toml"));
    let programs = manifest.split("[[bin]]").skip(1);
    let declared: Vec<_> = programs
        .filter_map(|program| program.split("name = \"").nth(1)?.split('"').next())
        .collect();
    let installs = if declared.is_empty() {
        vec![package]
    } else {
        declared
    };
    installs
        .into_iter()
        .map(|name| format!("/root/.cargo/bin/{name}"))
        .collect()
}

/// Returns the package that has this file, or one that stands for the same: a command of this name,
/// a manual page, completions of such a command, a unit.
fn owner(path: &str) -> Option<String> {
    let places = places_of_packages(path);
    let listed = OF_OTHERS
        .iter()
        .find(|(file, _)| places.iter().any(|place| place == file));
    if let Some((_, package)) = listed {
        return Some((*package).to_owned());
    }
    if !has_dpkg() {
        return None;
    }
    let output = Command::new("dpkg").arg("-S").args(&places).output();
    let output = output.expect("dpkg runs").stdout;
    let line = String::from_utf8(output).expect("UTF-8");
    Some(line.split(':').next()?.to_owned()).filter(|package| !package.is_empty())
}

/// Returns where packages would have the file that is installed here.
fn places_of_packages(path: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').expect("an absolute path");
    let same = vec![path.to_owned()];
    let folders: &[&str] = if folder.ends_with("/bin") || folder.ends_with("/sbin") {
        &["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/games"]
    } else if folder.ends_with("/systemd/system") {
        &["/usr/lib/systemd/system", "/lib/systemd/system"]
    } else if let Some((_, section)) = folder.rsplit_once("/share/man/") {
        return vec![
            path.to_owned(),
            format!("/usr/share/man/{section}/{name}"),
            format!("/usr/share/man/{section}/{name}.gz"),
        ];
    } else {
        return same;
    };
    let others = folders.iter().map(|folder| format!("{folder}/{name}"));
    same.into_iter().chain(others).collect()
}

fn has_dpkg() -> bool {
    Command::new("dpkg").arg("--version").output().is_ok()
}
