//! What went wrong, in one line, and the exit code it earns.

mod taken;

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use chrono::{DateTime, Utc};
use expiry_core::{
    Conflict, Health, MacAddr, StoreError, Trouble, Username,
    config::{Fault, Place},
    text::one_line,
    watcher::WatchError,
};
use thiserror::Error as ThisError;

use crate::{
    commands::{Faults, Summary},
    output::count,
};

/// Something failed at run time.
pub(crate) const FAILED: u8 = 1;
/// The command line, the configuration or a value is wrong.
pub(crate) const USAGE: u8 = 2;
/// Cuts are still owed.
pub(crate) const OWED: u8 = 3;

/// `status --exit-code` found that nobody makes cuts, or many are owed.
pub(crate) const CRITICAL: u8 = 4;

#[derive(Debug, ThisError)]
pub(crate) enum CliError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Configuration(Vec<Fault>),
    #[error("{} failed", count(*.0, "check"))]
    Unwell(u64),
    #[error("no place for the database: give --database sqlite://PATH, or set HOME")]
    NoDataDirectory,
    #[error("cannot make directory {}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error("database from {origin}")]
    Database { origin: Place, source: StoreError },
    #[error(
        "cannot register the router of MIKROTIK_HOST; leave it out if the router is known already"
    )]
    OneRouter(#[source] StoreError),
    #[error("cannot write to {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("no tenant `{0}`: `expiryctl tenant list` shows those there are")]
    UnknownTenant(String),
    #[error("no router `{0}`: `expiryctl router list` shows those there are")]
    UnknownRouter(String),
    #[error(
        "no subscriber `{username}` {}, {hint}; `expiryctl subscriber list` shows those there are",
        of(tenant.as_deref())
    )]
    UnknownSubscriber {
        username: Username,
        tenant: Option<String>,
        /// Who may have been meant.
        hint: String,
    },
    #[error("nobody is named `{username}` {}; {hint}", of(tenant.as_deref()))]
    NobodyOfThatName {
        username: Username,
        tenant: Option<String>,
        /// Who may have been meant.
        hint: String,
    },
    #[error("{at} is not ahead: use `expiryctl subscriber revoke` to end access")]
    NotAhead { at: DateTime<Utc> },
    #[error(
        "`{username}` has access {}, and {at} is before that: nothing was changed; to take time away, \
         add --shorten",
        until(*end)
    )]
    GoesBeyond {
        username: Username,
        end: Option<DateTime<Utc>>,
        at: DateTime<Utc>,
    },
    #[error("nothing to extend by: give --for or --until")]
    NothingToExtend,
    #[error(
        "router `{router}` does not serve tenant `{tenant}`; to hand it over, `expiryctl router \
         remove` and `expiryctl router add` it"
    )]
    OtherTenant { router: String, tenant: String },
    #[error("nothing to change: give --host, --port, --username or --password-file")]
    NothingToChange,
    #[error("no password: give --password-file FILE, there is no terminal to ask on")]
    NoPassword,
    #[error("nothing was forgotten: there is no terminal to ask on; give --yes")]
    NotAsked,
    #[error("nothing was forgotten")]
    Declined,
    #[error("cannot ask")]
    Ask(#[source] io::Error),
    #[error("cannot read password file {}", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error("password file {} is empty", .0.display())]
    EmptyPasswordFile(PathBuf),
    #[error("password file {} is not UTF-8 text of one line", .0.display())]
    PasswordFileText(PathBuf),
    #[error("the password is empty")]
    EmptyPassword,
    #[error("cannot ask for the password")]
    Prompt(#[source] io::Error),
    #[error("router `{router}` was not added: {}: remove that one first, or leave it", trouble.seen)]
    SameBox { router: String, trouble: Trouble },
    #[error("router `{router}`: {}", trouble.told(Some(router)))]
    RouterTest { router: String, trouble: Trouble },
    #[error(
        "router `{router}` has open work ({open}): wait for it, or leave it as it is with --force"
    )]
    RouterBusy { router: String, open: String },
    #[error("{0} still owed: `expiryctl status` says why")]
    StillOwed(u64),
    #[error("router `{router}` is {seen}: nothing is done on it until one of them is removed")]
    Waiting { router: String, seen: String },
    #[error("no cut was made, and {owed} still owed: {brake}; `expiryctl brake` says what to do")]
    Braked { owed: u64, brake: String },
    #[error("cannot read all routers: {0}")]
    NotRead(String),
    #[error("{0}{way_out}", way_out = taken::way_out(.0))]
    Store(#[from] StoreError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("cannot print")]
    Print(#[from] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("stopped by a signal")]
    Interrupted,
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    #[error("cannot make a temporary directory")]
    Temporary(#[source] io::Error),
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        source: io::Error,
    },
    #[error("cannot open the list {}", path.display())]
    OpenList { path: PathBuf, source: io::Error },
    #[error("cannot read the list {name}")]
    ReadList { name: String, source: io::Error },
    #[error("{} in {}: nothing was imported", count(faults.count(), "fault"), faults.file)]
    List {
        faults: Faults,
        /// Whether each was printed already.
        is_told: bool,
    },
    #[error("device {0} is given twice")]
    DeviceTwice(MacAddr),
    #[error("the demo did not hold: {}", .0.broken())]
    Demo(Summary),
    #[error("{source}")]
    Program {
        code: u8,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the watcher ended by itself")]
    WatcherEnded,
    #[error(
        "there is no database yet ({}): the first command that adds something makes it, such as \
         `expiryctl router add`; or name another one with --database",
        path.display()
    )]
    NothingYet { path: PathBuf },
    #[error("health is {0}")]
    Unhealthy(Health),
    #[error("the watcher panicked")]
    Panic(#[source] tokio::task::JoinError),
}

fn of(tenant: Option<&str>) -> String {
    tenant.map_or_else(
        || "without a tenant".into(),
        |tenant| format!("of tenant `{tenant}`"),
    )
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_)
            | Self::NoDataDirectory
            | Self::NothingYet { .. }
            | Self::DataDirectory { .. }
            | Self::UnknownTenant(_)
            | Self::UnknownRouter(_)
            | Self::UnknownSubscriber { .. }
            | Self::NotAhead { .. }
            | Self::GoesBeyond { .. }
            | Self::NothingToExtend
            | Self::NothingToChange
            | Self::OtherTenant { .. }
            | Self::SameBox { .. }
            | Self::DeviceTwice(_)
            | Self::OpenList { .. }
            | Self::NoPassword
            | Self::NotAsked
            | Self::PasswordFile { .. }
            | Self::EmptyPasswordFile(_)
            | Self::PasswordFileText(_)
            | Self::EmptyPassword
            | Self::Write { .. } => USAGE,
            Self::Database { source, .. }
            | Self::OneRouter(source)
            | Self::Store(source)
            | Self::Watch(WatchError::Store(source) | WatchError::Unread(source)) => {
                store_exit_code(source)
            }
            Self::Program { code, .. } => *code,
            Self::Unhealthy(Health::Critical) => CRITICAL,
            Self::RouterBusy { .. } | Self::StillOwed(_) | Self::Unhealthy(_) => OWED,
            Self::Braked { owed, .. } if *owed > 0 => OWED,
            Self::Braked { .. }
            | Self::NotRead(_)
            | Self::Waiting { .. }
            | Self::Watch(_)
            | Self::Unwell(_)
            | Self::RouterTest { .. }
            | Self::NobodyOfThatName { .. }
            | Self::Prompt(_)
            | Self::Declined
            | Self::Ask(_)
            | Self::Print(_)
            | Self::Signals(_)
            | Self::Interrupted
            | Self::Runtime(_)
            | Self::Temporary(_)
            | Self::Listen { .. }
            | Self::Demo(_)
            | Self::ReadList { .. }
            | Self::List { .. }
            | Self::WatcherEnded
            | Self::Panic(_) => FAILED,
        }
    }

    /// Returns what went wrong one by one, where it is more than one thing.
    pub(crate) fn details(&self) -> Vec<String> {
        if let Self::Configuration(faults) = self {
            faults.iter().map(ToString::to_string).collect()
        } else if let Self::List {
            faults,
            is_told: false,
        } = self
        {
            faults.lines().collect()
        } else {
            Vec::new()
        }
    }

    /// Tells whether whoever read the output went away, which is no failure.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn until(end: Option<DateTime<Utc>>) -> String {
    end.map_or_else(|| "for ever".into(), |end| format!("until {end}"))
}

fn store_exit_code(error: &StoreError) -> u8 {
    match error {
        StoreError::Conflict(Conflict::RouterBusy) => OWED,
        StoreError::Open { .. }
        | StoreError::SchemaTooNew { .. }
        | StoreError::SchemaTooOld { .. }
        | StoreError::SchemaUnknown(_)
        | StoreError::Key(_)
        | StoreError::Missing(_)
        | StoreError::Conflict(_) => USAGE,
        StoreError::Unavailable(_)
        | StoreError::OutcomeUnknown(_)
        | StoreError::Refused(_)
        | StoreError::Corrupt { .. }
        | StoreError::NotOwner(_)
        | _ => FAILED,
    }
}

/// Joins an error and its causes to one line. A cause that the error already tells is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            let _ = write!(line, ": {text}");
        }
        cause = error.source();
    }
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line(&words).into_owned()
}

/// Prints what went wrong to stderr, a line for each thing.
pub(crate) fn report(error: &CliError) {
    for line in error.details() {
        print(&line);
    }
    if !matches!(error, CliError::Configuration(_)) {
        print(&chain(error));
    }
}

/// Prints to stderr what is worth knowing and no failure.
pub(crate) fn note(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "note: {}", one_line(line));
}

/// Prints one line to stderr.
pub(crate) fn print(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "error: {}", one_line(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_causes_is_one_line_and_repeats_nothing() {
        let source: Box<dyn Error + Send + Sync> = "connection refused\n  by peer".into();
        let error = CliError::from(StoreError::Unavailable(source));
        assert_eq!(
            chain(&error),
            "the database is unavailable: connection refused by peer"
        );
        let source: Box<dyn Error + Send + Sync> = "\u{1b}[2Jgone".into();
        let error = CliError::from(StoreError::Unavailable(source));
        assert!(chain(&error).ends_with(r": \u{1b}[2Jgone"));
    }

    #[test]
    fn an_order_whose_answer_was_lost_is_not_to_be_ordered_again_unseen() {
        let error = CliError::from(StoreError::OutcomeUnknown("end of file".into()));
        assert_eq!(
            chain(&error),
            "the answer of the database was lost, so it is not known whether this was done: look \
             before you order it again: end of file"
        );
    }

    #[test]
    fn wrong_values_are_2_failures_are_1_and_owed_work_is_3() {
        let braked = |owed| CliError::Braked {
            owed,
            brake: "the clock jumped".into(),
        };
        let taken = Conflict::Username("joe".parse().expect("a name"));
        let cases = [
            (CliError::from(StoreError::Conflict(taken)), USAGE),
            (
                StoreError::SchemaTooNew {
                    found: 9,
                    supported: 1,
                }
                .into(),
                USAGE,
            ),
            (StoreError::Unavailable("gone".into()).into(), FAILED),
            (StoreError::OutcomeUnknown("gone".into()).into(), FAILED),
            (StoreError::Conflict(Conflict::RouterBusy).into(), OWED),
            (CliError::StillOwed(1), OWED),
            (braked(1), OWED),
            (braked(0), FAILED),
            (CliError::UnknownRouter("r".into()), USAGE),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
