//! A payment, and how it is printed.

use std::fmt;

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, Buys, Directory, MacAddr, Missing, Paid, Payment, Pending, Receipt, Reference,
    Revision, StoreError, Username,
};
use serde::Serialize;

use super::find;
use crate::{
    args::PayArgs,
    error::CliError,
    output::{Output, time},
    words::listed,
};

pub(super) async fn run(
    args: PayArgs,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tenant = find::tenant(directory, args.who.tenant.as_deref()).await?;
    let tenant = tenant.map(|tenant| tenant.id);
    let payment = Payment {
        tenant,
        reference: args.reference,
        username: args.who.username.clone(),
        buys: match (args.length, args.until) {
            (Some(length), _) => Buys::Time(length),
            (None, Some(until)) => Buys::Until(until),
            (None, None) => return Err(CliError::NothingToExtend),
        },
        create: args.create,
        devices: args.devices.into_iter().collect(),
        note: args.note,
    };
    let paid = match directory.pay(&payment).await {
        Ok(paid) => paid,
        Err(StoreError::Missing(Missing::Subscriber)) => {
            return Err(find::unknown(directory, tenant, &args.who).await);
        }
        Err(error) => return Err(error.into()),
    };
    out.answer(&View::of(payment, args.who.tenant, paid));
    Ok(())
}

#[derive(Debug, Serialize)]
struct View {
    username: Username,
    tenant: Option<String>,
    reference: Reference,
    at: DateTime<Utc>,
    /// It was taken before, and nothing was added now.
    repeated: bool,
    made: bool,
    from: Access,
    access: Access,
    revision: Revision,
    devices: Vec<MacAddr>,
    /// The routers on which the subscriber may not be online yet.
    pending: Vec<Pending>,
}

impl View {
    fn of(payment: Payment, tenant: Option<String>, paid: Paid) -> Self {
        let Paid {
            receipt,
            repeated,
            pending,
        } = paid;
        let Receipt {
            at,
            made,
            from,
            to,
            revision,
            ..
        } = receipt;
        Self {
            username: payment.username,
            tenant,
            reference: payment.reference,
            at,
            repeated,
            made,
            from,
            access: to,
            revision,
            devices: payment.devices.into_iter().collect(),
            pending,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.username)?;
        match self.access {
            Access::Until(end) => write!(f, "until {}", time(end))?,
            Access::None | Access::Forever => write!(f, "forever")?,
        }
        write!(f, "  by payment {}", self.reference)?;
        if self.repeated {
            write!(
                f,
                ", which was taken at {}: nothing was added",
                time(self.at)
            )?;
        } else if self.made {
            write!(f, ", new")?;
        }
        let owed = |pending: &&Pending| pending.restore_owed && pending.down_since.is_none();
        let owed: Vec<_> = self.pending.iter().filter(owed).map(name).collect();
        if !owed.is_empty() {
            write!(f, "; being let in again on {}", listed(&owed))?;
        }
        let down = |pending: &&Pending| pending.down_since.is_some();
        let down: Vec<_> = self.pending.iter().filter(down).map(name).collect();
        if !down.is_empty() {
            let is = if down.len() == 1 { "is" } else { "are" };
            write!(f, "; {} {is} down, and told when it is back", listed(&down))?;
        }
        Ok(())
    }
}

fn name(pending: &Pending) -> String {
    pending.router.clone()
}
