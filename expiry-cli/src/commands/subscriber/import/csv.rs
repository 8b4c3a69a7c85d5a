//! One line of CSV (RFC 4180, without line breaks inside quotes), with the columns of its fields.

use std::borrow::Cow;

use super::{
    super::sheet::Column,
    faults::{Fault, Faults},
    record::{Cell, Record, Value},
};
use crate::args::SheetFormat;

/// A field of a line.
#[derive(Debug, PartialEq, Eq)]
struct Field<'a> {
    /// Where its text begins, in characters from 1.
    column: u64,
    text: Cow<'a, str>,
}

/// What the first line says.
#[derive(Debug)]
pub(super) struct Header {
    separator: char,
    /// `None` is a column that is not known.
    columns: Vec<Option<Column>>,
    /// A quote of a line before is not closed yet.
    is_open: bool,
}

/// Why a line cannot be split.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    column: u64,
    message: &'static str,
    /// Whether the text may go on in the next line.
    is_open: bool,
}

impl Broken {
    fn new(column: u64, message: &'static str) -> Self {
        Self {
            column,
            message,
            is_open: false,
        }
    }
}

impl Header {
    /// Reads the first line. Without a header no other line can be read.
    pub(super) fn read(line: &str, number: u64, faults: &mut Faults) -> Option<Self> {
        if let Some(at) = line.find('\r') {
            let column = line[..at].chars().count() as u64 + 1;
            let message = "lines end with CR alone: save the file with LF or CRLF line ends";
            faults.push(Fault::new(number, column, message));
            return None;
        }
        if line.starts_with('{') {
            let message = "this is JSON, not CSV: say --format jsonl";
            faults.push(Fault::new(number, 1, message));
            return None;
        }
        let separators = [',', ';', '\t'];
        let separator = separators.into_iter().find(|&c| line.contains(c));
        let separator = separator.unwrap_or(',');
        let fields = match split(line, separator) {
            Ok(fields) => fields,
            Err(broken) => {
                faults.push(Fault::new(number, broken.column, broken.message));
                return None;
            }
        };
        let columns = fields.iter().map(|field| Column::named(field.text.trim()));
        let columns: Vec<Option<Column>> = columns.collect();
        if columns.iter().all(Option::is_none) {
            let all = Column::ALL.map(Column::name).join(",");
            let message = format!("the first line has no column names, such as `{all}`");
            faults.push(Fault::new(number, 1, message));
            return None;
        }
        let mut found = Vec::new();
        let mut meant = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let name = field.text.trim();
            let message = match columns[at] {
                None => {
                    let near = Column::near(name).filter(|near| !columns.contains(&Some(*near)));
                    meant.extend(near);
                    unknown(name, near)
                }
                known if columns[..at].contains(&known) => {
                    format!("column `{name}` is there twice")
                }
                Some(_) => continue,
            };
            found.push(Fault::new(number, field.column, message));
        }
        let needed = [Column::Username, Column::ExpiresAt];
        let mut missing = needed
            .into_iter()
            .filter(|needed| !columns.contains(&Some(*needed)));
        let is_complete = missing.clone().next().is_none();
        if let Some(missing) = missing.find(|missing| !meant.contains(missing)) {
            let message = format!(
                "there is no column `{}`: the first line names the columns, such as `{}`",
                missing.name(),
                Column::ALL.map(Column::name).join(",")
            );
            found.insert(0, Fault::new(number, 1, message));
        }
        for fault in found {
            faults.push(fault);
        }
        is_complete.then_some(Self {
            separator,
            columns,
            is_open: false,
        })
    }

    /// Reads one of the other lines; `None` if it is empty, or wrong.
    pub(super) fn record<'a>(
        &mut self,
        line: &'a str,
        number: u64,
        faults: &mut Faults,
    ) -> Option<Record<'a>> {
        let split = split(line, self.separator);
        if self.is_open {
            // The fault is told; what the quote goes on with is none of its own.
            if self.closes(line) {
                self.is_open = false;
                return None;
            }
            let is_whole = |fields: &Vec<_>| fields.len() == self.columns.len();
            self.is_open = !split
                .as_ref()
                .map_or_else(|broken| broken.is_open, is_whole);
            if self.is_open {
                return None;
            }
        }
        let fields = match split {
            Ok(fields) => fields,
            Err(broken) => {
                self.is_open = broken.is_open;
                faults.push(Fault::new(number, broken.column, broken.message));
                return None;
            }
        };
        if fields.iter().all(|field| field.text.is_empty()) {
            return None;
        }
        if fields.len() != self.columns.len() {
            let beyond = fields.get(self.columns.len()).map(|field| field.column);
            let column = beyond.unwrap_or_else(|| line.chars().count() as u64 + 1);
            let message = format!(
                "{} where the header has {}: quote fields that contain `{}`",
                crate::output::count(fields.len() as u64, "field"),
                self.columns.len(),
                self.separator.escape_default(),
            );
            faults.push(Fault::new(number, column, message));
            return None;
        }
        let mut record = Record::new(number, SheetFormat::Csv);
        for (field, column) in fields.into_iter().zip(&self.columns) {
            let Some(column) = *column else { continue };
            let text = if column.holds_names() {
                field.text
            } else {
                map(field.text, str::trim)
            };
            record.set(column, Cell::new(field.column, Value::Text(text)));
        }
        Some(record)
    }

    /// Tells whether a line ends a quote that was opened in a line before.
    fn closes(&self, line: &str) -> bool {
        let single = line.replace("\"\"", "");
        let after = single.split_once('"').map(|(_, after)| after);
        after.is_some_and(|after| after.is_empty() || after.starts_with(self.separator))
    }
}

fn unknown(name: &str, near: Option<Column>) -> String {
    match near {
        _ if name.is_empty() => "a column has no name".into(),
        Some(near) => format!(
            "there is no column `{name}`; the nearest is `{}`",
            near.name()
        ),
        None => format!("there is no column `{name}`"),
    }
}

fn map(text: Cow<'_, str>, part: impl Fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

/// Splits a line into its fields, or tells the column of a fault and what it is.
fn split(line: &str, separator: char) -> Result<Vec<Field<'_>>, Broken> {
    let mut fields = Vec::new();
    let mut rest = line;
    let mut column = 1;
    loop {
        let is_quoted = rest.starts_with('"');
        let (text, taken) = if is_quoted {
            quoted(rest, column, separator)?
        } else {
            let end = rest.find(separator).unwrap_or(rest.len());
            let text = &rest[..end];
            if let Some(at) = text.find('"') {
                let at = column + width(&text[..at]);
                let message = "a quote within a field: quote the whole field and double the quote";
                return Err(Broken::new(at, message));
            }
            (Cow::Borrowed(text), end)
        };
        fields.push(Field {
            column: column + u64::from(is_quoted),
            text,
        });
        column += width(&rest[..taken]);
        rest = &rest[taken..];
        match rest.strip_prefix(separator) {
            Some(after) => {
                rest = after;
                column += 1;
            }
            None => return Ok(fields),
        }
    }
}

/// Takes a quoted field from the begin of a text; returns how many bytes it has with its quotes.
fn quoted(rest: &str, column: u64, separator: char) -> Result<(Cow<'_, str>, usize), Broken> {
    let inside = &rest[1..];
    let mut from = 0;
    let end = loop {
        let Some(at) = inside[from..].find('"').map(|at| from + at) else {
            let message = "the quote is not closed on its line: close it, or double it if it is \
                           part of the value";
            return Err(Broken {
                is_open: true,
                ..Broken::new(column, message)
            });
        };
        if inside[at + 1..].starts_with('"') {
            from = at + 2;
        } else {
            break at;
        }
    };
    let taken = end + 2;
    let after = &rest[taken..];
    if !after.is_empty() && !after.starts_with(separator) {
        let message = "text after the closing quote: double quotes that are part of the value";
        return Err(Broken::new(column + width(&rest[..taken]), message));
    }
    let text = &inside[..end];
    let text = if text.contains('"') {
        Cow::Owned(text.replace("\"\"", "\""))
    } else {
        Cow::Borrowed(text)
    };
    Ok((text, taken))
}

fn width(text: &str) -> u64 {
    text.chars().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Result<Vec<(u64, String)>, Broken> {
        let fields = split(line, ',')?.into_iter();
        Ok(fields
            .map(|field| (field.column, field.text.into_owned()))
            .collect())
    }

    #[test]
    fn fields_have_their_columns_in_characters() {
        let expected = [(1, "é"), (4, "a,\"b"), (11, ""), (12, "x")];
        let expected = expected.map(|(at, text)| (at, text.to_owned()));
        assert_eq!(texts("é,\"a,\"\"b\",,x"), Ok(expected.into()));
        assert_eq!(texts(""), Ok(vec![(1, String::new())]));
        assert_eq!(texts("\"\""), Ok(vec![(2, String::new())]));
    }

    #[test]
    fn wrong_quotes_are_named_where_they_are() {
        for (line, column) in [
            ("é,\"ab", 3),
            ("a,b\"c", 4),
            ("a,\"b\"c,d", 6),
            ("\"a\"\"", 1),
        ] {
            let fault = texts(line).expect_err("refused");
            assert_eq!(fault.column, column, "{line}: {}", fault.message);
        }
    }
}
