use std::{fmt, sync::Arc};

use expiry_core::{
    Want,
    watcher::{DryRun, Preview, RowsPreview, TaskPreview},
};
use serde::Serialize;

use super::brake;
use crate::{
    error::CliError,
    lifecycle,
    output::{Output, count, time},
};

/// Shows what is due now; unless `once`, also what comes due, until a signal.
pub(super) async fn run(
    mut dry_run: DryRun,
    once: bool,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let shown = async |stop: tokio_util::sync::CancellationToken| -> Result<(), CliError> {
        loop {
            let preview = tokio::select! {
                preview = dry_run.next() => preview?,
                () = stop.cancelled() => return Ok(()),
            };
            let report = Report(Arc::new(preview));
            out.show(&report)?;
            if once {
                return report.result();
            }
        }
    };
    lifecycle::until_signal(shown).await?
}

#[derive(Debug, Serialize)]
struct Report(Arc<Preview>);

impl Report {
    /// Fails if a router could not be read.
    fn result(&self) -> Result<(), CliError> {
        let failed = self
            .0
            .routers
            .iter()
            .filter(|router| router.error.is_some());
        let names: Vec<_> = failed.map(|router| router.router.as_str()).collect();
        if names.is_empty() {
            Ok(())
        } else {
            Err(CliError::NotRead(names.join(", ")))
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preview = &self.0;
        for brake in &preview.brakes {
            writeln!(f, "{}", brake::Line(brake))?;
        }
        write!(f, "at {}", time(preview.now))?;
        match preview.next_deadline {
            Some(next) => write!(f, ", next access ends {}", time(next))?,
            None => write!(f, ", no end ahead")?,
        }
        if preview.routers.is_empty() {
            return write!(f, "\nnothing is due");
        }
        for router in &preview.routers {
            let wanted = |want| router.tasks.iter().filter(|task| task.want == want).count();
            let cuts = count(wanted(Want::Cut) as u64, "cut");
            let restores = count(wanted(Want::Restore) as u64, "restore");
            write!(f, "\n{}: {cuts}, {restores}", router.router)?;
            if let Some(error) = &router.error {
                write!(f, " (cannot be read: {error})")?;
            }
            for task in &router.tasks {
                write!(f, "\n  {}", TaskLine(task))?;
            }
        }
        Ok(())
    }
}

struct TaskLine<'a>(&'a TaskPreview);

impl fmt::Display for TaskLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = self.0;
        write!(f, "would {}", task.want)?;
        match &task.username {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " removed device {}", list(&task.devices))?,
        }
        write!(f, ", due since {}", time(task.since))?;
        if task.backlog {
            write!(f, ", as backlog")?;
        }
        match &task.rows {
            None => Ok(()),
            Some(rows) if *rows == RowsPreview::default() => {
                write!(f, ": nothing to write there")
            }
            Some(rows) => write!(f, ": {}", Rows(rows, task.want)),
        }
    }
}

struct Rows<'a>(&'a RowsPreview, Want);

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rows, want) = self;
        let switch = match want {
            Want::Cut => "disable",
            Want::Restore => "enable",
        };
        let parts = [
            (switch, "account", &rows.accounts),
            (switch, "binding", &rows.bindings),
            ("remove", "cookie", &rows.cookies),
            ("remove", "session", &rows.sessions),
            ("remove", "host", &rows.hosts),
        ];
        let mut first = true;
        for (verb, noun, items) in parts {
            if !items.is_empty() {
                let join = if std::mem::take(&mut first) { "" } else { "; " };
                write!(f, "{join}{verb} {noun} {}", list(items))?;
            }
        }
        Ok(())
    }
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use expiry_core::watcher::RouterPreview;

    use super::*;

    fn preview(error: Option<&str>) -> Report {
        let rows = RowsPreview {
            accounts: vec!["joe".into()],
            sessions: vec!["joe (10.5.0.2)".into()],
            ..RowsPreview::default()
        };
        let task = |want, rows| TaskPreview {
            want,
            username: "joe".parse().ok(),
            devices: [].into(),
            since: DateTime::UNIX_EPOCH,
            backlog: false,
            rows,
        };
        Report(Arc::new(Preview {
            now: DateTime::UNIX_EPOCH,
            brakes: Vec::new(),
            routers: vec![RouterPreview {
                router: "tower".into(),
                error: error.map(Into::into),
                tasks: vec![
                    task(Want::Cut, Some(rows.clone())),
                    task(Want::Cut, Some(RowsPreview::default())),
                    task(Want::Restore, Some(rows)),
                    task(Want::Cut, None),
                ],
            }],
            next_deadline: None,
        }))
    }

    #[test]
    fn each_task_says_who_and_which_rows() {
        let expected = "at 1970-01-01T00:00:00Z, no end ahead\n\
             tower: 3 cuts, 1 restore\n  \
             would cut joe, due since 1970-01-01T00:00:00Z: disable account joe; remove session \
             joe (10.5.0.2)\n  \
             would cut joe, due since 1970-01-01T00:00:00Z: nothing to write there\n  \
             would restore joe, due since 1970-01-01T00:00:00Z: enable account joe; remove session \
             joe (10.5.0.2)\n  \
             would cut joe, due since 1970-01-01T00:00:00Z";
        assert_eq!(preview(None).to_string(), expected);
    }

    #[test]
    fn a_router_that_cannot_be_read_is_a_failure() {
        preview(None).result().expect("all was read");
        let error = preview(Some("down")).result().expect_err("not read");
        assert_eq!(error.exit_code(), crate::error::FAILED);
        assert!(error.to_string().contains("tower"), "{error}");
    }
}
