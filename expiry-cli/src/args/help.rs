//! What help and manual pages say beside what clap tells of each option.

use clap::{Command, CommandFactory};

use super::Cli;

/// What stands in the help of every command but the first.
const EVERYWHERE: &str = "Options of every command (--config, --database, --json, …): see \
                          `expiryctl --help`";

/// Commands with their examples, two or three at most.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "run",
        &[
            "expiryctl run",
            "expiryctl run --once --every 60s",
            "expiryctl run --once --dry-run",
        ],
    ),
    ("status", &["expiryctl status", "expiryctl status --watch"]),
    ("explain", &["expiryctl explain 255700000001"]),
    ("brake", &["expiryctl brake", "expiryctl brake release"]),
    ("brake release", &["expiryctl brake release"]),
    ("secrets", &["expiryctl secrets", "expiryctl secrets reset"]),
    ("secrets reset", &["expiryctl secrets reset --yes"]),
    (
        "subscriber add",
        &[
            "expiryctl subscriber add 255700000001 --for 2h --device AA:BB:CC:DD:EE:0F",
            "expiryctl subscriber add alice --expires-at 2026-12-31T18:00:00+03:00 --tenant cafe",
        ],
    ),
    (
        "subscriber extend",
        &[
            "expiryctl subscriber extend 255700000001 --for 1d",
            "expiryctl subscriber extend alice --until 2026-12-31T18:00:00+03:00",
        ],
    ),
    (
        "subscriber pay",
        &[
            "expiryctl subscriber pay 255700000001 --reference QK7ABC --for 24h",
            "expiryctl subscriber pay alice --reference 2026-114 --until \
             2026-12-31T23:59:59+03:00 --create",
        ],
    ),
    (
        "subscriber revoke",
        &["expiryctl subscriber revoke 255700000001"],
    ),
    (
        "subscriber show",
        &["expiryctl subscriber show 255700000001"],
    ),
    (
        "subscriber remove",
        &["expiryctl subscriber remove 255700000001"],
    ),
    (
        "subscriber list",
        &[
            "expiryctl subscriber list",
            "expiryctl subscriber list --tenant cafe",
        ],
    ),
    (
        "subscriber import",
        &[
            "expiryctl subscriber import list.csv --dry-run",
            "expiryctl subscriber import list.csv --shorten",
        ],
    ),
    (
        "subscriber export",
        &[
            "expiryctl subscriber export > list.csv",
            "expiryctl subscriber export --tenant cafe --format jsonl",
        ],
    ),
    (
        "subscriber device add",
        &["expiryctl subscriber device add 255700000001 AA:BB:CC:DD:EE:0F"],
    ),
    (
        "subscriber device remove",
        &["expiryctl subscriber device remove 255700000001 AA:BB:CC:DD:EE:0F"],
    ),
    (
        "router add",
        &[
            "expiryctl router add tower --host 10.8.0.2 --username expiry --password-file router.pass",
        ],
    ),
    (
        "router set",
        &[
            "expiryctl router set tower --host 10.8.0.3",
            "expiryctl router set tower --password-file router.pass",
        ],
    ),
    ("router list", &["expiryctl router list"]),
    ("router test", &["expiryctl router test tower"]),
    ("router enable", &["expiryctl router enable tower"]),
    ("router disable", &["expiryctl router disable tower"]),
    ("router accept", &["expiryctl router accept tower"]),
    ("router strays", &["expiryctl router strays tower"]),
    (
        "router remove",
        &[
            "expiryctl router remove tower",
            "expiryctl router remove tower --force",
        ],
    ),
    (
        "tenant add",
        &["expiryctl tenant add cafe --name 'Café at the harbour'"],
    ),
    ("tenant list", &["expiryctl tenant list"]),
    ("tenant remove", &["expiryctl tenant remove cafe"]),
    ("migrate", &["expiryctl migrate"]),
    ("doctor", &["expiryctl doctor", "expiryctl doctor --json"]),
    (
        "check-config",
        &["expiryctl check-config --config expiry.toml"],
    ),
    ("demo", &["expiryctl demo", "expiryctl demo --for 10s"]),
    (
        "router-sim",
        &[
            "expiryctl router-sim --username expiry --password-file router.pass --client \
             alice=AA:BB:CC:DD:EE:0F",
        ],
    ),
    (
        "completions",
        &["expiryctl completions bash > /usr/share/bash-completion/completions/expiryctl"],
    ),
    ("man", &["expiryctl man --dir /usr/local/share/man/man1"]),
];

/// Returns the command line with examples, and with the options of every command told once.
pub(crate) fn command() -> Command {
    let mut command = Cli::command();
    let everywhere: Vec<_> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .map(|arg| arg.clone().hide(true))
        .collect();
    for name in names(&command) {
        command = command.mut_subcommand(&name, |command| {
            // What a command has is not handed down to it, so these stay hidden.
            told(command, &name).args(&everywhere)
        });
    }
    command
}

fn told(mut command: Command, path: &str) -> Command {
    for name in names(&command) {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |command| told(command, &path));
    }
    let mut after = Vec::new();
    let found = EXAMPLES.iter().find(|(of, _)| *of == path);
    if let Some((_, examples)) = found {
        after.push(format!("Examples:\n  {}", examples.join("\n  ")));
    }
    after.extend(command.get_after_help().map(ToString::to_string));
    after.push(EVERYWHERE.into());
    command.after_help(after.join("\n\n"))
}

fn names(command: &Command) -> Vec<String> {
    let all = command.get_subcommands().map(Command::get_name);
    all.filter(|name| *name != "help").map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Parser};

    use super::*;

    fn leaves(command: &Command, path: &str) -> Vec<String> {
        let below = names(command);
        let of = |name: &String| {
            let path = format!("{path} {name}").trim().to_owned();
            command.find_subcommand(name).map(|sub| leaves(sub, &path))
        };
        if below.is_empty() {
            return vec![path.into()];
        }
        below.iter().filter_map(of).flatten().collect()
    }

    #[test]
    fn every_command_has_an_example_that_it_takes() {
        for leaf in leaves(&Cli::command(), "") {
            let found = EXAMPLES.iter().find(|(of, _)| *of == leaf);
            let (_, examples) = found.unwrap_or_else(|| panic!("{leaf} has no example"));
            assert!((1..=3).contains(&examples.len()), "{leaf}");
        }
        for (path, examples) in EXAMPLES {
            for example in *examples {
                assert!(
                    example.starts_with(&format!("expiryctl {path}")),
                    "{example}"
                );
                let typed = example.split(" > ").next().expect("a command");
                let quotes = typed.split('\'').enumerate();
                let words = quotes.flat_map(|(at, part)| match at % 2 {
                    0 => part.split_whitespace().collect(),
                    _ => vec![part],
                });
                let taken = Cli::try_parse_from(words);
                assert!(taken.is_ok(), "{example}: {:?}", taken.err());
            }
        }
    }

    #[test]
    fn the_options_of_every_command_are_told_once_and_taken_everywhere() {
        let words = ["expiryctl", "router", "list", "--help"];
        let help = command().try_get_matches_from(words).expect_err("help");
        let help = help.to_string();
        assert!(!help.contains("--log-level"), "{help}");
        assert!(help.contains("see `expiryctl --help`"), "{help}");
        let help = command().try_get_matches_from(["expiryctl", "--help"]);
        assert!(help.expect_err("help").to_string().contains("--log-level"));
        let taken = |words: &[&str]| {
            let matches = command().try_get_matches_from(words).expect("taken");
            Cli::from_arg_matches(&matches).expect("a command line")
        };
        for words in [
            ["expiryctl", "--json", "router", "list", "--config", "x"],
            ["expiryctl", "router", "--config", "x", "list", "--json"],
        ] {
            let global = taken(&words).global;
            assert!(global.json, "{words:?}");
            assert_eq!(global.common.config, Some("x".into()), "{words:?}");
        }
    }
}
