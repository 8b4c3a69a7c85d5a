//! Results on stdout: for people, or as JSON.

mod listed;

use std::{
    fmt::Display,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use expiry_core::text;
use serde::Serialize;

pub(crate) use self::listed::Listed;

/// Where results go, and in which form.
pub(crate) struct Output<'a> {
    to: &'a mut (dyn Write + Send),
    json: bool,
    terminal: bool,
}

impl<'a> Output<'a> {
    pub(crate) fn new(to: &'a mut (dyn Write + Send), json: bool) -> Self {
        let terminal = false;
        Self { to, json, terminal }
    }

    /// Says whether a person reads the results.
    pub(crate) fn on_terminal(self, terminal: bool) -> Self {
        Self { terminal, ..self }
    }

    /// Tells whether lists have columns and a head.
    fn is_columns(&self) -> bool {
        self.terminal && !self.json
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns where results go as they are.
    pub(crate) fn bytes(&mut self) -> &mut (dyn Write + Send) {
        self.to
    }

    /// Prints one result: one line of JSON, or its text.
    pub(crate) fn show(&mut self, value: &(impl Serialize + Display)) -> io::Result<()> {
        if self.json {
            self.json_line(value)
        } else {
            self.line(value)
        }
    }

    /// Prints what came of an order that was carried out. That it cannot be printed is no failure of
    /// the order: a script that took it for one would pay twice. So it is only told, on stderr.
    pub(crate) fn answer(&mut self, value: &(impl Serialize + Display)) {
        if let Err(error) = self.show(value) {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(
                io::stderr(),
                "warning: it is done, but the answer cannot be printed: {error}"
            );
        }
    }

    /// Prints one line of text.
    pub(crate) fn line(&mut self, text: &impl Display) -> io::Result<()> {
        self.text(text)?;
        self.to.flush()
    }

    /// The one place where text for people is printed. What was stored may come from a router or
    /// from a list, and must not take over the terminal.
    fn text(&mut self, text: &impl Display) -> io::Result<()> {
        writeln!(self.to, "{}", text::lines(&text.to_string()))
    }

    /// Prints one line of JSON.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.to, value)?;
        writeln!(self.to)?;
        self.to.flush()
    }
}

/// Prints text as it is. That nobody reads it is no failure.
pub(crate) fn plain(text: &str) {
    let _ = write!(io::stdout(), "{text}");
}

/// Writes a time as RFC 3339 in UTC, to the second.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes a count with its noun.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_people_moves_no_cursor_and_json_stays_as_it_is() {
        let stored = "a\u{1b}[2J\u{9b}\nb".to_owned();
        let printed = |json: bool| {
            let mut bytes = Vec::new();
            let mut out = Output::new(&mut bytes, json);
            out.show(&stored).expect("printed");
            String::from_utf8(bytes).expect("text")
        };
        let line = "a\\u{1b}[2J\\u{9b}\nb\n";
        assert_eq!(printed(false), line);
        let json = printed(true);
        let mut lines = serde_json::Deserializer::from_str(&json).into_iter();
        assert_eq!(
            lines.next().and_then(Result::ok),
            Some(serde_json::json!(stored))
        );
    }
}
