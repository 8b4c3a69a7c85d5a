use std::{fmt, path::PathBuf};

use expiry_core::config::{Fault, Setting};
use serde::Serialize;

use crate::{error::CliError, output::Output, settings::Loaded};

/// Lists what is in force; if anything is wrong, only what.
pub(super) fn run(loaded: &Loaded, out: &mut Output<'_>) -> Result<(), CliError> {
    let report = Report {
        ok: loaded.faults.is_empty(),
        file: loaded.file.clone(),
        settings: &loaded.listed,
        faults: &loaded.faults,
    };
    if report.ok || out.is_json() {
        out.show(&report)?;
    }
    loaded.settings().map(|_| ())
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    file: Option<PathBuf>,
    settings: &'a [Setting],
    faults: &'a [Fault],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "file: {}", file.display())?,
            None => write!(f, "file: none")?,
        }
        let value = |setting: &Setting| match &setting.value {
            Some(value) => value.clone(),
            None if setting.secret => "(secret)".into(),
            None => "(not set)".into(),
        };
        let lines: Vec<_> = self
            .settings
            .iter()
            .map(|setting| {
                (
                    format!("{} = {}", setting.key, value(setting)),
                    &setting.from,
                )
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max();
        let width = width.unwrap_or_default().min(60);
        for (line, from) in lines {
            write!(f, "\n{line:width$}  # {from}")?;
        }
        Ok(())
    }
}
