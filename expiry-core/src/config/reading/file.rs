//! The configuration file: what it says, and where.

use std::{ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Fault, Place, Value};

/// What stands in a file: keys with their values, and headers of sections, by path.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) values: Vec<(String, Value, Place)>,
    pub(super) tables: Vec<(String, Place)>,
    pub(super) faults: Vec<Fault>,
}

/// Reads a file. What is no TOML is a fault, and the rest is read all the same.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            content.faults.push(Fault {
                place: place(path, &good, good.len()..good.len()),
                message: "the file is not UTF-8 text".into(),
            });
            return content;
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    content.faults = errors
        .iter()
        .map(|error| Fault {
            place: place(path, text, error.span().unwrap_or_default()),
            message: error.message().into(),
        })
        .collect();
    collect(
        document.get_ref(),
        "",
        &|span| place(path, text, span),
        &mut content,
    );
    // What could not be read is guessed by the parser, and not worth a second complaint.
    let broken: Vec<_> = content.faults.iter().map(|f| line(&f.place)).collect();
    content
        .values
        .retain(|(_, _, place)| !broken.contains(&line(place)));
    content
}

fn line(place: &Place) -> usize {
    match place {
        Place::File { line, .. } => *line,
        Place::Default
        | Place::Credential(_)
        | Place::Shared(_)
        | Place::Variable(_)
        | Place::Flag(_) => 0,
    }
}

fn collect(
    table: &DeTable<'_>,
    prefix: &str,
    place: &impl Fn(Range<usize>) -> Place,
    content: &mut Content,
) {
    for (key, value) in table {
        let name = match prefix {
            "" => key.get_ref().to_string(),
            prefix => format!("{prefix}.{}", key.get_ref()),
        };
        if let DeValue::Table(table) = value.get_ref() {
            content.tables.push((name.clone(), place(key.span())));
            collect(table, &name, place, content);
        } else {
            let read = self::value(value.get_ref());
            content.values.push((name, read, place(value.span())));
        }
    }
}

fn value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(switch) => Value::Boolean(*switch),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number of that size"),
        },
        DeValue::Array(values) => Value::List(
            values
                .iter()
                .map(|v| self::value(Spanned::get_ref(v)))
                .collect(),
        ),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a section"),
    }
}

fn place(path: &Path, text: &str, span: Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place::File {
        path: path.into(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
