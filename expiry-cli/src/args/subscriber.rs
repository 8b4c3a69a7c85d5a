use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use expiry_core::{MacAddr, Service, Username};

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
        until: Until,
    },
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
    /// Devices of a subscriber.
    #[command(subcommand)]
    Device(DeviceCommand),
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
#[group(required = true, multiple = false)]
pub(crate) struct End {
    /// When access ends, RFC 3339 with an offset.
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// How long access lasts from now, such as 90s, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub(crate) length: Option<Duration>,
    /// Access without end.
    #[arg(long)]
    pub(crate) forever: bool,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Until {
    /// How much to add, such as 90s, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub(crate) length: Option<Duration>,
    /// The new end, RFC 3339 with an offset.
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    pub(crate) until: Option<DateTime<Utc>>,
}
