use std::{
    fmt,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use expiry_core::{Cause, StoreError, Trouble};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    error::{CliError, chain},
    output::Output,
};

/// How long one question to the database may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "it is the name in the JSON")]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) state: State,
    pub(super) found: String,
    /// Why a router cannot be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cause>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ok,
    Warning,
    Failed,
}

impl Check {
    pub(super) fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state: State::Ok,
            found: found.into(),
            cause: None,
            advice: None,
        }
    }

    pub(super) fn warning(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warning,
            advice: Some(advice.into()),
            ..Self::ok(check, found)
        }
    }

    /// A router that cannot be served.
    pub(super) fn caused(check: impl Into<String>, trouble: &Trouble, router: &str) -> Self {
        let cause = trouble.cause;
        Self {
            cause: Some(cause),
            ..Self::failed(check, trouble.to_string(), cause.way_out(Some(router)))
        }
    }

    /// A router that can be served, and should be mended.
    pub(super) fn warned(check: impl Into<String>, trouble: &Trouble, router: &str) -> Self {
        let Trouble { cause, seen } = trouble;
        let found = format!("{seen}: {}", cause.says());
        Self {
            cause: Some(*cause),
            ..Self::warning(check, found, cause.way_out(Some(router)))
        }
    }

    pub(super) fn failed(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Failed,
            advice: Some(advice.into()),
            ..Self::ok(check, found)
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        write!(f, "{state:7}  {}: {}", self.check, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "\n         {advice}"),
            None => Ok(()),
        }
    }
}

/// Asks the database something; no answer is a failed check.
pub(super) async fn answer<T>(
    check: &str,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Check> {
    let found = match timeout(ANSWER, question).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("the database did not answer within {} s", ANSWER.as_secs()),
    };
    Err(Check::failed(
        check,
        found,
        "see what the database server logs",
    ))
}

/// Prints what is found as it comes; JSON comes at the end.
pub(super) struct Findings<'o, 'a> {
    out: &'o mut Output<'a>,
    checks: Vec<Check>,
    on_terminal: bool,
}

impl<'o, 'a> Findings<'o, 'a> {
    pub(super) fn new(out: &'o mut Output<'a>) -> Self {
        Self {
            on_terminal: !out.is_json() && io::stderr().is_terminal(),
            out,
            checks: Vec::new(),
        }
    }

    /// Says what takes its time, to somebody who waits at a terminal.
    pub(super) fn doing(&self, what: &str) {
        if self.on_terminal {
            // Nobody is left to tell when stderr is closed.
            let _ = write!(io::stderr(), "\r\x1b[K… {what}");
        }
    }

    pub(super) fn add(&mut self, check: Check) -> Result<(), CliError> {
        self.wipe();
        if !self.out.is_json() {
            self.out.line(&check)?;
        }
        self.checks.push(check);
        Ok(())
    }

    pub(super) fn conclude(self) -> Result<(), CliError> {
        self.wipe();
        let is_failed = |check: &&Check| check.state == State::Failed;
        let failed = self.checks.iter().filter(is_failed).count();
        if self.out.is_json() {
            self.out.json_line(&Report {
                ok: failed == 0,
                checks: &self.checks,
            })?;
        }
        match failed {
            0 => Ok(()),
            failed => Err(CliError::Unwell(failed as u64)),
        }
    }

    #[cfg(test)]
    pub(super) fn into_checks(self) -> Vec<Check> {
        self.checks
    }

    fn wipe(&self) {
        if self.on_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
}
