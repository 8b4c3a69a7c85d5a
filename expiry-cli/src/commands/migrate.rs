use std::fmt;

use expiry_store::Migrated;
use serde::Serialize;

use crate::output::Output;

/// Tells what was done.
pub(super) fn tell(migrated: Migrated, out: &mut Output<'_>) {
    let Migrated { from, to } = migrated;
    out.answer(&Schema { from, to });
}

#[derive(Debug, Serialize)]
struct Schema {
    from: i64,
    to: i64,
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        if from == to {
            write!(f, "schema version {to}: nothing to do")
        } else {
            write!(f, "schema version {from} brought up to {to}")
        }
    }
}
