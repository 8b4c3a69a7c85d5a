//! A migration that landed never changes: databases were made with it.

use std::{collections::BTreeMap, fs, path::Path};

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType},
};

/// A line for each file that landed: its checksum (SHA-384) and its path. Lines are only added.
const LANDED: &str = include_str!("../migrations/landed.txt");

#[test]
fn a_migration_that_landed_is_never_edited_and_each_is_listed() {
    let landed: BTreeMap<String, String> = LANDED
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(checksum, path)| (path.into(), checksum.into()))
        .collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut present = BTreeMap::new();
    for dialect in ["postgres", "sqlite"] {
        for entry in fs::read_dir(directory.join(dialect)).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&path).expect("a text");
            present.insert(format!("{dialect}/{name}"), checksum(&text));
        }
    }
    for (path, checksum) in &landed {
        assert_eq!(
            present.get(path),
            Some(checksum),
            "{path} has landed, and databases were made with it: leave it, and add a step"
        );
    }
    let mut missing = present.clone();
    missing.retain(|path, _| !landed.contains_key(path));
    let lines: Vec<_> = missing
        .iter()
        .map(|(path, checksum)| format!("{checksum}  {path}"))
        .collect();
    let lines = lines.join("\n");
    assert!(
        missing.is_empty(),
        "add to migrations/landed.txt, once this is as it is to stay:\n{lines}"
    );
}

fn checksum(text: &str) -> String {
    let sql = AssertSqlSafe(text).into_sql_str();
    let step = Migration::new(1, "".into(), MigrationType::Simple, sql, false);
    let bytes: Vec<_> = step.checksum.iter().map(|b| format!("{b:02x}")).collect();
    bytes.concat()
}
