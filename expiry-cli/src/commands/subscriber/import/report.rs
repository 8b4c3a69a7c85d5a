//! What a list came to, or would come to.

use std::fmt;

use chrono::{DateTime, Utc};
use expiry_core::{Loss, PutReport, Username};
use serde::Serialize;

use super::places::Places;
use crate::{output::count, words::utc};

#[derive(Debug, Serialize)]
pub(super) struct Imported {
    made: u64,
    without_access: u64,
    updated: u64,
    unchanged: u64,
    /// Who has access now and loses it.
    ended: u64,
    /// Who has access now, and has it for less time.
    shortened: u64,
    /// The first of both, by name.
    losses: Vec<Less>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Less {
    username: Username,
    tenant: Option<String>,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
}

impl Imported {
    pub(super) fn new(report: PutReport, places: &Places, dry_run: bool) -> Self {
        let PutReport {
            made,
            without_access,
            updated,
            unchanged,
            ended,
            shortened,
            losses,
        } = report;
        let less = |loss: Loss| Less {
            username: loss.username,
            tenant: loss.tenant.and_then(|id| places.slug(id)).map(Into::into),
            from: loss.from,
            to: loss.to,
        };
        Self {
            made,
            without_access,
            updated,
            unchanged,
            ended,
            shortened,
            losses: losses.into_iter().map(less).collect(),
            dry_run,
        }
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would be " } else { "" };
        write!(f, "{would}made {}", self.made)?;
        if self.without_access > 0 {
            write!(f, ", {} of them without access", self.without_access)?;
        }
        write!(
            f,
            ", updated {}, unchanged {}",
            self.updated, self.unchanged
        )?;
        let less = self.ended + self.shortened;
        if less == 0 {
            return Ok(());
        }
        let has = if self.dry_run { "would have" } else { "has" };
        write!(
            f,
            "\ntakes time away from {}: {} {has} no access any more, {} {has} it for less time",
            count(less, "subscriber"),
            self.ended,
            self.shortened
        )?;
        for loss in &self.losses {
            write!(f, "\n  {loss}")?;
        }
        match less - self.losses.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for Less {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.username)?;
        if let Some(tenant) = &self.tenant {
            write!(f, " of {tenant}")?;
        }
        match self.from {
            Some(from) => write!(f, ": was until {}", utc(from))?,
            None => write!(f, ": was without end")?,
        }
        write!(f, ", now until {}", utc(self.to))
    }
}
