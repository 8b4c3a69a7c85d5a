//! Which version of the schema a database has, and what that means.

use std::collections::BTreeSet;

use expiry_core::StoreError;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// What is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Empty,
    /// Tables of something else.
    Foreign,
    /// Our tables.
    Version(i64),
}

/// What may be done to a database that is not up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// Leave it as it is.
    Nothing,
    /// Prepare it if it is empty.
    OnlyEmpty,
    /// Bring it up from any older version.
    Any,
}

/// What is said where a database is only to be read.
pub(crate) const NOTHING_THERE: &str = "nothing is there yet: the first command that adds something \
     makes it, such as `expiryctl router add`; if there should be something, correct the name";

/// Decides which version to start from, for a program that needs `needed`.
pub(crate) fn start(
    found: Found,
    needed: i64,
    upgrade: Upgrade,
    url: &str,
) -> Result<i64, StoreError> {
    match (found, upgrade) {
        (Found::Empty, Upgrade::Nothing) => Err(StoreError::Open {
            url: url.into(),
            reason: NOTHING_THERE.into(),
        }),
        (Found::Empty, _) => Ok(0),
        (Found::Foreign, _) => Err(StoreError::Open {
            url: url.into(),
            reason: "it holds the tables of another program".into(),
        }),
        (Found::Version(found), _) if found > needed => Err(StoreError::SchemaTooNew {
            found,
            supported: needed,
        }),
        (Found::Version(found), Upgrade::Nothing | Upgrade::OnlyEmpty) if found < needed => {
            Err(StoreError::SchemaTooOld { found, needed })
        }
        (Found::Version(found), _) => Ok(found),
    }
}

/// How many differences are named.
const NAMED: usize = 4;

/// Compares what is in a database of version `version` with what the steps up to that version make.
/// `shape` has a line for each column (`table.column type`) and for each unique index. Of what is
/// found besides, only a column counts that each new row would have to fill.
pub(crate) fn compare(
    version: i64,
    shape: &str,
    found: &[(String, bool)],
) -> Result<(), StoreError> {
    let expected: BTreeSet<&str> = shape.lines().collect();
    let tables: BTreeSet<_> = expected.iter().filter_map(|item| table(item)).collect();
    let present: BTreeSet<_> = found.iter().map(|(item, _)| item.as_str()).collect();
    let missing = expected.difference(&present).map(|item| ("no", *item));
    let foreign = found.iter().filter(|(item, must_be_filled)| {
        *must_be_filled
            && !expected.contains(item.as_str())
            && table(item).is_some_and(|table| tables.contains(table))
    });
    let foreign = foreign.map(|(item, _)| ("a foreign", item.as_str()));
    let mut differences: Vec<_> = missing
        .chain(foreign)
        .map(|(what, item)| format!("{what} `{item}`"))
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("{more} more differences"));
    }
    let differences = differences.join(", ");
    Err(StoreError::SchemaUnknown(format!(
        "it says version {version}, but has {differences}"
    )))
}

fn table(item: &str) -> Option<&str> {
    item.split_once('.').map(|(table, _)| table)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SHAPE: &str = "router.id bigint\nrouter.port bigint\nunique index router_address\n";

    #[rstest]
    #[case::as_made(&["router.id bigint", "router.port bigint", "unique index router_address"], "")]
    #[case::a_table_beside(
        &["router.id bigint", "router.port bigint", "unique index router_address", "x.y! text"],
        ""
    )]
    #[case::a_column_that_may_stay_empty(
        &["router.id bigint", "router.port bigint", "unique index router_address", "router.a text"],
        ""
    )]
    #[case::a_column_to_fill(
        &["router.id bigint", "router.port bigint", "unique index router_address", "router.a! text"],
        "a foreign `router.a! text`"
    )]
    #[case::another_type(
        &["router.id bigint", "router.port text", "unique index router_address"],
        "no `router.port bigint`"
    )]
    #[case::an_index_less(&["router.id bigint", "router.port bigint"], "no `unique index router_")]
    #[case::nothing(&[], "no `router.id bigint`, no `router.port bigint`, no `unique")]
    fn a_schema_is_judged_by_what_is_needed_of_it(#[case] found: &[&str], #[case] told: &str) {
        let found: Vec<_> = found
            .iter()
            .map(|item| (String::from(*item), item.contains('!')))
            .collect();
        match compare(2, SHAPE, &found) {
            Ok(()) => assert_eq!(told, ""),
            Err(error) => assert!(
                !told.is_empty() && error.to_string().contains(told),
                "{error}"
            ),
        }
    }
}
