//! Removes a router, but not the evidence that somebody is left online or offline by it.

use std::fmt;

use expiry_core::{Conflict, Directory, OpenWork, StoreError};
use serde::Serialize;

use crate::{
    commands::find,
    error::CliError,
    output::{Output, count},
};

pub(super) async fn run(
    name: String,
    force: bool,
    directory: &dyn Directory,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let router = find::router(directory, &name).await?;
    let open = directory.open_work(router.id).await?;
    if !open.is_empty() && !force {
        return refuse(name, open, out);
    }
    match directory.remove_router(router.id, force).await {
        Ok(()) => {}
        Err(StoreError::Conflict(Conflict::RouterBusy)) => {
            let open = directory.open_work(router.id).await?;
            return refuse(name, open, out);
        }
        Err(error) => return Err(error.into()),
    }
    out.answer(&Removal {
        router: name,
        removed: true,
        open,
    });
    Ok(())
}

fn refuse(router: String, open: OpenWork, out: &mut Output<'_>) -> Result<(), CliError> {
    let summary = summary(&open);
    // What is open is in the error, too: that it cannot be printed changes no exit code.
    drop(out.show(&Removal {
        router: router.clone(),
        removed: false,
        open,
    }));
    Err(CliError::RouterBusy {
        router,
        open: summary,
    })
}

fn summary(open: &OpenWork) -> String {
    let parts = [
        (open.cuts.len(), "cut"),
        (open.restores.len(), "restore"),
        (open.undo.len(), "disabled name or MAC"),
    ];
    let parts = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| match (n, noun) {
            (2.., "disabled name or MAC") => format!("{n} disabled names or MACs"),
            _ => count(n as u64, noun),
        });
    parts.collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Serialize)]
struct Removal {
    router: String,
    removed: bool,
    open: OpenWork,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { router, open, .. } = self;
        let state = if self.removed { "removed" } else { "kept" };
        write!(f, "router {router} {state}")?;
        let (cut, restore, undo) = if self.removed {
            ("may stay online", "stays disabled", "stays disabled")
        } else {
            ("cut owed", "restore owed", "disabled by us")
        };
        let groups = [
            (&open.cuts, cut),
            (&open.restores, restore),
            (&open.undo, undo),
        ];
        for (who, what) in groups {
            for name in who {
                write!(f, "\n  {name}: {what}")?;
            }
        }
        Ok(())
    }
}
