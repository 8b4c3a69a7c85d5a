//! Writes subscribers as a list that can be taken again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io::{self, BufWriter, Write},
};

use expiry_core::{Directory, MacAddr, RouterId, Service, Subscriber, SubscriberId, Username};
use serde::{Serialize, Serializer};

use super::{
    super::find,
    PAGE,
    sheet::{self, Column},
};
use crate::{
    args::{ExportArgs, SheetFormat},
    error::CliError,
    output::Output,
};

/// Writes the subscribers of a tenant, or all: those without a tenant first, then tenant by
/// tenant, each in the order in which they were made.
pub(super) async fn run(
    args: &ExportArgs,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tenants = match &args.tenant {
        Some(slug) => find::tenant(directory, Some(slug))
            .await?
            .into_iter()
            .collect(),
        None => directory.tenants().await?,
    };
    let routers = directory.routers().await?.into_iter();
    let routers: BTreeMap<_, _> = routers.map(|router| (router.id, router.name)).collect();
    let by_default = if out.is_json() {
        SheetFormat::Jsonl
    } else {
        SheetFormat::Csv
    };
    let format = args.format.unwrap_or(by_default);
    let mut to = BufWriter::new(out.bytes());
    if format == SheetFormat::Csv {
        writeln!(to, "{}", Column::ALL.map(Column::name).join(","))?;
    }
    let without = args.tenant.is_none().then_some(None);
    for tenant in without.into_iter().chain(tenants.iter().map(Some)) {
        let mut after = SubscriberId(0);
        loop {
            let id = tenant.map(|tenant| tenant.id);
            let page = directory.subscribers(id, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for subscriber in &page {
                let slug = tenant.map(|tenant| tenant.slug.as_str());
                let line = Line::of(subscriber, slug, &routers);
                match format {
                    SheetFormat::Csv => line.write_csv(&mut to)?,
                    SheetFormat::Jsonl => line.write_json(&mut to)?,
                }
            }
        }
    }
    Ok(to.flush()?)
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "guarded")]
    username: &'a Username,
    expires_at: String,
    devices: &'a BTreeSet<MacAddr>,
    tenant: Option<&'a str>,
    router: Option<Cow<'a, str>>,
    service: Service,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn guarded<S: Serializer>(username: &&Username, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&sheet::guarded(username.as_str(), SheetFormat::Jsonl))
}

impl<'a> Line<'a> {
    fn of(
        subscriber: &'a Subscriber,
        tenant: Option<&'a str>,
        routers: &'a BTreeMap<RouterId, String>,
    ) -> Self {
        let router = subscriber.router.map(|id| match routers.get(&id) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => sheet::removed_router(id).into(),
        });
        Self {
            username: &subscriber.username,
            expires_at: sheet::expires_at(subscriber.access),
            devices: &subscriber.devices,
            tenant,
            router,
            service: subscriber.service,
        }
    }

    fn write_csv(&self, to: &mut impl Write) -> io::Result<()> {
        let devices: Vec<_> = self.devices.iter().map(ToString::to_string).collect();
        for column in Column::ALL {
            let text: Cow<'_, str> = match column {
                Column::Username => sheet::guarded(self.username.as_str(), SheetFormat::Csv),
                Column::ExpiresAt => self.expires_at.as_str().into(),
                Column::Devices => devices.join(";").into(),
                Column::Tenant => sheet::guarded(self.tenant.unwrap_or_default(), SheetFormat::Csv),
                Column::Router => {
                    let router = self.router.as_deref().unwrap_or_default();
                    sheet::guarded(router, SheetFormat::Csv)
                }
                Column::Service => self.service.to_string().into(),
            };
            if column != Column::Username {
                write!(to, ",")?;
            }
            if text.contains([',', '"', '\n', '\r']) {
                write!(to, "\"{}\"", text.replace('"', "\"\""))?;
            } else {
                write!(to, "{text}")?;
            }
        }
        writeln!(to)
    }

    fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        writeln!(to)
    }
}
