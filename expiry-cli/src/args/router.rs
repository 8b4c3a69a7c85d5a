use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::values;

#[derive(Debug, Subcommand)]
pub(crate) enum RouterCommand {
    /// Make a router.
    Add(AddRouter),
    /// Change a router; what is not given stays.
    Set(SetRouter),
    /// List routers.
    List,
    /// Connect, log in and read, and say which step fails.
    Test {
        /// Name of the router.
        name: String,
    },
    /// Take a router into service; what ended meanwhile is cut there.
    Enable {
        /// Name of the router.
        name: String,
    },
    /// Take a router out of service; nothing is done there any more.
    Disable {
        /// Name of the router.
        name: String,
    },
    /// Take the box that answers there next for the right one, after a replacement.
    Accept {
        /// Name of the router.
        name: String,
    },
    /// List what the router lets through that belongs to no subscriber: staff, printers, trials.
    /// It is reported, and never cut.
    Strays {
        /// Name of the router.
        name: String,
    },
    /// Forget a router; refused with exit code 3 while work is open there.
    Remove {
        /// Name of the router.
        name: String,
        /// Leave on the router as it is whatever is open there.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AddRouter {
    /// Name of the router.
    #[arg(value_parser = values::name)]
    pub(crate) name: String,
    /// Host name or IP address.
    #[arg(long, value_parser = values::host)]
    pub(crate) host: String,
    /// API port.
    #[arg(long, default_value_t = 8728, value_parser = value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Account on the router.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) username: String,
    /// File that holds its password [default: ask on the terminal].
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Short name of the tenant it serves.
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SetRouter {
    /// Name of the router.
    pub(crate) name: String,
    /// Host name or IP address.
    #[arg(long, value_parser = values::host)]
    pub(crate) host: Option<String>,
    /// API port.
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Account on the router.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) username: Option<String>,
    /// File that holds its password [default: with nothing else to change, ask on the terminal].
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Short name of the tenant that it is expected to serve; nothing is changed if that is another.
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
}
