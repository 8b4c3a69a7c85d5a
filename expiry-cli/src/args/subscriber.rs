use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use expiry_core::{MacAddr, Note, Reference, Service, Username};

use super::values;

#[derive(Debug, Subcommand)]
pub(crate) enum SubscriberCommand {
    /// Make a subscriber.
    Add(AddSubscriber),
    /// Give more access: `--for` adds to the end that is still ahead, else to now.
    Extend {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        until: Extension,
    },
    /// Take a payment: it adds its time once, however often its reference comes.
    Pay(PayArgs),
    /// End access now.
    Revoke(Who),
    /// Show one subscriber.
    Show(Who),
    /// End access and forget the subscriber; the cuts stay owed until they are confirmed.
    Remove(Who),
    /// List subscribers: those of a tenant, or those without one.
    List {
        /// Short name of the tenant.
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
    },
    /// Make and change subscribers from a list: all of it, or nothing.
    Import(ImportArgs),
    /// Write subscribers as a list that `import` takes.
    Export(ExportArgs),
    /// Devices of a subscriber.
    #[command(subcommand)]
    Device(DeviceCommand),
}

impl SubscriberCommand {
    /// Tells whether it can do something in a database where nobody is.
    pub(crate) fn begins(&self) -> bool {
        match self {
            Self::Add(_) => true,
            Self::Pay(args) => args.create,
            Self::Import(args) => !args.dry_run,
            Self::Extend { .. }
            | Self::Revoke(_)
            | Self::Show(_)
            | Self::Remove(_)
            | Self::List { .. }
            | Self::Export(_)
            | Self::Device(_) => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Add a device.
    Add {
        #[command(flatten)]
        who: Who,
        /// MAC address of the device.
        mac: MacAddr,
    },
    /// Remove a device; it is cut.
    Remove {
        #[command(flatten)]
        who: Who,
        /// MAC address of the device.
        mac: MacAddr,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Who {
    /// Name on the router, usually the phone number.
    pub(crate) username: Username,
    /// Short name of the tenant.
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AddSubscriber {
    #[command(flatten)]
    pub(crate) who: Who,
    /// The subscriber has no tenant, though one knows the name.
    #[arg(long, conflicts_with = "tenant")]
    pub(crate) no_tenant: bool,
    #[command(flatten)]
    pub(crate) end: End,
    /// MAC address of a device; may be repeated.
    #[arg(long = "device", value_name = "MAC")]
    pub(crate) devices: Vec<MacAddr>,
    /// The one router the subscriber uses [default: every router of the tenant].
    #[arg(long, value_name = "NAME")]
    pub(crate) router: Option<String>,
    /// How the subscriber comes online.
    #[arg(long, default_value_t = Service::Hotspot)]
    pub(crate) service: Service,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PayArgs {
    #[command(flatten)]
    pub(crate) who: Who,
    /// What tells this payment from every other to the same tenant, such as the number of a receipt.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: Reference,
    /// How much was bought, such as 90s, 2h or 7d: added to the end that is still ahead, else to now.
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = values::duration)]
    #[arg(required_unless_present = "until", conflicts_with = "until")]
    pub(crate) length: Option<Duration>,
    /// The end that was bought, RFC 3339 with an offset. One before today's is refused.
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Make the subscriber if nobody has the name.
    #[arg(long)]
    pub(crate) create: bool,
    /// MAC address of a device that the subscriber has from now on; may be repeated.
    #[arg(long = "device", value_name = "MAC")]
    pub(crate) devices: Vec<MacAddr>,
    /// Anything worth keeping; `explain` and the audit show it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<Note>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = SHEET_HELP)]
pub(crate) struct ImportArgs {
    /// The list; `-` is standard input.
    pub(crate) file: PathBuf,
    /// How it is written [default: by the end of its name, .csv, .jsonl or .ndjson, else by its
    /// first character].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<SheetFormat>,
    /// Check all of it, also against the database, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Let the list take time away from who has access now; such rows are refused without. Try it
    /// with --dry-run first: it says who has less then.
    #[arg(long)]
    pub(crate) shorten: bool,
}

/// What `import` and `export` say of their lists.
const SHEET_HELP: &str = "\
The first line of CSV names the columns, in any order; keys of JSON lines are the same:
  username    name on the router
  expires_at  RFC 3339 with an offset, `forever`, or `none` (or nothing) for no access yet
  devices     MAC addresses, separated by `;`, or a JSON list
  tenant      short name of the tenant; nothing is without one
  router      the one router the subscriber uses; nothing is every router of the tenant
  service     `hotspot`
Who is known by tenant and username is updated; whose access would end earlier than it does now, only
with --shorten. A column that is left out stays as it is. An
apostrophe keeps a name text in a spreadsheet and is not part of it; so does one before a username
that looks like 2.557E+11 or 255,700,000,001, which is refused without.";

#[derive(Clone, Debug, Args)]
#[command(after_help = SHEET_HELP)]
pub(crate) struct ExportArgs {
    /// Only the subscribers of this tenant, by its short name.
    #[arg(long, value_name = "SLUG", conflicts_with = "all_tenants")]
    pub(crate) tenant: Option<String>,
    /// All subscribers, with a tenant and without; that is the default.
    #[arg(long)]
    pub(crate) all_tenants: bool,
    /// How to write the list [default: csv; jsonl with --json].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<SheetFormat>,
}

/// How a list of subscribers is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SheetFormat {
    /// Comma separated values.
    Csv,
    /// One JSON object on each line.
    Jsonl,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct End {
    /// When access ends, RFC 3339 with an offset.
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// How long access lasts from now, such as 90s, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = values::duration)]
    pub(crate) length: Option<Duration>,
    /// Access without end.
    #[arg(long)]
    pub(crate) forever: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Extension {
    /// How much to add, such as 90s, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = values::duration)]
    #[arg(required_unless_present = "until", conflicts_with = "until")]
    pub(crate) length: Option<Duration>,
    /// The new end, RFC 3339 with an offset. One before today's is refused.
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Let access end at --until even if that takes time away.
    #[arg(long, requires = "until")]
    pub(crate) shorten: bool,
}
