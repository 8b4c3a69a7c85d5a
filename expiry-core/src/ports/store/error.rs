use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

use crate::{MacAddr, NoPassword, Reference, RouterId, RowRefusal, Username};

/// What a store could not do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached or gave up in the middle; it may come back. Nothing happened.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to the end of a transaction was lost: what was to be changed may be changed, or not.
    #[error(
        "the answer of the database was lost, so it is not known whether this was done: look \
         before you order it again"
    )]
    OutcomeUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too many orders wait already, and watchers go first. Nothing happened.
    #[error("the database is busy: cuts go first, and too many orders wait; try again in a moment")]
    Busy,
    /// The database holds something that this program never writes.
    #[error("the database holds a wrong value in {table}.{column}, row {key}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database was written by a newer program.
    #[error("the database has schema version {found}, this program knows up to {supported}")]
    SchemaTooNew {
        /// Version found.
        found: i64,
        /// Newest version known.
        supported: i64,
    },
    /// The database has an older schema, and was not asked to be brought up.
    #[error(
        "the database has schema version {found}, this program needs {needed}: run `expiryctl \
         migrate`"
    )]
    SchemaTooOld {
        /// Version found.
        found: i64,
        /// Version needed.
        needed: i64,
    },
    /// The database has tables, columns or types that no version of this program makes or made.
    #[error(
        "the schema of this database is not one that any release made: {0}; it may come from an \
         early build: export the subscribers with the program that made it, and import them into \
         an empty database, or restore a backup"
    )]
    SchemaUnknown(String),
    /// The database does not allow what this program has to do; whoever runs it can allow that.
    #[error("the database refuses this program something: {0}")]
    Refused(String),
    /// The database URL or file cannot be used.
    #[error("cannot open database {url}: {reason}")]
    Open {
        /// The URL without its password.
        url: String,
        /// Why.
        reason: String,
    },
    /// Router passwords cannot be sealed.
    #[error("{0}")]
    Key(String),
    /// A router has no password that opens. That concerns no other router.
    #[error(transparent)]
    NoPassword(Box<NoPassword>),
    /// There is no such thing.
    #[error("{0}")]
    Missing(Missing),
    /// It would contradict what is there.
    #[error("{0}")]
    Conflict(Conflict),
    /// Rows of a list cannot be taken, so none was.
    #[error("{} of the rows cannot be taken, so none was", .0.len())]
    Rows(Vec<RowRefusal>),
    /// The caller does not own the router any more.
    #[error("router {0} has another owner")]
    NotOwner(RouterId),
}

impl From<NoPassword> for StoreError {
    fn from(error: NoPassword) -> Self {
        Self::NoPassword(Box::new(error))
    }
}

impl StoreError {
    /// Tells whether trying again later can help. After an [`OutcomeUnknown`](Self::OutcomeUnknown) only
    /// what may be done twice is to be tried again.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::OutcomeUnknown(_) | Self::Busy
        )
    }
}

/// What does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Missing {
    /// No such tenant.
    #[error("no such tenant")]
    Tenant,
    /// No such router.
    #[error("no such router")]
    Router,
    /// No such subscriber.
    #[error("no such subscriber")]
    Subscriber,
    /// The subscriber has no such device.
    #[error("the subscriber has no device {0}")]
    Device(MacAddr),
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The slug is taken.
    #[error("there is a tenant `{0}` already")]
    Tenant(String),
    /// The tenant still has routers or subscribers.
    #[error("the tenant still has routers or subscribers")]
    TenantInUse,
    /// The name is taken.
    #[error("there is a router `{0}` already")]
    RouterName(String),
    /// Another router is reached there.
    #[error("router `{router}` is already reached at {address}")]
    RouterAddress {
        /// Host and port.
        address: String,
        /// The other router.
        router: String,
    },
    /// The same box is known under another name.
    #[error("serial number {serial} is router `{router}` already")]
    RouterSerial {
        /// The serial number.
        serial: String,
        /// The other router.
        router: String,
    },
    /// Since they were listed, other passwords came to be those that do not open.
    #[error("which passwords do not open has changed meanwhile: nothing was forgotten; look again")]
    Secrets,
    /// Work is open on the router.
    #[error("work is still open on the router")]
    RouterBusy,
    /// The router serves another tenant.
    #[error("router `{0}` belongs to another tenant")]
    RouterTenant(String),
    /// The username is taken.
    #[error("there is a subscriber `{0}` already")]
    Username(Username),
    /// Access that was bought would be forgotten: nobody would be cut when it ends.
    #[error(
        "subscriber `{0}` has or had access: give its end, which may be past, or `forever`; `none` \
         is for those who never had any"
    )]
    HasAccess(Username),
    /// Nobody without a tenant has the name, and who has it in a tenant may have been meant.
    #[error(
        "`{username}` is known in tenant `{}`: name the tenant; nobody was made",
        .tenants.join("`, `")
    )]
    Elsewhere {
        /// The name.
        username: Username,
        /// The slugs of tenants that know it, a few of them.
        tenants: Vec<String>,
    },
    /// What was bought is over.
    #[error(
        "access until {} was bought, and that has passed: nothing was added",
        written(*.end)
    )]
    EndPassed {
        /// The end that was bought.
        end: DateTime<Utc>,
    },
    /// Less was bought than there is.
    #[error(
        "access until {} was bought, and it goes on {} already: nothing was added or taken away",
        written(*.end),
        .until.map_or_else(|| "without end".to_owned(), |until| format!("until {}", written(until)))
    )]
    GoesBeyond {
        /// The end that was bought.
        end: DateTime<Utc>,
        /// The end that there is; none if access has no end.
        until: Option<DateTime<Utc>>,
    },
    /// Another payment has the reference.
    #[error(
        "a payment `{0}` was taken already, and it was another one: for another name, time, device \
         or note; nothing was added"
    )]
    Reference(Reference),
    /// The MAC is taken.
    #[error("device {mac} belongs to subscriber `{owner}` already")]
    Device {
        /// The device.
        mac: MacAddr,
        /// Who has it.
        owner: Username,
    },
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
