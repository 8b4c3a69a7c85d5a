//! Manual pages: what the help says, and the files, variables and exit codes besides.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    args::{self, EXIT_CODES},
    error::CliError,
};

const FILES: &[(&str, &str)] = &[
    (
        "/etc/expiry/expiry.toml",
        "Settings, if it is there; another one by --config or EXPIRY_CONFIG.",
    ),
    (
        "$XDG_DATA_HOME/expiry/expiry.db, else ~/.local/share/expiry/expiry.db",
        "The database, unless another one is named. Beside it lie expiry.db-wal, expiry.db-shm and \
         expiry.db-queue.",
    ),
    (
        "expiry.key beside it, or in $XDG_DATA_HOME/expiry",
        "The key that seals router passwords, made when the first router is added. Back it up.",
    ),
];

const VARIABLES: &[(&str, &str)] = &[
    ("EXPIRY_CONFIG", "The file of settings, as --config."),
    (
        "EXPIRY_DATABASE, else DATABASE_URL",
        "The database, as --database.",
    ),
    ("EXPIRY_KEY_FILE", "The key, as --key-file."),
    (
        "EXPIRY_LOG_LEVEL, EXPIRY_LOG_FORMAT",
        "As --log-level and --log-format.",
    ),
    (
        "EXPIRY_WATCHER_…, EXPIRY_GATEWAY_…",
        "Every key of those sections of the file of settings. A flag is stronger than a variable, a \
         variable than the file.",
    ),
    (
        "MIKROTIK_HOST, MIKROTIK_PORT, MIKROTIK_USER, MIKROTIK_PASSWORD, MIKROTIK_PASSWORD_FILE, \
         MIKROTIK_USE_SSL",
        "The one router that `run` registers by itself.",
    ),
    (
        "CREDENTIALS_DIRECTORY",
        "Where systemd puts the credentials `database` and `mikrotik-password`.",
    ),
];

pub(super) fn run(directory: Option<&Path>) -> Result<(), CliError> {
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory else {
        return Ok(io::stdout().write_all(&page(command)?)?);
    };
    let written = fs::create_dir_all(directory).and_then(|()| write(&command, directory));
    written.map_err(|source| CliError::Write {
        path: directory.into(),
        source,
    })
}

/// Writes the page of a command, and of all below it.
fn write(command: &Command, directory: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write(below, directory)?;
    }
    let name = Man::new(command.clone()).get_filename();
    fs::write(directory.join(name), page(command.clone())?)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let has_below = command.has_subcommands();
    let has_more = command.get_after_help().is_some();
    let is_first = !command
        .get_arguments()
        .any(|arg| arg.is_global_set() && arg.is_hide_set());
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_below {
        man.render_subcommands_section(&mut page)?;
    }
    if has_more {
        man.render_extra_section(&mut page)?;
    }
    exit_status().to_writer(&mut page)?;
    told("FILES", FILES).to_writer(&mut page)?;
    told("ENVIRONMENT", VARIABLES).to_writer(&mut page)?;
    if is_first {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

fn exit_status() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    let mut is_over = false;
    for line in EXIT_CODES.lines().skip(1) {
        match line.trim().split_once("  ") {
            Some((code, means)) => {
                roff.control("TP", [])
                    .text([bold(code)])
                    .text([roman(means)]);
            }
            None if is_over => {
                roff.text([roman(line)]);
            }
            None => {
                is_over = true;
                roff.control("PP", []).text([roman(line)]);
            }
        }
    }
    roff
}

fn told(section: &str, items: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [section]);
    for (name, about) in items {
        roff.control("TP", [])
            .text([bold(*name)])
            .text([roman(*about)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_tells_exit_codes_files_and_variables() {
        let directory = tempfile::tempdir().expect("a directory");
        run(Some(directory.path())).expect("written");
        for name in [
            "expiryctl.1",
            "expiryctl-run.1",
            "expiryctl-subscriber-device-add.1",
        ] {
            let page = fs::read_to_string(directory.path().join(name)).expect(name);
            for section in ["\"EXIT STATUS\"", "FILES", "ENVIRONMENT"] {
                assert!(page.contains(&format!(".SH {section}\n")), "{name}: {page}");
            }
            assert_eq!(
                page.matches("cannot be printed").count(),
                1,
                "{name}: {page}"
            );
        }
        assert!(!directory.path().join("expiryctl-help.1").exists());
    }
}
