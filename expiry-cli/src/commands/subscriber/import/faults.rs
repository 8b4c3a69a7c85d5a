//! What is wrong with a list, and where.

use std::fmt;

use expiry_core::text::one_line;
use serde::Serialize;

use super::super::sheet::Column;

/// So many faults are told; the rest is counted.
const TOLD: usize = 50;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// Counts from 1.
    pub(crate) line: u64,
    /// Counts characters from 1; of a line that is not text, bytes.
    pub(crate) column: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<&'static str>,
    pub(crate) message: String,
}

impl Fault {
    pub(super) fn new(line: u64, column: u64, message: impl Into<String>) -> Self {
        Self {
            line,
            column,
            field: None,
            message: message.into(),
        }
    }

    pub(super) fn of(self, field: Column) -> Self {
        Self {
            field: Some(field.name()),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if let Some(field) = self.field {
            write!(f, "{field}: ")?;
        }
        // It quotes the file, which may hold anything.
        f.write_str(&one_line(&self.message))
    }
}

/// The first faults in order of lines, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// Where the list came from.
    pub(crate) file: String,
    #[serde(rename = "errors")]
    told: Vec<Fault>,
    /// How many there are besides.
    more: u64,
}

impl Faults {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            ..Self::default()
        }
    }

    /// Adds a fault of a line that is not before the others.
    pub(super) fn push(&mut self, fault: Fault) {
        if self.told.len() < TOLD {
            self.told.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Adds faults that were found later, in any line.
    pub(super) fn merge(&mut self, later: Self) {
        self.told.extend(later.told);
        self.told.sort_by_key(|fault| (fault.line, fault.column));
        self.more += later.more + self.told.len().saturating_sub(TOLD) as u64;
        self.told.truncate(TOLD);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(crate) fn count(&self) -> u64 {
        self.told.len() as u64 + self.more
    }

    /// Tells each fault, and how many more there are, in lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let told = self
            .told
            .iter()
            .map(|fault| format!("{}:{fault}", self.file));
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        told.chain(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fifty_are_told_and_the_rest_is_counted() {
        let mut early = Faults::new("f");
        let mut late = Faults::new("f");
        for line in 1..=60 {
            early.push(Fault::new(line * 2, 1, "early"));
            late.push(Fault::new(line * 2 - 1, 1, "late"));
        }

        early.merge(late);

        assert_eq!(early.count(), 120);
        let lines: Vec<_> = early.lines().collect();
        assert_eq!(lines.len(), 51);
        assert_eq!(lines[0], "f:1:1: late");
        assert_eq!(lines[49], "f:50:1: early");
        assert_eq!(lines[50], "and 70 more");
    }
}
