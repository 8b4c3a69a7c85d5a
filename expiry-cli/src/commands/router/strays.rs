//! Lists what a router lets through that belongs to nobody we know.

use std::fmt;

use expiry_core::{Directory, Presence, PresenceKind, Stray, Strays, text::one_line};
use serde::Serialize;

use crate::{
    commands::find,
    error::CliError,
    output::{Output, count, time},
};

pub(super) async fn run(
    name: String,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let router = find::router(directory, &name).await?;
    let seen = directory.strays(router.id).await?;
    Ok(out.show(&Report { router: name, seen })?)
}

#[derive(Debug, Serialize)]
struct Report {
    router: String,
    #[serde(flatten)]
    seen: Strays,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.seen.reconciled_at else {
            let router = &self.router;
            return write!(f, "router {router}: no watcher has read it whole yet");
        };
        let strays = count(self.seen.strays.len() as u64, "stray");
        write!(f, "router {}: {strays}, read {}", self.router, time(at))?;
        for stray in &self.seen.strays {
            write!(f, "\n  {}", Line(stray))?;
        }
        Ok(())
    }
}

struct Line<'a>(&'a Stray);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stray {
            presence,
            first_seen,
            ..
        } = self.0;
        let Presence {
            kind,
            login,
            mac,
            address,
            way_in,
            online,
            comment,
        } = presence;
        // What a router says may hold anything. A name is shown as it is to be typed.
        let plain = |text: &str| one_line(text).into_owned();
        write!(f, "{}", kind.as_str())?;
        if let Some(login) = login {
            write!(f, " of {}", plain(login))?;
        }
        match (mac, kind) {
            (Some(mac), _) => write!(f, " on {mac}")?,
            (None, PresenceKind::Binding) => write!(f, " of any device")?,
            (None, _) => write!(f, " on an unknown device")?,
        }
        if let Some(address) = address {
            write!(f, " at {}", plain(address))?;
        }
        if let Some(comment) = comment {
            write!(f, ", comment {}", plain(comment))?;
        }
        let (way_in, since) = (way_in.as_str(), time(*first_seen));
        write!(f, ", let in by {way_in}, first seen {since}")?;
        if !online {
            write!(f, ", not there now")?;
        }
        Ok(())
    }
}
