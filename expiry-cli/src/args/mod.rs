//! The command line.

mod help;
mod refusal;
mod router;
mod subscriber;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use expiry_core::{MacAddr, watcher::WatcherConfig};

pub(crate) use help::command;
pub(crate) use refusal::refuse;
pub(crate) use router::{AddRouter, RouterCommand, SetRouter};
pub(crate) use subscriber::{
    AddSubscriber, DeviceCommand, End, ExportArgs, Extension, ImportArgs, PayArgs, SheetFormat,
    SubscriberCommand, Who,
};
pub(crate) use values::{host, instant};

/// Takes Wi-Fi subscribers off MikroTik routers the moment their access ends.
#[derive(Debug, Parser)]
#[command(name = "expiryctl", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; for `run --once` also: braked, with nothing owed
  2  the command line, the configuration or a value is wrong
  3  cuts or restores are still owed; `status --exit-code`: health needs attention
  4  `status --exit-code`: health is critical
Once something was changed in the database, that its answer cannot be printed (a full disk, a closed
pipe) is a warning on stderr, and the exit code is 0.";

/// Understands the command line of this process.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut matches = command().try_get_matches()?;
    Cli::from_arg_matches_mut(&mut matches)
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What every program of this project understands on its command line.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct CommonArgs {
    /// Configuration file [env: `EXPIRY_CONFIG`] [default: /etc/expiry/expiry.toml, if it is
    /// there].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Database: `sqlite://PATH` (made by the first command that adds something) or `postgres://…` [env: `EXPIRY_DATABASE`, else
    /// `DATABASE_URL`] [default: expiry/expiry.db in `XDG_DATA_HOME` or ~/.local/share].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// File of the key that seals router passwords; made at first use [env: `EXPIRY_KEY_FILE`].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Least important lines to log [env: `EXPIRY_LOG_LEVEL`] [default: info as a service, else
    /// warn].
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
    /// How log lines are written [env: `EXPIRY_LOG_FORMAT`] [default: text].
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch: end access on the routers when its time comes.
    Run(RunArgs),
    /// Show what is true now: health, watchers, routers, what is owed and why.
    Status(StatusArgs),
    /// Say why a subscriber is or is not online, and what happens next.
    Explain(Who),
    /// Show why nothing is cut, if so, and what to do.
    #[command(args_conflicts_with_subcommands = true)]
    Brake {
        #[command(subcommand)]
        command: Option<BrakeCommand>,
    },
    /// Show which router passwords open with the key of this machine.
    #[command(args_conflicts_with_subcommands = true)]
    Secrets {
        #[command(subcommand)]
        command: Option<SecretsCommand>,
    },
    /// Subscribers: who may be online, and until when.
    #[command(subcommand)]
    Subscriber(SubscriberCommand),
    /// Routers: where cuts are made.
    #[command(subcommand)]
    Router(RouterCommand),
    /// Tenants: businesses with their own routers and subscribers.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Bring an older database up to this program.
    Migrate,
    /// Check everything around the watcher, and say what to do about what is wrong.
    Doctor,
    /// Show every setting and where it comes from, or everything that is wrong with them.
    CheckConfig,
    /// Show it at work on simulated routers; needs no router and no set-up.
    Demo(DemoArgs),
    /// Run the RouterOS simulator by itself.
    RouterSim(RouterSimArgs),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Where to write the pages [default: print the first one].
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show it until Ctrl-C, brought up to date each second and at changes.
    #[arg(long)]
    pub(crate) watch: bool,
    /// List everything, not only the first 20 of each list; in JSON, not only the first 1 000 of what
    /// is owed.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) all: bool,
    /// Let the exit code tell the health: 0 healthy, 3 needs attention, 4 critical.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) exit_code: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Try what is owed, for at most 20 s, and exit: 3 if something is still owed.
    #[arg(long)]
    pub(crate) once: bool,
    /// How often cron or a timer starts this: until twice that has passed without another, health
    /// does not miss a watcher. At most 1h.
    #[arg(
        long,
        value_name = "TIME",
        requires = "once",
        conflicts_with = "dry_run"
    )]
    #[arg(value_parser = values::every)]
    pub(crate) every: Option<Duration>,
    /// Longest time between two looks at the database, such as 30s or 5m; without a unit, in
    /// seconds [env: `EXPIRY_WATCHER_INTERVAL`, with a unit] [default: 30s].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(value_parser = values::seconds(WatcherConfig::LEAST_INTERVAL))]
    pub(crate) interval: Option<u64>,
    /// Time between two readings of all that a router lets through, such as 300s or 5m; without a
    /// unit, in seconds [env: `EXPIRY_WATCHER_RECONCILE`, with a unit] [default: 300s].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(value_parser = values::seconds(WatcherConfig::LEAST_RECONCILE))]
    pub(crate) reconcile: Option<u64>,
    /// Show what would be cut and restored, and which rows on the routers that takes, without
    /// doing it: nothing is owned, recorded or written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stop all cuts when changes (revoked, removed or imported, not time passing) ended the
    /// access of more than this share of the subscribers within an hour, until `expiryctl brake
    /// release` [env: `EXPIRY_WATCHER_SHARE_LIMIT`] [default: 100, no limit].
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u8).range(1..=100))]
    pub(crate) share_limit: Option<u8>,
    /// A bypass binding also belongs to the subscriber whose name its comment equals, not only to
    /// the one who has its MAC.
    #[arg(long)]
    pub(crate) match_comments: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BrakeCommand {
    /// End all brakes: what changes have ended until now is cut, and clocks that differ may do so
    /// until they have agreed again.
    Release,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// After the key was lost: forget the passwords that do not open, make a key if there is none, and
    /// list the routers that want theirs again. Asks first.
    Reset {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant.
    Add {
        /// Short name for the command line.
        #[arg(value_parser = values::slug)]
        slug: String,
        /// Name people read [default: the short name].
        #[arg(long, value_parser = values::name)]
        name: Option<String>,
    },
    /// List tenants.
    List,
    /// Remove a tenant that has neither routers nor subscribers.
    Remove {
        /// Its short name.
        slug: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long access ends for; at least 5s.
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(default_value = "30s", value_parser = values::demo_length)]
    pub(crate) length: Duration,
    /// How many routers to simulate.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=200))]
    pub(crate) routers: u16,
    /// How many subscribers to simulate.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(5..=2_000))]
    pub(crate) subscribers: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RouterSimArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8728")]
    pub(crate) listen: SocketAddr,
    /// The account that may log in.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: String,
    /// File that holds its password.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: PathBuf,
    /// Hotspot clients that are online and keep coming back.
    #[arg(long = "client", value_name = "NAME=MAC", num_args = 1.., required = true, value_parser = values::client)]
    pub(crate) clients: Vec<(String, MacAddr)>,
    /// Time that the router takes for one command.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) delay: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_manual_page_tells_the_exit_codes() {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .expect("written");
        let page = String::from_utf8(page).expect("text");
        assert!(page.contains("cannot be printed"), "{page}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
