use std::{fs, path::Path, time::Duration};

use clap::Parser;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

const EXAMPLE: &str = include_str!("../../../docs/expiry.toml");

fn cli(arguments: &[&str]) -> Cli {
    let words = ["expiryctl"].iter().chain(arguments);
    Cli::try_parse_from(words).expect("a command line")
}

fn loaded(arguments: &[&str], variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::new(variables, Path::new("/nowhere/expiry.toml"));
    load(&cli(arguments), &environment)
}

fn settings(arguments: &[&str], variables: &[(&str, &str)]) -> Settings {
    loaded(arguments, variables).settings().expect("no fault")
}

fn faults(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let loaded = loaded(arguments, variables);
    loaded.faults.iter().map(ToString::to_string).collect()
}

fn with_file(text: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("e.toml");
    fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    (directory, path)
}

fn url(url: &str, from: Place) -> Database {
    let url = url.into();
    Database::Url { url, from }
}

/// These do not stand beside a `database` that is a file.
fn is_beside_database(text: &str) -> bool {
    text.starts_with("database_")
}

#[test]
fn the_example_file_sets_nothing_and_names_every_key_with_its_default() {
    let (_directory, path) = with_file(EXAMPLE);
    let as_it_is = loaded(&["--config", &path, "status"], &[("HOME", "/h")]);
    assert_eq!(as_it_is.faults, []);
    let is_default = |setting: &Setting| setting.from == Place::Default;
    assert!(as_it_is.listed.iter().all(is_default));

    let key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        let is_key = |c: char| c.is_ascii_lowercase() || c == '_';
        line.contains(" = ") && name.chars().all(is_key)
    };
    let open: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if key(rest) && !is_beside_database(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (_directory, path) = with_file(&open);
    let opened = loaded(&["--config", &path, "status"], &[]);
    assert_eq!(opened.faults, []);
    for (opened, default) in opened.listed.iter().zip(&as_it_is.listed) {
        if is_beside_database(&opened.key) {
            continue;
        }
        assert!(
            matches!(opened.from, Place::File { .. }),
            "{} is not in the example",
            opened.key
        );
        if !["database", "key_file", "log_level"].contains(&opened.key.as_str()) {
            assert_eq!(opened.value, default.value, "{}", opened.key);
        }
    }
}

#[test]
fn a_setting_that_is_appended_to_the_example_file_is_told_its_place() {
    for (line, place) in [
        ("database = \"sqlite:///x\"", "before all sections"),
        ("interval = \"10s\"", "under [watcher]"),
        ("connect = \"1s\"", "under [gateway]"),
    ] {
        let (_directory, path) = with_file(&format!("{EXAMPLE}{line}\n"));
        let wrong = faults(&["--config", &path, "check-config"], &[("HOME", "/h")]);
        let key = line.split(' ').next().expect("a key");
        let expected = format!("`{key}` belongs {place}, not under [http]");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].ends_with(&expected), "{wrong:?}");
    }
}

#[test]
fn the_keys_that_are_left_to_the_admin_service_are_those_of_the_example_file() {
    let (_, section) = EXAMPLE.split_once("\n[http]\n").expect("the section");
    let lines = section.lines().filter_map(|line| line.strip_prefix('#'));
    let keys = lines.filter_map(|line| line.split_once(" = "));
    let keys: Vec<_> = keys.map(|(key, _)| key).collect();
    assert_eq!(keys, HTTP_KEYS);
}

#[test]
fn every_section_reaches_the_part_that_uses_it() {
    let text = "log_format = \"json\"\nmax_connections = 20\n[watcher]\nlooks = [\"2s\"]\n[gateway]\nsilence = \"2s\"\n";
    let (_directory, path) = with_file(text);
    let variables = [
        ("EXPIRY_CONFIG", path.as_str()),
        ("EXPIRY_WATCHER_RETRY_FIRST", "1s, 4s"),
        ("EXPIRY_GATEWAY_CONNECT", "1500ms"),
        ("EXPIRY_LOG_LEVEL", "DEBUG"),
    ];
    let settings = settings(&["run", "--interval", "7", "--match-comments"], &variables);
    let seconds = Duration::from_secs;
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.max_connections, 20);
    assert_eq!(settings.log_level, Some(LogLevel::Debug));
    assert_eq!(settings.watcher.looks, [seconds(2)]);
    assert_eq!(settings.watcher.retry.first, [seconds(1), seconds(4)]);
    assert_eq!(settings.watcher.interval, seconds(7));
    assert!(settings.watcher.comments);
    assert_eq!(settings.gateway.connect, Duration::from_millis(1500));
    assert_eq!(settings.gateway.connection.patience.silence, seconds(2));
}

#[test]
fn the_database_comes_from_the_strongest_that_names_one() {
    let (_directory, file) = with_file("sqlite:///f\n");
    let all = [
        ("EXPIRY_DATABASE", "sqlite:///b"),
        ("DATABASE_URL", "sqlite:///c"),
        ("HOME", "/home/joe"),
    ];
    let of = |arguments: &[&str], variables: &[(&str, &str)]| {
        settings(&[arguments, &["status"]].concat(), variables).database
    };
    let flag = ["--database", "sqlite:///a"];
    assert_eq!(
        of(&flag, &all),
        url("sqlite:///a", Place::Flag("--database"))
    );
    let variable = |name: &str| Place::Variable(name.into());
    assert_eq!(
        of(&[], &all),
        url("sqlite:///b", variable("EXPIRY_DATABASE"))
    );
    let shared = Place::Shared("DATABASE_URL");
    assert_eq!(of(&[], &all[1..]), url("sqlite:///c", shared));
    let by_file = [("EXPIRY_DATABASE_FILE", file.as_str()), all[1]];
    let expected = url("sqlite:///f", variable("EXPIRY_DATABASE_FILE"));
    assert_eq!(of(&[], &by_file), expected);
    let own = Database::Own("/home/joe/.local/share/expiry/expiry.db".into());
    assert_eq!(of(&[], &all[2..]), own);
    assert_eq!(of(&[], &[("DATABASE_URL", ""), all[2]]), own);
    let elsewhere = [("XDG_DATA_HOME", "/data"), all[2]];
    assert_eq!(
        of(&[], &elsewhere),
        Database::Own("/data/expiry/expiry.db".into())
    );
    assert_eq!(of(&[], &[("XDG_DATA_HOME", "data"), all[2]]), own);
    assert_eq!(of(&[], &[]), Database::Nowhere);
}

#[test]
fn a_database_that_is_given_twice_in_one_place_is_refused() {
    let (_directory, file) = with_file("sqlite:///f\n");
    let twice = [
        ("EXPIRY_DATABASE_FILE", file.as_str()),
        ("EXPIRY_DATABASE", "sqlite:///b"),
    ];
    let message = "EXPIRY_DATABASE_FILE: database and database_file are both given: leave one out";
    assert_eq!(faults(&["status"], &twice), [message]);
}

#[test]
fn a_credential_is_stronger_than_the_file_and_weaker_than_a_variable() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("database"), "sqlite:///cred\n").expect("written");
    let (_directory, path) = with_file("database = \"sqlite:///file\"\n");
    let credentials = directory.path().display().to_string();
    let variables = [
        ("CREDENTIALS_DIRECTORY", credentials.as_str()),
        ("EXPIRY_CONFIG", &path),
        ("DATABASE_URL", "sqlite:///env"),
    ];
    let database = settings(&["status"], &variables[..2]).database;
    assert_eq!(
        database,
        url("sqlite:///cred", Place::Credential("database"))
    );
    let database = settings(&["status"], &variables).database;
    assert_eq!(
        database,
        url("sqlite:///env", Place::Shared("DATABASE_URL"))
    );
}

#[test]
fn a_credential_that_cannot_be_read_is_a_fault_and_opens_no_other_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = directory.path().display().to_string();
    let variables = [
        ("CREDENTIALS_DIRECTORY", credentials.as_str()),
        ("HOME", "/h"),
    ];
    let credential = directory.path().join("database");
    fs::write(&credential, b"postgres://caf\xe9@h/x\n").expect("written");
    let wrong = faults(&["run"], &variables);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let expected = "credential database: it cannot be read: ";
    assert!(wrong[0].starts_with(expected), "{wrong:?}");

    fs::remove_file(&credential).expect("removed");
    fs::create_dir(&credential).expect("made");
    let wrong = faults(&["run"], &variables);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with(expected), "{wrong:?}");
}

#[test]
fn r11_a_wrong_url_is_named_with_its_place_and_without_its_password() {
    let wrong = faults(&["status"], &[("DATABASE_URL", "mysql://me:hush@h/x")]);
    assert!(
        wrong[0].starts_with("DATABASE_URL: database: "),
        "{wrong:?}"
    );
    assert!(
        wrong[0].contains("postgres://") && !wrong[0].contains("hush"),
        "{wrong:?}"
    );
    let right = loaded(&["status"], &[("DATABASE_URL", "postgres://me:hush@h/x")]);
    assert_eq!(right.faults, []);
    let shown = format!("{:?}", right.listed);
    assert!(
        shown.contains("postgres://me@h:5432/x") && !shown.contains("hush"),
        "{shown}"
    );
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let wrong = faults(&["--config", "/no/such.toml", "status"], &[]);
    assert!(
        wrong[0].starts_with("--config: cannot read /no/such.toml: "),
        "{wrong:?}"
    );
    let wrong = faults(&["status"], &[("EXPIRY_CONFIG", "/no/such.toml")]);
    assert!(
        wrong[0].starts_with("EXPIRY_CONFIG: cannot read"),
        "{wrong:?}"
    );
    assert_eq!(
        faults(&["demo"], &[("EXPIRY_CONFIG", "/no/such.toml")]),
        [""; 0]
    );
}

#[test]
fn the_default_file_is_read_if_it_is_there() {
    let (_directory, path) = with_file("log_format = \"json\"\n");
    let environment = Environment::new(&[], Path::new(&path));
    let settings = load(&cli(&["status"]), &environment).settings();
    assert_eq!(settings.expect("no fault").log_format, LogFormat::Json);
}

#[test]
fn combinations_that_cannot_work_are_refused() {
    let wrong = faults(&["status"], &[("EXPIRY_WATCHER_HEARTBEAT", "15s")]);
    let heartbeat = "EXPIRY_WATCHER_HEARTBEAT: watcher.heartbeat is \"15s\" and watcher.ownership \
                     is \"15s\", but ";
    assert!(wrong[0].starts_with(heartbeat), "{wrong:?}");
    for (name, value) in [
        ("EXPIRY_WATCHER_OWNERSHIP", "5m 1s"),
        ("EXPIRY_WATCHER_OWNERSHIP", "7500ms"),
        ("EXPIRY_WATCHER_BATCH", "1001"),
        ("EXPIRY_WATCHER_BACKLOG", "129"),
        ("EXPIRY_WATCHER_INTERVAL", "0s"),
        ("EXPIRY_WATCHER_LOOKS", "3s,1s"),
        ("EXPIRY_WATCHER_RETRY_THEN", ","),
        ("EXPIRY_GATEWAY_SILENCE_AFTER_BURST", "1s"),
        ("EXPIRY_GATEWAY_COMMAND", "1s"),
        ("EXPIRY_GATEWAY_MIN_WINDOW", "33"),
        ("EXPIRY_GATEWAY_ANSWER", "1KiB"),
    ] {
        let wrong = faults(&["status"], &[(name, value)]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with(&format!("{name}: ")), "{wrong:?}");
    }
}

#[test]
fn a_flag_takes_what_its_key_takes() {
    for (key, flag, least) in [
        ("INTERVAL", "--interval", 1),
        ("RECONCILE", "--reconcile", 10),
    ] {
        let variable = format!("EXPIRY_WATCHER_{key}");
        for (seconds, fits) in [
            (least - 1, false),
            (least, true),
            (86_400, true),
            (86_401, false),
        ] {
            let (word, time) = (seconds.to_string(), format!("{seconds}s"));
            let by_flag = Cli::try_parse_from(["expiryctl", "run", flag, &word]);
            let by_variable = faults(&["run"], &[(&variable, &time)]);
            assert_eq!(by_flag.is_ok(), fits, "{flag} {word}");
            assert_eq!(by_variable.is_empty(), fits, "{variable}={time}");
        }
    }
}

#[test]
fn variables_of_the_admin_service_are_left_to_it() {
    let variables = [("EXPIRY_LISTEN", "x"), ("EXPIRY_WATCHER_ENABLED", "true")];
    assert_eq!(faults(&["status"], &variables), [""; 0]);
}

#[test]
fn r11_one_router_comes_from_the_environment_with_its_secret_from_anywhere() {
    let (_directory, file) = with_file("hunter2\n");
    let credentials = tempfile::tempdir().expect("a directory");
    fs::write(credentials.path().join("mikrotik-password"), "hunter2\n").expect("written");
    let credentials = credentials.path().display().to_string();
    let base = [
        ("MIKROTIK_HOST", "10.8.0.2"),
        ("MIKROTIK_USER", "expiry"),
        ("MIKROTIK_USE_SSL", "False"),
    ];
    for secret in [
        ("MIKROTIK_PASSWORD", "hunter2"),
        ("MIKROTIK_PASSWORD_FILE", file.as_str()),
        ("CREDENTIALS_DIRECTORY", credentials.as_str()),
    ] {
        let variables = [&base[..], &[secret]].concat();
        let loaded = loaded(&["run"], &variables);
        let router = loaded.settings().expect("no fault").one_router;
        let router = router.expect("a router");
        let address = &router.address;
        assert_eq!((address.host.as_str(), address.port), ("10.8.0.2", 8728));
        assert_eq!(router.password.expose_secret(), "hunter2");
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }
    assert!(settings(&["run"], &base[2..]).one_router.is_none());
}

#[test]
fn a_slip_in_a_variable_of_the_one_router_is_not_passed_over() {
    let missing = "MIKROTIK_HOST: missing: ";
    let unknown = ": there is no such setting: ";
    let slips = [
        ("MIKROTIK_HSOT", unknown, "did you mean `MIKROTIK_HOST`?"),
        ("MIKROTIK_SSL", unknown, "MIKROTIK_USE_SSL"),
        ("MIKROTIK_USER", missing, "MIKROTIK_USER is set"),
        ("MIKROTIK_PASSWORD", missing, "MIKROTIK_PASSWORD is set"),
        ("MIKROTIK_PASSWORD_FILE", missing, "_FILE is set"),
    ];
    for (name, message, hint) in slips {
        let wrong = faults(&["run"], &[(name, "true")]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(
            wrong[0].contains(message) && wrong[0].contains(hint),
            "{wrong:?}"
        );
        assert_eq!(faults(&["status"], &[(name, "true")]), [""; 0]);
        assert_eq!(faults(&["run"], &[(name, "")]), [""; 0], "empty is unset");
    }
}

#[test]
fn all_that_is_wrong_with_the_one_router_is_said_at_once() {
    let variables = [
        ("MIKROTIK_HOST", "10.8.0.2:8728"),
        ("MIKROTIK_PORT", "0"),
        ("MIKROTIK_USE_SSL", "true"),
    ];
    let expected = [
        "MIKROTIK_HOST: not a host name or an IP address; the port goes to MIKROTIK_PORT",
        "MIKROTIK_PASSWORD: missing: ",
        "MIKROTIK_PORT: `0` is no port",
        "MIKROTIK_USER: missing: ",
        "MIKROTIK_USE_SSL: the API over TLS is not supported yet",
    ];
    let wrong = faults(&["run"], &variables);
    assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
    for (wrong, expected) in wrong.iter().zip(expected) {
        assert!(wrong.starts_with(expected), "{wrong}");
    }
    assert_eq!(
        faults(&["status"], &variables),
        [""; 0],
        "only the watcher uses it"
    );
}
